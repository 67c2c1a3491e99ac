package push

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// IDTime returns when an id of NewID was made, to the millisecond; false for an id
// that is no UUID version 7, such as most of the producers'.
func IDTime(id string) (time.Time, bool) {
	const length, dashes = 36, 4
	if len(id) != length || id[14] != '7' || strings.Count(id, "-") != dashes {
		return time.Time{}, false
	}
	var b [8]byte
	if _, err := hex.Decode(b[2:], []byte(id[:8]+id[9:13])); err != nil {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:]))), true //nolint:gosec // 48 bits
}
