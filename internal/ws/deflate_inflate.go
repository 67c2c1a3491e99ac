package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// blockEnd is what a sender cuts off the end of a message: an empty block that is
	// not the last one, so that all before it ends at a byte (RFC 7692, section 7.2.1).
	blockEnd = "\x00\x00\xff\xff"
	// messageEnd is put back by a reader, and an empty last block.
	messageEnd = blockEnd + "\x01\x00\x00\xff\xff"

	// firstInflated is what a message is inflated into at first: it is doubled as the
	// message turns out to be longer.
	firstInflated = 1 << 10
	// keptInflated bounds the buffers that wait for the next message: those of the largest
	// one of the default limits do.
	keptInflated = 128 << 10
)

var errInflatesBeyond = errors.New("a compressed message is longer than it may be")

// inflater reads compressed messages, one at a time, each for itself. It is borrowed for
// one message.
type inflater struct {
	stream   io.Reader // of in
	in       bytes.Reader
	message  []byte // what in reads
	inflated []byte
}

var inflaters = sync.Pool{New: func() any { return &inflater{stream: flate.NewReader(nil)} }}

func borrowInflater() *inflater {
	f, _ := inflaters.Get().(*inflater)
	return f
}

// giveBack ends the use of what inflate returned.
func (f *inflater) giveBack() {
	if cap(f.message) > keptInflated {
		f.message = nil
	}
	if cap(f.inflated) > keptInflated {
		f.inflated = nil
	}
	inflaters.Put(f)
}

// inflate returns what the payload of a compressed message stands for, valid until
// giveBack. It is errInflatesBeyond if that is more than limit bytes, of which no more
// are inflated then; any other error says that the payload is not what a compressor
// makes.
func (f *inflater) inflate(payload []byte, limit int) ([]byte, error) {
	f.inflated = f.inflated[:0]
	if len(payload) == 0 {
		return f.inflated, nil
	}
	f.message = append(append(f.message[:0], payload...), messageEnd...)
	f.in.Reset(f.message)
	for {
		if err := f.readStream(limit); err != nil {
			return nil, err
		}
		// A sender may mark any block as the last one of a stream (section 7.2.3.3),
		// and others may follow.
		if f.in.Len() <= len(messageEnd) {
			return f.inflated, nil
		}
	}
}

// readStream inflates until a block that is the last one of its stream.
func (f *inflater) readStream(limit int) error {
	if err := f.stream.(flate.Resetter).Reset(&f.in, nil); err != nil { //nolint:forcetypeassert // so says flate.NewReader
		return fmt.Errorf("beginning to inflate: %w", err)
	}
	for {
		have := len(f.inflated)
		if room := min(max(2*have, firstInflated), limit+1); have == cap(f.inflated) {
			f.inflated = slices.Grow(f.inflated, room-have)
		}
		n, err := f.stream.Read(f.inflated[have:min(cap(f.inflated), limit+1)])
		f.inflated = f.inflated[:have+n]
		switch {
		case len(f.inflated) > limit:
			return errInflatesBeyond
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("inflating: %w", err)
		}
	}
}
