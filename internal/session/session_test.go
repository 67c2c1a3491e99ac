package session_test

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

func TestAMessageIsHeldWhenWrittenAndDoneWhenAcknowledged(t *testing.T) {
	b := newBench(t, session.Pushgate)
	a := b.deliver("a")
	assert.Empty(t, a.read(), "nothing is known yet")
	b.complete(nil)
	assert.Equal(t, []string{"a held"}, a.read())
	b.ack(`{"ack":["a"]}`)
	b.ack(`{"ack":["a"]}`)
	b.OnClose(ws.Closed{Code: 1000})
	assert.Equal(t, []string{"a held", "a delivered"}, a.read())
	assert.Empty(t, b.codes())
}

func TestWithoutAcknowledgementsWrittenIsDone(t *testing.T) {
	for _, s := range []session.Subprotocol{session.Plain, session.CloudEvents} {
		b := newBench(t, s)
		a := b.deliver("a")
		b.complete(nil)
		assert.Equal(t, []string{"a delivered"}, a.read())
		b.OnClose(ws.Closed{})
		assert.Equal(t, []string{"a delivered"}, a.read())
	}
}

func TestMessagesAreWrittenInOrderInTheFormOfTheSession(t *testing.T) {
	for _, c := range []struct {
		s    session.Subprotocol
		want string
	}{
		{session.Plain, `{"n":1}`},
		{session.Pushgate, `{"id":"%s","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data":{"n":1}}`},
		{session.CloudEvents, `{"specversion":"1.0","id":"%s","source":"/pushgate","type":"order","time":"2030-01-02T12:00:00Z","datacontenttype":"application/json","attempt":1,"data":{"n":1}}`},
	} {
		b := newBench(t, c.s)
		for i := range 3 {
			b.deliver(fmt.Sprint(i))
		}
		require.Len(t, b.sent, 3)
		for i, f := range b.sent {
			_, got := unframe(t, f)
			want := c.want
			if c.s != session.Plain {
				want = fmt.Sprintf(want, fmt.Sprint(i))
			}
			assert.Equal(t, want, got)
		}
		b.OnClose(ws.Closed{})
	}
}

func TestOneFrameAcknowledgesSeveralAndUnknownIDsDoNoHarm(t *testing.T) {
	b := newBench(t, session.Pushgate)
	var reports []*diary
	for _, id := range []string{"a", "b/1", `q"`, "d"} {
		reports = append(reports, b.deliver(id))
	}
	b.complete(nil)
	b.ack(`{"ack":["never heard of","b\/1","q\"","a",""]}`)
	b.ack(`{"ack":[]}`)
	for i, want := range [][]string{
		{"a held", "a delivered"}, {"b/1 held", "b/1 delivered"}, {`q" held`, `q" delivered`}, {"d held"},
	} {
		assert.Equal(t, want, reports[i].read())
	}
	assert.Empty(t, b.codes())
	b.OnClose(ws.Closed{})
}

func TestAClientThatSaysAnythingElseIsClosedWith1008(t *testing.T) {
	ack := []byte(`{"ack":["a"]}`)
	for _, c := range []struct {
		name    string
		s       session.Subprotocol
		op      ws.Op
		payload []byte
		want    []string
	}{
		{"garbage", session.Pushgate, ws.OpText, []byte("hello"), []string{"a held"}},
		{"nothing", session.Pushgate, ws.OpText, nil, []string{"a held"}},
		{"another object", session.Pushgate, ws.OpText, []byte(`{"subscribe":["a"]}`), []string{"a held"}},
		{"an acknowledgement as binary", session.Pushgate, ws.OpBinary, ack, []string{"a held"}},
		{"an acknowledgement that goes wrong", session.Pushgate, ws.OpText, []byte(`{"ack":["a",1]}`), []string{"a held", "a delivered"}},
		{"an acknowledgement to a plain session", session.Plain, ws.OpText, ack, []string{"a delivered"}},
		{"an acknowledgement of an event", session.CloudEvents, ws.OpText, ack, []string{"a delivered"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.s)
			a := b.deliver("a")
			b.complete(nil)
			b.OnMessage(c.op, c.payload)
			b.OnMessage(c.op, c.payload)
			assert.Equal(t, []ws.Goodbye{{Code: 1008, Reason: session.CodeText(session.ClosePolicy), Drop: true}}, b.goodbyes)
			assert.Equal(t, c.want, a.read())
			assert.True(t, b.Closing())
			assert.Equal(t, []string{"b failed offline"}, b.deliver("b").read())
			b.OnClose(ws.Closed{Code: 1008})
		})
	}
}

