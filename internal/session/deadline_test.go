package session_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// after lets time pass and everything happen that it brings.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestWithoutAnAcknowledgementInTimeAMessageFailsAndMayStillBeDoneLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeout := session.DefaultConfig().AckTimeout
		b := newBench(t, session.Pushgate)
		a := b.deliver("a")
		after(timeout * 2) // in the queue: the client cannot acknowledge yet
		assert.Empty(t, a.read())
		b.complete(nil)
		after(timeout - 1)
		assert.Equal(t, []string{"a held"}, a.read())
		after(1)
		assert.Equal(t, []string{"a held", "a failed ack_timeout"}, a.read())
		assert.Empty(t, b.codes(), "the session goes on")
		after(time.Hour)
		b.ack(`{"ack":["a"]}`)
		b.ack(`{"ack":["a"]}`)
		assert.Equal(t, []string{"a held", "a failed ack_timeout", "a delivered"}, a.read())
		b.OnClose(ws.Closed{})
		assert.Len(t, a.read(), 3)
	})
}

func TestEachMessageHasItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.Pushgate) // 10s
		var reports []*diary
		for i := range 5 {
			reports = append(reports, b.deliver(fmt.Sprint(i)))
			b.complete(nil)
			after(3 * time.Second)
			if i == 2 {
				b.ack(`{"ack":["0","2"]}`)
			}
		}
		// 15s have passed: 1 was written at 3s.
		assert.Equal(t, []string{"1 held", "1 failed ack_timeout"}, reports[1].read())
		for _, i := range []int{3, 4} {
			assert.Equal(t, []string{fmt.Sprint(i) + " held"}, reports[i].read())
		}
		after(4 * time.Second)
		assert.Len(t, reports[3].read(), 2)
		assert.Len(t, reports[4].read(), 1)
		after(3 * time.Second)
		assert.Len(t, reports[4].read(), 2)
		for _, i := range []int{0, 2} {
			assert.Equal(t, []string{fmt.Sprint(i) + " held", fmt.Sprint(i) + " delivered"}, reports[i].read())
		}
		b.OnClose(ws.Closed{})
	})
}

func TestAMessageOfferedAgainAfterItsTimeoutIsWrittenAgainAndOneWordSettlesBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.Pushgate)
		first, attached := b.deliver("a"), b.deliver("a")
		b.complete(nil)
		after(10 * time.Second)
		second := b.deliver("a")
		require.Len(t, b.sent, 2)
		b.complete(nil)
		after(10 * time.Second)
		third := b.deliver("a")
		b.complete(nil)
		late := []string{"a held", "a failed ack_timeout"}
		for _, d := range []*diary{first, attached, second} {
			assert.Equal(t, late, d.read())
		}
		b.ack(`{"ack":["a"]}`)
		for _, d := range []*diary{first, attached, second} {
			assert.Equal(t, append(late, "a delivered"), d.read())
		}
		assert.Equal(t, []string{"a held", "a delivered"}, third.read())
		b.OnClose(ws.Closed{})
	})
}

func TestWhatIsStillQueuedDoesNotTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.Pushgate)
		written := b.deliver("written")
		b.complete(nil)
		after(time.Second)
		queued := b.deliver("queued")
		after(time.Minute)
		assert.Equal(t, []string{"written held", "written failed ack_timeout"}, written.read())
		assert.Empty(t, queued.read())
		b.complete(nil)
		after(10 * time.Second)
		assert.Equal(t, []string{"queued held", "queued failed ack_timeout"}, queued.read())
		b.OnClose(ws.Closed{})
	})
}

func TestAMessageThatTimedOutTwiceIsRememberedFromTheSecondTimeOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.Pushgate)
		others := func(count int) {
			for i := range count {
				b.deliver(fmt.Sprint(i))
			}
			b.complete(nil)
			after(10 * time.Second)
		}
		first := b.deliver("a")
		others(1000)
		second := b.deliver("a")
		others(1000) // the first is long forgotten
		b.ack(`{"ack":["a"]}`)
		want := []string{"a held", "a failed ack_timeout", "a delivered"}
		assert.Equal(t, want, first.read())
		assert.Equal(t, want, second.read())
		b.OnClose(ws.Closed{})
	})
}

