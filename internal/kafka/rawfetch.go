package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// registerRawFetch makes the client library hand us the bytes of a fetch
// response instead of decoding them (package recordbatch says why). The library
// keeps one response type for each API of the protocol and lets it be
// registered; ours replaces its own for the whole process. Nothing else here
// uses that API: Client.Fetch must not be called.
//
//nolint:gochecknoglobals // the registry it guards is global
var registerRawFetch = sync.OnceFunc(func() { protocol.Register(&fetch.Request{}, &rawFetchResponse{}) })

// rawFetchResponse is fetch.Response with its record sets left as they came.
type rawFetchResponse struct {
	ThrottleTimeMs int32           `kafka:"min=v1,max=v11"`
	ErrorCode      int16           `kafka:"min=v7,max=v11"`
	SessionID      int32           `kafka:"min=v7,max=v11"`
	Topics         []rawFetchTopic `kafka:"min=v0,max=v11"`
}

// ApiKey implements protocol.Message.
//
//nolint:revive // the name is the interface's
func (r *rawFetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

type rawFetchTopic struct {
	Topic      string              `kafka:"min=v0,max=v11"`
	Partitions []rawFetchPartition `kafka:"min=v0,max=v11"`
}

type rawFetchPartition struct {
	Partition            int32                       `kafka:"min=v0,max=v11"`
	ErrorCode            int16                       `kafka:"min=v0,max=v11"`
	HighWatermark        int64                       `kafka:"min=v0,max=v11"`
	LastStableOffset     int64                       `kafka:"min=v4,max=v11"`
	LogStartOffset       int64                       `kafka:"min=v5,max=v11"`
	AbortedTransactions  []fetch.ResponseTransaction `kafka:"min=v4,max=v11"`
	PreferredReadReplica int32                       `kafka:"min=v11,max=v11"`
	RecordSet            rawRecordSet                `kafka:"min=v0,max=v11"`
}

// rawRecordSet is the record set of a partition: a length, and that many bytes.
type rawRecordSet struct{ bytes []byte }

// maxRecordSet bounds what one response may make us allocate.
const maxRecordSet = 256 << 20

// ReadFrom takes the record set off a response; the library calls it.
func (s *rawRecordSet) ReadFrom(r io.Reader) (int64, error) {
	var size [4]byte
	if n, err := io.ReadFull(r, size[:]); err != nil {
		return int64(n), fmt.Errorf("reading the length of a record set: %w", err)
	}
	length := int32(binary.BigEndian.Uint32(size[:])) //nolint:gosec // a signed length on the wire
	if length <= 0 {
		return int64(len(size)), nil
	}
	if length > maxRecordSet {
		return int64(len(size)), fmt.Errorf("record set of %d bytes", length)
	}
	s.bytes = make([]byte, length)
	n, err := io.ReadFull(r, s.bytes)
	if err != nil {
		return int64(len(size) + n), fmt.Errorf("reading a record set: %w", err)
	}
	return int64(len(size) + n), nil
}

// WriteTo exists because the library wants to be able to encode what it decodes.
func (s *rawRecordSet) WriteTo(io.Writer) (int64, error) {
	return 0, errors.New("a fetch response is only read here")
}
