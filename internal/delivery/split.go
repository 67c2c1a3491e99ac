package delivery

import (
	"slices"

	"pushgate/internal/push"
)

// What one receipt says at most, so that it stays below a mebibyte, which is what brokers
// take of a record. There is more after the broker was away, and after a restart of
// another node, whose sessions come over all at once.
const (
	maxListed    = 20_000 // offsets: 20 bytes each at the very most, two or three as a rule
	maxConnected = 1000   // sessions: half a mebibyte with the longest user ids and types
)

// split makes as many receipts of one as are needed. They say the same words in the same
// order. Only when all offsets are listed is anything said of how far was read, and of
// sessions, which count from there: before that it would be taken as evidence that what
// is still to be listed is not here.
func split(r push.Receipt) []push.Receipt {
	var parts []push.Receipt
	for len(r.Delivered)+len(r.Held)+len(r.Queued)+len(r.Failed) > maxListed {
		part := push.Receipt{Node: r.Node, Epoch: r.Epoch, Called: r.Called}
		r.Presence, part.Presence = later(r.Presence)
		room := maxListed
		part.Delivered, r.Delivered = divide(r.Delivered, &room)
		part.Held, r.Held = divide(r.Held, &room)
		part.Queued, r.Queued = divide(r.Queued, &room)
		part.Failed, r.Failed = divide(r.Failed, &room)
		parts = append(parts, part)
	}
	for len(r.Connected) > maxConnected {
		part := r
		r.Presence, part.Presence = later(r.Presence)
		part.Connected, r.Connected = r.Connected[:maxConnected], r.Connected[maxConnected:]
		r.Delivered, r.Held, r.Queued, r.Failed = nil, nil, nil, nil
		parts = append(parts, part)
	}
	return append(parts, r)
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

// join undoes split, also after the parts were encoded.
func join(parts []push.Receipt) push.Receipt {
	r := parts[len(parts)-1]
	r.Presence = max(r.Presence, parts[0].Presence)
	r.Delivered, r.Held, r.Queued, r.Failed, r.Connected = nil, nil, nil, nil, nil
	for _, p := range parts {
		r.Delivered = slices.Concat(r.Delivered, p.Delivered)
		r.Held = slices.Concat(r.Held, p.Held)
		r.Queued = slices.Concat(r.Queued, p.Queued)
		r.Failed = slices.Concat(r.Failed, p.Failed)
		r.Connected = slices.Concat(r.Connected, p.Connected)
	}
	return r
}
