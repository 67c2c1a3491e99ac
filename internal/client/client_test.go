package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/client"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// device is a client that runs until the end of the test.
type device struct {
	t       *testing.T
	handled chan client.Message
	states  chan string
	stop    context.CancelFunc
	ended   chan error
}

func run(t *testing.T, s *server, change ...func(*client.Params)) *device {
	t.Helper()
	return runHandling(t, s, func(client.Message) error { return nil }, change...)
}

func runHandling(t *testing.T, s *server, handle func(client.Message) error, change ...func(*client.Params)) *device {
	t.Helper()
	d := &device{t: t, handled: make(chan client.Message, 100), states: make(chan string, 100), ended: make(chan error, 1)}
	p := client.Params{
		URL: s.URL, User: "42", MaxBackoff: 5 * time.Millisecond,
		OnState: func(state client.State, err error) { d.states <- fmt.Sprint(state, " ", err != nil) },
	}
	for _, c := range change {
		c(&p)
	}
	c, err := client.New(p)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	d.stop = stop
	go func() {
		d.ended <- c.Run(ctx, func(_ context.Context, m client.Message) error {
			d.handled <- m
			return handle(m)
		})
		close(d.ended)
	}()
	t.Cleanup(func() {
		stop()
		<-d.ended
	})
	return d
}

// end waits for Run to return.
func (d *device) end() error {
	d.t.Helper()
	return wait(d.t, d.ended, "the end of Run")
}

func TestAMessageIsHandedOverAndAcknowledged(t *testing.T) {
	s := newServer(t)
	d := run(t, s)
	p := s.accept(t)
	assert.Equal(t, session.PushgateName, p.protocol)
	p.push("a")
	m := wait(t, d.handled, "a message")
	p.expectAck("a")
	assert.Equal(t, client.Message{
		ID: "a", Type: "order", Time: time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC), Attempt: 1, Data: json.RawMessage(`{"n":1}`),
	}, m)
	p.send(`{"id":"b","type":"t","time":"2030-01-02T15:04:05Z","attempt":2,"data_base64":"/wA="}`)
	m = wait(t, d.handled, "a message")
	assert.Equal(t, []byte{0xff, 0}, m.Base64)
	assert.Equal(t, 2, m.Attempt)
}

func TestItConnectsAgainAfterAnEndThatPasses(t *testing.T) {
	for name, end := range map[string]func(*peer){
		"1001 go elsewhere": func(p *peer) { p.close(session.CloseGoElsewhere) },
		"1006 lost":         func(p *peer) { p.drop() },
		"1011 failed":       func(p *peer) { p.close(session.CloseInternal) },
		"1013 try later":    func(p *peer) { p.close(session.CloseTryLater) },
		"no message":        func(p *peer) { p.send("good morning") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			d := run(t, s)
			for range 3 {
				p := s.accept(t)
				p.push("a")
				p.expectAck("a")
				end(p)
				p.expectClosed()
			}
			s.accept(t)
			d.stop()
			require.NoError(t, d.end())
			assert.Len(t, d.handled, 1, "the same message again is no other message")
			want := []string{"0 false", "1 false", "2 true"} // connecting, open, closed with a reason
			for i := range 9 {
				assert.Equal(t, want[i%3], wait(t, d.states, "a state"))
			}
		})
	}
}

func TestItDoesNotConnectAgainWhereItWouldOnlyBeClosedAgain(t *testing.T) {
	for _, code := range []ws.Code{
		session.CloseNormal, session.ClosePolicy, session.CloseTooBig, session.CloseTokenExpired, session.CloseReplaced,
	} {
		s := newServer(t)
		d := run(t, s)
		s.accept(t).close(code)
		var closed *ws.CloseError
		require.ErrorAs(t, d.end(), &closed)
		assert.Equal(t, ws.CloseError{Code: code, Reason: session.CodeText(code)}, *closed, "and says why")
		assert.Empty(t, s.peers)
	}
}

func TestARefusalThatPassesIsOutwaited(t *testing.T) {
	s := newServer(t)
	passing := []int{
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	}
	for _, status := range passing {
		s.refusals <- status
	}
	run(t, s)
	s.accept(t)
	assert.Empty(t, s.refusals)
}

