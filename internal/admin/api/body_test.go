package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pushgate/internal/admin/api"
	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

// manyWaits fills pages that do not fit into the buffer of a connection.
type manyWaits struct{}

func (manyWaits) Page(_ context.Context, _ waiting.Filter, limit int, _ string) (waiting.Page, error) {
	page := waiting.Page{Complete: true}
	for i := range limit {
		page.Waits = append(page.Waits, waiting.Wait{Partition: 1, Origin: int64(i), User: "bob", ID: "m-2", Type: "order", Reason: push.Offline, FirstSeen: noon, Since: noon, Due: noon, Expires: noon})
	}
	return page, nil
}

func (manyWaits) Summary(context.Context, waiting.Filter) (waiting.Summary, error) {
	return waiting.Summary{}, nil
}

func (manyWaits) Fill(_ context.Context, waits []waiting.Wait) (int, error) { return len(waits), nil }

func TestAReaderWhoWithholdsTheBodyOfASearchKeepsNoPlaceOfASearch(t *testing.T) {
	r := newRig(t, func(p *api.Params) { p.Waiting = manyWaits{} })
	address := strings.TrimPrefix(r.url, "http://")
	var dialer net.Dialer
	for range 4 {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /v1/waiting HTTP/1.1\r\nHost: "+address+"\r\nAuthorization: Bearer reader-secret\r\nContent-Length: 1000\r\n\r\n")
		require.NoError(t, err)
	}
	// They may come before or after these.
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); <-look.C {
		require.Equal(t, http.StatusOK, r.get("/v1/waiting").code)
	}
}
