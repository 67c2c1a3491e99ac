package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/app"
	"pushgate/internal/explain"
)

func (p *program) explainCommand() *cobra.Command {
	var (
		ask          explain.Ask
		since, until string
	)
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "The story of a user's messages, or of one message, hop by hop, out of the topics",
		Long: `Tell what became of messages: when and where each was produced, which gateways
had it, which did not hold its user, why it failed or waited, when the user
connected, what operators did, its outcome. Times are those of the broker.

With --user one partition is read, from --since on. With --id alone all are looked
through, unless the id tells: ids of this platform (UUID version 7) tell their
time, and a place in the request topic (topic/partition/offset) leads to the
message that stands there. What could not be known is said at the end.`,
		Example: `  pushgate explain --user 42
  pushgate explain --user 42 --id 0190f3c1-7b5e-7c3a-9d2b-4f5a6b7c8d9e
  pushgate explain --id push.requests/3/1207 --output json`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&ask.User, "user", "", "of this user")
	flags.StringVar(&ask.ID, "id", "", "with this message id")
	flags.StringVar(&since, "since", "", "first written since then: a time (RFC 3339) or a duration ago (default: what the id says, else 24h)")
	flags.StringVar(&until, "until", "", "and until then (default: now)")
	flags.IntVar(&ask.Limit, "limit", explain.DefaultLimit, "tell of at most so many messages, the newest")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		now := time.Now()
		for _, one := range []struct {
			text string
			into *time.Time
		}{{since, &ask.Since}, {until, &ask.Until}} {
			if one.text == "" {
				continue
			}
			at, err := parseSince(one.text, now)
			if err != nil {
				return err
			}
			*one.into = at
		}
		if ask.Limit < 1 {
			return &usageError{fmt.Sprintf("--limit %d: must be from 1 to %d", ask.Limit, explain.MaxLimit)}
		}
		if ask.User == "" && ask.ID == "" {
			return &usageError{"name a --user, an --id, or both"}
		}
		return p.explain(cmd.Context(), ask)
	})
	return cmd
}

func (p *program) explain(ctx context.Context, ask explain.Ask) error {
	list, err := p.newListing()
	if err != nil {
		return err
	}
	cluster, c, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	if _, err := partitionsOf(ctx, cluster, cluster.Topics().Requests); err != nil {
		return err
	}
	story, err := app.Explainer(cluster, c, app.Journal(cluster)).Story(ctx, ask)
	if bad, ok := asBadRequest[*explain.BadRequestError](err); ok {
		return &usageError{bad.Error()}
	}
	if err != nil {
		return err
	}
	if p.output == outputJSON {
		return list.row(story)
	}
	return p.tellStory(story)
}

// asBadRequest says whether somebody asked for what cannot be.
func asBadRequest[E error](err error) (E, bool) { return errors.AsType[E](err) }

// tellStory prints a story for people.
func (p *program) tellStory(s explain.Story) error {
	var b strings.Builder
	for i := range s.Messages {
		tellMessage(&b, &s.Messages[i])
	}
	if len(s.Messages) == 0 {
		b.WriteString("no message was found\n")
	}
	if len(s.Gaps) > 0 {
		b.WriteString("\nNot known:\n")
		for _, gap := range s.Gaps {
			b.WriteString("  - " + printable(gap) + "\n")
		}
	}
	_, err := fmt.Fprint(p.Out, b.String())
	return wrapWrite(err)
}

func tellMessage(b *strings.Builder, m *explain.MessageStory) {
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	_, _ = fmt.Fprintf(b, "message %s for user %s, type %s: %s\n", printable(m.ID), printable(m.User), printable(m.Type), printable(m.Outcome))
	const gap = 2
	table := tabwriter.NewWriter(b, 0, 0, gap, ' ', 0)
	events, folded := fold(m.Events)
	var last time.Time
	for i, e := range events {
		if n := folded[i]; n > 0 {
			_, _ = fmt.Fprintf(table, "  \t\t\t… offered and waiting again %d times, each time as before (--output json tells all)\n", n)
		}
		when := e.Time.UTC().Format("15:04:05.000")
		if e.Time.UTC().Truncate(24*time.Hour) != last.Truncate(24*time.Hour) {
			when = e.Time.UTC().Format("2006-01-02 15:04:05.000")
		}
		last = e.Time.UTC()
		_, _ = fmt.Fprintf(table, "  %s\t+%s\t%s\t%s\t%s\n", when, span(e.Time.Sub(events[0].Time)), e.Kind, printable(e.Where), printable(e.Text))
	}
	_ = table.Flush() // to memory
}

// fold leaves out what happens over and over: a message for a user who is away is
// offered again every custody.offline_recheck, and comes back. folded says how many
// rounds were left out before an event.
func fold(all []explain.Event) (kept []explain.Event, folded map[int]int) {
	const (
		first = 2 // rounds that are shown
		worth = 3 // rounds that are worth leaving out
	)
	folded = make(map[int]int)
	for i := 0; i < len(all); {
		var rounds []int // where each ends
		for at := i; ; {
			end := round(all, at)
			if end == at {
				break
			}
			rounds = append(rounds, end)
			at = end
		}
		if len(rounds) < first+worth+1 {
			end := i + 1
			if len(rounds) > 0 {
				end = rounds[len(rounds)-1]
			}
			kept = append(kept, all[i:end]...)
			i = end
			continue
		}
		kept = append(kept, all[i:rounds[first-1]]...)
		folded[len(kept)] = len(rounds) - first - 1
		last := len(rounds) - 1
		kept = append(kept, all[rounds[last-1]:rounds[last]]...)
		i = rounds[last]
	}
	return kept, folded
}

// round returns where a round of being offered in vain that begins at an event ends;
// the same place where none begins.
func round(all []explain.Event, from int) int {
	if all[min(from, len(all)-1)].Kind != explain.Offered {
		return from
	}
	for i := from; i < len(all); i++ {
		switch all[i].Kind {
		case explain.Offered:
			if i > from {
				return from
			}
		case explain.NotHeld, explain.WaitEnded:
		case explain.WaitBegan:
			if i+1 < len(all) && all[i+1].Kind == explain.WaitEnded {
				i++ // of the wait that it came from, in the same millisecond
			}
			return i + 1
		default:
			return from
		}
	}
	return from
}
