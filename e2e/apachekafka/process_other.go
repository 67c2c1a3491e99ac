//go:build !unix

package apachekafka

import (
	"fmt"
	"os"
	"os/exec"
)

var errNotUnix = fmt.Errorf("%w: nodes are processes that are killed and paused by signals, which takes a Unix system", ErrUnavailable)

func ownGroup(*exec.Cmd) {}

func kill(int) error   { return errNotUnix }
func pause(int) error  { return errNotUnix }
func resume(int) error { return errNotUnix }

func tryLock(*os.File) (bool, error) { return false, errNotUnix }
