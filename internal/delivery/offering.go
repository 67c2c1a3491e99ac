package delivery

import (
	"time"

	"pushgate/internal/push"
	"pushgate/internal/repeats"
)

// repeatUsers is of how many users at most the latest messages are remembered.
const repeatUsers = 1 << 16

// newWindow returns the window of repeats, nil where it is turned off.
func newWindow(c Config) *repeats.Window {
	if c.RepeatWindow == 0 {
		return nil
	}
	return repeats.New(c.RepeatWindow, repeatUsers)
}

// offering is one offering of a message, on its way to the sessions. It
// implements push.Reporter for it, which costs no further allocation.
type offering struct {
	worker  *worker
	message push.Message
	key     repeats.Key // the payload is gone when the message is delivered
}

// newOffering understands a request. It is nil when there is nothing to deliver.
func (w *worker) newOffering(rec *push.Record) *offering {
	o := &offering{worker: w}
	if !w.understand(rec, &o.message, &o.key) {
		return nil
	}
	return o
}

// understand makes a message of a request, and its key. It is false when there is
// nothing to deliver: the request is invalid or has expired, or it is not its turn.
func (w *worker) understand(rec *push.Record, m *push.Message, key *repeats.Key) bool {
	var err error
	*m, err = push.ParseRequest(rec, w.p.Requests, w.p.Limits)
	if err != nil || !time.Now().Before(m.Expires) || w.p.Config.Order == Strict && m.Raw() {
		return false
	}
	if w.window != nil {
		*key = w.window.Key(m)
	}
	return true
}

// Report implements push.Reporter. The window knows of the delivery before the
// custodian can: from the receipt on, nobody asks whether to offer it again.
func (o *offering) Report(m *push.Message, s push.Status, reason push.Reason) {
	if s == push.Done {
		o.worker.remember(o.key)
	}
	o.worker.ledger.Report(m, s, reason)
}

// isRepeat says whether the message was delivered here already: written to a
// session that does not acknowledge, or acknowledged, if late. That is its
// outcome, whichever sessions the user has by now, so nothing is written again.
//
// All offerings are looked at, also those that say that they are the first: a
// request that was moved to its user's home may stand there twice, when the
// custodian's write timed out and had been written all the same. One that is read
// while an earlier offering is under way is not known yet; the session joins the
// two.
func (g *Gateway) isRepeat(key repeats.Key) bool {
	return g.window != nil && g.window.Has(key)
}

// remember notes that a message was delivered.
func (g *Gateway) remember(key repeats.Key) {
	if g.window != nil {
		g.window.Add(key)
	}
}
