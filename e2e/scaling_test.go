package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scalingVariable, set to table, has what each routing costs measured at length.
const scalingVariable = "PUSHGATE_E2E_SCALING"

// scaling is what is measured: each number of nodes at each rate, with each routing.
type scaling struct {
	nodes, rates []int
	rounds       int
	during, idle time.Duration
}

// TestWhatEachRoutingCosts measures CPU for each message delivered, of the nodes, of
// Kafka and of Redis. In any case it shows what is the reason of the difference: how
// often each request is read by gateways.
func TestWhatEachRoutingCosts(t *testing.T) {
	s := scaling{nodes: []int{3}, rates: []int{500}, rounds: 1, during: 2 * time.Second, idle: time.Second}
	if os.Getenv(scalingVariable) == "table" {
		s = scaling{nodes: []int{1, 3, 5}, rates: []int{200, 2000}, rounds: 3, during: 6 * time.Second, idle: 4 * time.Second}
	}
	brokers := realBroker(t)
	all := make(map[cell][]cost)
	for range s.rounds {
		for _, n := range s.nodes {
			for _, targeted := range []bool{false, true} {
				s.measure(t, brokers, n, targeted, all)
			}
		}
	}
	report(t, table(s, all)...)
}

// cell of the table.
type cell struct {
	nodes, rate int
	targeted    bool
}

// cost is CPU, in microseconds for each message delivered beyond what is used at rest;
// and what is used at rest, in milliseconds a second.
type cost struct {
	node, kafka, redis             float64
	nodeRest, kafkaRest, redisRest float64
	reads                          float64 // by gateways, for each message delivered
	p50, p99                       float64 // milliseconds from being due to arriving
}

func (s scaling) measure(t *testing.T, brokers []string, nodes int, targeted bool, all map[cell][]cost) {
	t.Helper()
	d := deployBy(t, brokers, targeted)
	usual := func(env map[string]string) {
		env["PUSHGATE_LOG_LEVEL"] = "info"
		for _, key := range []string{"PUSHGATE_DELIVERY_COMMIT_INTERVAL", "PUSHGATE_CUSTODY_COMMIT_INTERVAL", "PUSHGATE_DELIVERY_RECEIPT_INTERVAL"} {
			delete(env, key)
		}
	}
	var list []*node
	for i := range nodes {
		list = append(list, d.start("n"+strconv.Itoa(i), usual))
	}
	for _, n := range list {
		n.ready(30 * time.Second)
	}
	if targeted {
		require.True(t, poll(20*time.Second, func() bool {
			return !slices.ContainsFunc(list, func(n *node) bool { return !n.isCalled() })
		}))
	}
	wait(time.Second)
	before := takeUse(t, list)
	wait(s.idle)
	rest := before.until(takeUse(t, list))
	for _, rate := range s.rates {
		at := cell{nodes, rate, targeted}
		all[at] = append(all[at], s.load(t, d, list, rate, rest))
	}
	for _, n := range list {
		n.kill()
	}
}

// load loads the nodes at a rate, and measures in the middle of it.
func (s scaling) load(t *testing.T, d *deployment, nodes []*node, rate int, rest use) cost {
	t.Helper()
	const users, settled = 1000, 3 * time.Second
	args := []string{
		"bench", "--users", strconv.Itoa(users), "--rate", strconv.Itoa(rate), "--connect-rate", "2000",
		"--warm-up", (settled / 2).String(), "--duration", (s.during + settled).String(), "--output", "json",
	}
	for _, n := range nodes {
		args = append(args, "--url", "ws://"+n.gateway)
	}
	bench := run(t, "bench", d.env(), args...)
	require.True(t, poll(20*time.Second, func() bool { return delivered(nodes) > 0 && sessions(nodes) == users }))
	wait(settled)
	before := takeUse(t, nodes)
	wait(s.during)
	u := before.until(takeUse(t, nodes))
	require.Zero(t, bench.exit(time.Minute), bench.out.String())

	var result struct {
		Lost    int64 `json:"lost"`
		Latency struct {
			P50 float64 `json:"p50_ms"`
			P99 float64 `json:"p99_ms"`
		} `json:"latency"`
	}
	require.NoError(t, json.Unmarshal([]byte(bench.out.String()), &result), bench.out.String())
	assert.Zero(t, result.Lost)
	require.Positive(t, u.delivered)
	each := func(used, atRest time.Duration) float64 {
		return float64((used - time.Duration(float64(atRest)*u.took.Seconds()/rest.took.Seconds())).Microseconds()) / u.delivered
	}
	restOf := func(used time.Duration) float64 { return float64(used.Microseconds()) / 1000 / rest.took.Seconds() }
	return cost{
		node: each(u.nodes, rest.nodes), kafka: each(u.kafka, rest.kafka), redis: each(u.redis, rest.redis),
		nodeRest: restOf(rest.nodes), kafkaRest: restOf(rest.kafka), redisRest: restOf(rest.redis),
		reads: u.reads / u.delivered, p50: result.Latency.P50, p99: result.Latency.P99,
	}
}

