package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// capacityVariable, set to table, has what a node carries measured at length. Otherwise
// the same is done in small, to see that nothing is lost by it.
const capacityVariable = "PUSHGATE_E2E_CAPACITY"

// capacity is how much is done to find out what a node carries.
type capacity struct {
	rounds      int
	saturated   []delivering
	bare        bool // send(2) is measured beside, which takes a program of its own
	users       int  // of the usual load
	during      time.Duration
	foreign     int   // requests for users of others
	connections []int // idle ones
	encrypted   int   // of those with TLS
	idle        time.Duration
	rate        int // a second, of the usual load
	storm       storm
	held        int // connections of each of two nodes
}

// delivering is to so many users, by way of so many partitions.
type delivering struct{ users, partitions int }

// roundsVariable says how often each figure is measured; the table has the median.
const roundsVariable = "PUSHGATE_E2E_ROUNDS"

func ofCapacity(t *testing.T) capacity {
	t.Helper()
	if os.Getenv(capacityVariable) == "table" {
		rounds := 5
		if text := os.Getenv(roundsVariable); text != "" {
			n, err := strconv.Atoi(text)
			require.NoError(t, err, roundsVariable)
			rounds = max(n, 1)
		}
		return capacity{
			rounds: rounds, saturated: []delivering{{1000, 4}, {10_000, 1}, {10_000, 4}, {10_000, 24}}, users: 10_000, bare: true,
			during: 8 * time.Second, foreign: 4_000_000,
			connections: []int{1000, 10_000, 15_000, 19_000}, encrypted: 10_000, idle: 60 * time.Second, rate: 5000,
			storm: storm{connects: 10_000, within: 10 * time.Second, returning: 10_000, each: 10, slow: 1000}, held: 18_000,
		}
	}
	return capacity{
		rounds: 1, saturated: []delivering{{100, 4}}, users: 100, during: time.Second, foreign: 10_000,
		connections: []int{200}, encrypted: 100, idle: 2 * time.Second, rate: 300,
		storm: storm{connects: 300, within: time.Second, returning: 100, each: 10, slow: 20}, held: 200,
	}
}

// TestWhatANodeCarries measures what docs/performance.md tells of. It fails where a
// message is lost or a connection cannot be had; figures are read by people.
func TestWhatANodeCarries(t *testing.T) {
	c := ofCapacity(t)
	var lines []string
	part := func(name string, measure func(t *testing.T) []string) {
		t.Run(name, func(t *testing.T) {
			found := measure(t)
			lines = append(append(append(lines, "", "## "+name, ""), found...), "")
			report(t, lines...) // each part takes many minutes: what was measured is kept
			t.Log(fmt.Sprintln(found))
		})
	}
	part("deliveries at saturation", c.delivering)
	part("latency", c.latency)
	part("requests of others", c.dropping)
	part("idle connections", c.idling)
	part("connections of two nodes", c.holding)
	part("storms", c.storms)
	part("slow clients", c.slowClients)
}

// delivering measures the CPU of a gateway that has a core for itself, and finds more
// than it can deliver: it is stopped now and then.
func (c capacity) delivering(t *testing.T) []string {
	lines := []string{
		"| users | partitions | CPU of the gateway, us a message | messages a second | send(2) alone, us a frame | Conn, of its throughput |",
		"| ---: | ---: | ---: | ---: | ---: | ---: |",
	}
	for _, to := range c.saturated {
		var micros, rates, bare, ratio []float64
		for range c.rounds {
			if c.bare {
				b, conn := coldUnicast(t)
				bare, ratio = append(bare, b/1000), append(ratio, b/conn)
			}
			r := c.saturate(t, to)
			micros, rates = append(micros, r.Nodes[0].CPUMicros), append(rates, r.Rate)
		}
		lines = append(lines, cells(to.users, to.partitions, middle(micros...), int(middle(rates...)), middle(bare...), middle(ratio...)))
	}
	return lines
}

