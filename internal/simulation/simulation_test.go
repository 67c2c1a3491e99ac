package simulation

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Variables of the environment: how many histories to play, from which seed on;
// and the one seed of which the whole story is to be told.
const (
	envHistories = "PUSHGATE_HISTORIES"
	envFrom      = "PUSHGATE_FROM"
	envSeed      = "PUSHGATE_SEED"
)

// fromEnv reads a number out of the environment.
func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text, ok := os.LookupEnv(name)
	if !ok || text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "%s must be a number", name)
	return n
}

func TestEveryHistoryKeepsEveryPromise(t *testing.T) {
	const few = 4000 // make simulate plays 100,000
	s := Search{From: fromEnv(t, envFrom, 0), Histories: fromEnv(t, envHistories, few), Workers: runtime.GOMAXPROCS(0)}
	began := time.Now()
	f, played := s.Run(t.Context())
	took := time.Since(began)
	if f != nil {
		t.Fatalf("after %d histories: %v\nthe whole story: %s=%d go test -run TestTheWholeStory -v ./internal/simulation", f.Seed-s.From+1, f, envSeed, f.Seed)
	}
	t.Logf("%d histories in %s, %.0f a second", played, took.Round(time.Millisecond), float64(played)/took.Seconds())
}

func TestTheWholeStoryOfASeedCanBeTold(t *testing.T) {
	f, story := Tell(fromEnv(t, envSeed, 1))
	if os.Getenv(envSeed) != "" {
		fmt.Fprintln(os.Stdout, strings.Join(story, "\n"))
	}
	assert.Greater(t, len(story), 20)
	if f != nil {
		t.Fatal(f)
	}
}

func TestASeedIsOneHistory(t *testing.T) {
	for seed := range uint64(100) {
		_, once := Tell(seed)
		_, again := Tell(seed)
		require.Equal(t, once, again, "seed %d", seed)
	}
}

func TestHistoriesContainWhateverCanGoWrong(t *testing.T) {
	var all strings.Builder
	for seed := range uint64(600) {
		_, story := Tell(seed)
		for _, line := range story {
			all.WriteString(line)
			all.WriteByte('\n')
		}
	}
	told := all.String()
	for _, what := range []string{
		"is killed", "is stopped", "does not read", "says goodbye", "dies before it has announced itself",
		"dies when it has announced itself on one partition", "no gateway says a word for six seconds",
		"A.2", "a clock steps", "learns of another partition", "the request topic has another partition",
		"takes over at requests", "is replaced, and goes on", "a write that was given up arrives", "a record is refused",
		"never reads again", "a receipt arrives once more, after the next one",
		"repeated, late, or by one who was replaced", "a receipt is written twice", "leaves at the sight of a later process",
		"says queued", "says held", "says delivered", "slow_consumer", "ack_timeout", "offline", "acknowledges late", "goes deaf",
		"make wait", "offer of", "end wait", "move home", "dead-letter", "expired", "exhausted", "overflow", "invalid", "too_large",
		"write outcome", "dead_lettered", "writes the message once more",
		"is called from now on", "reads from now on", "enters a session", "leaves an entry behind", "had lost its lease",
		"is away", "is emptied", "loses an entry", "has found a session", "is called, and has the user",
		"is called with it in vain", "in vain, as of its type", "fails: it is lost", "fails: the answer is lost", "fails: nobody is there",
		"fails: no answer", "fails: the gateway is gone", "has not that life", "a call that was given up arrives",
		"has nothing said of whom it enters",
	} {
		assert.Contains(t, told, what, "no history has it")
	}
}

func TestAStoryTellsWhatConcernsTheMessageAndLittleElse(t *testing.T) {
	s := &story{notes: []note{
		{who: "A.1", what: "has the user", message: 1, offset: 4},
		{who: "A.1", what: "has the user", message: 2, offset: 5},
		{who: "A.1", what: "a client connects", message: everybody, user: "ann", offset: -1},
		{who: "A.1", what: "a client connects", message: everybody, user: "bob", offset: -1},
		{who: "A.1", what: "is killed", message: everybody, offset: -1},
	}}
	lines := strings.Join(s.about(1, "ann"), "\n")
	assert.Equal(t, "  0.000s  A.1        has the user 0/4\n  0.000s  A.1        a client connects (ann)\n  0.000s  A.1        is killed", lines)
}
