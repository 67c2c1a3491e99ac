package e2e

import (
	"strings"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nothing happens: what the load alone costs, with users who come, go and move.
func nothing(d time.Duration) fault {
	return fault{name: "none", do: func(*rig) { wait(d) }}
}

// killGateways kills one after another, and starts each again under load.
func killGateways(which ...int) fault {
	return fault{name: "SIGKILL of a gateway and custodian, started again" + inTurn(len(which)), strikes: len(which), do: func(r *rig) {
		for n, i := range which {
			if n > 0 {
				wait(r.plan.calm)
			}
			r.nodes[i].kill()
			wait(r.plan.down)
			r.again(i)
			r.nodes[i].ready(time.Minute)
		}
	}}
}

func inTurn(n int) string {
	if n == 1 {
		return ""
	}
	return ", each in turn"
}

// stopGateway has a gateway stand still, and go on as if nothing had been.
func stopGateway(i int) fault {
	return fault{name: "SIGSTOP of a gateway and custodian, then SIGCONT", strikes: 1, do: func(r *rig) {
		r.nodes[i].signal(syscall.SIGSTOP)
		wait(r.plan.silence)
		r.nodes[i].signal(syscall.SIGCONT)
		r.nodes[i].ready(time.Minute)
	}}
}

// stopGateways has all gateways stand still at the same time, as the machine
// does that they share.
func stopGateways() fault {
	return fault{name: "SIGSTOP of all gateways at once, then SIGCONT", strikes: 1, do: func(r *rig) {
		for _, n := range r.nodes {
			n.signal(syscall.SIGSTOP)
		}
		wait(r.plan.silence)
		for _, n := range r.nodes {
			n.signal(syscall.SIGCONT)
		}
		for _, n := range r.nodes {
			n.ready(time.Minute)
		}
	}}
}

// hiccups stop a gateway for about as long as it takes to be taken for dead.
func hiccups(i int) fault {
	const times = 6
	return fault{name: "hiccups: SIGSTOP of a gateway for 2 to 4.5 s, again and again", strikes: times, do: func(r *rig) {
		const shortest, step, between = 2 * time.Second, 500 * time.Millisecond, 1500 * time.Millisecond
		for n := range times {
			r.nodes[i].signal(syscall.SIGSTOP)
			wait(shortest + time.Duration(n)*step)
			r.nodes[i].signal(syscall.SIGCONT)
			wait(between)
		}
		r.nodes[i].ready(time.Minute)
	}}
}

// flapping kills a gateway as soon as it is ready, again and again.
func flapping(i int) fault {
	const times = 4
	return fault{name: "SIGKILL of a gateway and custodian as soon as it is ready, again and again", strikes: times, do: func(r *rig) {
		for range times {
			r.nodes[i].kill()
			r.again(i)
			r.nodes[i].ready(time.Minute)
		}
	}}
}

// restartGateways ends one after another as an operator would.
func restartGateways(which ...int) fault {
	return fault{name: "SIGTERM of a gateway and custodian, started again" + inTurn(len(which)), strikes: len(which), do: func(r *rig) {
		for _, i := range which {
			r.nodes[i].signal(syscall.SIGTERM)
			assert.Zero(r.t, r.nodes[i].exit(time.Minute), "exit code after SIGTERM")
			r.again(i)
			r.nodes[i].ready(time.Minute)
			wait(r.plan.calm / 2)
		}
	}}
}

// killBrokers kills one after another; the next when all replicas are in sync.
func killBrokers(which ...int) fault {
	return fault{name: "SIGKILL of a broker, started again" + inTurn(len(which)), strikes: len(which), do: func(r *rig) {
		for _, i := range which {
			require.NoError(r.t, r.kafka.Kill(i))
			wait(r.plan.down)
			require.NoError(r.t, r.kafka.Restart(r.ctx, i))
			require.NoError(r.t, r.kafka.InSync(r.ctx))
		}
	}}
}

// killMajority leaves one broker of three: nothing can be written.
func killMajority() fault {
	return fault{name: "SIGKILL of two brokers at once, started again", strikes: 1, do: func(r *rig) {
		for i := range 2 {
			require.NoError(r.t, r.kafka.Kill(i))
		}
		wait(r.plan.silence)
		for i := range 2 {
			require.NoError(r.t, r.kafka.Restart(r.ctx, i))
		}
		require.NoError(r.t, r.kafka.InSync(r.ctx))
	}}
}

// killBoth kills a gateway while a broker is away.
func killBoth(gateway, broker int) fault {
	return fault{name: "SIGKILL of a broker, and of a gateway and custodian while it is away", strikes: 1, do: func(r *rig) {
		require.NoError(r.t, r.kafka.Kill(broker))
		wait(r.plan.down)
		r.nodes[gateway].kill()
		wait(r.plan.down)
		r.again(gateway)
		require.NoError(r.t, r.kafka.Restart(r.ctx, broker))
		r.nodes[gateway].ready(time.Minute)
		require.NoError(r.t, r.kafka.InSync(r.ctx))
	}}
}

// stopBroker has a broker stand still with all its connections open.
func stopBroker(i int) fault {
	return fault{name: "SIGSTOP of a broker, then SIGCONT", strikes: 1, do: func(r *rig) {
		require.NoError(r.t, r.kafka.Pause(i))
		wait(r.plan.silence)
		require.NoError(r.t, r.kafka.Continue(i))
		require.NoError(r.t, r.kafka.InSync(r.ctx))
	}}
}

// directoryFaults are those of a directory, where there is one.
func (r *rig) directoryFaults() []fault {
	if r.redis == nil {
		return nil
	}
	return []fault{killDirectory(), emptyDirectory()}
}

// killDirectory has Redis go, for longer than the nodes' leases, and come back with
// nothing.
func killDirectory() fault {
	return fault{name: "SIGKILL of Redis, started again empty", strikes: 1, do: func(r *rig) {
		r.redis.Kill()
		wait(r.plan.silence)
		r.redis.Restart(r.t)
		r.redis.Ready(r.t)
		for _, n := range r.nodes {
			n.ready(time.Minute)
		}
	}}
}

// emptyDirectory has Redis lose all it has, and go on.
func emptyDirectory() fault {
	return fault{name: "FLUSHALL of Redis", strikes: 1, do: func(r *rig) {
		require.NoError(r.t, r.redis.Client(r.t).FlushAll(r.ctx).Err())
		wait(r.plan.silence / 2)
	}}
}

// both are the directions of a proxy.
func both() []string { return []string{"upstream", "downstream"} }

// cut has all that goes between the last gateway and the brokers vanish.
func cut() fault {
	return fault{name: "network cut between a gateway and all brokers", strikes: 1, do: func(r *rig) { r.cut(both()) }}
}

// deafen has only the brokers' answers to the last gateway vanish: what it writes
// is written, and it cannot know.
func deafen() fault {
	return fault{name: "all answers of the brokers to a gateway vanish", strikes: 1, do: func(r *rig) { r.cut(both()[1:]) }}
}

func (r *rig) cut(streams []string) {
	r.t.Helper()
	mend := r.swallow(streams, r.detours...)
	wait(r.plan.silence)
	mend()
	r.nodes[len(r.nodes)-1].ready(time.Minute)
}

// swallow has proxies take what they are sent, and send nothing, until mended:
// connections are open, can be opened, and nothing comes. Those are gone then.
func (r *rig) swallow(streams []string, proxies ...*toxiproxy.Proxy) (mend func()) {
	r.t.Helper()
	for _, p := range proxies {
		for _, stream := range streams {
			_, err := p.Toxics.AddToxicJson(strings.NewReader(
				`{"name":"` + stream + `","type":"timeout","stream":"` + stream + `","attributes":{"timeout":0}}`))
			require.NoError(r.t, err)
		}
	}
	return func() {
		for _, p := range proxies {
			for _, stream := range streams {
				assert.NoError(r.t, p.Toxics.RemoveToxic(r.ctx, stream))
			}
		}
	}
}

// some of the users, of every nature; the same for the same arguments.
func (r *rig) some(n, offset int) []*person {
	step := max(1, len(r.people)/n-1)
	var chosen []*person
	for i := offset; i < len(r.people) && len(chosen) < n; i += step {
		chosen = append(chosen, r.people[i])
	}
	return chosen
}

// slowClients has a part of the users read a few hundred bytes a second, of
// messages that are larger than the others', and acknowledge as slowly.
func slowClients() fault {
	return fault{name: "slow clients: 5 % of the users read 640 bytes a second", do: func(r *rig) {
		chosen := r.some(len(r.people)/20, 3)
		heavy := map[int]bool{}
		for _, p := range chosen {
			heavy[p.number] = true
		}
		slow, done := slowWay(r.present, r.direct.entrances)
		defer done()
		for _, p := range chosen {
			p.take(slow)
		}
		r.heavy.Store(&heavy)
		wait(2 * r.plan.silence)
		r.heavy.Store(nil)
		for _, p := range chosen {
			p.wanted.Store(p.now())
			p.take(r.direct)
		}
	}}
}

// vanishing has a part of the users lose their network without a word: their
// gateways go on holding a connection that leads nowhere. Some come back by
// another network soon, some late.
func vanishing() fault {
	return fault{name: "half-open clients: 5 % of the users vanish without a FIN", do: func(r *rig) {
		chosen := r.some(len(r.people)/20, 7)
		for _, p := range chosen {
			p.take(r.byDoors)
		}
		wait(3 * time.Second) // they connect
		for _, p := range chosen {
			p.darken()
		}
		mend := r.swallow(both(), r.doors...)
		within := 4 * r.plan.silence // the gateways notice after 50 s
		for i, p := range chosen {
			wait(within / time.Duration(len(chosen)))
			if i%2 == 0 {
				continue // these come back last
			}
			p.vanish(r.direct)
		}
		for i, p := range chosen {
			if i%2 == 0 {
				p.vanish(r.direct)
			}
		}
		mend()
	}}
}

// restartEverything kills all gateways and all brokers, and starts all again.
func restartEverything() fault {
	return fault{name: "SIGKILL of all gateways and all brokers, all started again", strikes: 1, do: func(r *rig) {
		for _, n := range r.nodes {
			n.signal(syscall.SIGKILL)
		}
		for i := range r.kafka.Addresses() {
			require.NoError(r.t, r.kafka.Kill(i))
		}
		for i, n := range r.nodes {
			n.kill()
			r.again(i)
		}
		require.NoError(r.t, r.kafka.RestartAll(r.ctx))
		for _, n := range r.nodes {
			n.ready(2 * time.Minute)
		}
		require.NoError(r.t, r.kafka.InSync(r.ctx))
	}}
}
