package recordbatch

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/segmentio/kafka-go/compress"
)

// buffers are what batches are inflated in. How large one will be is known only then; it
// is copied once, to as much memory as it needs, which is cheaper than memory that grows
// with it.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxBuffer bounds what a buffer that is kept may hold: what a producer makes at its
// most. Larger ones are rare.
const maxBuffer = 4 << 20

// inflate returns what a batch inflates to, in memory of its own.
func inflate(body []byte, c compress.Compression) ([]byte, error) {
	codec := c.Codec()
	if codec == nil {
		return nil, fmt.Errorf("unknown compression %d", c)
	}
	reader := codec.NewReader(byteReader(body))
	defer func() { _ = reader.Close() }()
	buf, _ := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	if _, err := buf.ReadFrom(io.LimitReader(reader, maxInflated+1)); err != nil {
		return nil, fmt.Errorf("inflating %s: %w", codec.Name(), err)
	}
	if buf.Len() > maxInflated {
		return nil, errOversized
	}
	inflated := bytes.Clone(buf.Bytes())
	if buf.Cap() <= maxBuffer {
		buffers.Put(buf)
	}
	return inflated, nil
}
