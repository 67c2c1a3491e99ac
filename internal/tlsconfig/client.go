package tlsconfig

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Client is TLS as a node uses it towards servers.
type Client struct {
	Enabled            bool   `mapstructure:"enabled" doc:"Encrypt connections."`
	CAFile             string `mapstructure:"ca_file" doc:"PEM file of the authorities to trust; empty: the system's."`
	CertFile           string `mapstructure:"cert_file" doc:"PEM file of this node's certificate, for servers that ask for one."`
	KeyFile            string `mapstructure:"key_file" doc:"PEM file of the certificate's private key."`
	ServerName         string `mapstructure:"server_name" doc:"Name the servers' certificates must have; empty: the host that was dialled."`
	InsecureSkipVerify bool   `mapstructure:"insecure_skip_verify" doc:"Accept any certificate. For experiments only."`
}

// Validate reports what does not go together. Key is the section that the settings
// stand in, such as kafka.tls.
func (c Client) Validate(key string) error {
	return bothOrNone(key, c.CertFile, c.KeyFile)
}

// bothOrNone refuses a certificate without its key, and the other way round.
func bothOrNone(key, certFile, keyFile string) error {
	if (certFile == "") != (keyFile == "") {
		return fmt.Errorf("%s.cert_file and %s.key_file go together: set both or none", key, key)
	}
	return nil
}

// Config reads the files. It returns nil where encryption is off. Errors name the
// setting below key.
func (c Client) Config(key string) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: c.ServerName,
		InsecureSkipVerify: c.InsecureSkipVerify, //nolint:gosec // the operator asked for it by name
	}
	var err error
	if c.CAFile != "" {
		if t.RootCAs, err = authorities(key, c.CAFile); err != nil {
			return nil, err
		}
	}
	if c.CertFile != "" {
		if t.Certificates, err = certificate(key, c.CertFile, c.KeyFile); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func authorities(key, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the file the operator named
	if err != nil {
		return nil, fmt.Errorf("%s.ca_file: %w", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s.ca_file: no certificate in %s, which must be PEM", key, file)
	}
	return pool, nil
}

func certificate(key, certFile, keyFile string) ([]tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%s.cert_file and key_file: %w", key, err)
	}
	return []tls.Certificate{pair}, nil
}
