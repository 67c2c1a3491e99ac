package ws_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// What the tests compress and inflate with is the standard library's, not what they test.

// plainOffer is what a client offers that asks for nothing.
const plainOffer = "permessage-deflate"

// forgetful is the answer to it.
const forgetful = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// compress makes the payload of a compressed message.
func compress(t testing.TB, payload []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(t, err)
	_, err = w.Write(payload)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	out, ok := bytes.CutSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
	require.True(t, ok)
	return out
}

// inflate reads the payload of a compressed message.
func inflate(payload []byte) ([]byte, error) {
	r := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	return io.ReadAll(r)
}

// compressedFrame is a frame of a client whose payload is compressed.
func compressedFrame(t testing.TB, op ws.Op, payload string) frame {
	t.Helper()
	return frame{op: op, rsv: 4, payload: string(compress(t, []byte(payload), flate.BestCompression))}
}

// split cuts a message into fragments of size bytes.
func (f frame) split(size int) []frame {
	var list []frame
	for rest := f.payload; ; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		part := frame{op: ws.OpContinuation, payload: piece, more: rest != ""}
		if len(list) == 0 {
			part.op, part.rsv = f.op, f.rsv
		}
		if list = append(list, part); rest == "" {
			return list
		}
	}
}

// deflateLimits are those of an echo server that compresses.
func deflateLimits() ws.Limits {
	l := echoLimits()
	l.Deflate = true
	l.MaxFrameBytes, l.MaxMessageBytes = 1<<20, 1<<20
	l.MaxBufferedBytes = 4 << 20
	return l
}

// deflatedEcho sends back what came, compressed where the client takes that.
func deflatedEcho(p *peer, op ws.Op, payload []byte) {
	sent := ws.AppendFrame(nil, op, payload)
	if p.conn.Window().Takes(sent) {
		sent = ws.Deflate(sent)
	}
	_ = p.conn.Send(&ws.Write{Frame: sent, Done: p})
}

// compressing is a connection whose bytes are the test's own.
type compressing struct {
	net.Conn

	r    *bufio.Reader
	peer *peer
	// extensions are those of the server's answer.
	extensions []string
}

// dialOffering opens a connection with lines of offers.
func (r *rig) dialOffering(t testing.TB, offers ...string) *compressing {
	t.Helper()
	nc, err := net.Dial("tcp", r.http.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(10*time.Second)))
	request := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, offer := range offers {
		request += "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	_, err = io.WriteString(nc, request+"\r\n")
	require.NoError(t, err)
	c := &compressing{Conn: nc, r: bufio.NewReader(nc)}
	answer, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	_ = answer.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
	c.extensions = answer.Header.Values("Sec-WebSocket-Extensions")
	c.peer = <-r.peers
	return c
}

func (c *compressing) send(t testing.TB, frames ...frame) {
	t.Helper()
	_, err := c.Write(stream(frames...))
	require.NoError(t, err)
}

// receive reads a frame, and inflates it where it is compressed.
func (c *compressing) receive() (op ws.Op, payload []byte, compressed bool, err error) {
	first, err := c.r.Peek(1)
	if err != nil {
		return 0, nil, false, err
	}
	compressed = first[0]&0x40 != 0
	first[0] &^= 0x40
	op, payload, err = readFrame(c.r)
	if err == nil && compressed {
		if op != ws.OpText && op != ws.OpBinary {
			return op, nil, true, fmt.Errorf("opcode %d is compressed", op)
		}
		payload, err = inflate(payload)
	}
	return op, payload, compressed, err
}

// closedWith reads on until the close frame and returns its code.
func (c *compressing) closedWith(t testing.TB) ws.Code {
	t.Helper()
	for {
		op, payload, _, err := c.receive()
		require.NoError(t, err)
		if op == ws.OpClose {
			return ws.Code(binary.BigEndian.Uint16(payload))
		}
	}
}
