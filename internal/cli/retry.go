package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/app"
	"pushgate/internal/operations"
	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

func (p *program) retryCommand() *cobra.Command {
	group := p.group("retry", "Messages that wait: for whom, why, until when; release or discard them")
	group.AddCommand(
		p.retryListCommand(), p.retryShowCommand(),
		p.retryOrderCommand(push.Release), p.retryOrderCommand(push.Discard),
	)
	return group
}

// waitFlags are the filters all commands about waits have.
type waitFlags struct {
	user, kind, reason, id string
	olderThan              time.Duration
}

func (f *waitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "of this user")
	flags.StringVar(&f.kind, "type", "", "of this business type")
	flags.StringVar(&f.reason, "reason", "", "that wait for this reason: "+waitReasons())
	flags.StringVar(&f.id, "id", "", "with this message id")
	flags.DurationVar(&f.olderThan, "older-than", 0, "first written so long ago, or longer, such as 2h")
}

func waitReasons() string {
	var names []string
	for _, r := range push.Failures() {
		names = append(names, r.String())
	}
	return strings.Join(names, ", ")
}

func (f *waitFlags) filter() (waiting.Filter, error) {
	filter := waiting.Filter{User: f.user, Type: f.kind, ID: f.id, OlderThan: f.olderThan}
	if f.reason != "" {
		reason, err := push.ParseReason(f.reason)
		if err != nil || !slices.Contains(push.Failures(), reason) {
			return filter, &usageError{fmt.Sprintf("--reason %s: use one of %s", f.reason, waitReasons())}
		}
		filter.Reason = reason
	}
	return filter, nil
}

// withWaits opens what waits, and calls do.
func (p *program) withWaits(ctx context.Context, f waitFlags, do func(*waiting.Store, waiting.Filter) error) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	cluster, c, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	if _, err := partitionsOf(ctx, cluster, cluster.Topics().Retry); err != nil {
		return err
	}
	err = do(app.WaitingStore(cluster, c, app.Journal(cluster)), filter)
	if bad, ok := asBadRequest[*waiting.BadRequestError](err); ok {
		return &usageError{bad.Error()}
	}
	return err
}

func (p *program) retryListCommand() *cobra.Command {
	var (
		f       waitFlags
		limit   int
		summary bool
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what waits, by partition and in the order in which it was offered last",
		Long: `List messages that wait. AGE counts from when a message was first written; NEXT is
when it is offered again at the latest. A message that waits for its user
(offline) is offered as soon as the user connects.

--summary counts instead: by reason and by partition.`,
		Args: cobra.NoArgs,
	}
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most so many (0: all)")
	cmd.Flags().BoolVar(&summary, "summary", false, "count what waits, by reason and partition")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		if limit < 0 {
			return &usageError{"--limit: must not be negative"}
		}
		return p.withWaits(cmd.Context(), f, func(s *waiting.Store, filter waiting.Filter) error {
			if summary {
				return p.summarizeWaits(cmd.Context(), s, filter)
			}
			return p.listWaits(cmd.Context(), s, filter, limit)
		})
	})
	return cmd
}

func (p *program) listWaits(ctx context.Context, s *waiting.Store, filter waiting.Filter, limit int) error {
	list, err := p.newListing("USER", "TYPE", "REASON", "AGE", "NEXT", "EXPIRES", "ATTEMPTS", "FAILED", "PARTITION", "ORIGIN", "ID")
	if err != nil {
		return err
	}
	now := time.Now()
	enough := errors.New("enough")
	row := func(w waiting.Wait) error {
		if limit > 0 && list.rows == limit {
			return enough
		}
		return list.row(w, w.User, w.Type, w.Reason, ago(now, w.FirstSeen), ahead(now, w.Due), ahead(now, w.Expires),
			w.Attempt, w.Failures, w.Partition, w.Origin, w.ID)
	}
	malformed, err := s.Each(ctx, filter, row)
	more := errors.Is(err, enough)
	if err != nil && !more {
		return err
	}
	if err := list.end(); err != nil {
		return err
	}
	switch {
	case more:
		_, _ = fmt.Fprintf(p.Err, "there are more: --limit %d was reached\n", limit)
	case list.rows == 0:
		_, _ = fmt.Fprintln(p.Err, "nothing waits that it would take")
	}
	return p.tellMalformed(malformed)
}

