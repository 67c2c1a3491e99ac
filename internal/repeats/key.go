package repeats

import (
	"encoding/binary"
	"hash/maphash"

	"pushgate/internal/push"
)

// Key stands for one message of one user. It is the same for each offering of the
// message.
//
// Two messages must not share one: the second would be reported delivered and
// lost. An id alone does not tell messages apart, because producers use ids
// again: to send again, and by mistake. So a key has the time the message was
// first written, which travels with it from offering to offering, as it is, and a
// hash of its user and of what its client is shown, the payload included. The time
// does not do without the hash: Kafka stamps all records of a batch with the same
// millisecond. Nor does it with one of the id only, when a producer gives the same
// id to all.
//
// So two messages can be confused only when both were first written in the same
// millisecond, differ in something, and have the same hash of 64 bits, made with a
// seed that nobody outside the process knows. Whatever the hash is worth, messages of
// different milliseconds are never confused. With a uniform one, which Go's comes close
// to (its runtime's tests hold it to SMHasher's measures), the hashes of two messages
// are the same with a probability of 2^-64 for each part in which they differ, and once
// more for the whole: at most 8 times. A message is compared with at most the n keys
// remembered of its user: at most 8n/2^64, 2.8e-17 with the 64 of the default, were all
// of them of the same millisecond. A million such messages a second would lose one
// in a thousand years. The checksum that guards a batch in Kafka has 32 bits.
type Key struct {
	user    uint64 // a hash: where the keys of the user are kept
	message message
}

// message is what is remembered of a message.
type message struct {
	seen int64 // Unix milliseconds: what Kafka's timestamps and the audit count in
	hash uint64
}

// Key returns the key of m by this window; another window has others. m.Data must
// still be there. Allocates nothing; its time grows with the payload.
func (w *Window) Key(m *push.Message) Key {
	const word, parts = 8, 7
	var b [parts * word]byte
	for i, n := range [parts]uint64{
		maphash.String(w.seed, m.User), maphash.String(w.seed, m.ID), maphash.String(w.seed, m.Type), maphash.String(w.seed, m.Source),
		maphash.String(w.seed, m.ContentType), uint64(m.Time.UnixNano()), maphash.Bytes(w.seed, m.Data),
	} {
		binary.LittleEndian.PutUint64(b[i*word:], n)
	}
	// With another seed: users whose messages are kept in one place still have others.
	return Key{user: maphash.String(w.place, m.User), message: message{seen: m.FirstSeen.UnixMilli(), hash: maphash.Bytes(w.seed, b[:])}}
}
