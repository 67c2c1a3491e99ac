package custody

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

// follower remembers what it was told.
type follower struct {
	told []string
	died []int64
}

type followedOne struct{ f *follower }

func (f *follower) Custody(m *push.Message, _ push.Headers) Trace {
	if m.TraceParent == "" {
		return nil
	}
	return followedOne{f}
}

func (f *follower) Died(m *push.Message, _ push.Headers, reason push.Reason) {
	f.told = append(f.told, "died "+reason.String())
	f.died = append(f.died, m.Offset)
}

func (o followedOne) Note(what, node string, _ push.Reason) {
	o.f.told = append(o.f.told, "note "+what+" "+node)
}

func (o followedOne) End(outcome, _ string, _ push.Reason) {
	o.f.told = append(o.f.told, "end "+outcome)
}

func TestAnOfferingIsToldOnceFromAcceptedToWhatBecomesOfIt(t *testing.T) {
	held := &push.Receipt{Node: "a", Held: []int64{7, 8}}
	for name, row := range map[string]struct {
		happens func(tr *traces)
		want    []string
	}{
		"delivered": {func(tr *traces) {
			tr.heard(held)
			tr.heard(held) // a gateway that was called says it twice
			tr.settled(&Settled{Origin: 7, Outcome: push.Delivered, Node: "a"})
		}, []string{"note held a", "end delivered"}},
		"waits": {func(tr *traces) {
			tr.wrote(&Action{Kind: MakeWait, Origin: 7, Reason: push.Offline})
			tr.settled(&Settled{Origin: 7, Outcome: push.Delivered, Node: "a"}) // late
		}, []string{"note waited ", "end waited"}},
		"offered again at once": {func(tr *traces) {
			tr.wrote(&Action{Kind: Offer, Origin: 7})
			tr.settled(&Settled{Origin: 7, Outcome: push.OutcomeNone})
		}, []string{"note offered again ", "end offered again"}},
		"moved home": {func(tr *traces) {
			tr.wrote(&Action{Kind: MoveHome, Origin: 7})
			tr.settled(&Settled{Origin: 7, Outcome: push.OutcomeNone})
		}, []string{"note moved home ", "end moved home"}},
		"dead": {func(tr *traces) {
			tr.wrote(&Action{Kind: DeadLetter, Origin: 7, Reason: push.Exhausted})
			tr.settled(&Settled{Origin: 7, Outcome: push.DeadLettered, Reason: push.Exhausted})
		}, []string{"note dead-lettered ", "end dead_lettered"}},
		"somebody else's": {func(tr *traces) {
			tr.sweep(7)
			assert.Len(t, tr.open, 1)
			tr.sweep(8)
			tr.settled(&Settled{Origin: 7, Outcome: push.Delivered})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &follower{}
			tr := newTraces(f)
			tr.accepted(&push.Message{Offset: 7, TraceParent: "00-1"}, push.Headers{})
			tr.accepted(&push.Message{Offset: 8}, push.Headers{})
			row.happens(tr)
			assert.Equal(t, row.want, f.told)
			assert.Empty(t, tr.open)
		})
	}
}

func TestADeathIsToldOfWhatHadWaitedOnly(t *testing.T) {
	f := &follower{}
	rec := push.Record{Key: []byte("alice")}
	newTraces(f).died(0, []written{
		{action: Action{Kind: DeadLetter, Origin: 1, Reason: push.Invalid}},
		{action: Action{Kind: DeadLetter, Origin: 2, FromRetry: true, RetryAt: 90, Reason: push.TimeToLive}},
		{action: Action{Kind: DeadLetter, Origin: 3, FromRetry: true}, lost: true},
		{action: Action{Kind: Offer, Origin: 4, FromRetry: true}},
	}, []push.Record{rec, rec, rec, rec})
	assert.Equal(t, []int64{2}, f.died)
}

func TestWhatIsFollowedAtATimeIsBounded(t *testing.T) {
	tr := newTraces(&follower{})
	for i := range int64(maxTraces + 10) {
		tr.accepted(&push.Message{Offset: i, TraceParent: "00-1"}, push.Headers{})
	}
	assert.Len(t, tr.open, maxTraces)
}

func TestWhereNothingIsFollowedNothingIsAllocated(t *testing.T) {
	var off *traces
	m, receipt := push.Message{Offset: 7}, push.Receipt{Held: []int64{7}}
	on := newTraces(&follower{})
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		off.accepted(&m, push.Headers{})
		for _, tr := range []*traces{off, on} {
			tr.heard(&receipt)
			tr.wrote(&Action{Kind: Offer, Origin: 7})
			tr.settled(&Settled{Origin: 7})
			tr.sweep(7)
		}
	}))
}
