package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pushgate/internal/deadletter"
	"pushgate/internal/operations"
)

// operationFlags are what the commands that change something have.
type operationFlags struct {
	letterFlags
	at    []string
	yes   bool
	by    string
	force bool
}

func (f *operationFlags) add(cmd *cobra.Command) {
	f.letterFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.at, "at", nil, "these letters, as list names them: PARTITION/OFFSET,…")
	flags.BoolVar(&f.yes, "yes", false, "do it; else say what would be done")
	flags.StringVar(&f.by, "by", "", "who, for the record (default: user@host)")
	flags.BoolVar(&f.force, "force", false, "also while another operation runs over the same partitions: letters may be handled twice")
}

// choice is what the flags choose.
func (f *operationFlags) choice(now time.Time) (deadletter.Choice, error) {
	filter, err := f.filter(now)
	c := deadletter.Choice{Filter: filter}
	if err != nil {
		return c, err
	}
	for _, text := range f.at {
		at, ok := parsePlace(text)
		if !ok {
			return c, &usageError{fmt.Sprintf("--at %s: write it as PARTITION/OFFSET", text)}
		}
		c.Letters = append(c.Letters, at)
	}
	words := filter.Words()
	delete(words, "state")
	if len(c.Letters) > 0 && len(words) > 0 {
		return c, &usageError{"--at names the letters: leave out the other filters, but for --state"}
	}
	f.by = operator(f.by)
	return c, nil
}

func (p *program) deadLetterReplayCommand() *cobra.Command {
	var f operationFlags
	var r deadletter.ReplayParams
	var rate string
	cmd := &cobra.Command{
		Use: "replay", Short: "Give dead letters another life; a dry run unless --yes",
		Long: `Write dead letters to the requests again, oldest first, each to its user's home:
what the producer wrote, under its old id, with a time to live that begins anew.
Without --yes nothing is written: it says how many letters would be, how many are
left out and why, and shows some.

Left out are
  handled    what was replayed or discarded before (--state all: not left out)
  expired    what has outlived its time to live (--expired)
  again      what died again after a replay, for the same reason (--again; letters
             named by --id or --at are replayed in any case)
  hopeless   what died as invalid or too large and still is, by the limits of this
             configuration (--reason invalid, --reason too_large, --id, --at)
  discarded  what an operator discarded while it waited (--reason discarded, --id, --at)

Ctrl-C ends it in order, and any end leaves it where it can be taken up: the same
command goes on, since what was replayed is handled. A letter counts as handled once
its request is durable: a crash in between gives a repeat, under the same id, and
never a loss.`,
		Example: `  pushgate deadletter replay --since 2h --reason exhausted
  pushgate deadletter replay --since 2h --reason exhausted --rate 500 --yes
  pushgate deadletter replay --at 3/1841,7/90 --expired --ttl 1h --yes`,
		Args: cobra.NoArgs,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&rate, "rate", "100", "letters a second: N or N/s")
	flags.BoolVar(&r.Expired, "expired", false, "also what has outlived its time to live")
	flags.BoolVar(&r.Again, "again", false, "also what died again for the same reason after a replay")
	flags.DurationVar(&r.TTL, "ttl", 0, "time to live from now on (default: as long as at first)")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		var err error
		if r.Choice, err = f.choice(time.Now()); err != nil {
			return err
		}
		if r.Rate, err = parseRate(rate); err != nil {
			return err
		}
		if r.TTL <= 0 && cmd.Flags().Changed("ttl") {
			return &usageError{fmt.Sprintf("--ttl %s: must be longer than 0", r.TTL)}
		}
		r.By, r.Force = f.by, f.force
		return p.operate(cmd.Context(), operation{
			doing: "replay", done: "replayed", yes: f.yes, again: cmd, filter: r.Filter,
			plan: func(ctx context.Context, s *letters) (deadletter.Plan, error) { return s.PlanReplay(ctx, r) },
			run: func(ctx context.Context, s *letters, progress func(operations.Operation)) (operations.Operation, error) {
				r.OnProgress = progress
				return s.Replay(ctx, r)
			},
		})
	})
	return cmd
}

func parseRate(text string) (float64, error) {
	rate, err := strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	const most = 1e6
	if err != nil || !(rate > 0 && rate <= most) {
		return 0, &usageError{fmt.Sprintf("--rate %s: letters a second, as 100 or 100/s", text)}
	}
	return rate, nil
}

// operation is what replay and discard have in common.
type operation struct {
	doing, done string
	yes         bool
	again       *cobra.Command
	filter      deadletter.Filter
	plan        func(context.Context, *letters) (deadletter.Plan, error)
	run         func(context.Context, *letters, func(operations.Operation)) (operations.Operation, error)
}

func (p *program) operate(ctx context.Context, o operation) error {
	if p.output != outputTable && p.output != outputJSON {
		return &usageError{fmt.Sprintf("--output %s: use table or json", p.output)}
	}
	store, err := p.openLetters(ctx)
	if err != nil {
		return err
	}
	defer store.close()
	if !o.yes {
		plan, err := o.plan(ctx, store)
		if err != nil {
			return err
		}
		return p.showPlan(&o, &plan)
	}
	// The one who types is the one who ends it.
	running, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	stop := context.AfterFunc(ctx, func() { end(operations.ErrCancelled) })
	defer stop()
	progress := p.progressOf(&o)
	op, err := o.run(running, store, progress.show)
	progress.end()
	if err != nil {
		return err
	}
	return p.showEnd(&o, &op)
}

