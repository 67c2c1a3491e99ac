package pushgatejs_test

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// place is where devices run: Node, or a browser.
type place interface {
	// connect starts a device of the user at the gateway's.
	connect(t *testing.T, g *gateway, user string, options map[string]any, ttl time.Duration) *device
}

// stories are what holds in every place.
func stories(t *testing.T, p *platform, in place) {
	for name, story := range map[string]func(*testing.T, *platform, place){
		"what is sent while gateways die and are drained comes, and each message once": outage,
		"a message that could not be handled comes again":                              failure,
		"a token that expires is replaced, and nothing is lost":                        expiry,
		"a device that was replaced stays away":                                        replaced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, p, in)
		})
	}
}

const long = time.Hour

func outage(t *testing.T, p *platform, in place) {
	g := p.startGateway(t, nil)
	d := in.connect(t, g, "outage", nil, long)
	at := d.await(0, "open")
	ids := numbered("m", 150)
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for _, id := range ids {
			p.send("outage", id)
			<-time.After(25 * time.Millisecond)
		}
	})
	at = d.await(at, "message m010")

	g.end(t, syscall.SIGKILL)
	at = d.await(at, "closed 1006 final=false")
	at = d.await(at, "waiting lost")
	at = d.await(at, "waiting refused")
	g.start()
	at = d.await(at, "open")
	sending.Wait()
	d.expectAll(ids)

	g.end(t, syscall.SIGTERM)
	at = d.await(at, "closed 1001 final=false")
	more := numbered("n", 20)
	p.send("outage", more...)
	g.start()
	at = d.await(at, "open")
	ids = append(ids, more...)
	d.expectAll(ids)

	// A gateway that has just started does not know what was delivered before.
	p.send("outage", "m000", "n000", "last")
	ids = append(ids, "last")
	d.expectAll(ids)
	repeated := slices.DeleteFunc(d.ids("frame"), func(id string) bool { return id != "m000" })
	assert.Greater(t, len(repeated), 1, "it was written again: the device has dropped it")
	assert.Empty(t, d.ids("error"))

	p.sendPayload("outage", "bytes", "application/octet-stream", "\x00\xffA")
	d.await(at, "message bytes")
	for _, e := range d.told() {
		if e.Kind == "message" && e.ID == "bytes" {
			assert.Equal(t, "bytes 0,255,65", e.Text)
		}
	}
}

func failure(t *testing.T, p *platform, in place) {
	g := p.startGateway(t, nil)
	d := in.connect(t, g, "failure", nil, long)
	d.await(0, "open")
	d.do(`device.failing.add("b")`)
	p.send("failure", "a", "b", "c")
	d.expectAll([]string{"a", "b", "c"})
	assert.Equal(t, []string{"b"}, d.ids("error"))
	assert.Equal(t, []string{"a", "c", "b"}, d.ids("message"))
	assert.Equal(t, []string{"connecting", "open", "error b"}, d.story(0), "and the connection stays")
	d.do(`device.connection.close()`)
	d.await(0, "closed 1000 final=true")
}

func expiry(t *testing.T, p *platform, in place) {
	g := p.startGateway(t, nil)
	// Longer than it takes to prove stable.
	d := in.connect(t, g, "expiry", nil, 7*time.Second)
	from := d.await(0, "open")
	p.send("expiry", "before")
	at := d.await(from, "closed 4401 final=false")
	p.send("expiry", "between")
	d.await(at, "open")
	p.send("expiry", "after")
	d.expectAll([]string{"before", "between", "after"})
	assert.Equal(t, []string{"closed 4401 final=false", "connecting", "open"}, d.story(from), "at once, without a pause")

	// A bad token is refused; a browser sees nothing but an end.
	d.do(`device.good = device.ask; device.ask = () => "bad"`)
	at = d.await(len(d.told()), "waiting refused")
	d.do(`device.ask = device.good`)
	d.await(at, "open")
}

func replaced(t *testing.T, p *platform, in place) {
	g := p.startGateway(t, map[string]string{"PUSHGATE_SESSION_MAX_PER_USER": "1"})
	first := in.connect(t, g, "twice", nil, long)
	first.await(0, "open")
	second := in.connect(t, g, "twice", nil, long)
	second.await(0, "open")
	first.await(0, "closed 4409 final=true")
	p.send("twice", "a")
	second.expectAll([]string{"a"})
	require.Equal(t, []string{"connecting", "open", "closed 4409 final=true"}, first.story(0))
}
