package pushgatejs_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// event is what a device tells: test/device.mjs.
type event struct {
	Kind   string  `json:"kind"` // message, frame, state, error
	ID     string  `json:"id"`
	Text   string  `json:"text"`
	Name   string  `json:"name"` // of a state
	Code   int     `json:"code"`
	Reason string  `json:"reason"`
	Delay  float64 `json:"delay"`
	Final  bool    `json:"final"`
}

func (e event) String() string {
	switch e.Kind {
	case "state":
		switch e.Name {
		case "closed":
			return fmt.Sprintf("closed %d final=%t", e.Code, e.Final)
		case "waiting":
			return "waiting " + e.Reason
		default:
			return e.Name
		}
	default:
		return e.Kind + " " + e.ID
	}
}

// device is a client, and all it has told.
type device struct {
	t *testing.T
	// do evaluates JavaScript with the device in sight.
	do func(script string)

	mu     sync.Mutex
	events []event
}

// take is told what the device tells.
func (d *device) take(line string) {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		e = event{Kind: "error", Text: line}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

func (d *device) told() []event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

// ids are those of the events of a kind, in order.
func (d *device) ids(kind string) []string {
	var ids []string
	for _, e := range d.told() {
		if e.Kind == kind {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// story is what was told from an event on, messages and frames left out.
func (d *device) story(from int) []string {
	var lines []string
	for _, e := range d.told()[from:] {
		if e.Kind == "state" || e.Kind == "error" {
			lines = append(lines, e.String())
		}
	}
	return lines
}

// await waits until something was told at or after from, and returns the index of the
// event after it.
func (d *device) await(from int, want string) int {
	d.t.Helper()
	found := -1
	require.Eventually(d.t, func() bool {
		for i, e := range d.told() {
			if i >= from && strings.HasPrefix(e.String(), want) {
				found = i
				return true
			}
		}
		return false
	}, patience, 10*time.Millisecond, "not told: %s", want)
	return found + 1
}

// expectAll waits until all messages were handled, and holds that none was twice.
func (d *device) expectAll(ids []string) {
	d.t.Helper()
	var missing []string
	assert.Eventually(d.t, func() bool {
		handled := d.ids("message")
		missing = missing[:0]
		for _, id := range ids {
			if !slices.Contains(handled, id) {
				missing = append(missing, id)
			}
		}
		return len(missing) == 0
	}, patience, 20*time.Millisecond)
	require.Empty(d.t, missing, "told: %v", d.told())
	handled := d.ids("message")
	slices.Sort(handled)
	want := slices.Clone(ids)
	slices.Sort(want)
	require.Equal(d.t, want, handled, "each once")
}

func numbered(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return ids
}
