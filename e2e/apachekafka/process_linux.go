package apachekafka

import "syscall"

// dieWithParent has the system kill the node when the tests are killed, who
// could no longer do it themselves.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
