package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/gateway"
	"pushgate/internal/push"
)

func TestAMessageThatIsInKafkaIsAcceptedWithItsID(t *testing.T) {
	r := newRig(t)
	got := r.do(r.message("hello"))
	assert.Equal(t, http.StatusAccepted, got.status)
	records := r.published()
	require.Len(t, records, 1)
	assert.Equal(t, "42", string(records[0].Key))
	assert.Equal(t, "hello", string(records[0].Value))
	id := got.decode(t)["id"]
	assert.Equal(t, records[0].Headers.Text(push.HeaderID), id)
	assert.Len(t, id, 36)
	again := r.do(r.message("hello")).decode(t)["id"]
	assert.NotEqual(t, id, again)
}

func TestHeadersOfCloudEventsBecomeThoseOfTheRecord(t *testing.T) {
	r := newRig(t)
	q := r.message(`{"n":1}`)
	want := map[string]string{}
	for from, row := range map[string][2]string{
		"Ce-Id":         {"ce_id", "order-7"},
		"Ce-Type":       {"ce_type", "order"},
		"Ce-Source":     {"ce_source", "/shop"},
		"Ce-Time":       {"ce_time", "2030-01-02T03:04:05Z"},
		"Ce-Expirytime": {"ce_expirytime", "2030-01-02T04:04:05Z"},
		"Content-Type":  {"content-type", "application/json"},
		"Traceparent":   {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	} {
		q.Header.Set(from, row[1])
		want[row[0]] = row[1]
	}
	// The platform's own headers are not a producer's to set.
	q.Header.Set("Pushgate-Attempt", "7")
	got := r.do(q)
	assert.Equal(t, http.StatusAccepted, got.status)
	assert.Equal(t, "order-7", got.decode(t)["id"])
	is := map[string]string{}
	for _, h := range r.published()[0].Headers.List() {
		is[h.Key] = string(h.Value)
	}
	assert.Equal(t, want, is)
	m, err := push.ParseRequest(&r.published()[0], "push.requests", push.Limits{MaxBytes: maxBytes, DefaultTTL: time.Hour})
	require.NoError(t, err, "it is a valid request")
	assert.True(t, m.JSON)
	assert.Equal(t, 1, m.Attempt)
}

func TestATimeToLiveBecomesAnExpiry(t *testing.T) {
	r := newRig(t)
	q := r.message("x")
	q.URL.RawQuery = "ttl=90s"
	require.Equal(t, http.StatusAccepted, r.do(q).status)
	m, err := push.ParseRequest(&r.published()[0], "push.requests", push.Limits{DefaultTTL: time.Hour})
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(90*time.Second), m.Expires, 10*time.Second)
}

func TestEachRefusalOfAMessageSaysWhyAndNothingIsWritten(t *testing.T) {
	r := newRig(t)
	ttl := func(value string) func(*http.Request) {
		return func(q *http.Request) { q.URL.RawQuery = "ttl=" + value }
	}
	set := func(key, value string) func(*http.Request) {
		return func(q *http.Request) { q.Header.Set(key, value) }
	}
	for name, row := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
		says   string
	}{
		"no token":                 {"x", func(q *http.Request) { q.Header.Del("Authorization") }, 401, "a token is needed"},
		"a token without scope":    {"x", set("Authorization", "Bearer "+r.token("42")), 403, "lacks the scope push"},
		"another scope":            {"x", set("Authorization", "Bearer "+r.token("42", "read", "pushy")), 403, "lacks the scope push"},
		"one byte too large":       {strings.Repeat("x", maxBytes+1), nil, 413, "message.max_bytes"},
		"much too large":           {strings.Repeat("x", 64*maxBytes), nil, 413, "message.max_bytes"},
		"a time to live of words":  {"x", ttl("soon"), 400, "no duration"},
		"no time to live":          {"x", ttl("0s"), 400, "no duration"},
		"a negative time to live":  {"x", ttl("-1h"), 400, "no duration"},
		"json that is none":        {"{", set("Content-Type", "application/json"), 400, "not valid JSON"},
		"a time that is none":      {"x", set("Ce-Time", "yesterday"), 400, "ce_time"},
		"an expiry that is none":   {"x", set("Ce-Expirytime", "never"), 400, "ce_expirytime"},
		"an id too long":           {"x", set("Ce-Id", strings.Repeat("i", 300)), 400, "ce_id"},
		"a type too long":          {"x", set("Ce-Type", strings.Repeat("t", 300)), 400, "ce_type"},
		"a user too long":          {"x", func(q *http.Request) { q.URL.Path = "/v1/users/" + strings.Repeat("4", 300) + "/messages" }, 400, "user id"},
		"a user with control text": {"x", func(q *http.Request) { q.URL.Path = "/v1/users/4\x012/messages" }, 400, "control"},
		"not a post":               {"", func(q *http.Request) { q.Method = http.MethodGet }, 405, "posted"},
		"no such address":          {"x", func(q *http.Request) { q.URL.Path = "/v1/users/42/letters" }, 404, "nothing at this address"},
	} {
		t.Run(name, func(t *testing.T) {
			q := r.message(row.body)
			if row.change != nil {
				row.change(q)
			}
			got := r.do(q)
			assert.Equal(t, row.status, got.status)
			assert.Contains(t, got.decode(t)["error"], row.says)
			assert.Empty(t, r.published())
			if row.status == http.StatusMethodNotAllowed {
				assert.Equal(t, "POST", got.header.Get("Allow"))
			}
		})
	}
}

