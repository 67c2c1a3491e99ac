package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// grudging is a wire whose kernel takes what the test says.
type grudging struct{ kicked bool }

func (*grudging) start([]byte)         {}
func (g *grudging) output()            { g.kicked = true }
func (*grudging) shutdown() error      { return nil }
func (*grudging) hangUp()              {}
func (*grudging) remoteAddr() net.Addr { return nil }

// tally notes how writes were completed, in order.
type tally struct {
	done   []*Write
	failed []error
}

func (c *tally) Completed(w *Write, err error) {
	if err == nil && len(c.failed) == 0 {
		c.done = append(c.done, w)
	} else {
		c.failed = append(c.failed, err)
	}
}

// stream takes frames off what was written.
func frames(t require.TestingT, stream []byte) (list []string) {
	for len(stream) > 0 {
		require.GreaterOrEqual(t, len(stream), 2)
		require.Zero(t, stream[0]&0x70)
		length, head := int(stream[1]), 2
		switch length {
		case 126:
			length, head = int(binary.BigEndian.Uint16(stream[2:])), 4
		case 127:
			length, head = int(binary.BigEndian.Uint64(stream[2:])), 10
		}
		require.LessOrEqual(t, head+length, len(stream), "the last frame is whole")
		list = append(list, string(stream[0]&0xF)+string(stream[head:head+length]))
		stream = stream[head+length:]
	}
	return list
}

func TestHoweverTheKernelCutsWhatIsWrittenTheStreamIsWhole(t *testing.T) {
	server, err := NewServer(ServerParams{Limits: DefaultLimits()})
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		g, told := &grudging{}, &tally{}
		c := &Conn{server: server, wire: g, handler: deafTo{}}
		var sent []*Write
		var messages, stream []byte
		joined := make([]byte, joinedBytes)
		turn := func(taken int) (more bool) {
			if !g.kicked {
				return false
			}
			b, more := c.next(joined[:0])
			if !more {
				g.kicked = false
				return false
			}
			n := min(taken, len(b.buf))
			stream = append(stream, b.buf[:n]...)
			c.written(b, n)
			return true
		}
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				size := rapid.SampledFrom([]int{0, 1, 100, 200, 5000, 16_000, 16_383, 16_384, 50_000}).Draw(t, "size")
				w := &Write{Frame: AppendFrame(nil, OpBinary, bytes.Repeat([]byte{byte(step)}, size)), Done: told}
				if c.Send(w) == nil {
					sent = append(sent, w)
					messages = append(messages, w.Frame...)
				}
			case 1:
				payload := bytes.Repeat([]byte{byte(step)}, rapid.IntRange(0, 125).Draw(t, "ping"))
				c.pong(payload)
			case 2:
				c.ping()
			default:
				turn(rapid.IntRange(0, joinedBytes).Draw(t, "taken"))
			}
		}
		const flushed, dropped, failed, aborted = 0, 1, 2, 3
		end := rapid.IntRange(flushed, aborted).Draw(t, "end")
		switch end {
		case flushed, dropped:
			c.Close(Goodbye{Code: 1001, Reason: "bye", Drop: end == dropped})
		case failed:
			if b, more := c.next(joined[:0]); more {
				n := rapid.IntRange(0, len(b.buf)-1).Draw(t, "taken before it fails")
				stream = append(stream, b.buf[:n]...)
				c.writeFailed(b, n, errors.New("reset"))
			}
		case aborted:
			c.abort(errors.New("over"))
		}
		for turn(rapid.IntRange(1, joinedBytes).Draw(t, "taken at last")) {
		}
		assert.True(t, slices.Equal(sent[:len(told.done)], told.done), "in order")
		assert.Len(t, told.failed, len(sent)-len(told.done), "each once")
		assert.Zero(t, c.buffered)
		if end == failed || end == aborted {
			return
		}
		var got []string
		for _, f := range frames(t, stream) {
			if Op(f[0]) == OpBinary {
				got = append(got, f)
			}
		}
		want := frames(t, messages)
		assert.Len(t, got, len(told.done))
		assert.True(t, slices.Equal(want[:len(got)], got), "unharmed and in order")
		assert.True(t, end == dropped || len(told.failed) == 0)
		assert.True(t, bytes.HasSuffix(stream, AppendClose(nil, 1001, "bye")))
		c.abort(errors.New("over"))
	})
}

type deafTo struct{}

func (deafTo) OnMessage(Op, []byte) {}
func (deafTo) OnClose(Closed)       {}
