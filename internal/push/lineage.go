package push

import (
	"bytes"
	"strconv"
	"time"
)

// Headers the platform writes. All are text; times are RFC 3339.
const (
	HeaderMessageID = "pushgate-id"
	HeaderAttempt   = "pushgate-attempt"
	HeaderFailures  = "pushgate-failures"
	// HeaderOrder: see Lineage.Order.
	HeaderOrder     = "pushgate-order"
	HeaderFirstSeen = "pushgate-first-seen"
	HeaderExpires   = "pushgate-expires"
	// HeaderMayRepeat: the message may be in the log a second time, because a
	// custodian died between writing it and the record of that.
	HeaderMayRepeat = "pushgate-may-repeat"
	// HeaderWait on a request: the wait (by its origin) this offering ends. On a
	// retry record: which wait it is or ends.
	HeaderWait   = "pushgate-wait"
	HeaderKind   = "pushgate-kind"
	HeaderReason = "pushgate-reason"
	HeaderDue    = "pushgate-due"

	HeaderError           = "pushgate-error"
	HeaderOriginTopic     = "pushgate-origin-topic"
	HeaderOriginPartition = "pushgate-origin-partition"
	HeaderOriginOffset    = "pushgate-origin-offset"
	HeaderDeadAt          = "pushgate-dead-at"
	HeaderNode            = "pushgate-node"

	// HeaderReplay on a request: see Replay. It stays with the message as what its
	// producer wrote does.
	HeaderReplay = "pushgate-replay"
)

// NoWait says that an offering came from no wait.
const NoWait int64 = -1

var platformPrefix = []byte("pushgate-")

// Lineage is what the platform knows of a message beyond what its producer
// wrote. It travels in headers from one offering to the next.
type Lineage struct {
	ID       string
	Attempt  int
	Failures int
	// Order, where the order of a user's messages is strict: the place of the message
	// in its home partition, the offset of its first record there counted from one.
	// 0 where it is not kept.
	Order     int64
	FirstSeen time.Time
	Expires   time.Time
	// MayRepeat: see HeaderMayRepeat.
	MayRepeat bool
}

// Lineage of the offering m.
func (m *Message) Lineage() Lineage {
	return Lineage{
		ID: m.ID, Attempt: m.Attempt, Failures: m.Failures, Order: m.Order,
		FirstSeen: m.FirstSeen, Expires: m.Expires, MayRepeat: m.MayRepeat,
	}
}

// OfferRecord makes the request that offers a message again, or that moves it to
// its user's home: what the producer wrote, with the lineage in headers. endsWait
// names the wait this offering ends, by its origin; NoWait if none. The result
// shares Key and Value with src.
func OfferRecord(src *Record, l Lineage, endsWait int64) Record {
	h := src.Headers.withoutPlatform()
	l.addTo(&h)
	if endsWait >= 0 {
		h.AddText(HeaderWait, strconv.FormatInt(endsWait, 10))
	}
	return Record{Key: src.Key, Value: src.Value, Headers: h}
}

func (l Lineage) addTo(h *Headers) {
	h.AddText(HeaderMessageID, l.ID)
	h.AddText(HeaderAttempt, strconv.Itoa(l.Attempt))
	if l.Failures > 0 {
		h.AddText(HeaderFailures, strconv.Itoa(l.Failures))
	}
	if l.Order > 0 {
		h.AddText(HeaderOrder, strconv.FormatInt(l.Order, 10))
	}
	if l.MayRepeat {
		h.AddText(HeaderMayRepeat, "true")
	}
	h.addTime(HeaderFirstSeen, l.FirstSeen)
	h.addTime(HeaderExpires, l.Expires)
}

func (h *Headers) addTime(key string, t time.Time) {
	if !t.IsZero() {
		h.AddText(key, t.UTC().Format(time.RFC3339Nano))
	}
}

// withoutPlatform copies the headers a producer wrote, and the mark of a replay.
func (h Headers) withoutPlatform() Headers {
	kept := Headers{raw: make([]byte, 0, len(h.raw)+192)}
	for key, value := range h.All() {
		if !bytes.HasPrefix(key, platformPrefix) || string(key) == HeaderReplay {
			kept.Add(string(key), value)
		}
	}
	return kept
}
