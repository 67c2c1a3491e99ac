package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pushgate/internal/operations"
)

// progress tells on a terminal how an operation goes, and nothing in a pipe.
type progress struct {
	program *program
	done    string
	shown   bool
}

func (p *program) progressOf(o *operation) *progress {
	return &progress{program: p, done: o.done}
}

func (s *progress) show(op operations.Operation) {
	if !interactive(s.program.Err) {
		return
	}
	s.shown = true
	text := fmt.Sprintf("%d %s, %d left out, %d failed, %s", op.Done, s.done, op.Skipped, op.Failed, time.Since(op.Began).Round(time.Second))
	if op.Of > 0 {
		const percent = 100
		text += fmt.Sprintf(", %d%% of the log read", percent*op.Scanned/op.Of)
	}
	_, _ = fmt.Fprintf(s.program.Err, "\r\x1b[K%s (Ctrl-C ends it in order)", text)
}

func (s *progress) end() {
	if s.shown {
		_, _ = fmt.Fprint(s.program.Err, "\r\x1b[K")
	}
}

// flagsOf returns the names of the flags that were given.
func flagsOf(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().Visit(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// quoted writes a value as a shell reads it.
func quoted(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@,=+", r)
	}
	if value != "" && strings.IndexFunc(value, func(r rune) bool { return !plain(r) }) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
