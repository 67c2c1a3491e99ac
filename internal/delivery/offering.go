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
	m, err := push.ParseRequest(rec, w.p.Requests, w.p.Limits)
	if err != nil || !time.Now().Before(m.Expires) || w.p.Config.Order == Strict && m.Raw() {
		return nil
	}
	o := &offering{worker: w, message: m}
	if w.window != nil {
		o.key = w.window.Key(&o.message)
	}
	return o
}

// Report implements push.Reporter. The window knows of the delivery before the
// custodian can: from the receipt on, nobody asks whether to offer it again.
func (o *offering) Report(m *push.Message, s push.Status, reason push.Reason) {
	if w := o.worker.window; w != nil && s == push.Done {
		w.Add(m.User, o.key)
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
func (o *offering) isRepeat() bool {
	w := o.worker.window
	return w != nil && w.Has(o.message.User, o.key)
}
