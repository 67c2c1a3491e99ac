package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bareClient is a client that gets bare payloads: it neither acknowledges nor can it
// tell repeats.
type bareClient struct {
	mu       sync.Mutex
	payloads []string
}

func connectBare(t *testing.T, n *node, user string) *bareClient {
	t.Helper()
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws://"+n.gateway+"/websocket/all/"+user, nil)
	require.NoError(t, err)
	if res.Body != nil {
		_ = res.Body.Close()
	}
	p, ended := &bareClient{}, make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, data, err := conn.Read(context.WithoutCancel(t.Context()))
			if err != nil {
				return
			}
			p.mu.Lock()
			p.payloads = append(p.payloads, string(data))
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = conn.CloseNow(); <-ended })
	return p
}

func (p *bareClient) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.payloads)
}

func (p *bareClient) waitFor(t *testing.T, payload string) {
	t.Helper()
	require.True(t, poll(15*time.Second, func() bool { return slices.Contains(p.got(), payload) }), "%s has not come", payload)
}

// A gateway writes a message and is stopped before it could say so. It is taken
// for dead, and the message is offered again. Then it goes on: it has delivered the
// message, and finds it in the log once more.
func TestAMessageThatIsOfferedAgainToTheGatewayThatDeliveredItIsSeenOnce(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		c := d.node("c", with("PUSHGATE_NODE_ROLES", "custodian"), with("PUSHGATE_CUSTODY_OFFLINE_RECHECK", "1s"))
		g := d.node("g", with("PUSHGATE_NODE_ROLES", "gateway"), with("PUSHGATE_DELIVERY_RECEIPT_INTERVAL", "1s"))
		client := connectBare(t, g, "42")
		var sent []string
		send := func() {
			id := fmt.Sprint("m-", len(sent))
			sent = append(sent, fmt.Sprintf(`{"id":%q}`, id))
			d.send(message{id: id, user: "42"})
			client.waitFor(t, sent[len(sent)-1])
		}
		dropped := 0.0
		// Once is enough, unless the receipt was written before the signal came.
		for try := 0; try < 5 && dropped == 0; try++ {
			before := c.metric("pushgate_offered_again_total")
			send()
			g.signal(syscall.SIGSTOP)
			again := poll(10*time.Second, func() bool { return c.metric("pushgate_offered_again_total") > before })
			g.signal(syscall.SIGCONT)
			if again {
				require.True(t, poll(15*time.Second, func() bool {
					return c.metric("pushgate_waiting") == 0 && c.metric("pushgate_custody_in_flight") == 0
				}), "settled")
			}
			dropped = g.metric("pushgate_repeats_dropped_total")
		}
		assert.Positive(t, dropped, "none was offered again to the gateway that had delivered it")
		send() // behind all offerings of the others
		assert.Equal(t, sent, client.got(), "once each")
		assert.True(t, poll(10*time.Second, func() bool {
			return c.metric("pushgate_outcomes_total", `outcome="delivered"`) == float64(len(sent))
		}), "one outcome each: %v", c.metric("pushgate_outcomes_total", `outcome="delivered"`))
	})
}