func TestAGatewayThatSaysWhenToComeBackIsNotAskedSooner(t *testing.T) {
	busy, other := newServer(t), newServer(t)
	busy.retryAfter = "1"
	busy.refusals <- http.StatusTooManyRequests
	began := time.Now()
	run(t, busy, func(p *client.Params) { p.MaxBackoff = time.Millisecond })
	busy.accept(t)
	assert.GreaterOrEqual(t, time.Since(began), time.Second)

	busy.refusals <- http.StatusServiceUnavailable
	began = time.Now()
	run(t, busy, func(p *client.Params) { p.MaxBackoff, p.Others = time.Millisecond, []string{other.URL} })
	other.accept(t).drop()
	busy.accept(t)
	assert.GreaterOrEqual(t, time.Since(began), time.Second, "of two, the one that does not want to be asked waits its time")
}

func TestARefusalThatCannotBeHelpedEndsRun(t *testing.T) {
	for _, status := range []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUpgradeRequired,
	} {
		s := newServer(t)
		s.refusals <- status
		d := run(t, s)
		var refused *ws.RefusedError
		require.ErrorAs(t, d.end(), &refused)
		assert.Equal(t, status, refused.Status)
		assert.Equal(t, "not now", refused.Text)
	}
}

func TestARepeatIsNotHandedOverButAcknowledgedAgain(t *testing.T) {
	s := newServer(t)
	d := run(t, s)
	p := s.accept(t)
	for _, id := range []string{"a", "a", "b", "a"} {
		p.push(id)
		p.expectAck(id)
	}
	p.drop() // the gateway may not have seen the last acknowledgement
	p = s.accept(t)
	p.push("b")
	p.expectAck("b")
	d.stop()
	require.NoError(t, d.end())
	require.Len(t, d.handled, 2)
	assert.Equal(t, "a", (<-d.handled).ID)
	assert.Equal(t, "b", (<-d.handled).ID)
}

func TestAnErrorOfTheHandlerEndsRunAndTheMessageIsNotAcknowledged(t *testing.T) {
	for name, broken := range map[string]error{
		"an error":                          errors.New("disk full"),
		"one that looks like a passing end": fmt.Errorf("relaying: %w", &ws.CloseError{Code: session.CloseTryLater}),
		"one that looks like a refusal":     fmt.Errorf("relaying: %w", &ws.RefusedError{Status: http.StatusBadGateway}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			d := runHandling(t, s, func(m client.Message) error {
				if m.ID == "b" {
					return broken
				}
				return nil
			})
			p := s.accept(t)
			p.push("a")
			p.expectAck("a")
			p.push("b", "c")
			err := d.end()
			require.ErrorIs(t, err, broken)
			require.EqualError(t, err, broken.Error())
			p.expectClosed()
			assert.Empty(t, p.received)
			assert.Len(t, d.handled, 2)
			assert.Empty(t, s.peers)
		})
	}
}

func TestAHandlerThatHasSeenEnoughHasItsMessageAcknowledged(t *testing.T) {
	s := newServer(t)
	d := runHandling(t, s, func(client.Message) error { return fmt.Errorf("that is all: %w", client.ErrStop) })
	p := s.accept(t)
	p.push("a", "b")
	require.NoError(t, d.end())
	p.expectAck("a")
	assert.Equal(t, session.CloseNormal, p.expectClosed().Code)
	assert.Empty(t, p.received)
	assert.Len(t, d.handled, 1)
}

func TestTheEndOfItsContextIsAGoodbye(t *testing.T) {
	s := newServer(t)
	d := run(t, s)
	p := s.accept(t)
	p.push("a")
	p.expectAck("a")
	d.stop()
	require.NoError(t, d.end())
	closed := p.expectClosed()
	assert.Equal(t, session.CloseNormal, closed.Code)
	assert.True(t, closed.Remote)
}

func TestASilentClientAcknowledgesNothing(t *testing.T) {
	s := newServer(t)
	d := run(t, s, func(p *client.Params) { p.Silent = true })
	p := s.accept(t)
	p.push("a")
	wait(t, d.handled, "a message")
	d.stop()
	require.NoError(t, d.end())
	p.expectClosed()
	assert.Empty(t, p.received)
}

