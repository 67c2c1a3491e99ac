package repeats

import (
	"encoding/binary"
	"hash/maphash"

	"pushgate/internal/push"
)

// Key stands for one message among those of its user. It is the same for each
// offering of the message.
//
// Two messages must not share one: the second would be reported delivered and
// lost. An id alone does not tell messages apart, because producers use ids
// again: to send again, and by mistake. So a key has the time the message was
// first written, which travels with it from offering to offering, as it is, and a
// hash of what its client is shown, the payload included. The time does not do
// without the hash: Kafka stamps all records of a batch with the same
// millisecond. Nor does it with one of the id only, when a producer gives the same
// id to all.
//
// So two messages of one user can be confused only when both were first written
// in the same millisecond, differ in something, and have the same hash of 64 bits,
// made with a seed that nobody outside the process knows. Whatever the hash is
// worth, messages of different milliseconds are never confused. With a uniform
// one, which Go's comes close to (its runtime's tests hold it to SMHasher's
// measures), a message is compared with at most the n keys remembered of its user:
// the probability is at most n/2^64, 3.5e-18 with the 64 of the default, were all
// of them of the same millisecond. A million such messages a second would lose one
// in nine thousand years. The checksum that guards a batch in Kafka has 32 bits.
type Key struct {
	seen int64 // Unix milliseconds: what Kafka's timestamps and the audit count in
	hash uint64
}

// Key returns the key of m by this window; another window has others. m.Data must
// still be there. Allocates nothing; its time grows with the payload.
func (w *Window) Key(m *push.Message) Key {
	var h maphash.Hash
	h.SetSeed(w.seed)
	for _, text := range [...]string{m.ID, m.Type, m.Source, m.ContentType} {
		number(&h, uint64(len(text))) // where one ends and the next begins
		_, _ = h.WriteString(text)    // never fails, says maphash
	}
	number(&h, uint64(m.Time.UnixNano()))
	_, _ = h.Write(m.Data)
	return Key{seen: m.FirstSeen.UnixMilli(), hash: h.Sum64()}
}

func number(h *maphash.Hash, n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	_, _ = h.Write(b[:])
}
