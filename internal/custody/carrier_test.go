package custody_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// messenger is a courier that is played by hand: it remembers what it was asked, and
// tells what it is told to.
type messenger struct {
	mu      sync.Mutex
	records func(ctx context.Context, offsets []int64) ([]push.Record, error)
	parcels []push.Parcel
	again   []string
	seen    []string
	readers []string
	full    bool
	stall   error
	words   []push.Carried
	news    chan struct{}
}

func (m *messenger) Run(ctx context.Context, records func(ctx context.Context, offsets []int64) ([]push.Record, error)) error {
	m.mu.Lock()
	m.records = records
	m.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (m *messenger) Carry(p []push.Parcel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parcels = append(m.parcels, p...)
}

func (m *messenger) Readers(nodes []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readers = nodes
}

func (m *messenger) Connected(user string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, user)
}

func (m *messenger) LookAgain(user string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return false
	}
	m.again = append(m.again, user)
	return true
}

func (m *messenger) News() <-chan struct{} { return m.news }

func (m *messenger) Take() []push.Carried {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.words
	m.words = nil
	return w
}

func (m *messenger) Stalled() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stall
}

func (m *messenger) tell(w push.Carried) {
	m.change(func() { m.words = append(m.words, w) })
	m.news <- struct{}{}
}

func (m *messenger) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// carrying runs a custodian whose requests a messenger carries.
func carrying(t *testing.T, before, f func(log *memory, who *messenger)) {
	synctest.Test(t, func(t *testing.T) {
		log, who := newMemory(), &messenger{news: make(chan struct{}, 10)}
		log.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce, Called: true})
		before(log, who)
		stop, _ := log.serve(t, func(p *custody.Params) {
			p.Policy.Targeted = true
			p.NewCourier = func(int32) custody.Courier { return who }
		})
		awhile(time.Second)
		f(log, who)
		require.NoError(t, stop())
	})
}

func nothing(*memory, *messenger) {}

func TestRequestsAreHandedToTheCourierAndSettledByWhatItTells(t *testing.T) {
	carrying(t, nothing, func(log *memory, who *messenger) {
		log.request("42")
		awhile(time.Second)
		who.change(func() {
			assert.Len(t, who.parcels, 1)
			records, err := who.records(t.Context(), []int64{0})
			require.NoError(t, err)
			require.Len(t, records, 1)
			assert.Equal(t, "42", string(records[0].Key))
		})
		delivered := push.Receipt{Node: "A", Epoch: 1, Called: true, Delivered: []int64{0}}
		who.tell(push.Carried{Receipt: &delivered, Over: []int64{0}})
		log.say(delivered)
		awhile(10 * time.Second)
		assert.EqualValues(t, 1, log.isCommitted(requestTopic))
	})
}

func TestRecordsThatAreNotInMemoryComeOutOfTheLog(t *testing.T) {
	carrying(t, func(log *memory, _ *messenger) {
		log.request("42")
		log.request("43")
	}, func(log *memory, who *messenger) {
		log.find = func(offsets []int64) []int64 { return offsets }
		who.change(func() {
			records, err := who.records(t.Context(), []int64{1, 0})
			require.NoError(t, err)
			require.Len(t, records, 2)
			assert.Zero(t, records[0].Offset, "in their order")
		})
	})
}

func TestAfterAMessageIsStoredItsUserIsLookedForAgain(t *testing.T) {
	carrying(t, nothing, func(log *memory, who *messenger) {
		log.request("42")
		awhile(time.Second)
		who.change(func() { assert.Empty(t, who.again) })
		who.tell(push.Carried{Over: []int64{0}})
		awhile(time.Second)
		assert.Len(t, log.waits(t), 1)
		who.change(func() { assert.Equal(t, []string{"42"}, who.again) })
		who.tell(push.Carried{Present: []push.Binding{{User: "42", Type: push.AllTypes}}})
		awhile(time.Second)
		assert.Len(t, log.records(requestTopic, 0), 2, "offered again")
	})
}

func TestASuccessorLooksForAllWhoAreWaitedFor(t *testing.T) {
	carrying(t, func(log *memory, who *messenger) {
		who.full = true
		for i := range int64(600) {
			rec := push.Record{Key: []byte{'u', byte('0' + i/100), byte('0' + i/10%10), byte('0' + i%10)}, Time: time.Now()}
			log.append(retryTopic, 0, push.WaitRecord(&rec, push.Wait{
				Origin: i, Reason: push.Offline, Due: time.Now().Add(time.Hour),
				Lineage: push.Lineage{ID: "x", Attempt: 1, FirstSeen: time.Now(), Expires: time.Now().Add(time.Hour)},
			}))
		}
	}, func(_ *memory, who *messenger) {
		who.change(func() {
			assert.Empty(t, who.again)
			who.full = false
		})
		awhile(time.Second)
		who.change(func() { assert.Len(t, who.again, 600) })
	})
}

func TestTheCourierIsToldWhoConnectsAndWhoReads(t *testing.T) {
	carrying(t, nothing, func(log *memory, who *messenger) {
		log.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "order"}}})
		awhile(time.Second)
		who.change(func() {
			assert.Equal(t, []string{"42"}, who.seen)
			assert.Equal(t, []string{"A"}, who.readers)
		})
	})
}
