package ws

import (
	"sync"

	"github.com/klauspost/compress/flate"
)

// compressedBit is RSV1: the message is compressed (RFC 7692, section 6).
const compressedBit = 0x40

// Window is how far back a peer that reads compressed frames can look in what it has
// inflated, as a power of two: 8 to 15, the most there is. 0: it takes none.
type Window uint8

// Takes says whether the peer can read what Deflate makes of a frame. Where its window is
// small, it can if the frame is no longer than that: no compressor looks back beyond the
// beginning of a message.
func (w Window) Takes(frame []byte) bool {
	return w == maxWindowBits || w > 0 && len(frame) <= 1<<w
}

// deflated collects what the compressor writes.
type deflated struct{ buf []byte }

func (d *deflated) Write(p []byte) (int, error) {
	d.buf = append(d.buf, p...)
	return len(p), nil
}

var deflateds = sync.Pool{New: func() any { return &deflated{} }}

// Deflate returns a frame that says the same as frame, which AppendFrame or Seal have
// made, with its payload compressed; frame itself where that is not shorter. The result is
// for connections that take it (Window.Takes), any number of them: it refers to nothing
// that was sent before. It is safe for concurrent use; what a compressor needs, 280 KiB,
// is shared by those under way and kept by none.
func Deflate(frame []byte) []byte {
	d, _ := deflateds.Get().(*deflated)
	defer func() {
		if cap(d.buf) <= keptInflated {
			deflateds.Put(d)
		}
	}()
	d.buf = d.buf[:0]
	if err := flate.StatelessDeflate(d, frame[headerLength(frame):], false, nil); err != nil {
		return frame
	}
	payload := d.buf[:len(d.buf)-len(blockEnd)]
	buf := make([]byte, Headroom, Headroom+len(payload))
	sealed := Seal(append(buf, payload...), Op(frame[0]&0x0F))
	if len(sealed) >= len(frame) {
		return frame
	}
	sealed[0] |= compressedBit
	return sealed
}

// headerLength is how long the header of a server's frame is.
func headerLength(frame []byte) int {
	switch frame[1] {
	case 126:
		return 2 + 2
	case 127:
		return 2 + 8
	default:
		return 2
	}
}