func TestAnAcknowledgementMayComeBeforeTheWriteIsKnownToBeDone(t *testing.T) {
	for _, err := range []error{nil, ws.ErrClosed} {
		b := newBench(t, session.Pushgate)
		a := b.deliver("a")
		b.ack(`{"ack":["a"]}`)
		b.complete(err)
		b.OnClose(ws.Closed{})
		assert.Equal(t, []string{"a delivered"}, a.read())
	}
}

func TestAnEarlyAcknowledgementDisturbsNoOtherMessage(t *testing.T) {
	for _, err := range []error{nil, ws.ErrSlow} {
		b := newBench(t, session.Pushgate)
		first, second := b.deliver("a"), b.deliver("b")
		b.ack(`{"ack":["a"]}`)
		writes := b.take()
		writes[0].Done.Completed(writes[0], err)
		third := b.deliver("c")
		b.OnClose(ws.Closed{})
		assert.Equal(t, []string{"a delivered"}, first.read())
		assert.Equal(t, []string{"b failed offline"}, second.read())
		assert.Equal(t, []string{"c failed offline"}, third.read())
	}
}

func TestAFailedWriteSaysWhy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{ws.ErrSlow, "slow_consumer"},
		{ws.ErrClosed, "offline"},
		{fmt.Errorf("writing to the socket: %w", io.ErrShortWrite), "write_error"},
		{fmt.Errorf("ending: %w", ws.ErrClosed), "offline"},
	} {
		for _, s := range []session.Subprotocol{session.Plain, session.Pushgate} {
			b := newBench(t, s)
			a := b.deliver("a")
			b.complete(c.err)
			b.OnClose(ws.Closed{Code: ws.CodeAbnormal, Err: c.err})
			assert.Equal(t, []string{"a failed " + c.want}, a.read())
		}
	}
}

func TestAFullBufferFailsTheMessageAndLeavesTheConnectionAlone(t *testing.T) {
	b := newBench(t, session.Plain)
	queued := b.deliver("queued")
	b.refuse = ws.ErrSlow
	assert.Equal(t, []string{"refused failed slow_consumer"}, b.deliver("refused").read())
	assert.Empty(t, b.codes(), "a burst is no reason to give a client up")
	b.complete(nil)
	b.refuse = nil
	later := b.deliver("later")
	b.complete(nil)
	assert.Equal(t, []string{"queued delivered"}, queued.read())
	assert.Equal(t, []string{"later delivered"}, later.read())
	b.OnClose(ws.Closed{})
}

func TestAClientThatTakesNothingForTheWriteTimeoutIsTooSlow(t *testing.T) {
	b := newBench(t, session.Plain)
	queued := b.deliver("queued")
	b.complete(ws.ErrSlow) // as the transport says, and ends
	b.OnClose(ws.Closed{Code: ws.CodeAbnormal, Err: ws.ErrSlow})
	assert.Equal(t, []string{"queued failed slow_consumer"}, queued.read())
}

func TestAClosedTransportFailsTheMessageAsOffline(t *testing.T) {
	b := newBench(t, session.Plain)
	b.refuse = ws.ErrClosed
	assert.Equal(t, []string{"a failed offline"}, b.deliver("a").read())
	assert.Empty(t, b.codes(), "it is ending already")
	b.OnClose(ws.Closed{})
}

