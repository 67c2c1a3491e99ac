package ws_test

import (
	"compress/flate"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// deflateKinds are what groups 12 and 13 of the Autobahn test suite send: JSON, text and
// bytes, of a given size.
func deflateKinds(size int) map[string]frame {
	var json strings.Builder
	for i := 0; json.Len() < size; i++ {
		fmt.Fprintf(&json, `{"order":%d,"state":"%s","price":%d.%02d},`, i*7919, []string{"shipped", "packed"}[i%2], i*31%997, i*17%100)
	}
	greek := strings.ToValidUTF8(strings.Repeat("Κόσμε, καλημέρα! ", size/20+1)[:size], "")
	random := make([]byte, size)
	_, _ = rand.Read(random)
	return map[string]frame{
		"JSON":   text(json.String()[:size]),
		"text":   text(greek + strings.Repeat("x", size-len(greek))),
		"zeros":  binaryFrame(string(make([]byte, size))),
		"random": binaryFrame(string(random)),
	}
}

// packed is the message as a client that compresses sends it, in fragments of at most size
// bytes; 0: in one.
func packed(t *testing.T, f frame, size int) []frame {
	t.Helper()
	f.rsv, f.payload = 4, string(compress(t, []byte(f.payload), flate.BestSpeed))
	if size == 0 {
		return []frame{f}
	}
	return f.split(size)
}

// Group 12: messages of many sizes, as they are and compressed, whole and in fragments.
func TestMessagesOfEverySizeComeBackThroughCompression(t *testing.T) {
	r := newRig(t, rigParams{limits: deflateLimits(), onMessage: deflatedEcho})
	type row struct{ size, fragment int }
	var rows []row
	for _, size := range []int{16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072} {
		rows = append(rows, row{size, 0})
		if size >= 8192 {
			rows = append(rows, row{size, 256})
		}
	}
	for _, row := range append(rows, row{131072, 1024}, row{131072, 4096}, row{131072, 32768}) {
		c := r.dialOffering(t, plainOffer)
		for kind, sent := range deflateKinds(row.size) {
			name := fmt.Sprintf("%s of %d bytes in fragments of %d", kind, row.size, row.fragment)
			frames := packed(t, sent, row.fragment)
			if len(frames) > 1 {
				frames = append(frames[:1:1], append([]frame{ping("between")}, frames[1:]...)...)
			}
			for _, message := range [][]frame{frames, {sent}} {
				c.send(t, message...)
				op, got, compressed, err := c.receive()
				require.NoError(t, err, name)
				if op == ws.OpPong {
					assert.Equal(t, "between", string(got))
					op, got, compressed, err = c.receive()
					require.NoError(t, err, name)
				}
				assert.Equal(t, sent.op, op, name)
				require.True(t, sent.payload == string(got), name) //nolint:testifylint // 128 KB are not to be printed
				assert.Equal(t, kind != "random" && row.size > 100, compressed && row.size > 100, name)
			}
		}
		c.send(t, closing(1000, ""))
		assert.Equal(t, ws.CodeNormal, c.closedWith(t))
	}
}

// Group 13: the parameters a client may offer.
func TestMessagesComeBackWhateverParametersWereOffered(t *testing.T) {
	r := newRig(t, rigParams{limits: deflateLimits(), onMessage: deflatedEcho})
	for _, row := range []struct {
		offers []string
		window int
	}{
		{[]string{"permessage-deflate; client_max_window_bits"}, 1 << 15},
		{[]string{"permessage-deflate; client_max_window_bits; server_no_context_takeover"}, 1 << 15},
		{[]string{"permessage-deflate; client_max_window_bits; server_max_window_bits=8"}, 1 << 8},
		{[]string{"permessage-deflate; client_max_window_bits; server_max_window_bits=9"}, 1 << 9},
		{[]string{"permessage-deflate; client_max_window_bits; server_max_window_bits=15"}, 1 << 15},
		{[]string{"permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9"}, 1 << 9},
		{[]string{"permessage-deflate; client_max_window_bits=9; client_no_context_takeover; server_no_context_takeover; server_max_window_bits=15"}, 1 << 15},
		{[]string{
			"permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9, " +
				"permessage-deflate; client_max_window_bits; server_no_context_takeover, permessage-deflate; client_max_window_bits",
		}, 1 << 9},
		{[]string{"permessage-deflate; unknown", "permessage-deflate; server_no_context_takeover; client_max_window_bits"}, 1 << 15},
	} {
		c := r.dialOffering(t, row.offers...)
		require.Len(t, c.extensions, 1)
		for _, size := range []int{16, 500, 1024, 32768} {
			for kind, sent := range deflateKinds(size) {
				name := fmt.Sprintf("%q: %s of %d bytes", row.offers, kind, size)
				c.send(t, packed(t, sent, 0)...)
				op, got, compressed, err := c.receive()
				require.NoError(t, err, name)
				assert.Equal(t, sent.op, op, name)
				require.True(t, sent.payload == string(got), name) //nolint:testifylint // as above
				if row.window < 1<<15 && size > row.window {
					assert.False(t, compressed, name)
				} else if size >= 500 && kind != "random" {
					assert.True(t, compressed, name)
				}
			}
		}
		c.send(t, closing(1000, ""))
		assert.Equal(t, ws.CodeNormal, c.closedWith(t))
	}
}

func TestAnIndependentClientGetsItsEchoCompressed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, secure := range []bool{false, true} {
		r := newRig(t, rigParams{limits: deflateLimits(), onMessage: deflatedEcho, tls: secure})
		for _, mode := range []websocket.CompressionMode{websocket.CompressionNoContextTakeover, websocket.CompressionContextTakeover} {
			c, resp, err := websocket.Dial(ctx, r.url(), &websocket.DialOptions{
				CompressionMode: mode, CompressionThreshold: 1, HTTPClient: r.http.Client(),
			})
			require.NoError(t, err)
			if resp.Body != nil {
				_ = resp.Body.Close()
			}
			pe := <-r.peers
			assert.NotZero(t, pe.conn.Window())
			c.SetReadLimit(1 << 20)
			for _, size := range []int{0, 1, 3000, 131072} {
				for _, sent := range deflateKinds(size) {
					kind := websocket.MessageText
					if sent.op == ws.OpBinary {
						kind = websocket.MessageBinary
					}
					require.NoError(t, c.Write(ctx, kind, []byte(sent.payload)))
					gotKind, got, err := c.Read(ctx)
					require.NoError(t, err)
					assert.Equal(t, kind, gotKind)
					require.True(t, sent.payload == string(got)) //nolint:testifylint // as above
				}
			}
			require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
			pe.awaitClosed(t)
		}
	}
}
