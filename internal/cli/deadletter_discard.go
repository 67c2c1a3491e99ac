package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/deadletter"
	"pushgate/internal/operations"
)

func (p *program) deadLetterDiscardCommand() *cobra.Command {
	var f operationFlags
	var d deadletter.DiscardParams
	cmd := &cobra.Command{
		Use: "discard", Short: "Put dead letters away, for a reason; a dry run unless --yes",
		Long: `Mark dead letters as handled, so that list and replay pass over them, and keep a
record of who did so, when, and why. The letters stay in their topic until its
retention ends: list --state discarded shows them, and replay --state discarded
still gives them another life.`,
		Example: `  pushgate deadletter discard --type promo --until 24h --why "the campaign is over"
  pushgate deadletter discard --type promo --until 24h --why "the campaign is over" --yes`,
		Args: cobra.NoArgs,
	}
	f.add(cmd)
	cmd.Flags().StringVar(&d.Why, "why", "", "the reason, for the record (needed)")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		if strings.TrimSpace(d.Why) == "" {
			return &usageError{"discarding needs --why: the reason, for the record"}
		}
		var err error
		if d.Choice, err = f.choice(time.Now()); err != nil {
			return err
		}
		d.By, d.Force = f.by, f.force
		return p.operate(cmd.Context(), operation{
			doing: "discard", done: "discarded", yes: f.yes, again: cmd, filter: d.Filter,
			plan: func(ctx context.Context, s *letters) (deadletter.Plan, error) { return s.PlanDiscard(ctx, d) },
			run: func(ctx context.Context, s *letters, progress func(operations.Operation)) (operations.Operation, error) {
				d.OnProgress = progress
				return s.Discard(ctx, d)
			},
		})
	})
	return cmd
}
