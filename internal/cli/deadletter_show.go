package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"pushgate/internal/deadletter"
	"pushgate/internal/operations"
)

func (p *program) deadLetterShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID|PARTITION/OFFSET",
		Short: "Show dead letters: headers, payload, where it came from, what was done to it",
		Long: `Show the dead letters with a message id, or the one at a place as list names it.
The place is found at once; an id is looked for in all letters, a UUID of version 7
in those since it was made.`,
		Args: cobra.ExactArgs(1),
	}
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		store, err := p.openLetters(ctx)
		if err != nil {
			return err
		}
		defer store.close()
		if at, ok := parsePlace(args[0]); ok {
			return p.showAt(ctx, store, at)
		}
		found := 0
		filter := deadletter.Filter{ID: args[0], State: deadletter.All}
		err = p.allLetters(ctx, store, filter, func(l *deadletter.Letter) error {
			found++
			return p.showAt(ctx, store, l.Place)
		})
		if err == nil && found == 0 {
			err = fmt.Errorf("no dead letter has the id %s: pushgate deadletter list --state all shows all", args[0])
		}
		return err
	})
	return cmd
}

// showAt shows one letter.
func (p *program) showAt(ctx context.Context, store *letters, at deadletter.Place) error {
	letter, err := store.Get(ctx, at)
	if err != nil {
		return err
	}
	if p.output == outputJSON {
		list, err := p.newListing()
		if err != nil {
			return err
		}
		return list.row(shownLetterOf(&letter))
	}
	var by *operations.Operation
	if letter.Operation != "" {
		o, err := store.log.Get(ctx, letter.Operation)
		if err != nil && !errors.Is(err, operations.ErrNotFound) {
			return err
		}
		if err == nil {
			by = &o
		}
	}
	return p.showLetter(&letter, by)
}

func (p *program) showLetter(l *deadletter.Letter, by *operations.Operation) error {
	if p.output != outputTable {
		return &usageError{fmt.Sprintf("--output %s: use table or json", p.output)}
	}
	var b strings.Builder
	line := func(name string, value any) { _, _ = fmt.Fprintf(&b, "%-10s %s\n", name, printable(fmt.Sprint(value))) }
	line("id", l.ID)
	line("user", l.User)
	line("type", l.Type)
	line("reason", l.Reason)
	line("error", l.Error)
	line("died", l.At.UTC().Format(time.RFC3339Nano))
	line("first seen", l.FirstSeen.UTC().Format(time.RFC3339Nano))
	line("expires", l.Expires.UTC().Format(time.RFC3339Nano))
	line("attempts", fmt.Sprintf("%d offered, %d failed", l.Attempt, l.Failures))
	line("from", fmt.Sprintf("%s/%d at %d", l.OriginTopic, l.OriginPartition, l.OriginOffset))
	line("decided by", l.Node)
	line("stands at", fmt.Sprintf("partition %d, offset %d", l.Partition, l.Offset))
	line("state", stateOf(l, by))
	line("replayed", historyOf(l))
	_, _ = fmt.Fprintln(&b, "headers")
	for _, h := range l.Headers {
		_, _ = fmt.Fprintf(&b, "  %s: %s\n", printable(h.Key), printable(string(h.Value)))
	}
	_, _ = fmt.Fprintf(&b, "payload    %d bytes\n%s\n", len(l.Data), pretty(l.Data))
	_, err := fmt.Fprintln(p.Out, b.String())
	return wrapWrite(err)
}

// stateOf says what was done to a letter, and by whom.
func stateOf(l *deadletter.Letter, by *operations.Operation) string {
	text := l.State.String()
	if l.Operation != "" {
		text += " by operation " + l.Operation
	}
	if by != nil {
		text += fmt.Sprintf(" of %s at %s", by.By, by.Began.UTC().Format(time.RFC3339))
		if by.Why != "" {
			text += ": " + by.Why
		}
	}
	return text
}

// historyOf says what happened before.
func historyOf(l *deadletter.Letter) string {
	if l.Replay.Count == 0 {
		return "never: this was its first life"
	}
	text := fmt.Sprintf("%d times before, last by operation %s after it had died as %s", l.Replay.Count, l.Replay.Operation, l.Replay.Reason)
	if l.Again {
		text += "; it died again for the same reason"
	}
	return text
}

// pretty shows a payload: JSON indented, text as it is, else in hexadecimal.
func pretty(data []byte) string {
	var value any
	if json.Unmarshal(data, &value) == nil {
		if b, err := json.MarshalIndent(value, "  ", "  "); err == nil {
			lines := strings.Split(string(b), "\n")
			for i := range lines {
				lines[i] = printable(lines[i])
			}
			return "  " + strings.Join(lines, "\n")
		}
	}
	if utf8.Valid(data) {
		return "  " + printable(string(data))
	}
	const most = 256
	return fmt.Sprintf("  %x", data[:min(len(data), most)])
}