func (p *program) tellMalformed(n int) error {
	if n == 0 {
		return nil
	}
	_, err := fmt.Fprintf(p.Err, "%d records of the retry topic are no waits and were passed over\n", n)
	return wrapWrite(err)
}

func (p *program) summarizeWaits(ctx context.Context, s *waiting.Store, filter waiting.Filter) error {
	list, err := p.newListing()
	if err != nil {
		return err
	}
	sum, err := s.Summary(ctx, filter)
	if err != nil {
		return err
	}
	if p.output == outputJSON {
		return list.row(sum)
	}
	now := time.Now()
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "waiting    %d\n", sum.Total)
	if sum.Total > 0 {
		_, _ = fmt.Fprintf(&b, "oldest     %s\nnext       %s\n\nREASON\n", ago(now, sum.Oldest), ahead(now, sum.NextDue))
		for _, reason := range slices.Sorted(maps.Keys(sum.ByReason)) {
			_, _ = fmt.Fprintf(&b, "  %-15s %d\n", reason, sum.ByReason[reason])
		}
		_, _ = fmt.Fprintln(&b, "\nPARTITION")
		for _, number := range slices.Sorted(maps.Keys(sum.ByPartition)) {
			_, _ = fmt.Fprintf(&b, "  %-15d %d\n", number, sum.ByPartition[number])
		}
	}
	if _, err := fmt.Fprint(p.Out, b.String()); err != nil {
		return wrapWrite(err)
	}
	return p.tellMalformed(sum.Malformed)
}

func (p *program) retryShowCommand() *cobra.Command {
	var f waitFlags
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show what waits with this message id: headers, payload, until when", Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&f.user, "user", "", "of this user; found faster, as only one partition is read")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, args []string) error {
		f.id = args[0]
		return p.withWaits(cmd.Context(), f, func(s *waiting.Store, filter waiting.Filter) error {
			return p.showWaits(cmd.Context(), s, filter)
		})
	})
	return cmd
}

// showWaits shows what waits with an id.
func (p *program) showWaits(ctx context.Context, s *waiting.Store, filter waiting.Filter) error {
	list, err := p.newListing()
	if err != nil {
		return err
	}
	const most = 100 // an id that is used more often is no id
	found := 0
	for cursor := ""; found < most; {
		page, err := s.Page(ctx, filter, most, cursor)
		if err != nil {
			return err
		}
		for waits := page.Waits; len(waits) > 0; {
			filled, err := s.Fill(ctx, waits)
			if err != nil {
				return err
			}
			for i := range waits[:filled] {
				found++
				if err := p.showWait(list, waits[i]); err != nil {
					return err
				}
			}
			waits = waits[filled:]
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if found == 0 {
		return fmt.Errorf("nothing waits with the id %s: pushgate retry list shows all, pushgate explain --id %s what became of it", filter.ID, filter.ID)
	}
	return nil
}

func (p *program) showWait(list *listing, w waiting.Wait) error {
	if p.output == outputJSON {
		return list.row(w)
	}
	now := time.Now()
	var b strings.Builder
	line := func(name string, value any) { _, _ = fmt.Fprintf(&b, "%-10s %s\n", name, printable(fmt.Sprint(value))) }
	at := func(t time.Time, relative string) string {
		return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339Nano), relative)
	}
	line("id", w.ID)
	line("user", w.User)
	line("type", w.Type)
	line("reason", w.Reason)
	line("first seen", at(w.FirstSeen, ago(now, w.FirstSeen)+" ago"))
	line("waits", at(w.Since, ago(now, w.Since)+" ago"))
	line("next", at(w.Due, ahead(now, w.Due)))
	line("expires", at(w.Expires, ahead(now, w.Expires)))
	line("attempts", fmt.Sprintf("%d offered, %d failed", w.Attempt, w.Failures))
	line("stands at", fmt.Sprintf("partition %d, offset %d of the retry topic; origin %d", w.Partition, w.At, w.Origin))
	_, _ = fmt.Fprintln(&b, "headers")
	for _, h := range w.Headers {
		_, _ = fmt.Fprintf(&b, "  %s: %s\n", printable(h.Key), printable(string(h.Value)))
	}
	_, _ = fmt.Fprintf(&b, "payload    %d bytes\n%s\n", len(w.Data), pretty(w.Data))
	_, err := fmt.Fprintln(p.Out, b.String())
	return wrapWrite(err)
}

