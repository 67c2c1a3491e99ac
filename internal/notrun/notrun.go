// Package notrun says which tests were not run for want of something that the machine
// lacks. Whether that is a failure is left to those who ask for it.
package notrun

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
)

// Notice keeps the many tests of a process from saying the same thing many times. The
// zero value has said nothing yet; it is safe for concurrent use.
type Notice struct{ once sync.Once }

// Say writes a line, the first time. It goes to standard error - which `go test ./...`
// keeps to itself when the package passes: nobody would learn that something was not
// run. So it also goes to where go test itself speaks.
func (n *Notice) Say(line string) { n.once.Do(func() { say(line) }) }

func say(line string) {
	_, _ = fmt.Fprintln(os.Stderr, line)
	if testing.Verbose() {
		return // It is shown.
	}
	outer, err := outerStderr()
	if err != nil {
		return // Nobody listens.
	}
	_, _ = io.WriteString(outer, line+"\n")
	_ = outer.Close()
}

// outerStderr opens the standard error of the process that runs this one, if it is
// a terminal or a pipe, or the terminal.
func outerStderr() (*os.File, error) {
	const flags = os.O_WRONLY | syscall.O_NONBLOCK // A pipe may have lost its reader.
	outer, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", os.Getppid()), flags, 0)
	if err != nil {
		return os.OpenFile("/dev/tty", flags, 0) //nolint:wrapcheck // it only matters that there is none
	}
	info, err := outer.Stat()
	own, ownErr := os.Stderr.Stat()
	if err = errors.Join(err, ownErr); err == nil && !info.Mode().IsRegular() && !os.SameFile(info, own) {
		return outer, nil
	}
	// A file has a position of its own for each who opens it: what is written
	// here would be overwritten there.
	_ = outer.Close()
	return nil, errors.Join(errors.New("the line would not be seen, or seen twice"), err)
}
