package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/e2e/apachekafka"
	"pushgate/internal/admin/api"
	"pushgate/internal/directory/redistest"
	"pushgate/internal/freeport"
)

// service is another program of the deployment, which looks users up in Redis and
// pushes to the nodes itself.
type service struct {
	t      *testing.T
	d      *deployment
	client *http.Client
	scheme string
	token  string
}

func (d *deployment) service(token string) *service {
	return &service{t: d.t, d: d, token: token, scheme: "http", client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// lookUp returns the address of the node that a user is on, by the two reads that
// docs/directory.md names.
func (s *service) lookUp(user string) string {
	s.t.Helper()
	redis := redistest.ClientOf(s.t, s.d.redis)
	node, err := redis.HGet(s.t.Context(), s.d.prefix+"user:"+user, "node").Result()
	require.NoError(s.t, err, "%s is nowhere", user)
	address, err := redis.HGet(s.t.Context(), s.d.prefix+"node:"+node, "addr").Result()
	require.NoError(s.t, err, "%s has no address", node)
	return address
}

// push returns the status of the answer, and what it says.
func (s *service) push(address, user, id string) (status int, body map[string]string) {
	s.t.Helper()
	status, body, err := s.tryPush(address, user, id)
	require.NoError(s.t, err)
	return status, body
}

func (s *service) tryPush(address, user, id string) (status int, body map[string]string, err error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.scheme+"://"+address+"/push/"+user, strings.NewReader(fmt.Sprintf(`{"id":%q}`, id)))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if id != "" {
		req.Header.Set("ce-id", id)
		req.Header.Set("ce-source", "/e2e")
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode, body, json.NewDecoder(res.Body).Decode(&body)
}

func TestAnotherServiceFindsAUserAndPushesToTheNode(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		c := connect(t, b, "42")
		a.awaitFound("42", 1)
		s := d.service(internalToken)
		address := s.lookUp("42")
		assert.Equal(t, b.gateway, address)

		status, body := s.push(address, "42", "m")
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "delivered", body["outcome"])
		assert.Equal(t, []string{"m"}, c.ids(), "it is there when the answer is")
		status, _ = s.push(address, "42", "m")
		assert.Equal(t, http.StatusOK, status, "sent again, it is still delivered")
		status, _ = s.push(address, "42", "next")
		assert.Equal(t, http.StatusOK, status)
		assert.Len(t, c.got(), 2, "once each")

		status, body = s.push(a.gateway, "42", "astray")
		assert.Equal(t, http.StatusNotFound, status, "not on this node: %v", body)
		status, _ = s.push(address, "43", "nobody")
		assert.Equal(t, http.StatusNotFound, status)
		for _, token := range []string{"", "wrong"} {
			status, _ = d.service(token).push(address, "42", "refused")
			assert.Equal(t, http.StatusUnauthorized, status, "with the token %q", token)
		}
		d.send(message{id: "by-kafka", user: "42"})
		c.waitFor(10*time.Second, "by-kafka")
		assert.Equal(t, []string{"m", "next", "by-kafka"}, c.ids())
		d.audit(1) // of the others no log knows

		c.leave()
		a.awaitFound("42", 0)
		status, _ = s.push(address, "42", "late")
		assert.Equal(t, http.StatusNotFound, status)
	})
}

func TestAnyNodeTellsWhereTheDevicesOfAUserAre(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		phone := connect(t, a, "42")
		a.awaitFound("42", 1)
		laptop, err := dial(t, "ws://"+b.gateway+"/websocket/order/42")
		require.NoError(t, err)
		for _, asked := range []*node{a, b} {
			asked.awaitFound("42", 2)
			found := asked.whereIs("42")
			assert.Equal(t, api.ScopeDeployment, found.Scope)
			assert.Equal(t, d.prefix+asked.id, found.Node, "who answers")
			newest, oldest := found.Sessions[0], found.Sessions[1]
			assert.Equal(t, []string{d.prefix + "b", b.gateway, "order"}, []string{newest.Node, newest.Address, newest.Type})
			assert.Equal(t, []string{d.prefix + "a", a.gateway, "all"}, []string{oldest.Node, oldest.Address, oldest.Type})
			assert.WithinDuration(t, time.Now(), oldest.Since, time.Minute)
			assert.Contains(t, oldest.Client, "127.0.0.1:")

			said := finished(t, 0, d.env(), "user", "42", "--admin", "http://"+asked.admin)
			for _, part := range []string{d.prefix + "a", d.prefix + "b", a.gateway, b.gateway, "order"} {
				assert.Contains(t, said, part)
			}
			said = finished(t, 0, d.env(), "user", "42", "--admin", "http://"+asked.admin, "--output", "json")
			assert.Len(t, strings.Split(strings.TrimSpace(said), "\n"), 2, said)
		}
		assert.Contains(t, finished(t, 0, d.env(), "user", "43", "--admin", "http://"+a.admin), "not connected")
		d.send(message{id: "m", user: "42", kind: "order"})
		phone.waitFor(10*time.Second, "m")
		laptop.waitFor(10*time.Second, "m")
		d.audit(1)
	})
}