func TestPastTheLimitOfUnsettledMessagesOneFailsAsSlowConsumer(t *testing.T) {
	b := newBench(t, session.Pushgate, func(c *session.Config) { c.MaxUnacked = 2 })
	first, second := b.deliver("a"), b.deliver("b")
	assert.Equal(t, []string{"c failed slow_consumer"}, b.deliver("c").read(), "unwritten ones count")
	b.complete(nil)
	assert.Equal(t, []string{"c failed slow_consumer"}, b.deliver("c").read(), "unacknowledged ones count")
	assert.Equal(t, []string{"a held"}, b.deliver("a").read(), "what is pending takes no more room")
	assert.Empty(t, b.codes(), "the client may still catch up")
	b.ack(`{"ack":["a"]}`)
	third := b.deliver("c")
	assert.Equal(t, 1, b.complete(nil))
	b.ack(`{"ack":["b","c"]}`)
	assert.Equal(t, []string{"a held", "a delivered"}, first.read())
	assert.Equal(t, []string{"b held", "b delivered"}, second.read())
	assert.Equal(t, []string{"c held", "c delivered"}, third.read())
	b.OnClose(ws.Closed{})
}

func TestAMessageOfferedAgainWhilePendingIsWrittenOnceAndBothAreTold(t *testing.T) {
	for _, c := range []struct {
		name string
		s    session.Subprotocol
		end  func(*bench)
		want []string
	}{
		{"acknowledged", session.Pushgate, func(b *bench) { b.complete(nil); b.ack(`{"ack":["a"]}`) }, []string{"a held", "a delivered"}},
		{"acknowledged early", session.Pushgate, func(b *bench) { b.ack(`{"ack":["a"]}`); b.complete(nil) }, []string{"a delivered"}},
		{"written", session.Plain, func(b *bench) { b.complete(nil) }, []string{"a delivered"}},
		{"not written", session.Pushgate, func(b *bench) { b.complete(ws.ErrSlow) }, []string{"a failed slow_consumer"}},
		{"lost", session.Pushgate, func(b *bench) { b.complete(nil); b.OnClose(ws.Closed{}) }, []string{"a held", "a failed offline"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.s)
			first, second, third := b.deliver("a"), b.deliver("a"), b.deliver("a")
			require.Len(t, b.sent, 1)
			c.end(b)
			for _, d := range []*diary{first, second, third} {
				assert.Equal(t, c.want, d.read())
			}
			if b.ended == 0 {
				again := b.deliver("a")
				require.Len(t, b.sent, 2, "once settled it is written again: the client drops repeats")
				b.complete(nil)
				assert.NotEmpty(t, again.read())
				b.OnClose(ws.Closed{})
			}
		})
	}
}

func TestAMessageOfferedAgainAfterItWasWrittenIsHeldAtOnce(t *testing.T) {
	b := newBench(t, session.Pushgate)
	first := b.deliver("a")
	b.complete(nil)
	second := b.deliver("a")
	assert.Equal(t, []string{"a held"}, second.read())
	b.ack(`{"ack":["a"]}`)
	assert.Equal(t, []string{"a held", "a delivered"}, first.read())
	assert.Equal(t, []string{"a held", "a delivered"}, second.read())
	require.Len(t, b.sent, 1)
	b.OnClose(ws.Closed{})
}

func TestManyPendingMessagesAreFoundInAnyOrder(t *testing.T) {
	b := newBench(t, session.Pushgate)
	const count = 100
	id := func(i int) string { return fmt.Sprintf("message-%d", i) }
	first, second := make([]*diary, count), make([]*diary, count)
	for i := range count {
		first[i] = b.deliver(id(i))
	}
	b.complete(nil)
	for i := range count {
		second[i] = b.deliver(id(i))
	}
	require.Len(t, b.sent, count)
	for i := range count {
		at := i * 37 % count // all of them, out of order
		b.ack(fmt.Sprintf(`{"ack":[%q]}`, id(at)))
		want := []string{id(at) + " held", id(at) + " delivered"}
		assert.Equal(t, want, first[at].read())
		assert.Equal(t, want, second[at].read())
	}
	b.OnClose(ws.Closed{})
	assert.Len(t, first[0].read(), 2)
}

