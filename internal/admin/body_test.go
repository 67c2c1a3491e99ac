package admin_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhoAnnouncesABodyAndSendsNoneIsAnsweredSoonAndHoldsNoConnection(t *testing.T) {
	s := serve(t, "secret")
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(8*time.Second)))
	answer, err := io.ReadAll(conn)
	require.NoError(t, err, "the connection is still open")
	assert.Contains(t, string(answer), " 401 ")
}