func TestNodesThatShowEachOtherCertificatesCarryByAListenerOfTheirOwn(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		ours, err := apachekafka.NewCertificates(t.TempDir())
		require.NoError(t, err)
		theirs, err := apachekafka.NewCertificates(t.TempDir())
		require.NoError(t, err)
		mutual := func(env map[string]string) {
			delete(env, "PUSHGATE_INTERNAL_TOKEN")
			env["PUSHGATE_INTERNAL_LISTEN"] = freeport.Address(t)
			env["PUSHGATE_INTERNAL_TLS_CA_FILE"] = ours.CA
			env["PUSHGATE_INTERNAL_TLS_CERT_FILE"] = ours.Certificate
			env["PUSHGATE_INTERNAL_TLS_KEY_FILE"] = ours.Key
		}
		c := d.node("c", custodian(), mutual)
		a, b := d.node("a", gateway(), mutual), d.node("b", gateway(), mutual)
		one, two := connect(t, a, "42"), connect(t, b, "43")
		c.awaitFound("42", 1)
		c.awaitFound("43", 1)
		list, ids := messages("42", "m", 50)
		others, otherIDs := messages("43", "o", 50)
		d.send(append(list, others...)...)
		one.waitFor(10*time.Second, ids...)
		two.waitFor(10*time.Second, otherIDs...)
		carried, _ := carriedAndRead(a, b)
		assert.GreaterOrEqual(t, carried, 100.0, "they were brought")

		s := d.service("")
		address := s.lookUp("42")
		assert.NotEqual(t, a.gateway, address, "a listener of its own")
		status, _ := s.push(a.gateway, "42", "by-the-front-door")
		assert.Equal(t, http.StatusNotFound, status, "clients' listener takes no pushes")
		for name, files := range map[string]apachekafka.Certificates{"none": {CA: ours.CA}, "another authority's": {CA: ours.CA, Certificate: theirs.Certificate, Key: theirs.Key}} {
			_, _, err := s.over(files).tryPush(address, "42", "refused")
			assert.Error(t, err, "with a certificate of %s", name)
		}
		_, _, err = s.tryPush(address, "42", "in-the-clear")
		assert.Error(t, err, "in the clear")
		status, _ = s.over(ours).push(address, "42", "with-ours")
		assert.Equal(t, http.StatusOK, status)
		assert.Len(t, one.got(), len(ids)+1)
		d.audit(len(ids) + len(otherIDs))
	})
}

// over has the service speak TLS, with the certificate given, if any.
func (s *service) over(files apachekafka.Certificates) *service {
	s.t.Helper()
	authority, err := os.ReadFile(files.CA)
	require.NoError(s.t, err)
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	require.True(s.t, c.RootCAs.AppendCertsFromPEM(authority))
	if files.Certificate != "" {
		own, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
		require.NoError(s.t, err)
		c.Certificates = []tls.Certificate{own}
	}
	with := *s
	with.scheme, with.client = "https", &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: c}}
	return &with
}

// A gateway's answers to the custodians vanish: a call carries out what it brings, and
// fails. The log says that it was carried out.
func TestWhenAnswersVanishTheLogTellsWhatWasDelivered(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		// A node that is skipped is not called; what fails for that is not in question here.
		c := d.node("c", custodian(), with("PUSHGATE_ROUTING_CALL_TIMEOUT", "1s"), with("PUSHGATE_RETRY_MAX_ATTEMPTS", "100"))
		door := freeport.Address(t)
		g := d.node("g", gateway(), with("PUSHGATE_NODE_ADVERTISE", door))
		p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "door", door, g.gateway)
		require.NoError(t, p.Start())
		defer p.Stop()
		client := connectBare(t, g, "42")
		c.awaitFound("42", 1)
		var sent []string
		send := func(n int) {
			var list []message
			for range n {
				id := fmt.Sprint("m-", len(sent))
				list, sent = append(list, message{id: id, user: "42"}), append(sent, fmt.Sprintf(`{"id":%q}`, id))
			}
			d.send(list...)
		}
		arrived := func(within time.Duration) {
			t.Helper()
			assert.True(t, poll(within, func() bool {
				return len(client.got()) >= len(sent) && c.metric("pushgate_outcomes_total", `outcome="delivered"`) == float64(len(sent))
			}), "%d sent, %d arrived, %g known to have arrived", len(sent), len(client.got()), c.metric("pushgate_outcomes_total", `outcome="delivered"`))
		}
		send(1)
		arrived(10 * time.Second)
		_, err := p.Toxics.AddToxicJson(strings.NewReader(`{"name":"mute","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`))
		require.NoError(t, err)
		send(20)
		arrived(900 * time.Millisecond) // before the call has failed
		assert.Zero(t, c.metric("pushgate_offered_again_total"), "nothing is offered again for that")
		send(20) // they queue behind the call that hangs
		require.NoError(t, p.Toxics.RemoveToxic(t.Context(), "mute"))
		arrived(20 * time.Second)
		assert.Equal(t, sent, client.got(), "once each, in order")
		d.audit(len(sent))
	})
}

// A gateway answers a call and is killed before it could write the same to the log.
func TestWhatAGatewayHadDeliveredWhenItWasKilledAddsUp(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		c := d.node("c", custodian())
		late := with("PUSHGATE_DELIVERY_RECEIPT_INTERVAL", "1s")
		g, other := d.node("g", gateway(), late), d.node("other", gateway(), late)
		client := connectBare(t, g, "42") // what is written to it is delivered
		c.awaitFound("42", 1)
		list, ids := messages("42", "m", 50)
		d.send(list...)
		require.True(t, poll(10*time.Second, func() bool { return len(client.got()) == len(ids) }), "they arrive")
		g.kill()
		again := connect(t, other, "42")
		d.send(message{id: "next", user: "42"})
		again.waitFor(20*time.Second, "next")
		d.audit(len(ids) + 1)
	})
}
