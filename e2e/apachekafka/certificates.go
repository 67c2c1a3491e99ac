package apachekafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"pushgate/internal/freeport"
)

// Certificates are files, as a client's configuration names them.
type Certificates struct {
	// CA is the authority that has signed the brokers' certificate.
	CA string
	// Certificate and Key are a client's, for brokers that ask for one.
	Certificate, Key string
}

// NewCertificates makes an authority, and a pair that it has signed and that is good
// for both ends of a connection on loopback. The files are written to dir.
func NewCertificates(dir string) (Certificates, error) {
	a, err := newAuthority()
	if err != nil {
		return Certificates{}, err
	}
	return a.write(dir)
}

// authority signs the certificates of one cluster.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

// pair is a certificate and its private key (PKCS #8, which is what Java
// reads), in PEM.
type pair struct{ certificate, key string }

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	a := &authority{key: key, certificate: template("pushgate test authority")}
	a.certificate.IsCA = true
	a.certificate.BasicConstraintsValid = true
	a.certificate.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	a.pem = encode("CERTIFICATE", der)
	return a, nil
}

// issue makes a certificate that is good for both ends of a connection.
func (a *authority) issue(name string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("making the key of %s: %w", name, err)
	}
	c := template(name)
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	c.DNSNames = []string{"localhost"}
	c.IPAddresses = []net.IP{net.ParseIP(freeport.Loopback)}
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, key.Public(), a.key)
	if err != nil {
		return pair{}, fmt.Errorf("making the certificate of %s: %w", name, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("encoding the key of %s: %w", name, err)
	}
	return pair{certificate: encode("CERTIFICATE", der), key: encode("PRIVATE KEY", secret)}, nil
}

// write puts the authority's certificate and a client's pair into files.
func (a *authority) write(dir string) (Certificates, error) {
	client, err := a.issue("client")
	if err != nil {
		return Certificates{}, err
	}
	c := Certificates{
		CA:          filepath.Join(dir, "ca.pem"),
		Certificate: filepath.Join(dir, "client.pem"),
		Key:         filepath.Join(dir, "client-key.pem"),
	}
	for path, content := range map[string]string{c.CA: a.pem, c.Certificate: client.certificate, c.Key: client.key} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return Certificates{}, fmt.Errorf("writing certificates: %w", err)
		}
	}
	return c, nil
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
