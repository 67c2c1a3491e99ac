package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is a Directory in Redis, with its Lives and Census. It is safe for
// concurrent use.
type Redis struct {
	*Client
	lease, sweepAfter time.Duration
	// entryTTL is when a user's hash expires that nobody writes again; the index of
	// a life lives on for twice that.
	entryTTL time.Duration
}

var (
	_ Directory = (*Redis)(nil)
	_ Lives     = (*Redis)(nil)
	_ Census    = (*Redis)(nil)
)

// NewRedis makes a directory. The client is the caller's to close.
func NewRedis(client *Client, c Config) *Redis {
	const refreshes = 3
	return &Redis{Client: client, lease: c.Lease, sweepAfter: c.SweepAfter, entryTTL: refreshes * c.Refresh}
}

// Begin implements Lives.
func (r *Redis) Begin(ctx context.Context, node string, prior Life) (Life, error) {
	if !validNode(node) {
		return Life{}, fmt.Errorf("beginning a life of node %q: %w", node, errNodeID)
	}
	var before string
	if prior.Number != 0 && prior.Node == node {
		before = prior.String()
	}
	answer, err := r.one(ctx, r.scripts.begin, r.keys.lives(), node, r.lease.Milliseconds(), before, prior.till).StringSlice()
	if err != nil {
		return Life{}, fmt.Errorf("beginning a life of node %s: %w", node, err)
	}
	life := Life{Node: node}
	if len(answer) == 2 {
		life.Number, err = strconv.ParseUint(answer[0], 10, 64)
		if err == nil {
			life.till, err = strconv.ParseInt(answer[1], 10, 64)
		}
	}
	if len(answer) != 2 || err != nil {
		return Life{}, fmt.Errorf("beginning a life of node %s: answer %q is no life", node, answer)
	}
	return life, nil
}

// Hold implements Lives.
func (r *Redis) Hold(ctx context.Context, life Life) (_ Life, lapsed bool, err error) {
	answer, err := r.one(ctx, r.scripts.hold, r.keys.lives(), life.String(), life.Node, r.lease.Milliseconds(), life.till).StringSlice()
	if err != nil {
		return life, false, fmt.Errorf("renewing the lease of %s: %w", life, err)
	}
	if len(answer) != 2 {
		return life, false, fmt.Errorf("renewing the lease of %s: answer %q is no lease", life, answer)
	}
	switch answer[0] {
	case "held", "lapsed":
		if life.till, err = strconv.ParseInt(answer[1], 10, 64); err != nil {
			return life, false, fmt.Errorf("renewing the lease of %s: %w", life, err)
		}
		return life, answer[0] == "lapsed", nil
	case "superseded":
		return life, false, fmt.Errorf("renewing the lease of %s: %w", life, ErrSuperseded)
	default:
		return life, false, fmt.Errorf("renewing the lease of %s: %w", life, ErrLost)
	}
}

// Release implements Lives.
func (r *Redis) Release(ctx context.Context, life Life) error {
	if err := r.one(ctx, r.scripts.release, r.keys.lives(), life.String(), life.till).Err(); err != nil {
		return fmt.Errorf("ending %s: %w", life, err)
	}
	return nil
}

// Bind implements Directory.
func (r *Redis) Bind(ctx context.Context, life Life, sessions []Session) ([]Bound, error) {
	bound := make([]Bound, len(sessions))
	var errs firstError
	for from := 0; from < len(sessions); from += batch {
		to := min(from+batch, len(sessions))
		if err := r.index(ctx, life, sessions[from:to]); err != nil {
			errs.add(err)
			continue
		}
		errs.add(r.enter(ctx, life, sessions[from:to], bound[from:to]))
	}
	return bound, errs.error
}

// index writes that a life has entries, before it has.
func (r *Redis) index(ctx context.Context, life Life, sessions []Session) error {
	const fixed = 2
	args := make([]any, fixed, fixed+len(sessions))
	args[0], args[1] = life.till, (2 * r.entryTTL).Milliseconds()
	for _, s := range sessions {
		args = append(args, s.member())
	}
	done, err := r.one(ctx, r.scripts.index, r.keys.sessions(life.String()), args...).Int()
	if err != nil {
		return fmt.Errorf("indexing entries of %s: %w", life, err)
	}
	if done == 0 {
		return fmt.Errorf("indexing entries of %s: %w", life, ErrLate)
	}
	return nil
}

