package listen_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnAddressInUseSaysWhichKeyToSet(t *testing.T) {
	first, err := listen.Bind(t.Context(), "gateway listener", "gateway.listen", "127.0.0.1:0")
	require.NoError(t, err)
	_, err = listen.Bind(t.Context(), "admin listener", "admin.listen", first.Addr().String())
	assert.ErrorContains(t, err, "admin listener: "+first.Addr().String()+" is in use already")
	assert.ErrorContains(t, err, "set admin.listen")
	require.NoError(t, first.Close())
	require.NoError(t, first.Close(), "closing twice is fine")
}

func TestARequestUnderWayIsAnsweredBeforeServingEnds(t *testing.T) {
	l, err := listen.Bind(t.Context(), "listener", "key", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	begun := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		stop()
		<-time.After(50 * time.Millisecond)
		_, _ = io.WriteString(w, "done")
	})
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx, &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + l.Addr().String())
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, "done", string(body))
	<-begun
	assert.NoError(t, <-served)
}
