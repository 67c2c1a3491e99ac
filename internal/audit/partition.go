package audit

import (
	"context"
	"time"

	"pushgate/internal/push"
)

// account is what is known of one message.
type account struct {
	offset    int64 // of an offering of it that is not explained yet
	delivered int
	state     state
	// foreign: the user's home is another partition.
	foreign bool
}

// state is the furthest a message has come; a greater one wins.
type state uint8

const (
	unexplained state = iota
	underWay
	waiting
	expired
	deadLettered
	delivered
)

// evidence is what the other topics say of a partition's requests.
type evidence struct {
	delivered map[int64]int
	open      map[int64]bool // origins of waits: true while they wait
	dead      map[identity]state
	deadAt    map[int64]state // by the offset the dead letter was made from
}

func (a *auditor) partition(ctx context.Context, number int32) error {
	s, err := a.find(ctx, number)
	if err != nil {
		return err
	}
	e := evidence{
		delivered: make(map[int64]int), open: make(map[int64]bool),
		dead: make(map[identity]state), deadAt: make(map[int64]state),
	}
	if err := a.gather(ctx, number, s, &e); err != nil {
		return err
	}
	accounts := make(map[identity]*account)
	err = a.each(ctx, a.Topics.Requests, number, s.requests, func(rec *push.Record) error {
		a.offering(rec, number, s.settled, &e, accounts)
		return nil
	})
	if err != nil {
		return err
	}
	for id, one := range accounts {
		a.enter(number, id, one)
	}
	return nil
}

// gather reads what became of the requests.
func (a *auditor) gather(ctx context.Context, number int32, s spans, e *evidence) error {
	err := a.each(ctx, a.Topics.Retry, number, s.retry, func(rec *push.Record) error {
		if entry, err := push.ParseRetry(rec); err == nil {
			e.open[entry.Origin] = !entry.Ends
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = a.each(ctx, a.Topics.DeadLetter, number, s.dead, func(rec *push.Record) error {
		d, err := push.ParseDeadLetter(rec)
		if err != nil {
			return nil //nolint:nilerr // what is no dead letter explains nothing
		}
		fate := deadLettered
		if d.Reason == push.TimeToLive {
			fate = expired
		}
		e.dead[identity{d.User, d.ID, d.FirstSeen.UnixMilli()}] = fate
		if d.OriginTopic == a.Topics.Requests && d.OriginPartition == number {
			e.deadAt[d.OriginOffset] = fate
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.each(ctx, a.Topics.Receipts, number, s.receipts, func(rec *push.Record) error {
		r, err := push.DecodeReceipt(rec.Value)
		if err != nil {
			return nil //nolint:nilerr // what is no receipt explains nothing
		}
		for _, offset := range r.Delivered {
			e.delivered[offset]++
		}
		return nil
	})
}

// offering enters one record of the request topic.
func (a *auditor) offering(rec *push.Record, number int32, settled int64, e *evidence, accounts map[identity]*account) {
	m, invalid := push.ParseRequest(rec, a.Topics.Requests, a.Limits)
	_, came := rec.Headers.Get(push.HeaderMessageID) // a custodian wrote it
	if rec.Time.After(a.Until) && !came {
		return
	}
	a.ledger.Offerings++
	id := identity{string(rec.Key), m.ID, m.FirstSeen.UnixMilli()}
	at, times := a.stateOf(rec, &m, id, settled, e)
	atHome := invalid != nil || push.Home(rec.Key, a.partitions) == number
	if atHome && came && m.EndsWait == push.NoWait {
		a.arrived[id] = true
	}
	one := accounts[id]
	if one == nil {
		one = &account{}
		accounts[id] = one
	}
	one.foreign = !atHome
	one.delivered += times
	if at == unexplained {
		one.offset = rec.Offset
	}
	one.state = max(one.state, at)
}

// stateOf says what became of one offering, and how often it was delivered. One
// that was offered again is explained by the later offering of the same message.
func (a *auditor) stateOf(rec *push.Record, m *push.Message, id identity, settled int64, e *evidence) (state, int) {
	if n := e.delivered[rec.Offset]; n > 0 {
		return delivered, n
	}
	if fate := max(e.deadAt[rec.Offset], e.dead[id]); fate != unexplained {
		return fate, 0
	}
	switch {
	case e.open[rec.Offset]:
		return waiting, 0
	case rec.Offset >= settled:
		return underWay, 0
	case a.DropExpired && !time.Now().Before(m.Expires):
		return expired, 0
	}
	return unexplained, 0
}

// enter adds a message to the ledger.
func (a *auditor) enter(number int32, id identity, one *account) {
	if one.foreign && one.state == unexplained {
		a.ledger.Rehomed++
		a.moved[id] = moved{number, one.offset}
		return
	}
	a.ledger.Messages++
	a.ledger.Repeats += max(one.delivered-1, 0)
	switch one.state {
	case delivered:
		a.ledger.Delivered++
	case deadLettered:
		a.ledger.DeadLettered++
	case expired:
		a.ledger.Expired++
	case waiting:
		a.ledger.Waiting++
	case underWay:
		a.ledger.UnderWay++
	case unexplained:
		a.ledger.Unexplained = append(a.ledger.Unexplained, Unexplained{
			ID: id.id, User: id.user, Partition: number, Offset: one.offset, Written: time.UnixMilli(id.firstSeen),
		})
	}
}
