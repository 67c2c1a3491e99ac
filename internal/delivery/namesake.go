package delivery

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// SupersededError ends a gateway whose node id a process that was started later
// has taken.
type SupersededError struct {
	Node string
	// Epoch of this process and of the later one, in Unix milliseconds, unless a
	// clock was set back.
	Epoch, Later int64
}

func (e *SupersededError) Error() string {
	return fmt.Sprintf("another process with node.id %q was started later (epoch %d, this one has %d) and takes over: give each node an id of its own",
		e.Node, e.Later, e.Epoch)
}

// lookForNamesake reads in the committed position who has committed last. Two
// processes with one node id share a group: both read everything, so nothing is
// lost, but each would start from the other's position, and custodians hear the
// later one only. The older leaves. all says that the later one has to commit
// again, so that the older sees it.
func (g *Gateway) lookForNamesake(ctx context.Context) (all bool, err error) {
	committed, err := g.p.Positions.Committed(ctx, []int32{0})
	if err != nil {
		return false, nil //nolint:nilerr // committing is tried next, and says so
	}
	epoch, _, known := parseNote(committed[0].Note)
	switch {
	case !known, epoch == g.epoch:
		return false, nil
	case epoch > g.epoch:
		g.p.Metrics.namesakes.Inc()
		g.log.Error("another process has this node.id and was started later: this one leaves",
			zap.Int64("epoch", g.epoch), zap.Int64("later", epoch))
		return false, &SupersededError{Node: g.p.Node, Epoch: g.epoch, Later: epoch}
	}
	g.p.Metrics.namesakes.Inc()
	g.log.Error("another process has this node.id and was started earlier: it should leave; give each node an id of its own",
		zap.Int64("epoch", g.epoch), zap.Int64("earlier", epoch))
	return true, nil
}