// retryOrderCommand is release or discard.
func (p *program) retryOrderCommand(kind push.CommandKind) *cobra.Command {
	var (
		f        waitFlags
		yes, all bool
		o        waiting.Order
	)
	cmd := &cobra.Command{Args: cobra.NoArgs}
	switch kind {
	case push.Release:
		cmd.Use, cmd.Short = "release", "Offer at once what waits; a dry run unless --yes"
		cmd.Long = `Ask the custodians to offer what waits now, whatever it waits for. A message
whose user is still away comes back to wait.`
		cmd.Example = `  pushgate retry release --user 42
  pushgate retry release --reason ack_timeout --older-than 1h --yes`
	case push.Discard:
		cmd.Use, cmd.Short = "discard", "Dead-letter what waits, with a reason; a dry run unless --yes"
		cmd.Long = `Ask the custodians to dead-letter what waits, for the reason discarded. The dead
letters say by whom and why, and can be replayed (pushgate deadletter replay).`
		cmd.Example = `  pushgate retry discard --type ads --older-than 24h --why "campaign is over" --yes`
		cmd.Flags().StringVar(&o.Why, "why", "", "the reason, for the dead letters and the record of operations")
	}
	cmd.Long += `

A dry run counts and changes nothing. With --yes the command is recorded in the
topic of operations, written to the receipt topic, and confirmed by the end of
each wait. A partition that confirms nothing within the time of --patience is given
up: it has no custodian, and does what it was asked for when it has one again. Exit
code 1 then.`
	f.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&all, "all", false, "everything that waits; needed where there is no filter")
	cmd.Flags().DurationVar(&o.Patience, "patience", waiting.DefaultPatience, "how long a partition may confirm nothing")
	cmd.Flags().StringVar(&o.By, "by", "", "who you are, for the record (default: user@host)")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		if o.Patience <= 0 {
			return &usageError{fmt.Sprintf("--patience %s: must be longer than 0", o.Patience)}
		}
		o.By, o.DryRun = operator(o.By), !yes
		return p.withWaits(cmd.Context(), f, func(s *waiting.Store, filter waiting.Filter) error {
			if filter.Empty() && !all {
				return &usageError{"name what is meant, such as --user, --type or --reason; or --all"}
			}
			return p.orderWaits(cmd.Context(), s, kind, filter, o)
		})
	})
	return cmd
}

func (p *program) orderWaits(ctx context.Context, s *waiting.Store, kind push.CommandKind, filter waiting.Filter, o waiting.Order) error {
	list, err := p.newListing()
	if err != nil {
		return err
	}
	terminal := interactive(p.Err)
	if terminal {
		o.OnProgress = func(op operations.Operation) {
			_, _ = fmt.Fprintf(p.Err, "\r%d found, %d confirmed \x1b[K", op.Matched, op.Done)
		}
	}
	do := s.Release
	if kind == push.Discard {
		do = s.Discard
	}
	op, err := do(ctx, filter, o)
	if terminal && !o.DryRun {
		_, _ = fmt.Fprint(p.Err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if p.output == outputJSON {
		err = list.row(op)
	} else {
		err = wrapWrite(p.tellOrder(kind, op, o.DryRun))
	}
	if err == nil && op.State != operations.Done {
		return fmt.Errorf("%d of %d were not confirmed: %s", op.Matched-op.Done, op.Matched, cmp.Or(op.Error, string(op.State)))
	}
	return err
}

func (p *program) tellOrder(kind push.CommandKind, op operations.Operation, dry bool) error {
	did := map[push.CommandKind]string{push.Release: "released", push.Discard: "discarded"}[kind]
	if dry {
		_, err := fmt.Fprintf(p.Out, "%d would be %s; nothing was done: --yes does it\n", op.Matched, did)
		return err //nolint:wrapcheck // the caller does
	}
	_, err := fmt.Fprintf(p.Out, "%d of %d %s (operation %s)\n", op.Done, op.Matched, did, op.ID)
	return err //nolint:wrapcheck // the caller does
}

// ago says how long ago a time was, ahead how far ahead it is: two units at most.
func ago(now, t time.Time) string { return span(now.Sub(t)) }

func ahead(now, t time.Time) string {
	if !t.After(now) {
		return "now"
	}
	return "in " + span(t.Sub(now))
}

func span(d time.Duration) string {
	const (
		day        = 24 * time.Hour
		perMinute  = 60
		perHour    = 60
		tenthOfOne = 100 * time.Millisecond
	)
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(tenthOfOne).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d/time.Second%perMinute)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d/time.Minute%perHour)
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}
