package session_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// contract is what push.Reporter promises of the reports on one message.
var contract = regexp.MustCompile(`^(held )?(delivered|failed( \w+)?( delivered)?)$`)

// assertContract checks the lines of a diary of one message that has come to its
// end.
func assertContract(t *testing.T, lines []string) {
	t.Helper()
	var words []string
	for _, line := range lines {
		_, word, _ := strings.Cut(line, " ")
		words = append(words, word)
	}
	assert.Regexp(t, contract, strings.Join(words, " "))
}

func TestAVerdictTellsOnlyNews(t *testing.T) {
	type word struct {
		s push.Status
		r push.Reason
	}
	held, done, slow, away := word{s: push.Held}, word{s: push.Done}, word{push.Failed, push.SlowConsumer}, word{push.Failed, push.Offline}
	for _, c := range []struct {
		name string
		told []word
		want []string
	}{
		{"one after the other", []word{held, done}, []string{"a held", "a delivered"}},
		{"twice the same", []word{held, held, done, done}, []string{"a held", "a delivered"}},
		{"a late word", []word{held, slow, done}, []string{"a held", "a failed slow_consumer", "a delivered"}},
		{"held comes too late", []word{done, held}, []string{"a delivered"}},
		{"held after the failure", []word{slow, held}, []string{"a failed slow_consumer"}},
		{"failed after it was done", []word{done, slow, away}, []string{"a delivered"}},
		{"the first failure counts", []word{slow, away}, []string{"a failed slow_consumer"}},
		{"a reason beside done is no reason", []word{{push.Done, push.Offline}}, []string{"a delivered"}},
		{"no word", []word{{}}, nil},
	} {
		d := &diary{}
		v := session.NewVerdict(message("a"), d)
		for _, w := range c.told {
			v.Tell(w.s, w.r)
		}
		assert.Equal(t, c.want, d.read(), c.name)
	}
}

func TestWhatIsToldDuringAReportIsReportedAfterItByTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, reporting := &diary{}, make(chan struct{})
		v := session.NewVerdict(message("a"), reporter(func(m *push.Message, s push.Status, r push.Reason) {
			<-reporting
			d.Report(m, s, r)
		}))
		go v.Tell(push.Held, push.ReasonNone)
		synctest.Wait()
		v.Tell(push.Failed, push.AckTimeout) // returns, though the reporter is busy
		assert.Empty(t, d.read())
		close(reporting)
		synctest.Wait()
		assert.Equal(t, []string{"a held", "a failed ack_timeout"}, d.read())
		v.Tell(push.Done, push.ReasonNone)
		assert.Len(t, d.read(), 3)
	})
}

func TestAVerdictIsInOrderWhoeverTells(t *testing.T) {
	for range 500 {
		d := &diary{}
		var inside atomic.Int32
		v := session.NewVerdict(message("a"), reporter(func(m *push.Message, s push.Status, r push.Reason) {
			assert.Equal(t, int32(1), inside.Add(1), "one report at a time")
			d.Report(m, s, r)
			inside.Add(-1)
		}))
		var tellers sync.WaitGroup
		for _, s := range []push.Status{push.Held, push.Failed, push.Done, push.Failed, push.Held} {
			tellers.Go(func() { v.Tell(s, push.Offline) })
		}
		tellers.Wait()
		assertContract(t, d.read())
		assert.Contains(t, d.read(), "a delivered", "the strongest word is always told")
	}
}

// lively is a transport with a goroutine of its own, as a connection has.
type lively struct {
	wire

	s       *session.Session
	wake    chan struct{}
	closing atomic.Bool
}

func (l *lively) Send(w *ws.Write) error {
	if l.closing.Load() {
		return ws.ErrClosed
	}
	err := l.wire.Send(w)
	l.kick()
	return err
}

func (l *lively) Close(g ws.Goodbye) {
	l.wire.Close(g)
	l.closing.Store(true)
	l.kick()
}

func (l *lively) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run completes writes until it is closed, then ends the session.
func (l *lively) run(random *rand.Rand) {
	for !l.closing.Load() {
		<-l.wake
		if random.IntN(4) == 0 {
			<-time.After(time.Duration(random.IntN(3000)) * time.Millisecond)
		}
		l.complete(nil)
	}
	l.complete(ws.ErrClosed)
	l.s.OnClose(ws.Closed{Code: 1000})
}

// Everything at once: offerings and repeats, writes, acknowledgements in time,
// late and never, deadlines, and an end in the middle of it.
func TestEveryOfferingIsReportedByTheContractWhateverMeets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		synctest.Test(t, func(t *testing.T) { everythingAtOnce(t, seed) })
	})
}

func everythingAtOnce(t *testing.T, seed uint64) {
	stream := uint64(0)
	random := func() *rand.Rand { stream++; return rand.New(rand.NewPCG(seed, stream)) }
	l := &lively{wake: make(chan struct{}, 1)}
	var ended atomic.Int32
	l.s = newFactory(t, func(c *session.Config) { c.MaxUnacked = 20 }).New(session.Params{
		User: "42", Type: push.AllTypes, Subprotocol: session.Pushgate, Transport: l,
		OnEnd: func(*session.Session) { ended.Add(1) },
	})
	const offerers, offerings, ids = 3, 60, 40
	diaries := make([][]*diary, offerers)
	var offering, others sync.WaitGroup
	for o := range offerers {
		r := random()
		offering.Go(func() {
			for range offerings {
				d := &diary{}
				diaries[o] = append(diaries[o], d)
				m := message(string(rune('A' + r.IntN(ids))))
				f := session.NewFrames(m)
				l.s.Deliver(m, &f, d)
				if r.IntN(3) == 0 {
					<-time.After(time.Duration(r.IntN(4000)) * time.Millisecond)
				}
			}
		})
	}
	writes, acks := random(), random()
	others.Go(func() { l.run(writes) })
	others.Go(func() {
		for !l.closing.Load() {
			l.s.OnMessage(ws.OpText, []byte(`{"ack":["`+string(rune('A'+acks.IntN(ids)))+`"]}`))
			if acks.IntN(2) == 0 {
				<-time.After(time.Duration(acks.IntN(2000)) * time.Millisecond)
			}
		}
	})
	if seed%2 == 0 { // sometimes in the middle of it
		<-time.After(time.Duration(random().IntN(60)) * time.Second)
	} else {
		offering.Wait()
	}
	l.s.Close(session.CloseGoElsewhere)
	offering.Wait()
	others.Wait()
	synctest.Wait()
	require.Equal(t, int32(1), ended.Load())
	for _, list := range diaries {
		for _, d := range list {
			assertContract(t, d.read())
		}
	}
}
