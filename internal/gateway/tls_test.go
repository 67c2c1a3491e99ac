package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/tlsconfig"
	"pushgate/internal/ws"
)

// files writes a certificate down, as an operator has it.
func files(t *testing.T, c tls.Certificate) tlsconfig.Server {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	s := tlsconfig.Server{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{
		s.CertFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		s.KeyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	return s
}

func TestClientsConnectAndProducersPostOverTLS(t *testing.T) {
	ca := newAuthority(t)
	r := newRig(t, func(r *rig) { r.config.TLS = files(t, ca.node(time.Now().Add(time.Hour))) })
	trust := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}
	c, err := ws.Dial(t.Context(), "wss://"+r.server.Addr()+"/websocket/all/42", ws.DialParams{
		Header: bearer(r.token("42")), Subprotocols: []string{session.PushgateName}, TLS: trust,
	})
	require.NoError(t, err)
	defer func() { _ = c.Drop() }()
	<-r.bound
	reports := make(chan push.Status, 10)
	for _, data := range []string{`"short"`, `"` + strings.Repeat("long", 50_000) + `"`} {
		r.deliver(&push.Message{ID: data[:4], User: "42", Type: "order", Attempt: 1, Data: []byte(data), JSON: true}, reporter(reports))
		_, frame, err := c.ReadMessage()
		require.NoError(t, err)
		assert.Contains(t, string(frame), data)
		require.NoError(t, c.WriteMessage(ws.OpText, []byte(`{"ack":["`+strings.ReplaceAll(data[:4], `"`, `\"`)+`"]}`)))
		for s := range reports {
			if s == push.Done {
				break
			}
		}
	}
	require.NoError(t, c.Close(session.CloseNormal, ""))

	r.client.Transport.(*http.Transport).TLSClientConfig = trust
	post := r.message("hello")
	post.URL.Scheme = "https"
	assert.Equal(t, http.StatusAccepted, r.do(post).status)
	plain, err := r.client.Do(r.message("hello"))
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, plain.StatusCode, "not without TLS")
	require.NoError(t, plain.Body.Close())
}
