package ws

import (
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type deaf struct{ closed chan Closed }

func (deaf) OnMessage(Op, []byte)    {}
func (d deaf) OnClose(c Closed)      { d.closed <- c }
func (deaf) Completed(*Write, error) {}

func TestAWriteThatComesAfterTheDescriptorWasClosedReachesNobody(t *testing.T) {
	server, err := NewServer(ServerParams{Limits: DefaultLimits()})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	nc, err := listener.Accept()
	require.NoError(t, err)
	h := deaf{make(chan Closed, 1)}
	c := &Conn{server: server, handler: h}
	require.True(t, server.admit(c, nc))
	defer server.loops.stop()

	// The writer has taken what it is about to write when the reader finds the end.
	c.draining = true
	require.NoError(t, c.Send(&Write{Frame: AppendFrame(nil, OpText, []byte("secret")), Done: h}))
	b, more := c.next(make([]byte, joinedBytes)[:0])
	require.True(t, more)
	number := int(c.polled.fd)
	(*polledConn)(c).ended(io.EOF)

	// Somebody else gets the number.
	var others [2]int
	others, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	if others[1] == number {
		others[0], others[1] = others[1], others[0]
	}
	if others[0] != number {
		require.NoError(t, syscall.Dup3(others[0], number, 0))
		defer func() { _ = syscall.Close(number) }()
	}
	defer func() { _, _ = syscall.Close(others[0]), syscall.Close(others[1]) }()
	_, err = (*polledConn)(c).put(b.buf)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = syscall.Read(others[1], make([]byte, 100))
	require.ErrorIs(t, err, syscall.EAGAIN, "nothing came")

	c.writeFailed(b, 0, err)
	_, more = c.next(make([]byte, joinedBytes)[:0])
	assert.False(t, more)
	assert.Equal(t, io.EOF, (<-h.closed).Err)
}
