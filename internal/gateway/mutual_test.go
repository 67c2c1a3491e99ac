package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/gateway"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{t: t, cert: cert, key: key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// node is the certificate of one that is valid until a time.
func (a *authority) node(until time.Time) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestEncryptionWithoutAnInternalListenerIsRefused(t *testing.T) {
	config := gateway.DefaultConfig()
	config.Listen = "127.0.0.1:0"
	_, err := gateway.New(t.Context(), gateway.Params{
		Config: config, Logger: zap.NewNop(), Internal: gateway.Internal{TLS: &tls.Config{MinVersion: tls.VersionTLS12}},
	})
	require.ErrorContains(t, err, "internal.listen is empty")
}

func TestWithMutualTLSACertificateOfTheSameAuthorityIsNeededAndNoToken(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	for name, row := range map[string]struct {
		shows []tls.Certificate
		good  bool
	}{
		"of the same authority": {[]tls.Certificate{ours.node(soon)}, true},
		"of another authority":  {[]tls.Certificate{others.node(soon)}, false},
		"expired":               {[]tls.Certificate{ours.node(time.Now().Add(-time.Minute))}, false},
		"none":                  {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, c := withCarrier(t, func(r *rig) {
				r.internal.Token, r.internal.Listen = "", "127.0.0.1:0"
				r.internal.TLS = &tls.Config{
					MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ours.node(soon)},
					ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
				}
			})
			r.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12, RootCAs: ours.pool(),
				// Shown whatever the server asks for.
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(row.shows) == 0 {
						return &tls.Certificate{}, nil
					}
					return &row.shows[0], nil
				},
			}}
			q := r.single("hello")
			q.Header.Del("Authorization")
			q.URL.Scheme, q.URL.Host = "https", r.server.InternalAddr()
			resp, err := r.client.Do(q)
			if row.good {
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, http.StatusOK, resp.StatusCode)
				assert.Len(t, c.pushed, 1)
				return
			}
			if err == nil {
				_ = resp.Body.Close()
			}
			require.Error(t, err)
			assert.Empty(t, c.pushed)
		})
	}
}