func delivered(nodes []*node) float64 { return total(nodes, "pushgate_delivered_total") }

func sessions(nodes []*node) int { return int(total(nodes, "pushgate_users")) }

func total(nodes []*node, metric string) (sum float64) {
	for _, n := range nodes {
		sum += n.metric(metric)
	}
	return sum
}

// use is CPU used, and messages handled, up to a moment or between two.
type use struct {
	nodes, kafka, redis time.Duration
	delivered, reads    float64
	at                  time.Time
	took                time.Duration
}

func takeUse(t *testing.T, nodes []*node) use {
	t.Helper()
	u := use{
		kafka: cpuOfChildren(t, "java"), redis: cpuOfChildren(t, "redis-server"),
		delivered: delivered(nodes), reads: total(nodes, "pushgate_requests_read_total"), at: time.Now(),
	}
	for _, n := range nodes {
		u.nodes += cpuOf(t, strconv.Itoa(n.cmd.Process.Pid))
	}
	return u
}

func (u use) until(v use) use {
	return use{
		nodes: v.nodes - u.nodes, kafka: v.kafka - u.kafka, redis: v.redis - u.redis,
		delivered: v.delivered - u.delivered, reads: v.reads - u.reads, took: v.at.Sub(u.at),
	}
}

// cpuOfChildren adds up what processes of a name have used that this one has started.
func cpuOfChildren(t *testing.T, name string) (sum time.Duration) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, e := range entries {
		if comm, parent, _ := stat(e.Name()); comm == name && parent == os.Getpid() {
			sum += cpuOf(t, e.Name())
		}
	}
	return sum
}

func cpuOf(t *testing.T, pid string) time.Duration {
	t.Helper()
	_, _, used := stat(pid)
	return used
}

// stat reads what Linux tells of a process in /proc/PID/stat: its name, its parent,
// and its CPU time, which is counted in hundredths of a second. Of one that is gone,
// nothing.
func stat(pid string) (name string, parent int, used time.Duration) {
	b, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return "", 0, 0
	}
	text := string(b)
	from, to := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if from < 0 || to < 0 {
		return "", 0, 0
	}
	fields := strings.Fields(text[to+1:]) // from the third of proc_pid_stat(5) on
	const ppid, utime, stime, hundredth = 1, 11, 12, 10 * time.Millisecond
	if len(fields) <= stime {
		return "", 0, 0
	}
	parent, _ = strconv.Atoi(fields[ppid])
	user, _ := strconv.Atoi(fields[utime])
	system, _ := strconv.Atoi(fields[stime])
	return text[from+1 : to], parent, time.Duration(user+system) * hundredth
}

// table is what was measured, the median of the rounds.
func table(s scaling, all map[cell][]cost) []string {
	lines := []string{
		"| nodes | messages/s | routing | nodes, us | Kafka, us | Redis, us | together, us | reads | p50, ms | p99, ms | at rest: nodes, Kafka, Redis, ms/s |",
		"| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
	}
	for _, n := range s.nodes {
		for _, rate := range s.rates {
			for _, targeted := range []bool{false, true} {
				c := all[cell{n, rate, targeted}]
				of := func(f func(cost) float64) float64 { return medianOf(c, f) }
				routing := "broadcast"
				if targeted {
					routing = "targeted"
				}
				lines = append(lines, fmt.Sprintf("| %d | %d | %s | %.0f | %.0f | %.0f | %.0f | %.2f | %.2f | %.1f | %.0f, %.0f, %.0f |", n, rate, routing,
					of(func(c cost) float64 { return c.node }), of(func(c cost) float64 { return c.kafka }), of(func(c cost) float64 { return c.redis }),
					of(func(c cost) float64 { return c.node + c.kafka + c.redis }), of(func(c cost) float64 { return c.reads }),
					of(func(c cost) float64 { return c.p50 }), of(func(c cost) float64 { return c.p99 }),
					of(func(c cost) float64 { return c.nodeRest }), of(func(c cost) float64 { return c.kafkaRest }), of(func(c cost) float64 { return c.redisRest })))
			}
		}
	}
	return lines
}

func medianOf(costs []cost, f func(cost) float64) float64 {
	values := make([]float64, len(costs))
	for i, c := range costs {
		values[i] = f(c)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
