package push

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Replay says that a message died, and that an operator gave it another life.
type Replay struct {
	// Count of the lives it was given, the present one included.
	Count int
	// Reason for which the life before ended.
	Reason Reason
	// Operation that gave it this one.
	Operation string
}

// Again says whether a life that ended for a reason ended as the one before did: to
// replay such a letter once more would most likely lead to another one like it.
func (r Replay) Again(reason Reason) bool { return r.Count > 0 && r.Reason == reason }

func (r Replay) text() string { return fmt.Sprintf("%d %s %s", r.Count, r.Reason, r.Operation) }

// parseReplay reads a mark into r, and says what is wrong with it.
func parseReplay(value []byte, r *Replay) string {
	fields := strings.Fields(string(value))
	if len(fields) == 3 {
		count, err := strconv.Atoi(fields[0])
		reason, unknown := ParseReason(fields[1])
		if err == nil && unknown == nil && count > 0 && count <= maxCount {
			*r = Replay{Count: count, Reason: reason, Operation: fields[2]}
			return ""
		}
	}
	return fmt.Sprintf("%s %q is not written as a count, a reason and the id of an operation", HeaderReplay, clip(value))
}

// ReplayRecord makes the request that gives a dead letter another life: what its
// producer wrote, under its old id, with the mark of the replay. Its time to live
// begins anew at now; it is ttl, or with 0 as long as it was at first. Attempts are
// counted from the beginning. operation is without white space. The result shares
// Key and Value with letter.
func ReplayRecord(letter *Record, d *DeadLetter, operation string, ttl time.Duration, now time.Time) Record {
	h := Headers{}
	for key, value := range letter.Headers.withoutPlatform().All() {
		if string(key) != HeaderReplay {
			h.Add(string(key), value)
		}
	}
	h.AddText(HeaderMessageID, d.ID)
	if ttl <= 0 {
		ttl = d.Expires.Sub(d.FirstSeen)
	}
	if ttl > 0 {
		h.addTime(HeaderExpires, now.Add(ttl))
	}
	h.AddText(HeaderReplay, Replay{Count: min(d.Replay.Count+1, maxCount), Reason: d.Reason, Operation: operation}.text())
	return Record{Key: letter.Key, Value: letter.Value, Headers: h}
}
