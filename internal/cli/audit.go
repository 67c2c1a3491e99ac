package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/audit"
	"pushgate/internal/config"
	"pushgate/internal/kafka"
)

func (p *program) auditCommand() *cobra.Command {
	var since, until string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Add up what became of the messages of a stretch of time; exit 1 where one is unexplained",
		Long: `Read the topics and check that each message was delivered, has expired, was
dead-lettered, waits, or is under way, and name each that is none of it. Nothing
is changed. It works while the platform does; what is under way is counted as such.

Offerings are records of the request topic: a message that is offered again, or
moved to its user's home, has several. Repeats are deliveries beyond the first of
a message.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&since, "since", "1h", "messages written since then: a time (RFC 3339) or a duration ago")
	cmd.Flags().StringVar(&until, "until", "", "and until then (default: now)")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		now := time.Now()
		from, err := parseSince(since, now)
		if err != nil {
			return err
		}
		to := now
		if until != "" {
			if to, err = parseSince(until, now); err != nil {
				return err
			}
		}
		if !from.Before(to) {
			return &usageError{fmt.Sprintf("--since %s is not before --until %s", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))}
		}
		cluster, c, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		defer func() { _ = cluster.Close() }()
		topics := cluster.Topics()
		if _, err := partitionsOf(cmd.Context(), cluster, topics.Requests); err != nil {
			return err
		}
		ledger, err := audit.Run(cmd.Context(), audit.Params{
			Log: auditLog{Cluster: cluster, group: c.Custody.Group},
			Topics: audit.Topics{
				Requests: topics.Requests, Retry: topics.Retry, DeadLetter: topics.DeadLetter, Receipts: topics.Receipts,
			},
			Limits: c.Limits(), DropExpired: c.Message.Expired == config.ExpiredDrop, Since: from, Until: to,
		})
		if err != nil {
			return err
		}
		return p.showLedger(ledger)
	})
	return cmd
}

// auditLog is the Kafka side in the words of package audit.
type auditLog struct {
	*kafka.Cluster
	group string
}

func (l auditLog) NewReader(topic string, partition int32, offset int64) audit.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

func (l auditLog) Settled(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	committed, err := l.Committed(ctx, l.group, l.Topics().Requests, partitions)
	if err != nil {
		return nil, err
	}
	settled := make(map[int32]int64, len(committed))
	for number, c := range committed {
		settled[number] = c.Offset
	}
	return settled, nil
}

// showLedger prints the sum, and fails where it does not add up.
func (p *program) showLedger(l audit.Ledger) error {
	if p.output == outputJSON {
		if err := wrapWrite(json.NewEncoder(p.Out).Encode(l)); err != nil {
			return err
		}
	} else if err := p.tableOfLedger(l); err != nil {
		return err
	}
	if n := len(l.Unexplained); n > 0 {
		return fmt.Errorf("%d of %d messages are unexplained", n, l.Messages)
	}
	return nil
}

func (p *program) tableOfLedger(l audit.Ledger) error {
	_, err := fmt.Fprintf(p.Out, `messages       %d
  delivered      %d
  expired        %d
  dead-lettered  %d
  waiting        %d
  under way      %d
  unexplained    %d

offerings      %d, of which %d were moved to their user's home
repeats        %d
`, l.Messages, l.Delivered, l.Expired, l.DeadLettered, l.Waiting, l.UnderWay, len(l.Unexplained), l.Offerings, l.Rehomed, l.Repeats)
	if err == nil && l.Trimmed {
		_, err = fmt.Fprintln(p.Out, "\nThe logs begin later than that: what is older cannot be known.")
	}
	if err != nil || len(l.Unexplained) == 0 {
		return wrapWrite(err)
	}
	_, _ = fmt.Fprintln(p.Out)
	list, err := p.newListing("UNEXPLAINED", "USER", "WRITTEN", "PARTITION", "OFFSET")
	if err != nil {
		return err
	}
	for _, u := range l.Unexplained {
		if err := list.row(u, u.ID, u.User, u.Written.UTC().Format(time.RFC3339Nano), u.Partition, u.Offset); err != nil {
			return err
		}
	}
	return list.end()
}
