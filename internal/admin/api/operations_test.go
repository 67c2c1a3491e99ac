package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/admin/jobs"
	"pushgate/internal/operations"
)

const patience = 10 * time.Second

// endless keeps operations going until they are told to end.
func (r *rig) endless() {
	r.parts.mu.Lock()
	defer r.parts.mu.Unlock()
	r.parts.work = func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
}

// replay starts a replay, and returns its id.
func (r *rig) replay() string {
	r.t.Helper()
	a := r.post("/v1/dead-letters/replay", `{"filter":{},"dry_run":false,"by":"alice"}`)
	require.Equal(r.t, http.StatusAccepted, a.code, a.text)
	id, ok := a.body["id"].(string)
	require.True(r.t, ok, a.text)
	return id
}

// becomes waits until an operation is in that state.
func (r *rig) becomes(id string, want operations.State) {
	r.t.Helper()
	var last string
	require.Eventually(r.t, func() bool {
		a := r.get("/v1/operations/" + id)
		last = a.text
		return a.body["state"] == string(want)
	}, patience, time.Millisecond, "%s: %s", want, &last)
}

func TestAnOperationGoesOnWhenItsRequestHasEndedAndCanBeCancelled(t *testing.T) {
	r := newRig(t)
	r.endless()
	id := r.replay()
	assert.Equal(t, "running", r.get("/v1/operations/" + id).body["state"])
	a := r.post("/v1/operations/"+id+"/cancel", `{"by":"bob"}`)
	require.Equal(t, http.StatusAccepted, a.code, a.text)
	r.becomes(id, operations.Cancelled)
	require.Eventually(t, func() bool { return r.post("/v1/operations/"+id+"/cancel", `{}`).code == http.StatusConflict }, patience, time.Millisecond, "it does not run any more")
}

func TestAnOperationOfAnotherNodeIsCancelledThroughTheRecord(t *testing.T) {
	r := newRig(t)
	r.parts.write(operation("elsewhere", operations.Running))
	a := r.post("/v1/operations/elsewhere/cancel", `{"by":"bob"}`)
	require.Equal(t, http.StatusAccepted, a.code, a.text)
	assert.Equal(t, [2]string{"elsewhere", "bob (operator)"}, r.parts.last())
	assert.Equal(t, http.StatusNotFound, r.post("/v1/operations/none/cancel", ``).code)
}

func TestANodeThatLeavesInterruptsItsReplayInOrderAndAnotherResumesIt(t *testing.T) {
	r := newRig(t)
	runner := jobs.New(jobs.Params{Most: 2, Logger: r.log})
	leaving := r.on(runner)
	leaving.endless()
	id := leaving.replay()

	ctx, drain := context.WithCancel(t.Context())
	drain()
	require.NoError(t, runner.Run(ctx)) // returns when the replay has ended
	leaving.parts.mu.Lock()
	state := leaving.parts.record[id].State
	leaving.parts.mu.Unlock()
	assert.Equal(t, operations.Interrupted, state)
	a := leaving.post("/v1/dead-letters/replay", `{"filter":{},"dry_run":false}`)
	assert.Equal(t, http.StatusServiceUnavailable, a.code, a.text)
	assert.Equal(t, "ask another node", a.body["hint"])

	r.becomes(r.replay(), operations.Done) // the same order, at a node that stays
}

func TestNoMoreOperationsRunOnANodeThanMay(t *testing.T) {
	r := newRig(t)
	r.endless()
	r.replay()
	last := r.replay()
	a := r.post("/v1/dead-letters/replay", `{"filter":{},"dry_run":false}`)
	assert.Equal(t, http.StatusTooManyRequests, a.code, a.text)
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	assert.Equal(t, http.StatusAccepted, r.post("/v1/operations/"+last+"/cancel", ``).code)
	r.becomes(last, operations.Cancelled)
	require.Eventually(t, func() bool {
		return r.post("/v1/dead-letters/replay", `{"filter":{},"dry_run":false}`).code == http.StatusAccepted
	}, patience, time.Millisecond)
}