func TestTheEndOfTheConnectionFailsWhatIsPendingAsOffline(t *testing.T) {
	b := newBench(t, session.Pushgate)
	acknowledged, written := b.deliver("a"), b.deliver("b")
	b.complete(nil)
	b.ack(`{"ack":["a"]}`)
	b.OnClose(ws.Closed{Code: ws.CodeAbnormal, Err: io.EOF})
	assert.Equal(t, []string{"a held", "a delivered"}, acknowledged.read())
	assert.Equal(t, []string{"b held", "b failed offline"}, written.read())
	assert.Equal(t, 1, b.ended)
	assert.True(t, b.Closing())
	assert.Equal(t, []string{"c failed offline"}, b.deliver("c").read())
	b.Close(session.CloseGoElsewhere)
	assert.Empty(t, b.codes(), "there is nobody left to tell")
}

func TestEverythingIsReportedBeforeOnEnd(t *testing.T) {
	d, ended := &diary{}, 0
	w := &wire{}
	s := newFactory(t).New(session.Params{
		User: "42", Type: "order", Subprotocol: session.Pushgate, Transport: w,
		OnEnd: func(s *session.Session) {
			ended++
			assert.Equal(t, "42", s.User())
			assert.Equal(t, []string{"a held", "b held", "a failed offline", "b failed offline"}, d.read())
		},
	})
	for _, id := range []string{"a", "b"} {
		m := message(id)
		f := session.NewFrames(m)
		s.Deliver(m, &f, d)
	}
	w.complete(nil)
	s.OnClose(ws.Closed{})
	assert.Equal(t, 1, ended)
}

func TestASessionWithoutOnEndMayEnd(t *testing.T) {
	s := newFactory(t).New(session.Params{User: "42", Type: "order", Transport: &wire{}})
	assert.Equal(t, "order", s.Type())
	assert.Equal(t, session.Plain, s.Subprotocol())
	assert.WithinDuration(t, time.Now(), s.Opened(), time.Minute)
	s.OnClose(ws.Closed{})
}

func TestOnlyTheFirstCloseIsPassedOnAndSaysWhy(t *testing.T) {
	for code, drop := range map[ws.Code]bool{
		session.CloseNormal: false, session.CloseGoElsewhere: false,
		session.ClosePolicy: true, session.CloseInternal: true, session.CloseTryLater: true,
		session.CloseTokenExpired: true, session.CloseReplaced: true,
	} {
		b := newBench(t, session.Plain)
		assert.False(t, b.Closing())
		b.Close(code)
		b.Close(session.CloseInternal)
		assert.Equal(t, []ws.Goodbye{{Code: code, Reason: session.CodeText(code), Drop: drop}}, b.goodbyes,
			"what is queued goes out to a client that is merely sent elsewhere")
		assert.True(t, b.Closing())
		b.OnClose(ws.Closed{Code: code})
	}
}

func TestAClosingSessionStillTakesAcknowledgements(t *testing.T) {
	b := newBench(t, session.Pushgate)
	a := b.deliver("a")
	b.complete(nil)
	b.Close(session.CloseGoElsewhere)
	b.ack(`{"ack":["a"]}`)
	b.OnClose(ws.Closed{Code: 1001})
	assert.Equal(t, []string{"a held", "a delivered"}, a.read())
}

// A reporter may call back into the session.
func TestNoReportIsMadeUnderALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, session.Pushgate, func(c *session.Config) { c.MaxUnacked = 2 })
		var said []push.Status
		back := reporter(func(_ *push.Message, s push.Status, _ push.Reason) {
			said = append(said, s)
			assert.False(t, b.Closing())
			b.ack(`{"ack":["nothing"]}`)
			b.deliver("another")
		})
		b.deliverTo("a", back)
		b.complete(nil)
		b.ack(`{"ack":["a"]}`)
		b.deliverTo("b", back)
		b.complete(nil)
		after(time.Minute)
		assert.Equal(t, []push.Status{push.Held, push.Done, push.Held, push.Failed}, said)
		b.OnClose(ws.Closed{})
	})
}

type reporter func(*push.Message, push.Status, push.Reason)

func (r reporter) Report(m *push.Message, s push.Status, reason push.Reason) { r(m, s, reason) }
