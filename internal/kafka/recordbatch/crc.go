package recordbatch

import (
	"bytes"
	"hash/crc32"
	"io"
)

// castagnoli returns the polynomial of Kafka's checksums. The table is the
// standard library's own: MakeTable returns the same one each time.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func byteReader(b []byte) io.Reader { return bytes.NewReader(b) }
