package bench

import (
	"errors"
	"fmt"

	"pushgate/internal/push"
)

// TypeShare is a business type and the weight it has among all of them.
type TypeShare struct {
	Type  string
	Share float64
}

// defaultType is that of all messages when none is asked for.
const defaultType = "bench"

// mix tells the business type of a message by its number, so that those who send
// and those who receive need not tell each other.
type mix struct {
	upTo []uint64 // of a hash, by type; the last is the highest there is
}

func newMix(shares []TypeShare) mix {
	total, sum := 0.0, 0.0
	for _, s := range shares {
		total += s.Share
	}
	m := mix{upTo: make([]uint64, max(1, len(shares)))}
	const all = 1 << 32
	for i, s := range shares {
		sum += s.Share
		m.upTo[i] = uint64(sum / total * all)
	}
	m.upTo[len(m.upTo)-1] = all
	return m
}

// of returns which type a message has.
func (m mix) of(number int64) int {
	if len(m.upTo) == 1 {
		return 0
	}
	const half = 32
	h := scatter(uint64(number)) >> half //nolint:gosec // counted from 0
	for i, end := range m.upTo {
		if h < end {
			return i
		}
	}
	return len(m.upTo) - 1
}

// scatter spreads numbers that follow each other evenly (splitmix64).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func checkTypes(shares []TypeShare) error {
	const most = 16 // each has a recorder of its own
	if len(shares) > most {
		return fmt.Errorf("--type may be given %d times at most", most)
	}
	seen := make(map[string]bool)
	var errs []error
	for _, s := range shares {
		switch {
		case push.CheckType(s.Type) != nil:
			errs = append(errs, fmt.Errorf("--type %s: %w", s.Type, push.CheckType(s.Type)))
		case !(s.Share > 0 && s.Share <= 1e6): // not a number is refused, too
			errs = append(errs, fmt.Errorf("--type %s: its share must be above 0", s.Type))
		case seen[s.Type]:
			errs = append(errs, fmt.Errorf("--type %s is given twice", s.Type))
		}
		seen[s.Type] = true
	}
	return errors.Join(errs...)
}
