package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/e2e/apachekafka"
)

// certificate makes one for the loopback, and a client that trusts its authority.
func certificate(t *testing.T) (files apachekafka.Certificates, trusts *http.Client) {
	t.Helper()
	files, err := apachekafka.NewCertificates(t.TempDir())
	require.NoError(t, err)
	authority, err := os.ReadFile(files.CA)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(authority))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return files, &http.Client{Transport: transport}
}

// encrypted has the gateways of a deployment show a certificate.
func (d *deployment) encrypted(files apachekafka.Certificates) {
	d.extra = map[string]string{"PUSHGATE_GATEWAY_TLS_CERT_FILE": files.Certificate, "PUSHGATE_GATEWAY_TLS_KEY_FILE": files.Key}
}

func TestEverythingIsDeliveredOverTLSAlsoAfterAKill(t *testing.T) {
	files, trusts := certificate(t)
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		d.encrypted(files)
		a := d.node("a")
		const users, each = 20, 50
		var (
			phones []*client
			sent   = map[string][]string{}
		)
		over := func(n *node) {
			for i := range users {
				c, err := dialBy(t, trusts, "wss://"+n.gateway+"/websocket/all/"+fmt.Sprint("user-", i))
				require.NoError(t, err)
				phones = append(phones, c)
			}
		}
		send := func(prefix string) {
			for i := range users {
				m, ids := messages(fmt.Sprint("user-", i), prefix+fmt.Sprint("user-", i)+"-", each)
				d.send(m...)
				sent[fmt.Sprint("user-", i)] = append(sent[fmt.Sprint("user-", i)], ids...)
			}
		}
		over(a)
		send("before")
		for i, c := range phones {
			c.waitFor(20*time.Second, sent[fmt.Sprint("user-", i)]...)
		}
		a.kill()
		send("away")
		phones = nil
		over(d.node("b"))
		send("after")
		for i, c := range phones {
			c.waitFor(30*time.Second, sent[fmt.Sprint("user-", i)][each:]...)
		}
		d.audit(users * each * 3)
	})
}

func TestTheCommandLineListensOverTLS(t *testing.T) {
	files, _ := certificate(t)
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		d.encrypted(files)
		n := d.node("a")
		trusting := map[string]string{"SSL_CERT_FILE": files.CA}
		listening := run(t, "listen", trusting, "listen", "--user", "42", "--url", "wss://"+n.gateway, "--count", "1", "--for", "20s")
		require.True(t, poll(10*time.Second, func() bool { return n.metric("pushgate_sessions") == 1 }))
		id := strings.TrimSpace(finished(t, 0, d.env(), "send", "--user", "42"))
		require.Zero(t, listening.exit(20*time.Second), listening.out)
		assert.Contains(t, listening.out.String(), id)
		assert.Contains(t, finished(t, 0, nil, "listen", "--user", "42", "--url", "wss://"+n.gateway, "--for", "2s"), "certificate")
	})
}
