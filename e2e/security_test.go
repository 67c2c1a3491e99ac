package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"pushgate/e2e/apachekafka"
)

const password = "secret=with;signs"

func TestNodesLogInToASecuredCluster(t *testing.T) {
	t.Run("PLAIN", func(t *testing.T) {
		c, ok := apachekafka.Run(t, apachekafka.Params{Nodes: 1, Security: apachekafka.Security{
			Mechanism: apachekafka.Plain, Users: map[string]string{"alice": password},
		}})
		if !ok {
			return
		}
		env := map[string]string{
			"PUSHGATE_KAFKA_SASL_MECHANISM": "plain", "PUSHGATE_KAFKA_SASL_USERNAME": "alice", "PUSHGATE_KAFKA_SASL_PASSWORD": password,
		}
		d := deployWith(t, c.Addresses(), env, kgo.SASL(plain.Auth{User: "alice", Pass: password}.AsMechanism()))
		delivers(t, d)

		wrong := d.start("b", with("PUSHGATE_KAFKA_SASL_PASSWORD", "wrong"))
		require.True(t, poll(30*time.Second, func() bool { return contains(wrong.out.String(), "SASL") }), "it says why")
		require.True(t, wrong.notReady("kafka"))
		assert.NotContains(t, wrong.out.String(), "wrong\"", "no password in the log")
	})
	t.Run("SCRAM over TLS with a client certificate", func(t *testing.T) {
		c, ok := apachekafka.Run(t, apachekafka.Params{Nodes: 1, Security: apachekafka.Security{
			Mechanism: apachekafka.ScramSHA512, Users: map[string]string{"alice": password}, TLS: true, ClientCertificates: true,
		}})
		if !ok {
			return
		}
		files := c.Certificates()
		env := map[string]string{
			"PUSHGATE_KAFKA_SASL_MECHANISM": "scram-sha-512", "PUSHGATE_KAFKA_SASL_USERNAME": "alice", "PUSHGATE_KAFKA_SASL_PASSWORD": password,
			"PUSHGATE_KAFKA_TLS_ENABLED": "true", "PUSHGATE_KAFKA_TLS_CA_FILE": files.CA,
			"PUSHGATE_KAFKA_TLS_CERT_FILE": files.Certificate, "PUSHGATE_KAFKA_TLS_KEY_FILE": files.Key,
		}
		authority, err := os.ReadFile(files.CA)
		require.NoError(t, err)
		pool := x509.NewCertPool()
		require.True(t, pool.AppendCertsFromPEM(authority))
		own, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
		require.NoError(t, err)
		delivers(t, deployWith(t, c.Addresses(), env,
			kgo.SASL(scram.Auth{User: "alice", Pass: password}.AsSha512Mechanism()),
			kgo.DialTLSConfig(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12})))
	})
}

// delivers sends a message through a node of the deployment.
func delivers(t *testing.T, d *deployment) {
	t.Helper()
	n := d.node("a")
	c := connect(t, n, "42")
	d.send(message{id: "m", user: "42"})
	c.waitFor(10*time.Second, "m")
	require.True(t, poll(10*time.Second, func() bool { return n.metric("pushgate_outcomes_total", `"delivered"`) == 1 }), "custody saw it")
}

const hmacSecret = "0123456789abcdef0123456789abcdef"

func token(t *testing.T, args ...string) string {
	t.Helper()
	p := run(t, "token", map[string]string{"PUSHGATE_AUTH_JWT_HMAC_SECRET": hmacSecret}, append([]string{"token"}, args...)...)
	require.Zero(t, p.exit(10*time.Second), p.out.String())
	return strings.TrimSpace(p.out.String())
}

func TestOnlyWhoHasATokenForItConnectsAsAUser(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_AUTH_MODE", "jwt"), with("PUSHGATE_AUTH_JWT_HMAC_SECRET", hmacSecret), with("PUSHGATE_AUTH_JWT_LEEWAY", "0s"))
		url := "ws://" + n.gateway + "/websocket/all/42"
		assert.Equal(t, http.StatusUnauthorized, refusedWith(t, url))
		assert.Equal(t, http.StatusUnauthorized, refusedWith(t, url+"?token=nonsense"))
		assert.Equal(t, http.StatusForbidden, refusedWith(t, url+"?token="+token(t, "--user", "43")))

		c, err := dial(t, url+"?token="+token(t, "--user", "42", "--ttl", "3s"))
		require.NoError(t, err)
		d.send(message{id: "m", user: "42"})
		c.waitFor(3*time.Second, "m")
		select {
		case <-c.ended:
		case <-time.After(10 * time.Second):
			require.Fail(t, "the session outlives its token")
		}
		assert.Equal(t, websocket.StatusCode(4401), c.closing)

		assert.Equal(t, http.StatusForbidden, postWith(t, n, token(t, "--user", "shop")))
		assert.Equal(t, http.StatusAccepted, postWith(t, n, token(t, "--user", "shop", "--scope", "push")))
	})
}

func postWith(t *testing.T, n *node, token string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.gateway+"/v1/users/42/messages", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode
}