// enter writes the entries.
func (r *Redis) enter(ctx context.Context, life Life, sessions []Session, bound []Bound) error {
	calls := make([]call, len(sessions))
	name := life.String()
	for i, s := range sessions {
		calls[i] = call{script: r.scripts.enter, key: r.keys.user(s.User), args: []any{
			life.till, r.entryTTL.Milliseconds(), life.Node, field(name, s.Epoch), s.value(),
		}}
	}
	r.run(ctx, calls)
	var errs firstError
	for i, s := range sessions {
		done, err := calls[i].answer.Int()
		if err == nil && done == 0 {
			err = ErrLate
		}
		if err != nil {
			errs.add(fmt.Errorf("entering a session of user %q: %w", s.User, err))
			continue
		}
		bound[i] = BoundAgain
		if done > 1 {
			bound[i] = BoundNew
		}
	}
	return errs.error
}

// Unbind implements Directory.
func (r *Redis) Unbind(ctx context.Context, life Life, sessions []Session) ([]bool, error) {
	gone := make([]bool, len(sessions))
	var errs firstError
	for from := 0; from < len(sessions); from += batch {
		to := min(from+batch, len(sessions))
		errs.add(r.leave(ctx, life.String(), sessions[from:to], gone[from:to]))
	}
	return gone, errs.error
}

// leave removes entries, and only then what the index says of them.
func (r *Redis) leave(ctx context.Context, life string, sessions []Session, gone []bool) error {
	calls := make([]call, len(sessions))
	for i, s := range sessions {
		calls[i] = call{script: r.scripts.leave, key: r.keys.user(s.User), args: []any{field(life, s.Epoch)}}
	}
	r.run(ctx, calls)
	var errs firstError
	members := make([]any, 0, len(sessions))
	for i, s := range sessions {
		if err := calls[i].answer.Err(); err != nil {
			errs.add(fmt.Errorf("removing an entry of user %q: %w", s.User, err))
			continue
		}
		gone[i] = true
		members = append(members, s.member())
	}
	if len(members) == 0 {
		return errs.error
	}
	// Should this fail, sweeping the life finds nothing where it looks for them.
	if err := r.rdb.SRem(ctx, r.keys.sessions(life), members...).Err(); err != nil {
		errs.add(fmt.Errorf("removing entries from the index of %s: %w", life, err))
	}
	return errs.error
}

// Lookup implements Directory.
func (r *Redis) Lookup(ctx context.Context, users []string) []Found {
	found := make([]Found, len(users))
	for from := 0; from < len(users); from += batch {
		to := min(from+batch, len(users))
		r.lookup(ctx, users[from:to], found[from:to])
	}
	return found
}

// lookup reads entries and leases in one round trip, the leases last. On a cluster
// that is not sure to be the order: there, an entry of a life that is not known to
// hold makes it ask again.
func (r *Redis) lookup(ctx context.Context, users []string, found []Found) {
	pipe := r.rdb.Pipeline()
	answers := make([]*redis.MapStringStringCmd, len(users))
	for i, u := range users {
		answers[i] = pipe.HGetAll(ctx, r.keys.user(u))
	}
	lives := []call{{script: r.scripts.live, key: r.keys.lives()}}
	lives[0].answer = pipe.EvalSha(ctx, r.scripts.live.Hash(), []string{r.keys.lives()})
	send(ctx, pipe)
	r.teach(ctx, lives)
	held, err := lifeSet(lives[0].answer)
	for i, a := range answers {
		found[i] = parseUser(users[i], a) //nolint:gosec // G602: there is an answer for each user
	}
	if r.cluster && slices.ContainsFunc(found, func(f Found) bool { return len(f.Entries) != len(f.held(held)) }) {
		held, err = lifeSet(r.one(ctx, r.scripts.live, r.keys.lives()))
	}
	for i, f := range found {
		if err != nil && len(f.Entries) > 0 {
			found[i] = Found{Err: fmt.Errorf("looking up user %q: reading which nodes' leases hold: %w", f.Entries[0].User, err)}
			continue
		}
		found[i].Entries = f.held(held)
	}
}

// parseUser understands what is entered for a user.
func parseUser(user string, answer *redis.MapStringStringCmd) Found {
	all, err := answer.Result()
	if err == nil && all == nil {
		err = errors.New("there was no answer") // It must not pass for an empty one: that means offline.
	}
	if err != nil {
		return Found{Err: fmt.Errorf("looking up user %q: %w", user, err)}
	}
	var found Found
	for f, v := range all {
		if e, ok := parseEntry(user, f, v); ok {
			found.Entries = append(found.Entries, e)
		}
	}
	return found
}

