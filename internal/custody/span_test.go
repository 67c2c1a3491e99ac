package custody_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// day is a partition whose users are away for seconds to days, with one gateway
// and a retry log that is kept whole.
type day struct {
	m        *custody.Machine
	now      time.Time
	rng      *rand.Rand
	requests []custody.Request
	receipts int64
	retry    []dayRecord
	online   map[string]bool
	returns  map[int][]string // users by the second at which they are back
	second   int
	rewrites int
}

type dayRecord struct {
	ends bool
	wait custody.Restored
}

func (d *day) receipt(r push.Receipt) {
	r.Node, r.Epoch, r.ReadThrough = "A", 1, int64(len(d.requests))
	d.m.Receipt(d.receipts, &r)
	d.receipts++
}

// request writes a request, which is read at once. Its user gets it if online.
func (d *day) request(r custody.Request) int64 {
	r.Offset = int64(len(d.requests))
	d.requests = append(d.requests, r)
	d.m.Request(r)
	d.m.RequestsRead(r.Offset + 1)
	if d.online[r.User] {
		d.receipt(push.Receipt{Delivered: []int64{r.Offset}})
	}
	return r.Offset
}

func (d *day) carryOut() {
	for actions := d.m.Actions(); len(actions) > 0; actions = d.m.Actions() {
		for _, a := range actions {
			d.m.Done(a.ID, d.write(a))
		}
	}
}

// write makes an action durable and says where.
func (d *day) write(a custody.Action) int64 {
	r := d.requests[a.Origin]
	switch a.Kind {
	case custody.Offer:
		r.Attempt, r.EndsWait = a.Attempt, push.NoWait
		if a.FromRetry {
			r.EndsWait = a.Origin
		}
		return d.request(r)
	case custody.MakeWait:
		if a.FromRetry {
			d.rewrites++
		}
		d.retry = append(d.retry, dayRecord{wait: custody.Restored{User: r.User, Type: r.Type, Wait: push.Wait{
			Lineage: push.Lineage{Attempt: a.Attempt, Expires: r.Expires}, Origin: a.Origin, Reason: a.Reason, Due: a.Due,
		}}})
	case custody.EndWait:
		d.retry = append(d.retry, dayRecord{ends: true, wait: custody.Restored{Wait: push.Wait{Origin: a.Origin}}})
	case custody.DeadLetter, custody.MoveHome, custody.WriteOutcome:
		return 0
	}
	return int64(len(d.retry) - 1)
}

// pass lets a second pass: some messages come, some users go or are back.
func (d *day) pass(users int) {
	d.now = d.now.Add(time.Second)
	d.second++
	for _, user := range d.returns[d.second] {
		d.online[user] = true
		d.receipt(push.Receipt{Connected: []push.Binding{{User: user, Type: push.AllTypes}}})
		d.carryOut()
	}
	delete(d.returns, d.second)
	if d.second%4 == 0 {
		user := fmt.Sprint("user-", d.rng.IntN(users))
		d.request(custody.Request{User: user, Type: "order", Attempt: 1, EndsWait: push.NoWait, Expires: d.now.Add(72 * time.Hour), Size: 300})
	}
	if n := d.rng.IntN(users); d.second%2 == 0 && d.online[fmt.Sprint("user-", n)] {
		user := fmt.Sprint("user-", n)
		d.online[user] = false
		away := 600 // seconds at most
		if n%10 == 0 {
			away = 40 * 60 * 60
		}
		back := d.second + 1 + d.rng.IntN(away)
		d.returns[back] = append(d.returns[back], user)
	}
	d.receipt(push.Receipt{})
	d.m.Advance(d.now, true)
	d.carryOut()
}

func TestAfterADayWhatATakeoverReadsIsAtMostFourTimesWhatWaits(t *testing.T) {
	for _, recheck := range []time.Duration{15 * time.Minute, 24 * time.Hour} {
		t.Run(recheck.String(), func(t *testing.T) { aDay(t, recheck) })
	}
}

// aDay lets a day pass. What waits is offered again at each recheck, which writes
// it anew, too; with a rare one only the bound on the span does.
func aDay(t *testing.T, recheck time.Duration) {
	const users, leastSpan, bound = 300, 1000, 4
	d := &day{
		now: noon, rng: rand.New(rand.NewPCG(1, 1)), online: map[string]bool{}, returns: map[int][]string{},
	}
	p := policy()
	p.Custody.OfflineRecheck = recheck
	d.m = custody.NewMachine(custody.Start{Policy: p, Now: d.now})
	d.receipt(push.Receipt{Presence: push.Announce})
	for i := range users {
		d.online[fmt.Sprint("user-", i)] = true
	}
	d.m.Restored()
	most := 0.0
	for range 24 * 60 * 60 {
		d.pass(users)
		s := d.m.Stats()
		if s.RetrySpan > leastSpan {
			most = max(most, float64(s.RetrySpan)/float64(s.Waiting))
			require.LessOrEqual(t, s.RetrySpan, int64(bound*s.Waiting), "after %d seconds: %+v", d.second, s)
		}
	}
	s := d.m.Stats()
	t.Logf("%d messages wait; %d records in the retry log, %d of them waits that were written anew; a takeover reads %d, at most %.1f times what waited",
		s.Waiting, len(d.retry), d.rewrites, s.RetrySpan, most)
	assert.Greater(t, s.Waiting, 500)
	assert.Greater(t, len(d.retry), bound*s.Waiting, "the log has grown beyond what waits")
	d.succeed(t, p)
}

// succeed has a successor read what it has to.
func (d *day) succeed(t *testing.T, p custody.Policy) {
	t.Helper()
	start := d.m.Positions().Retry
	again := custody.NewMachine(custody.Start{Policy: p, Now: d.now, Retry: start})
	for at := start; at < int64(len(d.retry)); at++ {
		r := d.retry[at]
		if r.ends {
			again.RestoreEnd(r.wait.Origin)
		} else {
			r.wait.At = at
			again.RestoreWait(r.wait)
		}
	}
	again.RetryRead(int64(len(d.retry)))
	assert.Equal(t, d.m.Stats().Waiting, again.Stats().Waiting, "a successor finds all that waits")
	assert.Equal(t, d.m.Stats().RetrySpan, again.Stats().RetrySpan)
}