func (c capacity) saturate(t *testing.T, to delivering) benched {
	t.Helper()
	d := deployOver(t, to.partitions, realBroker(t), nil)
	n := d.node("n", asShipped, with("GOMAXPROCS", "1"))
	defer n.kill()
	load := d.load([]*node{n}, "--users", strconv.Itoa(to.users), "--rate", "0", "--in-flight", "100000", "--no-ack-protocol",
		"--warm-up", "2s", "--duration", c.during.String())
	const gatewayCore, restCore = 1, 0
	pinTo(t, gatewayCore, n.pid())
	pinTo(t, restCore, append(brokerPids(t), load.cmd.Process.Pid)...)
	defer func() { unpin(t, brokerPids(t)...) }()
	for ended := false; !ended; {
		select {
		case <-load.ended:
			ended = true
		case <-time.After(c.during / 8):
			n.asleep(c.during / 16)
		}
	}
	return load.result(time.Minute)
}

// latency measures how long messages take at a rate that leaves the machine room. Apache
// Kafka takes more of two cores than all else: the embedded broker is measured, too.
func (c capacity) latency(t *testing.T) []string {
	lines := []string{
		"| broker | messages a second | clients | p50, ms | p99, ms | longest, ms | CPU of the gateway, us a message |",
		"| --- | ---: | --- | ---: | ---: | ---: | ---: |",
	}
	for _, load := range []struct {
		brokers    func(*testing.T) []string
		rate       int
		acks, name string
	}{
		{realBroker, c.rate / 5, "do not", "Apache Kafka"},
		{realBroker, c.rate / 5, "acknowledge", "Apache Kafka"},
		{realBroker, c.rate, "do not", "Apache Kafka"},
		{realBroker, c.rate, "acknowledge", "Apache Kafka"},
		{embeddedBroker, c.rate, "do not", "embedded"},
		{embeddedBroker, c.rate, "acknowledge", "embedded"},
	} {
		var p50, p99, longest, micros []float64
		for range c.rounds {
			d := deploy(t, load.brokers(t))
			n := d.node("n", asShipped)
			args := []string{
				"--users", strconv.Itoa(c.users), "--rate", strconv.Itoa(load.rate), "--warm-up", c.during.String(), "--duration", (2 * c.during).String(),
			}
			if load.acks == "do not" {
				args = append(args, "--no-ack-protocol")
			}
			r := d.load([]*node{n}, args...).result(2 * time.Minute)
			n.kill()
			p50, p99, longest = append(p50, r.Latency.P50), append(p99, r.Latency.P99), append(longest, r.Latency.Max)
			micros = append(micros, r.Nodes[0].CPUMicros)
		}
		lines = append(lines, cells(load.name, load.rate, load.acks, middle(p50...), middle(p99...), middle(longest...), middle(micros...)))
	}
	return lines
}

// dropping measures what a gateway spends on requests for users of other gateways, which
// wait in the log.
func (c capacity) dropping(t *testing.T) []string {
	lines := []string{
		"| requests read and dropped | batches | CPU of the whole process for each, us | a CPU-second |", "| ---: | --- | ---: | ---: |",
	}
	for _, batches := range []struct {
		are   string
		codec kgo.CompressionCodec
	}{{"as they are", kgo.NoCompression()}, {"snappy", kgo.SnappyCompression()}} {
		var micros []float64
		for range c.rounds {
			d := deploy(t, realBroker(t))
			n := d.node("n", asShipped, gatewayOnly, with("GOMAXPROCS", "1"))
			n.signal(syscall.SIGSTOP)
			before := n.cpu()
			d.flood(c.foreign, batches.codec)
			n.signal(syscall.SIGCONT)
			require.True(t, poll(time.Minute, func() bool { return int(n.metric("pushgate_requests_dropped_total")) == c.foreign }))
			micros = append(micros, float64((n.cpu()-before).Microseconds())/float64(c.foreign))
			n.kill()
		}
		lines = append(lines, cells(c.foreign, batches.are, middle(micros...), int(1e6/max(middle(micros...), 1e-3))))
	}
	return lines
}