func TestAPayloadOfTheLargestSizeIsTaken(t *testing.T) {
	r := newRig(t)
	assert.Equal(t, http.StatusAccepted, r.do(r.message(strings.Repeat("x", maxBytes))).status)
	assert.Equal(t, http.StatusAccepted, r.do(r.message("")).status, "and an empty one")
}

func TestAMessageThatIsNotKnownToBeInKafkaIsToBeSentAgain(t *testing.T) {
	for name, publish := range map[string]func(context.Context, push.Record) error{
		"the brokers are away": func(context.Context, push.Record) error { return errors.New("no leader") },
		"they take too long": func(ctx context.Context, _ push.Record) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.publish, r.config.PublishTimeout = publish, 50*time.Millisecond })
			got := r.do(r.message("x"))
			assert.Equal(t, http.StatusServiceUnavailable, got.status)
			assert.Equal(t, "1", got.header.Get("Retry-After"))
			assert.Contains(t, got.decode(t)["hint"], "the same ce-id", "or it comes twice")
		})
	}
}

func TestAMessageTheBrokerNeverTakesIsTooLarge(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.publish = func(context.Context, push.Record) error {
			return &push.RejectedError{Topic: "push.requests", Err: errors.New("message too large")}
		}
	})
	got := r.do(r.message("x"))
	assert.Equal(t, http.StatusRequestEntityTooLarge, got.status)
	assert.Contains(t, got.decode(t)["error"], "kafka refuses")
}

func TestAHandlerThatFailsAnswersAndTheNextRequestIsServed(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.publish = func(context.Context, push.Record) error { panic("a bug") }
	})
	for range 2 {
		got := r.do(r.message("x"))
		assert.Equal(t, http.StatusInternalServerError, got.status)
		assert.Equal(t, "the server failed", got.decode(t)["error"])
	}
}

func TestABodyThatTricklesInIsNotWaitedForForEver(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.ReadHeaderTimeout = 100 * time.Millisecond })
	var d net.Dialer
	nc, err := d.DialContext(t.Context(), "tcp", r.server.Addr())
	require.NoError(t, err)
	defer func() { _ = nc.Close() }()
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	_, err = nc.Write([]byte("POST /v1/users/42/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nAuthorization: Bearer " +
		r.token("shop", "push") + "\r\n\r\nx"))
	require.NoError(t, err)
	head := make([]byte, 12)
	_, err = nc.Read(head)
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 408", string(head))
	assert.Empty(t, r.published())
}

func TestTheTimeForTheBodyIsNotThatForKafka(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.config.ReadHeaderTimeout = 50 * time.Millisecond
		r.publish = func(ctx context.Context, _ push.Record) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(200 * time.Millisecond):
				return nil
			}
		}
	})
	for _, body := range []string{"x", ""} {
		assert.Equal(t, http.StatusAccepted, r.do(r.message(body)).status)
	}
}

func TestAMessageUnderWayIsAnsweredBeforeTheServerEnds(t *testing.T) {
	under, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(r *rig) {
		r.publish = func(context.Context, push.Record) error {
			close(under)
			<-release
			return nil
		}
	})
	answered := make(chan answer, 1)
	q := r.message("x")
	go func() { answered <- r.do(q) }()
	<-under
	r.stop()
	require.Eventually(t, func() bool {
		var d net.Dialer
		nc, err := d.DialContext(t.Context(), "tcp", r.server.Addr())
		if err == nil {
			_ = nc.Close()
		}
		return err != nil
	}, patience, 5*time.Millisecond, "nothing new is accepted")
	close(release)
	assert.Equal(t, http.StatusAccepted, (<-answered).status)
	require.NoError(t, <-r.ended)
}

func TestAnAddressInUseIsSaid(t *testing.T) {
	r := newRig(t)
	config := r.config
	config.Listen = r.server.Addr()
	_, err := gateway.New(t.Context(), gateway.Params{Config: config, Logger: zaptest.NewLogger(t)})
	require.ErrorContains(t, err, config.Listen+" is in use already")
	require.ErrorContains(t, err, "gateway.listen", "and what to set")
	config.Listen = "192.0.2.1:1" // of nobody, says RFC 5737
	_, err = gateway.New(t.Context(), gateway.Params{Config: config, Logger: zaptest.NewLogger(t)})
	require.ErrorContains(t, err, "gateway listener")
}

func TestAServerThatIsNeverRunLetsGoOfItsAddress(t *testing.T) {
	config := gateway.DefaultConfig()
	config.Listen = "127.0.0.1:0"
	s, err := gateway.New(t.Context(), gateway.Params{Config: config, Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	config.Listen = s.Addr()
	s, err = gateway.New(t.Context(), gateway.Params{Config: config, Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestARefusalDoesNotWaitForABodyThatIsWithheld(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.ReadHeaderTimeout = 100 * time.Millisecond })
	for path, status := range map[string]string{"/v1/users/42/messages": "401", "/nowhere": "404"} {
		var d net.Dialer
		nc, err := d.DialContext(t.Context(), "tcp", r.server.Addr())
		require.NoError(t, err)
		require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
		_, err = nc.Write([]byte("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"))
		require.NoError(t, err)
		answer, err := io.ReadAll(nc)
		require.NoError(t, err, "the connection is not kept for it: %s", path)
		assert.Contains(t, string(answer), "HTTP/1.1 "+status)
		require.NoError(t, nc.Close())
	}
}
