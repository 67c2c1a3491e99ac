package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/e2e/apachekafka"
	"pushgate/internal/freeport"
	"pushgate/internal/kafka/embedded"
)

// ownKafka starts a cluster for one test, which may kill its nodes.
func ownKafka(t *testing.T, nodes int) (*apachekafka.Cluster, bool) {
	t.Helper()
	return apachekafka.Run(t, apachekafka.Params{Nodes: nodes})
}

func TestKillingTheOnlyBrokerLosesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, targeted bool) {
		c, ok := ownKafka(t, 1)
		if !ok {
			return
		}
		d := deployBy(t, c.Addresses(), targeted)
		a, b := d.node("a"), d.node("b")
		load := startLoad(t, d, 20, a, b)
		load.during(2*time.Second, func() {
			require.NoError(t, c.Kill(0))
			require.True(t, poll(15*time.Second, func() bool { return a.notReady("kafka") }), "readiness says so")
			require.False(t, poll(6*time.Second, a.isReady), "and goes on saying so")
			require.NoError(t, c.Restart(t.Context(), 0))
			a.ready(60 * time.Second)
			b.ready(60 * time.Second)
		})
		load.complete(60 * time.Second)
		assert.Equal(t, 1, strings.Count(a.out.String(), "kafka unreachable"), "an outage is one line")
		assert.Equal(t, 1, strings.Count(a.out.String(), "kafka reachable again"))
	})
}

func TestKillingOneOfThreeBrokersAfterTheOtherLosesNothing(t *testing.T) {
	c, ok := ownKafka(t, 3)
	if !ok {
		return
	}
	d := deploy(t, c.Addresses())
	a, b := d.node("a"), d.node("b")
	load := startLoad(t, d, 20, a, b)
	load.during(time.Second, func() {
		for i := range 3 {
			require.NoError(t, c.Kill(i))
			wait(2 * time.Second)
			require.NoError(t, c.Restart(t.Context(), i))
			wait(2 * time.Second)
		}
	})
	load.complete(60 * time.Second)
}

func TestANodeThatStartsBeforeItsBrokerWaitsForIt(t *testing.T) {
	address := freeport.Address(t)
	d := &deployment{t: t, brokers: []string{address}, prefix: "early."}
	n := d.start("a")
	require.True(t, poll(10*time.Second, func() bool { return n.notReady("kafka") }), "alive, not ready, and it says why")
	code, _, err := get(t.Context(), "http://"+n.admin+"/livez")
	require.NoError(t, err)
	assert.Equal(t, 200, code)
	assert.Equal(t, 503, refusedWith(t, "ws://"+n.gateway+"/websocket/all/42"))

	broker, err := embedded.Start(t.Context(), embedded.Config{Listen: address})
	require.NoError(t, err)
	defer func() { _ = broker.Close() }()
	apply := run(t, "topics", d.env(), "topics", "apply", "--partitions", fmt.Sprint(partitions))
	// The node may have found the topics missing before they were there, and
	// have refused to run, as it must; then it is started again.
	require.Zero(t, apply.exit(30*time.Second), apply.out.String())
	if !poll(10*time.Second, func() bool { return n.isReady() || n.over() }) || n.over() {
		require.Contains(t, n.out.String(), "pushgate topics apply")
		n = n.again(d)
	}
	n.ready(20 * time.Second)
	assert.Equal(t, 1, strings.Count(n.out.String(), "kafka unreachable"), "an outage is one line")
}

// developmentPlatform starts `pushgate dev` on its own addresses.
func developmentPlatform(t *testing.T, dir, kafka, gateway, admin string, more ...string) *node {
	t.Helper()
	args := append([]string{"dev", "--data-dir", dir, "--kafka-listen", kafka, "--gateway-listen", gateway, "--admin-listen", admin}, more...)
	p := run(t, "dev", map[string]string{"PUSHGATE_RETRY_BACKOFF_INITIAL": "100ms"}, args...)
	n := &node{process: p, id: "dev", gateway: gateway, admin: admin}
	n.ready(20 * time.Second)
	return n
}

func TestKillingTheDevelopmentPlatformLosesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, targeted bool) {
		dir, kafka, gateway, admin := t.TempDir(), freeport.Address(t), freeport.Address(t), freeport.Address(t)
		var routing []string
		if targeted {
			routing = []string{"--routing", "targeted", "--redis-listen", freeport.Address(t)}
		}
		n := developmentPlatform(t, dir, kafka, gateway, admin, routing...)
		d := (&deployment{t: t, brokers: []string{kafka}}).connectProducer()
		waiting, ids := messages("away", "w", 20)
		d.send(waiting...)
		load := startLoad(t, d, 10, n)
		load.during(time.Second, func() {
			require.True(t, poll(10*time.Second, func() bool { return n.isCalled() == targeted }))
			n.kill()
			began := time.Now()
			n = developmentPlatform(t, dir, kafka, gateway, admin, routing...)
			t.Logf("ready again after %s", time.Since(began).Round(time.Millisecond))
		})
		load.complete(30 * time.Second)
		connect(t, n, "away").waitFor(20*time.Second, ids...)
		n.signal(syscall.SIGINT)
		assert.Zero(t, n.exit(15*time.Second))
	})
}

// notReady says whether the node answers that the named check fails.
func (n *node) notReady(check string) bool {
	code, body, err := get(n.t.Context(), "http://"+n.admin+"/readyz")
	return err == nil && code == 503 && strings.Contains(body, fmt.Sprintf("%q:", check)) && !strings.Contains(body, fmt.Sprintf("%q:\"ok\"", check))
}

func (n *node) isReady() bool {
	code, _, err := get(n.t.Context(), "http://"+n.admin+"/readyz")
	return err == nil && code == 200
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