func TestWhereItConnectsAndWhatItSaysThere(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*client.Params)
		uri    string
	}{
		"every type":       {func(*client.Params) {}, "/websocket/all/42"},
		"one type":         {func(p *client.Params) { p.Type = "order" }, "/websocket/order/42"},
		"a path in front":  {func(p *client.Params) { p.URL += "/edge/" }, "/edge/websocket/all/42"},
		"ws":               {func(p *client.Params) { p.URL = "ws" + p.URL[len("http"):] }, "/websocket/all/42"},
		"a query":          {func(p *client.Params) { p.URL += "/?token=t&x=1" }, "/websocket/all/42?token=t&x=1"},
		"a strange user":   {func(p *client.Params) { p.User = "a/b ?ü" }, "/websocket/all/a%2Fb%20%3F%C3%BC"},
		"a fragment to it": {func(p *client.Params) { p.URL += "#top" }, "/websocket/all/42"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			run(t, s, func(p *client.Params) { p.Token = "tok" }, row.change)
			p := s.accept(t)
			assert.Equal(t, row.uri, p.request.RequestURI)
			assert.Equal(t, "Bearer tok", p.request.Header.Get("Authorization"))
		})
	}
}

func TestWithoutATokenNoneIsSent(t *testing.T) {
	s := newServer(t)
	run(t, s)
	assert.Empty(t, s.accept(t).request.Header["Authorization"])
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	for address, says := range map[string]string{
		"":                "must begin with ws://",
		"localhost:8080":  "must begin with ws://",
		"ftp://x":         "must begin with ws://",
		"http://":         "no host",
		"https:///x":      "no host",
		"http://x\x7f":    "the address",
		"ws:127.0.0.1:80": "no host",
	} {
		_, err := client.New(client.Params{URL: address, User: "42"})
		assert.ErrorContains(t, err, says, address)
	}
}

// The port is none, so that dialling fails at once and without a socket.
const nowhere = "ws://127.0.0.1:99999"

func TestThePausesBetweenAttemptsGrowUpToTheirBoundAndAreSpread(t *testing.T) {
	const bound, attempts = 8 * time.Second, 400
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var at []time.Time
		c, err := client.New(client.Params{URL: nowhere, User: "42", MaxBackoff: bound, OnState: func(s client.State, _ error) {
			if s != client.Connecting {
				return
			}
			if at = append(at, time.Now()); len(at) > attempts {
				stop()
			}
		}})
		require.NoError(t, err)
		require.NoError(t, c.Run(ctx, nil))
		limit := 500 * time.Millisecond
		var sum time.Duration
		different := map[time.Duration]bool{}
		for i := range attempts {
			pause := at[i+1].Sub(at[i])
			assert.Less(t, pause, limit, "pause %d", i)
			limit = min(2*limit, bound)
			sum += pause
			different[pause] = true
		}
		assert.InDelta(t, bound.Seconds()/2, sum.Seconds()/attempts, bound.Seconds()/8, "on average half of the bound")
		assert.Greater(t, len(different), attempts/2)
	})
}

func TestABoundBelowTheFirstPauseIsKeptToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		var once sync.Once
		var second time.Duration
		attempts := 0
		c, err := client.New(client.Params{URL: nowhere, User: "42", MaxBackoff: time.Millisecond, OnState: func(s client.State, _ error) {
			if s == client.Connecting {
				if attempts++; attempts == 2 {
					once.Do(func() { second = time.Since(began) })
				}
			}
		}})
		require.NoError(t, err)
		require.NoError(t, c.Run(ctx, nil))
		assert.Less(t, second, time.Millisecond)
		assert.Greater(t, attempts, 1000)
	})
}

func TestAClientTurnsToTheNextGatewayWhenOneIsAway(t *testing.T) {
	a, b := newServer(t), newServer(t)
	run(t, a, func(p *client.Params) { p.URL, p.Others = nowhere, []string{a.URL, b.URL} })
	a.accept(t).drop()
	b.accept(t).drop()
	a.accept(t)
}
