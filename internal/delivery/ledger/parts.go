package ledger

import (
	"slices"

	"pushgate/internal/push"
)

// Most is what one receipt says at most.
type Most struct {
	// Offsets that are listed; 20 bytes each at the very most, two or three as a rule.
	Offsets int
	// Sessions that are named; with the longest user ids and types half a kilobyte each.
	Sessions int
}

// Parts makes as many receipts of one that was cut as are needed for none to say more
// than that. They are to be written in their order, and say the same words in the same
// order.
//
// What was not listed counts as not owned where the gateway has read beyond it, and so it
// does where the gateway has ceased to read. Therefore the parts before the lists are
// complete say nothing of how far was read, nor that nothing is read any more, unless
// that had been said before; and they name no sessions, whose Saw counts from there.
func (l *Ledger) Parts(r push.Receipt, most Most) []push.Receipt {
	l.mu.Lock()
	called := r.Called && l.saidCalled
	l.mu.Unlock()
	var parts []push.Receipt
	if listed(&r) > most.Offsets {
		for _, list := range [][]int64{r.Delivered, r.Held, r.Queued} {
			slices.Sort(list) // neighbours take less room together
		}
	}
	for listed(&r) > most.Offsets {
		part := push.Receipt{Node: r.Node, Epoch: r.Epoch, Called: called}
		r.Presence, part.Presence = later(r.Presence)
		room := most.Offsets
		part.Delivered, r.Delivered = divide(r.Delivered, &room)
		part.Held, r.Held = divide(r.Held, &room)
		part.Queued, r.Queued = divide(r.Queued, &room)
		part.Failed, r.Failed = divide(r.Failed, &room)
		parts = append(parts, part)
	}
	for len(r.Connected) > most.Sessions {
		part := r
		r.Presence, part.Presence = later(r.Presence)
		part.Connected, r.Connected = r.Connected[:most.Sessions], r.Connected[most.Sessions:]
		r.Delivered, r.Held, r.Queued, r.Failed = nil, nil, nil, nil
		parts = append(parts, part)
	}
	return append(parts, r)
}

func listed(r *push.Receipt) int {
	return len(r.Delivered) + len(r.Held) + len(r.Queued) + len(r.Failed)
}

// divide takes of a list what there is room for.
func divide[T any](list []T, room *int) (taken, rest []T) {
	n := min(len(list), *room)
	*room -= n
	return list[:n:n], list[n:]
}

// later keeps an announcement in the first part, and a goodbye in the last.
func later(p push.Presence) (next, first push.Presence) {
	if p == push.Goodbye {
		return push.Goodbye, push.Heartbeat
	}
	return push.Heartbeat, p
}

// Whole makes one receipt of its parts again, to be taken back (Uncut), also after they
// were encoded, which sorts their lists.
func Whole(parts []push.Receipt) push.Receipt {
	r := parts[len(parts)-1]
	r.Presence = max(r.Presence, parts[0].Presence)
	r.Delivered, r.Held, r.Queued, r.Failed, r.Connected = nil, nil, nil, nil, nil
	for _, p := range parts {
		r.Delivered = append(r.Delivered, p.Delivered...)
		r.Held = append(r.Held, p.Held...)
		r.Queued = append(r.Queued, p.Queued...)
		r.Failed = append(r.Failed, p.Failed...)
		r.Connected = append(r.Connected, p.Connected...)
	}
	return r
}
