package pushgatejs_test

import "syscall"

// dieWithParent has the system kill a process when the tests are killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
