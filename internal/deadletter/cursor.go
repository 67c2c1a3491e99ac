package deadletter

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
)

// cursor says where each partition goes on: newest first, all below is to be read;
// oldest first, all from there on.
type cursor map[int32]int64

const cursorVersion = 1

// fingerprint tells searches apart, but for their times: these may be given as
// "an hour ago", and mean another time with each page.
func (q *Query) fingerprint() uint64 {
	h := fnv.New64a()
	words := q.Filter.Words()
	delete(words, "since")
	delete(words, "until")
	_, _ = fmt.Fprintf(h, "%d", q.Order)
	for _, name := range slices.Sorted(maps.Keys(words)) {
		_, _ = fmt.Fprintf(h, "\x00%s\x00%s", name, words[name])
	}
	return h.Sum64()
}

func (q *Query) encode(c cursor) string {
	b := []byte{cursorVersion}
	b = binary.BigEndian.AppendUint64(b, q.fingerprint())
	for _, p := range slices.Sorted(maps.Keys(c)) {
		b = binary.AppendUvarint(b, uint64(p))    //nolint:gosec // not negative
		b = binary.AppendUvarint(b, uint64(c[p])) //nolint:gosec // as above
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// decode returns nil for the first page, or a *CursorError.
func (q *Query) decode() (cursor, error) {
	if q.Cursor == "" {
		return nil, nil //nolint:nilnil // the first page
	}
	const head = 9
	b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(b) < head || b[0] != cursorVersion {
		return nil, &CursorError{"the cursor is none: take it from the page before as it is, or leave it out to begin anew"}
	}
	if binary.BigEndian.Uint64(b[1:]) != q.fingerprint() {
		return nil, &CursorError{"the cursor is of another search: with a new filter, begin without one"}
	}
	c := make(cursor)
	for b = b[head:]; len(b) > 0; {
		p, n := binary.Uvarint(b)
		at, m := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || m <= 0 || p > 1<<20 || at > 1<<62 {
			return nil, &CursorError{"the cursor is cut off: take it from the page before as it is, or leave it out to begin anew"}
		}
		c[int32(p)], b = int64(at), b[n+m:]
	}
	return c, nil
}
