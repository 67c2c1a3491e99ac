package ws_test

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// rule is a rule of RFC 6455, told by what an echo server answers. Rules are in the groups
// in which the Autobahn test suite has them: 1 to 7, 9 and 10.
type rule struct {
	name string
	// says is what the client writes. If it has no end of its own, a close frame with
	// 1000 is added.
	says []byte
	// sees are the frames that come back, before that which closes.
	sees []frame
	// fails is the code the server closes with, because of what the client wrote.
	fails ws.Code
	// closes is the code of the close frame in says; it is the answer as well.
	closes ws.Code
}

func allRules() []rule {
	return slices.Concat(lengthRules(), pingRules(), reservedRules(), fragmentRules(), textRules(), closingRules(), sizeRules())
}

func (r rule) ends() bool { return r.fails != 0 || r.closes != 0 }

func (r rule) code() ws.Code { return cmp.Or(r.fails, r.closes, ws.CodeNormal) }

func (r rule) bytes() []byte {
	if r.ends() {
		return r.says
	}
	return append(slices.Clone(r.says), closing(1000, "").bytes()...)
}

// judge says in what way the frames that came are not those of the rule. Messages, and the
// close frame after them, come in their order; so do pongs, which may overtake messages and
// are never overtaken.
func (r rule) judge(got []frame) error {
	last := frame{op: ws.OpClose}
	if code := r.code(); code != ws.CodeNone {
		last = closing(uint16(code), "")
	}
	want := append(slices.Clone(r.sees), last)
	if err := r.trimClose(got); err != nil {
		return err
	}
	wantPongs, wantOthers, wantBefore := sortOut(want)
	gotPongs, gotOthers, before := sortOut(got)
	if !slices.Equal(wantOthers, gotOthers) {
		return fmt.Errorf("want %q, got %q", wantOthers, gotOthers)
	}
	if !slices.Equal(wantPongs, gotPongs) {
		return fmt.Errorf("want pongs %q, got %q", wantPongs, gotPongs)
	}
	for i := range before {
		if before[i] > wantBefore[i] {
			return fmt.Errorf("%d messages came before pong %d, at most %d may", before[i], i, wantBefore[i])
		}
	}
	return nil
}

// trimClose takes off the last frame what a server may say beside its code.
func (r rule) trimClose(got []frame) error {
	if r.fails == 0 || len(got) == 0 {
		return nil
	}
	last := &got[len(got)-1]
	if last.op != ws.OpClose || len(last.payload) < 2 {
		return nil
	}
	if reason := last.payload[2:]; !utf8.ValidString(reason) || len(reason) > 123 {
		return fmt.Errorf("the reason %q is none", reason)
	}
	last.payload = last.payload[:2]
	return nil
}

// sortOut tells pongs from other frames, and how many of those each has before it.
func sortOut(frames []frame) (pongs, others []string, before []int) {
	for _, f := range frames {
		if f.op == ws.OpPong {
			pongs, before = append(pongs, f.payload), append(before, len(others))
			continue
		}
		said := f.payload
		if len(said) > 100 {
			said = fmt.Sprintf("%d bytes, CRC %08x", len(said), crc32.ChecksumIEEE([]byte(said)))
		}
		others = append(others, fmt.Sprintf("%d:%s", f.op, said))
	}
	return pongs, others, before
}

// conform holds the rules against the parser, and against connections on each transport,
// however what the client writes arrives.
func conform(t *testing.T, rules []rule) {
	t.Helper()
	if !portable { // the parser knows of no wire, so once is enough
		t.Run("parser", func(t *testing.T) {
			for _, r := range rules {
				t.Run(r.name, func(t *testing.T) { conformParser(t, r, false) })
			}
		})
	}
	for _, tr := range transports() {
		t.Run(tr.name, func(t *testing.T) {
			dial := tr.open(t)
			for i, r := range rules {
				t.Run(r.name, func(t *testing.T) {
					for _, a := range []arrival{tr.whole[i%len(tr.whole)], byteByByte} {
						require.NoError(t, a.hold(t, dial, r), a.name)
					}
				})
			}
		})
	}
}

// answers are what an echo server would answer to the events of a parser.
type answers []frame

func (a *answers) Message(op ws.Op, p []byte) { *a = append(*a, frame{op: op, payload: string(p)}) }

func (a *answers) Control(op ws.Op, p []byte) {
	if op == ws.OpPing {
		*a = append(*a, pong(string(p)))
	}
}

func (a *answers) Closing(code ws.Code, _ string) {
	if code == ws.CodeNone {
		*a = append(*a, frame{op: ws.OpClose})
	} else {
		*a = append(*a, closing(uint16(code), ""))
	}
}

func conformParser(t *testing.T, r rule, deflate bool) {
	t.Helper()
	b, random := r.bytes(), rand.New(rand.NewPCG(1, 2))
	largest := 9
	if len(b) > 70_000 {
		largest = 2000
	}
	limits := ws.ParserLimits{MaxFrameBytes: maxConforming, MaxMessageBytes: maxConforming, Deflate: deflate}
	for name, next := range map[string]func() int{
		"in one piece": whole, "byte by byte": crumbs(4 << 10), "in random pieces": func() int { return 1 + random.IntN(largest) },
	} {
		var got answers
		if _, broken := feed(b, limits, next, &got); broken != nil {
			got.Closing(broken.Code, "")
			assert.Equal(t, r.fails, broken.Code, name)
		}
		require.NoError(t, r.judge(got), name)
	}
}

