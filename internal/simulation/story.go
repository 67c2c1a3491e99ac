package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pushgate/internal/push"
)

// Names of the promises, as a failure states them.
const (
	nothingLost           = "every message reaches a client of its user, or expires, or is in the dead letters"
	nothingWaits          = "nothing waits for a user who is connected but for the slow timer"
	allCommittable        = "at the end everything is settled and may be committed"
	gatewayCommits        = "a gateway commits nothing whose receipt is not durable"
	throughIsEvidence     = "what a gateway has read through and not listed, it did not own"
	custodianCommits      = "a custodian commits no request that is neither concluded nor durable elsewhere"
	endedBeforeCommit     = "an offering is committed only after the wait it came from has ended"
	retryCommits          = "no wait that has not ended is committed"
	receiptsCommit        = "no receipt is committed that speaks of a request which is not settled"
	endsAfterTheNext      = "a wait ends only after what follows it is durable"
	endedIsOver           = "a wait that has ended does not come back"
	deliveredIsOver       = "what a custodian knows to be delivered is not offered again"
	anOutcomeEach         = "each message has an outcome"
	oneUnmarkedOutcome    = "each message has at most one outcome that is not marked as a possible repeat"
	deliveredWasSeen      = "no outcome says delivered of a message that no client has seen"
	expiredInItsTime      = "no message expires before its time"
	itsOwnPayload         = "a message keeps its id, its user and its payload"
	calmHasNoRepeats      = "where nothing fails, nothing is offered twice"
	judgedByAll           = "where no gateway dies or lags, nobody is taken for absent before every gateway has looked"
	outwaited             = "nobody is taken for absent before each gateway that was heard of late has read as far, or is called, or was outwaited"
	readersAreLeft        = "a gateway that is known to read is not called"
	soughtAgain           = "who was entered in the directory before their message was stored is found, also if their gateway does not say so"
	leftToWhoAnswers      = "where no gateway dies, what one answers for is left to it"
	calledFirst           = "where no gateway dies, nobody is taken for absent whom the directory shows, before their gateway was called"
	namedIsCalled         = "where no gateway dies, what is read after a session was named is carried to it"
	notCalledTwice        = "where no gateway dies, none is called once more with what it has"
	carriedInOrder        = "what is looked up a second time goes before what is behind it and was not on its way yet"
	judgedInTime          = "who is absent is known at once where no gateway has to be waited for"
	comesToRest           = "where no time passes, all comes to rest"
	inOrder               = "where order is strict, no message is shown before an earlier one of its user and type"
	operatorsAreObeyed    = "what an operator discards or releases waits no longer, also if the custodian dies"
	discardedOnlyIfTold   = "only what an operator has discarded is discarded"
	discardedHasNotGoneOn = "what has gone on is not discarded"
	noMisstep             = "nothing panics, and no action names a record that is not there"
	codecKeepsEverything  = "what is decoded is what was encoded"
)

// note is one line of a story. It is put together only when it is told.
type note struct {
	at        time.Duration
	who       string
	what      string
	message   int // everybody's business if negative
	user      string
	partition int32
	offset    int64
	reason    push.Reason
}

// everybody's business.
const everybody = -1

// commits begins what is told of a commit.
const commits = "commits"

func (n *note) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%7.3fs  %-10s %s", n.at.Seconds(), n.who, n.what)
	if n.user != "" {
		fmt.Fprintf(&b, " (%s)", n.user)
	}
	if n.offset >= 0 {
		fmt.Fprintf(&b, " %d/%d", n.partition, n.offset)
	}
	if n.reason != push.ReasonNone {
		fmt.Fprintf(&b, ": %s", n.reason)
	}
	return b.String()
}

// Failure is a broken promise.
type Failure struct {
	Seed    uint64
	Promise string
	// Message it is about, -1 if it is about none.
	Message int
	Detail  string
	// Story has the lines that concern the message, and all deaths and takeovers.
	Story []string
}

func (f *Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: broken: %s\n", f.Seed, f.Promise)
	if f.Message >= 0 {
		fmt.Fprintf(&b, "message %d: ", f.Message)
	}
	b.WriteString(f.Detail)
	for _, line := range f.Story {
		b.WriteString("\n    ")
		b.WriteString(line)
	}
	return b.String()
}

// story gathers notes; a nil one gathers nothing.
type story struct{ notes []note }

// about returns the lines that concern one message of a user. That something was
// committed is told in the whole story only: it happens all the time.
func (s *story) about(message int, user string) []string {
	var lines []string
	for i := range s.notes {
		n := &s.notes[i]
		ofUser := n.message == everybody && !strings.HasPrefix(n.what, commits) && (n.user == "" || n.user == user)
		if ofUser || n.message == message && message >= 0 {
			lines = append(lines, n.String())
		}
	}
	return slices.Compact(lines)
}

// whole returns every line.
func (s *story) whole() []string {
	lines := make([]string, 0, len(s.notes))
	for i := range s.notes {
		lines = append(lines, s.notes[i].String())
	}
	return lines
}