func TestOnlyTheLatestOfThoseThatTimedOutAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.Pushgate)
		const rounds, each, remembered = 3, 500, 1024
		var reports []*diary
		for range rounds {
			for range each {
				reports = append(reports, b.deliver(fmt.Sprint(len(reports))))
			}
			b.complete(nil)
			after(10 * time.Second)
		}
		done := 0
		for i, d := range reports {
			b.ack(fmt.Sprintf(`{"ack":["%d"]}`, i))
			if len(d.read()) == 3 {
				done++
				assert.GreaterOrEqual(t, i, rounds*each-remembered)
			}
		}
		assert.Equal(t, remembered, done)
		b.OnClose(ws.Closed{})
	})
}

func TestNothingTimesOutWithoutAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.CloudEvents)
		a := b.deliver("a")
		after(time.Hour)
		assert.Empty(t, a.read(), "how long a write may take is the transport's to say")
		b.complete(nil)
		after(time.Hour)
		assert.Equal(t, []string{"a delivered"}, a.read())
		b.OnClose(ws.Closed{})
	})
}

func TestAnExpiredTokenClosesTheSessionWith4401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(newFactory(t), session.Params{Subprotocol: session.Pushgate, Expires: time.Now().Add(time.Hour)})
		early := b.deliver("early")
		b.complete(nil)
		after(10 * time.Second)
		assert.Equal(t, []string{"early held", "early failed ack_timeout"}, early.read(), "a far expiry does not hide a near deadline")
		after(time.Hour - 15*time.Second)
		pending := b.deliver("pending")
		b.complete(nil)
		after(5*time.Second - 1)
		assert.Empty(t, b.codes())
		after(1)
		assert.Equal(t, []ws.Goodbye{{Code: 4401, Reason: session.CodeText(session.CloseTokenExpired), Drop: true}}, b.goodbyes)
		assert.Equal(t, []string{"pending held"}, pending.read())
		after(5 * time.Second)
		assert.Equal(t, []string{"pending held", "pending failed ack_timeout"}, pending.read(), "deadlines hold while it closes")
		after(time.Hour)
		assert.Len(t, b.goodbyes, 1)
		b.OnClose(ws.Closed{Code: 4401})
	})
}

func TestATokenThatHasExpiredAlreadyClosesTheSessionAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(newFactory(t), session.Params{Expires: time.Now().Add(-time.Minute)})
		synctest.Wait()
		assert.Equal(t, []ws.Code{4401}, b.codes())
		b.OnClose(ws.Closed{Code: 4401})
	})
}

func TestNothingHappensAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(newFactory(t), session.Params{Subprotocol: session.Pushgate, Expires: time.Now().Add(time.Minute)})
		a := b.deliver("a")
		b.complete(nil)
		b.OnClose(ws.Closed{Code: ws.CodeAbnormal})
		before := a.read()
		after(time.Hour)
		b.ack(`{"ack":["a"]}`)
		assert.Equal(t, before, a.read())
		assert.Empty(t, b.codes())
		assert.Equal(t, 1, b.ended)
	})
}

// The timer may go off in the same moment in which the connection ends or the
// acknowledgement comes.
func TestADeadlineThatMeetsTheEndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			b := newBench(t, session.Pushgate)
			a, c := b.deliver("a"), b.deliver("c")
			b.complete(nil)
			<-time.After(10 * time.Second) // the timer goes off now, too
			b.ack(`{"ack":["a"]}`)
			b.OnClose(ws.Closed{})
			synctest.Wait()
			assertContract(t, a.read())
			assertContract(t, c.read())
			assert.Contains(t, a.read(), "a delivered")
		}
	})
}

func TestTheEndWaitsForADeadlineThatIsBeingReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.Pushgate)
		a, reporting := &diary{}, make(chan struct{})
		b.deliverTo("a", reporter(func(m *push.Message, s push.Status, r push.Reason) {
			if s == push.Failed {
				<-reporting
			}
			a.Report(m, s, r)
		}))
		second := b.deliver("b")
		b.complete(nil)
		after(10 * time.Second)
		third := b.deliver("c")
		b.complete(nil)
		b.OnClose(ws.Closed{})
		assert.Equal(t, []string{"c held", "c failed offline"}, third.read())
		assert.Equal(t, []string{"b held"}, second.read(), "the timer has it in hand")
		assert.Zero(t, b.ended)
		close(reporting)
		synctest.Wait()
		assert.Equal(t, []string{"b held", "b failed ack_timeout"}, second.read())
		assert.Equal(t, 1, b.ended)
	})
}
