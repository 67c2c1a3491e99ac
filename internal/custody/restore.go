package custody

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/push"
)

// begin fixes where each log is read from and makes the machine.
func (p *partition) begin(ctx context.Context) (Positions, error) {
	start, committed := p.positions, p.committed
	ends, shrank := Positions{}, false
	if err := p.awaitNumber(ctx); err != nil {
		return start, err
	}
	for _, topic := range []string{p.Topics.Requests, p.Topics.Receipts, p.Topics.Retry} {
		first, end, err := p.Positioner.Bounds(ctx, topic, p.number)
		if err != nil {
			return start, fmt.Errorf("finding the bounds of %s: %w", topic, err)
		}
		at := start.of(topic, p.Topics)
		old := *at
		if *at != notCommitted && (*at < first || *at > end) {
			p.offsetLost(&push.OffsetLostError{
				Topic: topic, Partition: p.number, Offset: *at, LogStart: first, HighWatermark: end,
			})
			// Also where that is further back: who takes over after us must not
			// start at an offset that means something else by then.
			*at, *committed.of(topic, p.Topics) = notCommitted, notCommitted
			shrank = shrank || topic == p.Topics.Requests && old > end
		}
		if *at == notCommitted {
			*at = first
		}
		*ends.of(topic, p.Topics) = end
	}
	if shrank {
		// They speak of requests that are no more.
		start.Receipts, committed.Receipts = ends.Receipts, notCommitted
	}
	p.mu.Lock()
	p.positions, p.committed = start, committed
	p.mu.Unlock()
	// Read enough of the receipts to know who is alive.
	heed := start.Receipts
	back, err := p.Positioner.OffsetAt(ctx, p.Topics.Receipts, p.number, time.Now().Add(-p.Policy.Custody.ReceiptsLookback))
	if err != nil {
		return start, fmt.Errorf("finding recent receipts: %w", err)
	}
	start.Receipts = min(start.Receipts, back)
	p.requestsEnd, p.receiptsEnd = ends.Requests, ends.Receipts
	p.machine = NewMachine(Start{
		Policy: p.Policy, Now: time.Now(),
		Requests: start.Requests, Receipts: start.Receipts, Retry: start.Retry,
		Heed:        heed,
		RequestsEnd: ends.Requests,
	})
	return start, nil
}

// awaitNumber waits until the number of partitions that is known here covers this
// one: with an older number, everything here would seem to belong elsewhere.
func (p *partition) awaitNumber(ctx context.Context) error {
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for p.Partitions() <= p.number {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the number of partitions: %w", ctx.Err())
		case <-timer.C:
		}
	}
	p.homes = p.Partitions()
	return nil
}

// restoreWaits reads the retry log from the oldest wait not ended to its end.
func (p *partition) restoreWaits(ctx context.Context, start Positions) error {
	_, end, err := p.Positioner.Bounds(ctx, p.Topics.Retry, p.number)
	if err != nil {
		return fmt.Errorf("finding the end of %s: %w", p.Topics.Retry, err)
	}
	reader := p.Log.NewReader(p.Topics.Retry, p.number, start.Retry)
	defer reader.Close()
	for next := start.Retry; next < end; {
		batch, err := reader.Read(ctx)
		if err != nil {
			return fmt.Errorf("reading %s: %w", p.Topics.Retry, err)
		}
		for i := range batch.Records {
			p.restoreRecord(&batch.Records[i])
		}
		next = batch.Next
		p.machine.RetryRead(next)
	}
	p.retryEnd = end
	return nil
}

func (p *partition) restoreRecord(rec *push.Record) {
	e, err := push.ParseRetry(rec)
	if err != nil {
		p.Metrics.malformed.Inc()
		p.log.Error("retry record passed over", zap.Int64("offset", rec.Offset), zap.Error(err))
		return
	}
	if e.Ends {
		p.machine.RestoreEnd(e.Origin)
		return
	}
	p.written.wrote(rec.Offset, rec.Time)
	home, foreign := p.homeOf(e.User)
	p.machine.RestoreWait(Restored{
		At: rec.Offset, User: e.User, Type: e.Type, Wait: e.Wait, Foreign: foreign, Home: home, Size: sizeOf(rec),
	})
}
