package client_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/client"
	"pushgate/internal/ws"
)

func TestAClientThatCompressesTakesCompressedMessages(t *testing.T) {
	s := newServer(t)
	d := run(t, s, func(p *client.Params) { p.Compress = true })
	p := s.accept(t)
	plain := ws.AppendFrame(nil, ws.OpText, []byte(message(strings.Repeat("a", 200))))
	frame := ws.Deflate(plain)
	require.Less(t, len(frame), len(plain))
	require.True(t, p.conn.Window().Takes(plain))
	require.NoError(t, p.conn.Send(&ws.Write{Frame: frame, Done: p}))
	assert.Equal(t, strings.Repeat("a", 200), wait(t, d.handled, "a message").ID)
	p.expectAck(strings.Repeat("a", 200))
}

func TestAClientOffersNoCompressionByItself(t *testing.T) {
	s := newServer(t)
	run(t, s)
	assert.Zero(t, s.accept(t).conn.Window())
}
