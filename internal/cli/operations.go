package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/operations"
)

func (p *program) operationsCommand() *cobra.Command {
	group := p.group("operations", "What operators did: who, when, to what, and how it went")
	group.AddCommand(p.operationsListCommand(), p.operationsShowCommand(), p.operationsCancelCommand())
	return group
}

func (p *program) operationsListCommand() *cobra.Command {
	var since string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List operations, newest first",
		Long: `List what operators did to dead letters, to what waits and to consumer groups, newest
first. An operation that says it runs, and has said nothing for ` + operations.Silence.String() + `, is "interrupted":
its process was killed. The same command as at first takes it up.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&since, "since", "168h", "that ran since then: a time (RFC 3339) or a duration ago")
	const some = 50
	cmd.Flags().IntVar(&limit, "limit", some, "at most so many; 0: all")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		from, err := parseSince(since, time.Now())
		if err != nil {
			return err
		}
		if limit < 0 {
			return &usageError{fmt.Sprintf("--limit %d: a number, 0 for all", limit)}
		}
		list, err := p.newListing("BEGAN", "KIND", "STATE", "BY", "DONE", "SKIPPED", "FAILED", "FILTER", "ID")
		if err != nil {
			return err
		}
		store, err := p.openLetters(cmd.Context())
		if err != nil {
			return err
		}
		defer store.close()
		found, err := store.log.List(cmd.Context(), from, limit)
		if err != nil {
			return err
		}
		const width = 60
		for i := range found {
			o := &found[i]
			err := list.row(o, o.Began.UTC().Format(time.RFC3339), o.Kind, o.State, o.By, o.Done, o.Skipped, o.Failed, shorten(wordsOf(o.Filter), width), o.ID)
			if err != nil {
				return err
			}
		}
		return list.end()
	})
	return cmd
}

// wordsOf writes a filter in one line.
func wordsOf(filter map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(filter)) {
		words = append(words, name+"="+filter[name])
	}
	return strings.Join(words, " ")
}

func (p *program) operationsShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show one operation", Args: cobra.ExactArgs(1)}
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, args []string) error {
		store, err := p.openLetters(cmd.Context())
		if err != nil {
			return err
		}
		defer store.close()
		o, err := store.log.Get(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		switch p.output {
		case outputJSON:
			return wrapWrite(json.NewEncoder(p.Out).Encode(o))
		case outputTable:
			return p.showOperation(&o)
		default:
			return &usageError{fmt.Sprintf("--output %s: use table or json", p.output)}
		}
	})
	return cmd
}

func (p *program) showOperation(o *operations.Operation) error {
	var b strings.Builder
	line := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" {
			_, _ = fmt.Fprintf(&b, "%-10s %s\n", name, printable(text))
		}
	}
	line("id", o.ID)
	line("kind", o.Kind)
	line("state", o.State)
	line("by", o.By)
	line("why", o.Why)
	line("filter", wordsOf(o.Filter))
	line("options", wordsOf(o.Options))
	line("began", o.Began.UTC().Format(time.RFC3339))
	if o.Ended.IsZero() {
		line("heard of", o.Updated.UTC().Format(time.RFC3339))
	} else {
		line("ended", o.Ended.UTC().Format(time.RFC3339))
	}
	line("matched", o.Matched)
	line("done", o.Done)
	line("skipped", o.Skipped)
	for _, why := range slices.Sorted(maps.Keys(o.SkippedFor)) {
		line("  "+why, o.SkippedFor[why])
	}
	line("failed", o.Failed)
	line("error", o.Error)
	_, err := fmt.Fprint(p.Out, b.String())
	return wrapWrite(err)
}

func (p *program) operationsCancelCommand() *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Ask an operation that runs to end in order, wherever it runs", Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&by, "by", "", "who, for the record (default: user@host)")
	cmd.RunE = p.run(func(cmd *cobra.Command, args []string) error {
		store, err := p.openLetters(cmd.Context())
		if err != nil {
			return err
		}
		defer store.close()
		o, err := store.log.Get(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if o.State != operations.Running {
			return fmt.Errorf("operation %s does not run: it is %s", o.ID, o.State)
		}
		if err := store.log.Cancel(cmd.Context(), o.ID, operator(by)); err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.Err, "asked: it ends within some seconds; pushgate operations show %s\n", o.ID)
		return wrapWrite(err)
	})
	return cmd
}
