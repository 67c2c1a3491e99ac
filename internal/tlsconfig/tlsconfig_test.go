package tlsconfig_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/tlsconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsNotSetIsOff(t *testing.T) {
	require.NoError(t, tlsconfig.Client{}.Validate("a.tls"))
	require.NoError(t, tlsconfig.Mutual{}.Validate("a.tls"))
	for _, read := range []func(string) (*tls.Config, error){
		tlsconfig.Client{CAFile: "/none"}.Config, tlsconfig.Mutual{}.Server, tlsconfig.Mutual{}.Client,
	} {
		c, err := read("a.tls")
		require.NoError(t, err)
		assert.Nil(t, c)
	}
}

func TestHalfACertificateIsRefusedUnderItsKey(t *testing.T) {
	require.EqualError(t, tlsconfig.Client{CertFile: "x"}.Validate("kafka.tls"), "kafka.tls.cert_file and kafka.tls.key_file go together: set both or none")
	require.EqualError(t, tlsconfig.Mutual{CertFile: "x", KeyFile: "x"}.Validate("internal.tls"),
		"internal.tls.cert_file, key_file and ca_file go together: set all three or none")
}

func TestFilesThatCannotBeReadAreAnErrorThatNamesTheKey(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for says, c := range map[string]tlsconfig.Client{
		"a.tls.ca_file: open":           {Enabled: true, CAFile: none},
		"a.tls.ca_file: no certificate": {Enabled: true, CAFile: empty},
		"a.tls.cert_file and key_file":  {Enabled: true, CertFile: none, KeyFile: none},
	} {
		_, err := c.Config("a.tls")
		require.ErrorContains(t, err, says)
	}
	_, err := tlsconfig.Mutual{CAFile: none}.Server("internal.tls")
	require.ErrorContains(t, err, "internal.tls.ca_file: open")
}

func TestNodesTakeCallsOfNodesOfTheirAuthorityOnly(t *testing.T) {
	ours, theirs := pair(t), pair(t)
	server, err := ours.Server("internal.tls")
	require.NoError(t, err)
	for name, row := range map[string]struct {
		client tlsconfig.Mutual
		right  bool
	}{
		"ours":                             {ours, true},
		"another authority's":              {theirs, false},
		"ours with a foreign certificate":  {tlsconfig.Mutual{CAFile: ours.CAFile, CertFile: theirs.CertFile, KeyFile: theirs.KeyFile}, false},
		"none, of one who trusts us alone": {tlsconfig.Mutual{CAFile: ours.CAFile}, false},
	} {
		config := &tls.Config{RootCAs: pool(t, row.client.CAFile), MinVersion: tls.VersionTLS12}
		if row.client.CertFile != "" {
			config, err = row.client.Client("internal.tls")
			require.NoError(t, err)
		}
		if err := greet(t, server, config); row.right {
			assert.NoError(t, err, name)
		} else {
			assert.Error(t, err, name)
		}
	}
}

// greet connects, and returns what went wrong at either end.
func greet(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.WriteString(c, "hello")
			_ = c.Close()
		}
		served <- err
	}()
	c, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err == nil {
		_, err = io.ReadAll(c)
		_ = c.Close()
	}
	if failed := <-served; err == nil {
		return failed
	}
	return err
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	p := x509.NewCertPool()
	require.True(t, p.AppendCertsFromPEM(content))
	return p
}

// pair makes a certificate for the loopback, that is its own authority.
func pair(t *testing.T) tlsconfig.Mutual {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "node"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	m := tlsconfig.Mutual{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	m.CAFile = m.CertFile
	require.NoError(t, os.WriteFile(m.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(m.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return m
}