// lifeSet understands which lives hold.
func lifeSet(answer *redis.Cmd) (map[string]bool, error) {
	names, err := answer.StringSlice()
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says of whom
	}
	all := make(map[string]bool, len(names))
	for _, n := range names {
		all[n] = true
	}
	return all, nil
}

// held returns the entries whose lives are in a set.
func (f Found) held(lives map[string]bool) []Entry {
	var held []Entry
	for _, e := range f.Entries {
		if lives[Life{Node: e.Node, Number: e.Life}.String()] {
			held = append(held, e)
		}
	}
	return held
}

// Missing implements Census.
func (r *Redis) Missing(ctx context.Context, life Life, sessions []Session) ([]Session, error) {
	pipe := r.rdb.Pipeline()
	answers := make([]*redis.BoolCmd, len(sessions))
	for i, s := range sessions {
		answers[i] = pipe.HExists(ctx, r.keys.user(s.User), field(life.String(), s.Epoch))
	}
	send(ctx, pipe)
	var missing []Session
	var errs firstError
	for i, s := range sessions {
		there, err := answers[i].Result()
		if err != nil {
			errs.add(fmt.Errorf("looking for the entry of user %q: %w", s.User, err))
		} else if !there {
			missing = append(missing, s)
		}
	}
	return missing, errs.error
}

// Indexed implements Census.
func (r *Redis) Indexed(ctx context.Context, life Life, cursor uint64) ([]Session, uint64, error) {
	members, next, err := r.rdb.SScan(ctx, r.keys.sessions(life.String()), cursor, "", batch).Result()
	if err != nil {
		return nil, 0, fmt.Errorf("reading the index of %s: %w", life, err)
	}
	sessions := make([]Session, 0, len(members))
	for _, m := range members {
		if s, ok := parseMember(m); ok {
			sessions = append(sessions, s)
		}
	}
	return sessions, next, nil
}

// sweepLock bounds how long others wait for a sweeper that has died. Two at a time
// do no harm, only the work twice.
const sweepLock = 10 * time.Second

// Sweep implements Lives.
func (r *Redis) Sweep(ctx context.Context, limit int) (removed int, more bool, err error) {
	token := rand.Text()
	switch err := r.rdb.SetArgs(ctx, r.keys.sweeper(), token, redis.SetArgs{Mode: "NX", TTL: sweepLock}).Err(); {
	case errors.Is(err, redis.Nil):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("taking the sweeper's lock: %w", err)
	}
	defer func() { _ = r.one(ctx, r.scripts.unlock, r.keys.sweeper(), token).Err() }() // Else it expires.
	ended, err := r.one(ctx, r.scripts.claim, r.keys.lives(), r.sweepAfter.Milliseconds()).StringSlice()
	if err != nil {
		return 0, false, fmt.Errorf("looking for lives to sweep: %w", err)
	}
	for _, name := range ended {
		for {
			n, all, err := r.sweepSome(ctx, name)
			removed += n
			if err != nil {
				return removed, false, err
			}
			if all {
				break
			}
			if removed >= limit {
				return removed, true, nil
			}
		}
		if err := r.one(ctx, r.scripts.forget, r.keys.lives(), name).Err(); err != nil {
			return removed, false, fmt.Errorf("forgetting %s: %w", name, err)
		}
	}
	return removed, false, nil
}

// sweepSome removes a batch of entries of a life; all says that none is left.
func (r *Redis) sweepSome(ctx context.Context, name string) (removed int, all bool, err error) {
	members, err := r.rdb.SRandMemberN(ctx, r.keys.sessions(name), batch).Result()
	if err != nil {
		return 0, false, fmt.Errorf("reading the index of %s: %w", name, err)
	}
	sessions := make([]Session, 0, len(members))
	var strange []any
	for _, m := range members {
		if s, ok := parseMember(m); ok {
			sessions = append(sessions, s)
		} else {
			strange = append(strange, m) // Nobody here wrote it; it names no entry.
		}
	}
	if len(strange) > 0 {
		if err := r.rdb.SRem(ctx, r.keys.sessions(name), strange...).Err(); err != nil {
			return 0, false, fmt.Errorf("sweeping the index of %s: %w", name, err)
		}
	}
	gone := make([]bool, len(sessions))
	if err := r.leave(ctx, name, sessions, gone); err != nil {
		return 0, false, fmt.Errorf("sweeping %s: %w", name, err)
	}
	return len(sessions), len(members) < batch, nil
}

// firstError keeps the first of several errors.
type firstError struct{ error }

func (f *firstError) add(err error) {
	if f.error == nil {
		f.error = err
	}
}
