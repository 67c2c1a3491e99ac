package custody

import (
	"maps"

	"pushgate/internal/push"
)

// Tracer follows what becomes of traced messages in custody. It does not block, and is
// safe for concurrent use.
type Tracer interface {
	// Custody begins to follow an offering that was accepted, nil where it is not
	// traced. Neither m nor headers are kept.
	Custody(m *push.Message, headers push.Headers) Trace
	// Died tells of a message that died after it had waited. Its offset is that of the
	// offering which came to the wait.
	Died(m *push.Message, headers push.Headers, reason push.Reason)
}

// Trace is one offering that is followed. One that is not ended is told by whoever
// takes the partition over.
type Trace interface {
	// Note says what has happened to it: one of the notes below.
	Note(what, node string, reason push.Reason)
	// End is called once, and last. What became of it is the text of an Outcome, or a
	// note where the message goes on.
	End(outcome, node string, reason push.Reason)
}

// The notes.
const (
	noteHeld         = "held"
	noteWaited       = "waited"
	noteOfferedAgain = "offered again"
	noteDeadLettered = "dead-lettered"
	noteMovedHome    = "moved home"
)

// maxTraces bounds how many offerings of a partition are followed at a time.
const maxTraces = 10_000

// traces follows the offerings of one partition that are in flight. It belongs to the
// loop, died to the lanes; its methods do nothing where nothing is traced (nil).
type traces struct {
	tracer Tracer
	open   map[int64]*openTrace // by offset
}

type openTrace struct {
	trace Trace
	held  bool
	// on says how the message goes on, once that is written.
	on string
}

func newTraces(t Tracer) *traces { return &traces{tracer: t, open: make(map[int64]*openTrace)} }

// accepted begins to follow an offering, if it is traced.
func (t *traces) accepted(m *push.Message, headers push.Headers) {
	if t == nil || len(t.open) >= maxTraces {
		return
	}
	own := *m // m itself stays on the stack of the caller, for all messages that are not traced
	if trace := t.tracer.Custody(&own, headers); trace != nil {
		t.open[m.Offset] = &openTrace{trace: trace}
	}
}

// heard takes in what a gateway has written to its clients; nil is nothing.
func (t *traces) heard(r *push.Receipt) {
	if t == nil || r == nil || len(t.open) == 0 {
		return
	}
	for _, offset := range r.Held {
		if o := t.open[offset]; o != nil && !o.held {
			o.held = true
			o.trace.Note(noteHeld, r.Node, push.ReasonNone)
		}
	}
}

// wrote takes in that an action is durable.
func (t *traces) wrote(a *Action) {
	if t == nil {
		return
	}
	o := t.open[a.Origin]
	if o == nil {
		return
	}
	switch a.Kind {
	case MakeWait:
		o.trace.Note(noteWaited, "", a.Reason)
		o.trace.End(noteWaited, "", a.Reason)
		delete(t.open, a.Origin)
	case Offer:
		o.on = noteOfferedAgain
		o.trace.Note(noteOfferedAgain, "", a.Reason)
	case MoveHome:
		o.on = noteMovedHome
		o.trace.Note(noteMovedHome, "", push.ReasonNone)
	case DeadLetter:
		o.trace.Note(noteDeadLettered, "", a.Reason)
	case EndWait, WriteOutcome:
	}
}

// settled takes in that the fate of an offering is decided.
func (t *traces) settled(s *Settled) {
	if t == nil {
		return
	}
	o := t.open[s.Origin]
	if o == nil {
		return
	}
	delete(t.open, s.Origin)
	outcome := o.on
	if s.Outcome != push.OutcomeNone {
		outcome = s.Outcome.String()
	}
	o.trace.End(outcome, s.Node, s.Reason)
}

// sweep forgets offerings below the oldest that is not settled, which turned out to be
// somebody else's: one that a predecessor had made wait already, say.
func (t *traces) sweep(unsettled int64) {
	if t == nil {
		return
	}
	maps.DeleteFunc(t.open, func(offset int64, _ *openTrace) bool { return offset < unsettled })
}

// died takes in what was written to the dead letters after it had waited: what became
// of the offering before was told when the wait began.
func (t *traces) died(partition int32, result []written, records []push.Record) {
	if t == nil {
		return
	}
	for i := range result {
		a := &result[i].action
		if a.Kind != DeadLetter || !a.FromRetry || result[i].lost {
			continue
		}
		m, _ := push.ParseRequest(&records[i], "", push.Limits{}) // judged before
		m.Partition, m.Offset = partition, a.Origin
		t.tracer.Died(&m, records[i].Headers, a.Reason)
	}
}