// flood writes usual requests for users who are nowhere, as fast as it goes.
func (d *deployment) flood(count int, codec kgo.CompressionCodec) {
	d.t.Helper()
	const users = 100_000
	client, err := kgo.NewClient(kgo.SeedBrokers(d.brokers...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(50_000), kgo.ProducerBatchCompression(codec))
	require.NoError(d.t, err)
	defer client.Close()
	data := payload(256)
	for i := range count {
		r := d.record(message{id: strconv.Itoa(i), user: "user-" + strconv.Itoa(i%users), kind: "order", data: data})
		client.Produce(d.t.Context(), r, func(_ *kgo.Record, err error) { assert.NoError(d.t, err) })
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	require.NoError(d.t, client.Flush(ctx))
}

// idling measures what connections cost that have nothing to say but pongs.
func (c capacity) idling(t *testing.T) []string {
	lines := []string{
		"| connections | | bytes of the process for each | CPU for 1,000 of them, pings included, ms a second |", "| ---: | --- | ---: | ---: |",
	}
	for _, count := range c.connections {
		lines = append(lines, c.idlingAt(t, count, false))
	}
	return append(lines, c.idlingAt(t, c.encrypted, true))
}

func (c capacity) idlingAt(t *testing.T, count int, encrypted bool) string {
	t.Helper()
	d := deploy(t, realBroker(t))
	how, rate := "plain", "2000"
	if encrypted {
		files, _ := certificate(t)
		d.encrypted(files)
		d.extra["SSL_CERT_FILE"] = files.CA
		how, rate = "TLS", "500"
	}
	// Few handshakes at a time leave descriptors to sessions.
	n := d.node("n", asShipped, gatewayOnly, with("PUSHGATE_GATEWAY_MAX_PENDING_HANDSHAKES", "256"))
	wait(c.idle / 4)
	memory, cpu := n.resident(), n.cpu()
	wait(c.idle / 4)
	alone := n.cpu() - cpu
	load := d.load([]*node{n}, "--users", strconv.Itoa(count), "--connect-rate", rate, "--rate", "1", "--warm-up", "1s", "--duration", (3 * c.idle).String())
	require.True(t, poll(2*time.Minute, func() bool { return sessions([]*node{n}) == count }))
	wait(2 * c.idle)
	cpu = n.cpu()
	wait(c.idle / 2)
	used := (n.cpu() - cpu) - 2*alone
	each := (n.resident() - memory) / float64(count)
	load.result(3 * c.idle)
	n.kill()
	return cells(count, how, int(each), float64(used.Microseconds())/(c.idle/2).Seconds()/float64(count))
}

// holding has two nodes hold as many connections as their descriptors allow, for longer
// than two pings.
func (c capacity) holding(t *testing.T) []string {
	d := deploy(t, realBroker(t))
	nodes := []*node{d.node("a", asShipped), d.node("b", asShipped)}
	var loads []*process
	for _, n := range nodes { // each with descriptors of its own
		loads = append(loads, d.load([]*node{n}, "--users", strconv.Itoa(c.held), "--rate", strconv.Itoa(c.rate/10),
			"--warm-up", "1s", "--duration", (c.idle+c.during).String()))
	}
	require.True(t, poll(time.Minute, func() bool { return sessions(nodes) == 2*c.held }))
	wait(c.idle)
	assert.Equal(t, 2*c.held, sessions(nodes), "each was pinged, and has answered")
	memory := nodes[0].resident() + nodes[1].resident()
	for _, l := range loads {
		l.result(2 * time.Minute)
	}
	return []string{
		"| nodes | connections | of them there after " + c.idle.String() + " | memory of both processes, MB |", "| ---: | ---: | ---: | ---: |",
		cells(2, 2*c.held, 2*c.held, int(memory/1e6)),
	}
}
