package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"pushgate/e2e/apachekafka"
	"pushgate/internal/audit"
	"pushgate/internal/directory/redistest"
	"pushgate/internal/freeport"
)

// rig is three brokers, some gateways that are custodians, too, and a crowd.
// The last gateway reaches the brokers by proxies; there is a proxy in front of
// each gateway that some users can be led through.
type rig struct {
	t     *testing.T
	ctx   context.Context
	kafka *apachekafka.Cluster
	redis *redistest.Server // nil where the routing is broadcast
	d     *deployment
	nodes []*node
	*crowd
	plan plan

	detours, doors   []*toxiproxy.Proxy
	direct, byDoors  way
	addresses, names []string
	rows             []row
}

// plan is how much, and how long.
type plan struct {
	gateways, users, rate int
	// calm is how long the load runs before and after each fault, down how long
	// what was killed stays away, silence how long what was stopped or cut off
	// does not answer: longer than kafka.session_timeout and custody.window.
	calm, down, silence time.Duration
	// away is how long users who leave are away at most.
	away time.Duration
	// patience is how long after a fault everything may take to arrive.
	patience time.Duration
}

func newRig(t *testing.T, p plan) (*rig, bool) {
	t.Helper()
	dir := ""
	if keep := os.Getenv(keepVariable); keep != "" {
		dir = filepath.Join(keep, "kafka")
		require.NoError(t, os.MkdirAll(dir, 0o750))
	}
	cluster, ok := apachekafka.Run(t, apachekafka.Params{Nodes: 3, Detour: true, Dir: dir})
	if !ok {
		return nil, false
	}
	r := &rig{t: t, ctx: t.Context(), kafka: cluster, plan: p}
	if !r.deploy() {
		return nil, false
	}
	var topics []string
	for _, name := range []string{"requests", "retry", "dead-letter", "receipts", "outcomes"} {
		topics = append(topics, r.d.topic(name))
	}
	require.NoError(t, cluster.InSync(t.Context(), topics...))
	const each = 3 // addresses of a gateway
	for _, port := range freeport.Ports(t, each*p.gateways) {
		r.addresses = append(r.addresses, freeport.At(port))
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for i, detour := range cluster.Detours() {
		r.detours = append(r.detours, r.proxy(server, fmt.Sprint("broker-", i), detour.Listen, detour.Forward))
	}
	for i := range p.gateways {
		r.names = append(r.names, string(rune('a'+i)))
		r.nodes = append(r.nodes, r.d.start(r.names[i], r.settings(i)...))
		gateway, door := r.addresses[each*i], r.addresses[each*i+2]
		r.nodes[i].gateway, r.nodes[i].admin = gateway, r.addresses[each*i+1]
		r.direct.entrances = append(r.direct.entrances, gateway)
		r.byDoors.entrances = append(r.byDoors.entrances, door)
		r.doors = append(r.doors, r.proxy(server, "door-"+r.names[i], door, gateway))
	}
	for _, n := range r.nodes {
		n.ready(time.Minute)
		require.True(t, poll(time.Minute, func() bool { return n.isCalled() == n.called }), "%s reads", n.id)
	}
	return r, true
}

// deploy makes the topics, and starts a directory where the routing asks for one.
func (r *rig) deploy() bool {
	r.t.Helper()
	durable := kgo.RequiredAcks(kgo.AllISRAcks())
	if os.Getenv(routingVariable) != "targeted" {
		r.d = deployWith(r.t, r.kafka.Addresses(), nil, durable)
		return true
	}
	var ok bool
	if r.redis, ok = single(r.t); ok {
		r.d = deployOn(r.t, r.kafka.Addresses(), directoryOn(r.redis), durable)
	}
	return ok
}

// proxy leads from one address to another, until the test ends.
func (r *rig) proxy(server *toxiproxy.ApiServer, name, listen, forward string) *toxiproxy.Proxy {
	r.t.Helper()
	p := toxiproxy.NewProxy(server, name, listen, forward)
	require.NoError(r.t, p.Start())
	r.t.Cleanup(p.Stop)
	return p
}

// settings of a gateway: those a node is shipped with, except for where things
// are, and a drain that does not take half a minute.
func (r *rig) settings(i int) []func(map[string]string) {
	const each = 3
	return []func(map[string]string){
		func(env map[string]string) {
			own := r.d.env()
			for key := range env {
				if _, ok := own[key]; !ok && key != "PUSHGATE_NODE_ID" {
					delete(env, key)
				}
			}
			if i == r.plan.gateways-1 {
				var brokers []string
				for _, d := range r.kafka.Detours() {
					brokers = append(brokers, d.Listen)
				}
				env["PUSHGATE_KAFKA_BROKERS"] = strings.Join(brokers, ",")
			}
		},
		with("PUSHGATE_GATEWAY_LISTEN", r.addresses[each*i]),
		with("PUSHGATE_ADMIN_LISTEN", r.addresses[each*i+1]),
		with("PUSHGATE_DRAIN_TIMEOUT", "5s"),
	}
}

// again starts a gateway that has ended; it does not wait for it.
func (r *rig) again(i int) {
	r.t.Helper()
	r.nodes[i] = r.nodes[i].again(r.d, r.settings(i)...)
}

// load has the crowd connect, and the producer begin.
func (r *rig) load() {
	r.t.Helper()
	r.crowd = gather(r.t, r.d, r.plan.users, r.plan.away, r.direct.entrances)
	const most = 0.8 // some are away on purpose
	require.True(r.t, poll(time.Minute, func() bool { return r.connected() > int(most*float64(r.plan.users)) }), "users connect")
	r.produce(r.t, r.plan.rate)
}

// fault is something that is done to the deployment.
type fault struct {
	name string
	// strikes is how often it hits: repeats are stated for each.
	strikes int
	do      func(r *rig)
}

// row is what is known after a fault.
type row struct {
	sum
	name    string
	strikes int
	took    time.Duration
	to      int64 // the first message of the next row
	ledger  audit.Ledger
}

// strike does something to the deployment under load, and waits until all that
// was written since the last row has arrived.
func (r *rig) strike(f fault) row {
	r.t.Helper()
	began, from := time.Now(), int64(0)
	if len(r.rows) > 0 {
		from = r.rows[len(r.rows)-1].to
	}
	wait(r.plan.calm)
	struck := time.Now()
	f.do(r)
	over, took := r.now(), time.Since(struck)
	wait(r.plan.calm)
	to := r.handed.Load()
	settled := poll(r.plan.patience, func() bool { return r.arrived(from, to) })
	result := row{name: f.name, strikes: f.strikes, took: took, sum: r.sum(from, to, over), to: to}
	result.ledger = r.audit(began)
	r.rows = append(r.rows, result)
	r.t.Logf("%s (%d repeats from another gateway)", result, result.elsewhere)
	if result.last > 0 {
		late := r.entry(result.late)
		r.t.Logf("the last one: message %d to %s, attempt %d, accepted %s s before the fault's end",
			result.late, r.people[late.user].user, late.attempt.Load(), seconds(time.Duration(over-late.accepted.Load())))
	}
	assert.True(r.t, settled, "%s: not everything has arrived %s after it", f.name, r.plan.patience)
	assert.Zero(r.t, result.lost, "%s: lost, among others %v", f.name, result.missing)
	assert.Empty(r.t, result.ledger.Unexplained, "%s: unexplained", f.name)
	assert.Zero(r.t, r.foreign.Load(), "%s: messages reached another user", f.name)
	return result
}

// audit has the program add up what became of the messages since then.
func (r *rig) audit(since time.Time) audit.Ledger {
	r.t.Helper()
	p := run(r.t, "audit", r.d.env(), "audit", "--since", since.Format(time.RFC3339Nano), "--output", "json")
	code := p.exit(2 * time.Minute)
	var l audit.Ledger
	err := json.NewDecoder(strings.NewReader(p.out.String())).Decode(&l)
	assert.NoError(r.t, err, "the audit said, with exit code %d:\n%s", code, tail(p.out.String(), 4000))
	return l
}

// complete ends the producer, and has the whole ledger agree with what was
// accepted and seen.
func (r *rig) complete() {
	r.t.Helper()
	r.hush()
	to := r.handed.Load()
	assert.True(r.t, poll(r.plan.patience, func() bool { return r.arrived(0, to) }), "not everything has arrived")
	all := r.sum(0, to, to)
	assert.Zero(r.t, all.lost, "lost, among others %v", all.missing)
	assert.Zero(r.t, r.refused.Load(), "refused by the brokers")
	var l audit.Ledger
	assert.True(r.t, poll(time.Minute, func() bool {
		l = r.audit(r.began)
		return l.UnderWay+l.Waiting == 0
	}), "the ledger never comes to rest")
	assert.Empty(r.t, l.Unexplained, "unexplained")
	assert.True(r.t, poll(time.Minute, func() bool {
		answered := 0
		for _, n := range r.nodes {
			answered += answersFor(n)
		}
		return answered == partitions
	}), "a partition has no custodian")
	assert.Equal(r.t, all.accepted, l.Messages, "messages by the ledger")
	assert.Equal(r.t, all.accepted, l.Delivered, "delivered by the ledger")
	r.t.Logf("in all: %d messages accepted, %d lost, %d repeats seen; by the ledger %d messages, %d delivered, %d expired, %d dead, %d unexplained, %d offerings, %d repeats",
		all.accepted, all.lost, all.repeats, l.Messages, l.Delivered, l.Expired, l.DeadLettered, len(l.Unexplained), l.Offerings, l.Repeats)
}

func (r row) String() string {
	each := "–"
	if r.strikes > 0 {
		each = fmt.Sprint((r.repeats + r.strikes/2) / r.strikes)
	}
	return fmt.Sprintf("| %s | %d s | %d | %d | %d | %s | %s s | %s s | %d |", r.name, int(r.took.Seconds()+0.5), r.accepted, r.lost,
		r.repeats, each, seconds(r.longest), seconds(r.last), len(r.ledger.Unexplained))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

// report writes a table where the variable says, for documents.
func report(t *testing.T, lines ...string) {
	t.Helper()
	if path := os.Getenv(reportVariable); path != "" {
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	}
}

func (r *rig) table() []string {
	lines := []string{
		"| fault | lasts | messages | lost | repeats | per strike | longest until seen | last one after the fault's end | unexplained |",
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
	}
	for _, one := range r.rows {
		lines = append(lines, one.String())
	}
	return lines
}