// crumbs are single bytes; after so many of them, the pieces of 997 bytes in which Autobahn
// chops what is large.
func crumbs(singles int) func() int {
	n := 0
	return func() int {
		if n++; n <= singles {
			return 1
		}
		return 997
	}
}

// maxConforming is the largest frame and message that servers in tests of conformance take.
const maxConforming = 256 << 10

func conformingLimits() ws.Limits {
	l := echoLimits()
	l.MaxFrameBytes, l.MaxMessageBytes, l.MaxBufferedBytes = maxConforming, maxConforming, 16<<20
	l.CloseTimeout = time.Minute // is not what ends a connection
	return l
}

// dialer opens a connection to an echo server, to which early is sent with the request.
type dialer func(t *testing.T, early string) (net.Conn, *peer)

// transport is something between a client and a server.
type transport struct {
	name  string
	open  func(t *testing.T) dialer
	whole []arrival // of what is not cut; they take turns
}

func transports() []transport {
	over := func(secure bool) func(t *testing.T) dialer {
		return func(t *testing.T) dialer {
			t.Helper()
			r := newRig(t, rigParams{limits: conformingLimits(), onMessage: echo, tls: secure})
			if config := r.tls(); config != nil { // there are thousands of handshakes
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				config.CurvePreferences = []tls.CurveID{tls.CurveP256}
			}
			return func(t *testing.T, early string) (net.Conn, *peer) {
				t.Helper()
				return r.dialRaw(t, early)
			}
		}
	}
	list := []transport{
		{"TCP", over(false), []arrival{inOnePiece, withTheRequest}},
		{"TLS", over(true), []arrival{withTheRequest, inOnePiece}},
	}
	if !portable {
		return list
	}
	// A read of a pipe gets what was written at once, and nothing else.
	return append(list, transport{"pipe", func(t *testing.T) dialer {
		t.Helper()
		p := newPipes(t, conformingLimits())
		return func(t *testing.T, _ string) (net.Conn, *peer) {
			t.Helper()
			return p.dial(t, &peer{onMessage: echo})
		}
	}, []arrival{inOnePiece}})
}

// arrival is how what a client writes arrives.
type arrival struct {
	name  string
	early int // bytes at most that come with the request
	next  func() func() int
}

var (
	inOnePiece     = arrival{"in one piece", 0, func() func() int { return whole }}
	withTheRequest = arrival{"with the request", whole(), nil}
	byteByByte     = arrival{"byte by byte", 0, func() func() int { return crumbs(2 << 10) }}
)

// hold has the conversation of a rule, and says in what way it is not as it should be.
func (a arrival) hold(t *testing.T, dial dialer, r rule) error {
	t.Helper()
	b := r.bytes()
	early := b[:min(a.early, len(b))]
	var rest [][]byte
	if len(early) < len(b) {
		rest = pieces(b[len(early):], a.next())
	}
	nc, pe := dial(t, string(early))
	got, err := converse(nc, rest)
	if err = cmp.Or(err, r.judge(got)); err != nil {
		return err
	}
	closed := pe.awaitClosed(t)
	var broken *ws.ProtocolError
	if failed := errors.As(closed.Err, &broken); closed.Code != r.code() || failed != (r.fails != 0) || closed.Remote == failed {
		return fmt.Errorf("the handler was told %+v", closed)
	}
	if _, messages, _ := sortOut(r.sees); pe.heard != len(messages) {
		return fmt.Errorf("the handler was told of %d messages", pe.heard)
	}
	return nil
}

// converse writes and reads until the server has ended its side, and then ends the other.
// It returns the frames that came.
func converse(nc net.Conn, pieces [][]byte) ([]frame, error) {
	type heard struct {
		b   []byte
		err error
	}
	reading := make(chan heard, 1)
	go func() {
		b, err := io.ReadAll(nc)
		reading <- heard{b, err}
	}()
	var writing error
	for _, p := range pieces {
		if _, writing = nc.Write(p); writing != nil {
			break
		}
	}
	h := <-reading
	_ = nc.Close()
	if errors.Is(writing, io.ErrClosedPipe) {
		writing = nil // one side of a pipe cannot be ended alone
	}
	if err := cmp.Or(h.err, writing); err != nil {
		return nil, fmt.Errorf("after %d bytes: %w", len(h.b), err)
	}
	return dissect(h.b)
}

// dissect takes what a server wrote apart.
func dissect(b []byte) (list []frame, err error) {
	for stream := bytes.NewReader(b); stream.Len() > 0; {
		op, payload, err := readFrame(stream)
		if err != nil {
			return nil, fmt.Errorf("after %d frames: %w", len(list), err)
		}
		list = append(list, frame{op: op, payload: string(payload)})
	}
	return list, nil
}

// stars are a payload without meaning.
func stars(n int) string { return strings.Repeat("*", n) }

// scribble is a payload of which no two pieces are the same.
func scribble(n int) string {
	b := make([]byte, 0, n+8)
	for i := uint64(0); len(b) < n; i++ {
		b = binary.BigEndian.AppendUint64(b, i*0x9E3779B97F4A7C15)
	}
	return string(b[:n])
}
