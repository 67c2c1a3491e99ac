//go:build !linux

package pushgatejs_test

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
