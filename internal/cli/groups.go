package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/app"
	"pushgate/internal/groups"
)

func (p *program) groupsCommand() *cobra.Command {
	group := p.group("groups", "Consumer groups of the nodes: which there are, and those of nodes that are gone")
	group.AddCommand(p.groupsListCommand(), p.groupsPruneCommand())
	return group
}

func (p *program) groupsListCommand() *cobra.Command {
	var goneFor time.Duration
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The groups of this deployment, and whose node is gone",
		Long: `List the group of each gateway, and the one that the custodians share. A node is
gone that has not reported for --gone-for, and whose group has committed nothing that
was written since. LAG is how many requests are beyond what the group has committed; of
a node that is gone it only grows, and alarms.

LAST SEEN of a node that is gone may be up to ten minutes too early: of older reports
only some are read.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().DurationVar(&goneFor, "gone-for", groups.DefaultGoneFor, "how long a node must not have reported to be gone")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		list, err := p.newGroupListing()
		if err != nil {
			return err
		}
		return p.withGroups(cmd.Context(), func(ctx context.Context, g *groups.Groups) error {
			found, err := g.List(ctx, goneFor)
			if err != nil {
				return err
			}
			for _, one := range found.Groups {
				if err := list.group(one); err != nil {
					return err
				}
			}
			return list.end()
		})
	})
	return cmd
}

// pruneFlags of the command that deletes.
type pruneFlags struct {
	goneFor time.Duration
	node    string
	yes     bool
	by      string
}

func (p *program) groupsPruneCommand() *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete the groups of nodes that are gone: a dry run, unless --yes",
		Long: `Delete the consumer groups of gateways that are gone: those that have not reported for
--gone-for, whose groups have no members, and have committed nothing that was written
since. Reports must be kept for as long as that, or nothing is deleted; they are for six
hours. The group that the custodians share is never deleted, nor is one of another
deployment. What was deleted is recorded in kafka.topics.operations.

Should the node come back after all, it begins at the end of the log, as a new one does.
Nothing is lost: what was sent meanwhile has been judged by the custodians, and what
nobody delivered waits for its user.`,
		Example: `  pushgate groups prune
  pushgate groups prune --yes
  pushgate groups prune --node gateway-7 --gone-for 10m --yes`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.goneFor, "gone-for", groups.DefaultGoneFor, "how long a node must not have reported to be gone")
	flags.StringVar(&f.node, "node", "", "only the group of this node")
	flags.BoolVar(&f.yes, "yes", false, "delete them")
	flags.StringVar(&f.by, "by", "", "who does it, for the record (default: user@host)")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error { return p.prune(cmd.Context(), f) })
	return cmd
}

func (p *program) prune(ctx context.Context, f pruneFlags) error {
	list, err := p.newGroupListing()
	if err != nil {
		return err
	}
	f.by = operator(f.by)
	return p.withGroups(ctx, func(ctx context.Context, g *groups.Groups) error {
		did, err := g.Prune(ctx, groups.Pruning{GoneFor: f.goneFor, Node: f.node, DryRun: !f.yes, By: f.by})
		shown := did.Deleted
		if f.node != "" {
			shown = append(shown, did.Kept...)
		}
		for _, one := range append(shown, did.Failed...) {
			if err := list.group(one); err != nil {
				return err
			}
		}
		if err := errors.Join(err, list.end()); err != nil {
			return err
		}
		return p.pruned(did, f.node)
	})
}

// pruned says what was done, on standard error: the listing is for programs, too.
func (p *program) pruned(did groups.Pruned, node string) error {
	var text string
	switch {
	case did.DryRun && len(did.Deleted) > 0:
		text = fmt.Sprintf("%d groups would be deleted, %d kept; nothing was done: add --yes to delete them", len(did.Deleted), len(did.Kept))
	case did.DryRun, len(did.Deleted)+len(did.Failed) == 0:
		text = fmt.Sprintf("no group is of a node that is gone; %d kept: pushgate groups list says why", len(did.Kept))
	default:
		text = fmt.Sprintf("%d groups deleted, %d kept; recorded as operation %s", len(did.Deleted), len(did.Kept), did.Operation)
	}
	if _, err := fmt.Fprintln(p.Err, text); err != nil {
		return wrapWrite(err)
	}
	switch {
	case len(did.Failed) > 0:
		return fmt.Errorf("%d groups could not be deleted; run it again", len(did.Failed))
	case node != "" && len(did.Kept) > 0:
		return fmt.Errorf("the group of %s is kept: %s", printable(node), printable(did.Kept[0].Why))
	}
	return nil
}

// withGroups connects to the deployment for as long as do takes.
func (p *program) withGroups(ctx context.Context, do func(context.Context, *groups.Groups) error) error {
	cluster, c, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	topics := cluster.Topics()
	for _, topic := range []string{topics.Requests, topics.Nodes} {
		if _, err := partitionsOf(ctx, cluster, topic); err != nil {
			return err
		}
	}
	err = do(ctx, app.Groups(cluster, c, app.Journal(cluster)))
	if _, usage := errors.AsType[*groups.GoneForError](err); usage {
		return &usageError{"--gone-for: " + err.Error()}
	}
	return err
}

// groupListing shows groups.
type groupListing struct{ *listing }

func (p *program) newGroupListing() (groupListing, error) {
	l, err := p.newListing("GROUP", "STATE", "MEMBERS", "LAG", "LAST SEEN", "GONE", "WHY")
	return groupListing{l}, err
}

func (l groupListing) group(g groups.Group) error {
	seen, gone := "-", "no"
	if !g.LastSeen.IsZero() {
		seen = g.LastSeen.Local().Format(time.DateTime)
	}
	if g.Gone {
		gone = "yes"
	}
	return l.row(g, g.Name, g.State, g.Members, g.Lag, seen, gone, g.Why)
}
