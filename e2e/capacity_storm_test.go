package e2e

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// storm is what comes all at once.
type storm struct {
	connects  int // in that time
	within    time.Duration
	returning int // users for whom messages wait
	each      int // messages that wait for each
	slow      int // clients that never read
}

// storms measures what users notice who are there already while many connect, and how
// long it takes until everybody has what has waited.
func (c capacity) storms(t *testing.T) []string {
	s := c.storm
	users := c.users / 10
	var calm, stormy, leaving, last []float64
	for range c.rounds {
		d := deploy(t, realBroker(t))
		n := d.node("n", asShipped)
		during := s.within.String()
		load := []string{"--users", strconv.Itoa(users), "--rate", strconv.Itoa(c.rate), "--no-ack-protocol", "--duration", during}
		calm = append(calm, d.load([]*node{n}, load...).result(2*time.Minute).Latency.P99)

		before := n.metric("pushgate_delivered_total")
		others := d.load([]*node{n}, load...)
		require.True(t, poll(time.Minute, func() bool { return n.metric("pushgate_delivered_total") > before+float64(c.rate) }))
		many := d.load([]*node{n}, "--users", strconv.Itoa(s.connects), "--connect-rate", strconv.Itoa(s.connects/int(s.within.Seconds())),
			"--rate", "1", "--warm-up", "1s", "--duration", during) // they stay until the others are done
		stormy = append(stormy, others.result(2*time.Minute).Latency.P99)
		many.result(2 * time.Minute)

		idle := d.load([]*node{n}, "--users", strconv.Itoa(s.connects), "--rate", "1", "--duration", "5m")
		require.True(t, poll(time.Minute, func() bool { return sessions([]*node{n}) == s.connects }))
		before = n.metric("pushgate_delivered_total")
		others = d.load([]*node{n}, load...)
		require.True(t, poll(time.Minute, func() bool { return n.metric("pushgate_delivered_total") > before+3*float64(c.rate) }))
		idle.kill()
		leaving = append(leaving, others.result(2*time.Minute).Latency.P99)

		rate := strconv.Itoa(c.rate)
		wanted := time.Duration(float64(s.returning*s.each) / float64(c.rate) * float64(time.Second))
		back := d.load([]*node{n}, "--users", strconv.Itoa(s.returning), "--offline-share", "1", "--rate", rate, "--warm-up", "0s",
			"--duration", wanted.String(), "--connect-rate", strconv.Itoa(max(s.returning/5, 100)), "--settle", "1m").result(5 * time.Minute)
		assert.Equal(t, s.returning, back.Waiting.Users)
		last = append(last, back.Waiting.Last.Max)
		n.kill()
	}
	return []string{
		"| what | figure |", "| --- | ---: |",
		cells("p99 of "+strconv.Itoa(users)+" users at "+strconv.Itoa(c.rate)+" messages a second, nobody connects, ms", middle(calm...)),
		cells("the same while "+strconv.Itoa(s.connects)+" connect in "+s.within.String()+", ms", middle(stormy...)),
		cells("the same while "+strconv.Itoa(s.connects)+" are gone at once, ms", middle(leaving...)),
		cells(strconv.Itoa(s.returning)+" users come back, for each of whom "+strconv.Itoa(s.each)+" messages wait: longest from connecting to the last message, ms", middle(last...)),
	}
}

// slowClients measures what their neighbours notice of clients that never read.
func (c capacity) slowClients(t *testing.T) []string {
	users := c.users - c.storm.slow
	var without, with, memory []float64
	for range c.rounds {
		d := deploy(t, realBroker(t))
		n := d.node("n", asShipped)
		load := []string{"--users", strconv.Itoa(users), "--rate", strconv.Itoa(c.rate / 2), "--no-ack-protocol", "--duration", (2 * c.during).String()}
		without = append(without, d.load([]*node{n}, load...).result(2*time.Minute).Latency.P99)
		before := n.resident()
		slow := connectSlow(t, n, c.storm.slow)
		stop := d.keepSending(slow, c.rate/10)
		with = append(with, d.load([]*node{n}, load...).result(2*time.Minute).Latency.P99)
		memory = append(memory, max(n.resident()-before, 0)/float64(len(slow)))
		stop()
		n.kill()
	}
	return []string{
		"| what | figure |", "| --- | ---: |",
		cells("p99 of "+strconv.Itoa(users)+" users at "+strconv.Itoa(c.rate/2)+" messages a second, all read, ms", middle(without...)),
		cells("the same beside "+strconv.Itoa(c.storm.slow)+" that never read and are sent "+strconv.Itoa(c.rate/10)+" a second, ms", middle(with...)),
		cells("bytes the process has grown by, for each that does not read", int(middle(memory...))),
	}
}

// connectSlow connects users who never read, and returns their names.
func connectSlow(t *testing.T, n *node, count int) (users []string) {
	t.Helper()
	for i := range count {
		user := "slow-" + strconv.Itoa(i)
		c, err := net.Dial("tcp", n.gateway)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		tcp, ok := c.(*net.TCPConn)
		require.True(t, ok)
		require.NoError(t, tcp.SetReadBuffer(4096))
		_, err = c.Write([]byte("GET /websocket/all/" + user + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
		require.NoError(t, err)
		users = append(users, user)
	}
	require.True(t, poll(time.Minute, func() bool { return sessions([]*node{n}) >= count }))
	return users
}

// keepSending sends messages of 4 KB to users in turn, at a rate, until stop is called.
func (d *deployment) keepSending(users []string, rate int) (stop func()) {
	const batches = 20 // a second
	var sending sync.WaitGroup
	done := make(chan struct{})
	data := payload(4 << 10)
	sending.Go(func() {
		tick := time.NewTicker(time.Second / batches)
		defer tick.Stop()
		for i := 0; ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			batch := make([]message, max(rate/batches, 1))
			for k := range batch {
				batch[k] = message{id: "slow-" + strconv.Itoa(i), user: users[i%len(users)], data: data}
				i++
			}
			d.send(batch...)
		}
	})
	return func() {
		close(done)
		sending.Wait()
	}
}