// shownPlan is a dry run in JSON.
type shownPlan struct {
	DryRun       bool                    `json:"dry_run"`
	Matched      int                     `json:"matched"`
	WouldReplay  *int                    `json:"would_replay,omitempty"`
	WouldDiscard *int                    `json:"would_discard,omitempty"`
	Skipped      map[deadletter.Skip]int `json:"skipped"`
	DieAgain     int                     `json:"die_again"`
	Missing      int                     `json:"missing"`
	Malformed    int                     `json:"malformed"`
	Sample       []shownLetter           `json:"sample"`
}

func (p *program) showPlan(o *operation, plan *deadletter.Plan) error { //nolint:gocognit // one line of what is printed after the other
	if p.output == outputJSON {
		shown := shownPlan{
			DryRun: true, Matched: plan.Matched, Skipped: plan.Skipped, DieAgain: plan.DieAgain,
			Missing: plan.Missing, Malformed: plan.Malformed, Sample: []shownLetter{},
		}
		if o.doing == "replay" {
			shown.WouldReplay = &plan.Would
		} else {
			shown.WouldDiscard = &plan.Would
		}
		for i := range plan.Sample {
			shown.Sample = append(shown.Sample, shownLetterOf(&plan.Sample[i]))
		}
		return wrapWrite(json.NewEncoder(p.Out).Encode(shown))
	}
	_, err := fmt.Fprintf(p.Out, "%d letters match, %d would be %s\n", plan.Matched, plan.Would, o.done)
	for _, why := range slices.Sorted(maps.Keys(plan.Skipped)) {
		_, _ = fmt.Fprintf(p.Out, "  %d left out: %s\n", plan.Skipped[why], explained(why))
	}
	if plan.DieAgain > 0 {
		_, _ = fmt.Fprintf(p.Out, "  %d of those that would be replayed are invalid or too large by this configuration: they will die again unless the nodes' differs\n", plan.DieAgain)
	}
	if plan.Missing > 0 {
		_, _ = fmt.Fprintf(p.Out, "  %d of the letters named by --at are not there\n", plan.Missing)
	}
	if err != nil {
		return wrapWrite(err)
	}
	if len(plan.Sample) > 0 {
		_, _ = fmt.Fprintln(p.Out)
		list, err := p.newListing("DIED", "USER", "TYPE", "REASON", "ID", "AT", "LIFE")
		if err != nil {
			return err
		}
		const some = 10
		for i := range plan.Sample[:min(len(plan.Sample), some)] {
			l := &plan.Sample[i]
			if err := list.row(nil, l.At.UTC().Format(time.RFC3339), l.User, l.Type, l.Reason, l.ID, placeText(l.Place), lifeOf(l)); err != nil {
				return err
			}
		}
		if err := list.end(); err != nil {
			return err
		}
		if more := plan.Would - some; more > 0 {
			_, _ = fmt.Fprintf(p.Out, "… and %d more\n", more)
		}
	}
	p.passedOver(plan.Malformed)
	p.homeOnly(&o.filter)
	_, err = fmt.Fprintf(p.Err, "dry run: nothing was %s; add --yes to do it\n", o.done)
	return wrapWrite(err)
}

// explained says why letters are left out, and what takes them in.
func explained(why deadletter.Skip) string {
	switch why {
	case deadletter.SkipHandled:
		return "handled, replayed or discarded before (--state all takes them in)"
	case deadletter.SkipExpired:
		return "expired, they have outlived their time to live (--expired takes them in)"
	case deadletter.SkipAgain:
		return "again, they died again for the same reason after a replay (--again takes them in)"
	case deadletter.SkipHopeless:
		return "hopeless, still invalid or too large (--reason invalid or too_large takes them in)"
	case deadletter.SkipDiscarded:
		return "discarded by an operator while they waited (--reason discarded takes them in)"
	default:
		return string(why)
	}
}

// showEnd says what was done. What did not come to its end fails.
func (p *program) showEnd(o *operation, op *operations.Operation) error {
	if p.output == outputJSON {
		if err := wrapWrite(json.NewEncoder(p.Out).Encode(op)); err != nil {
			return err
		}
	} else {
		of := fmt.Sprintf("%d of %d letters", op.Done, op.Matched)
		if op.State != operations.Done {
			of = fmt.Sprintf("%d letters so far", op.Done) // how many match is not known before the end
		}
		_, err := fmt.Fprintf(p.Out, "%s %s, %d left out, %d failed; operation %s\n", of, o.done, op.Skipped, op.Failed, op.ID)
		for _, why := range slices.Sorted(maps.Keys(op.SkippedFor)) {
			_, _ = fmt.Fprintf(p.Out, "  %d left out: %s\n", op.SkippedFor[why], explained(deadletter.Skip(why)))
		}
		if err != nil {
			return wrapWrite(err)
		}
	}
	switch {
	case op.State != operations.Done:
		return fmt.Errorf("%s before the end. To go on, type: %s", op.State, o.resume())
	case op.Failed > 0:
		return fmt.Errorf("%d letters could not be %s, the last one: %s", op.Failed, o.done, op.Error)
	}
	return nil
}

// resume is the command that goes on where this one ended. A time that was given as a
// duration ago is another one now.
func (o *operation) resume() string {
	parts := []string{o.again.CommandPath()}
	for _, name := range flagsOf(o.again) {
		value := o.again.Flags().Lookup(name).Value
		values := []string{value.String()}
		if list, ok := value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		switch name {
		case "since":
			values = []string{o.filter.Since.UTC().Format(time.RFC3339Nano)}
		case "until":
			values = []string{o.filter.Until.UTC().Format(time.RFC3339Nano)}
		}
		for _, v := range values {
			parts = append(parts, "--"+name+"="+quoted(v))
		}
	}
	return strings.Join(parts, " ")
}
