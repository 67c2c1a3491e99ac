package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pushgate/internal/kafka"
	"pushgate/internal/push"
)

// awaited are messages of one user whose outcomes are waited for.
type awaited struct {
	p      *program
	reader *kafka.Reader
	ids    map[string]bool // false until the outcome is known
}

// awaitOutcomes looks for outcomes of a user's messages from now on.
func (p *program) awaitOutcomes(ctx context.Context, cluster *kafka.Cluster, user string) (*awaited, error) {
	topic := cluster.Topics().Outcomes
	count, err := partitionsOf(ctx, cluster, topic)
	if err != nil {
		return nil, err
	}
	home := push.Home(user, count)
	_, end, err := cluster.Bounds(ctx, topic, home)
	if err != nil {
		return nil, err
	}
	return &awaited{p: p, reader: cluster.NewReader(topic, home, end), ids: make(map[string]bool)}, nil
}

func (a *awaited) add(id string) error {
	a.ids[id] = false
	return nil
}

// print prints each outcome as it comes. It fails when one is not "delivered", or
// does not come in time.
func (a *awaited) print(ctx context.Context, atMost time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	left, undelivered := len(a.ids), 0
	for left > 0 {
		batch, err := a.reader.Read(bounded)
		switch {
		case errors.Is(bounded.Err(), context.DeadlineExceeded):
			return fmt.Errorf("%d of %d outcomes have not come within %s: the messages may be waiting for their user, or outcomes.enabled is not true on the nodes",
				left, len(a.ids), atMost)
		case err != nil:
			return err
		}
		for i := range batch.Records {
			report, err := push.ParseOutcome(&batch.Records[i])
			known, ours := a.ids[report.ID]
			if err != nil || !ours || known {
				continue
			}
			a.ids[report.ID] = true
			left--
			if report.Outcome != push.Delivered {
				undelivered++
			}
			if err := a.p.printOutcome(report); err != nil {
				return err
			}
		}
	}
	if undelivered > 0 {
		return fmt.Errorf("%d of %d messages were not delivered", undelivered, len(a.ids))
	}
	return nil
}

func (p *program) printOutcome(r push.OutcomeReport) error {
	line := fmt.Sprintf("%s %s", r.ID, r.Outcome)
	if r.Reason != push.ReasonNone && r.Reason.String() != r.Outcome.String() {
		line += " " + r.Reason.String()
	}
	_, err := fmt.Fprintf(p.Out, "%s after %s at %s\n", printable(line), r.Settled.Sub(r.Accepted).Round(time.Millisecond), printable(r.Node))
	return wrapWrite(err)
}
