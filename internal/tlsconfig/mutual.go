package tlsconfig

import (
	"crypto/tls"
	"fmt"
)

// Mutual is TLS between nodes: each shows a certificate, as server and as client,
// and asks the other for one of the same authority. It is off where nothing is set.
type Mutual struct {
	CertFile string `mapstructure:"cert_file" doc:"PEM file of this node's certificate, which names the host of node.advertise. Read at the start."`
	KeyFile  string `mapstructure:"key_file" doc:"PEM file of the certificate's private key."`
	CAFile   string `mapstructure:"ca_file" doc:"PEM file of the authority whose certificates the other nodes must show."`
}

// Enabled says whether connections between nodes are encrypted.
func (m Mutual) Enabled() bool { return m != Mutual{} }

// Validate reports a setting that is missing. Key is the section that they stand in.
func (m Mutual) Validate(key string) error {
	if m.Enabled() && (m.CertFile == "" || m.KeyFile == "" || m.CAFile == "") {
		return fmt.Errorf("%s.cert_file, key_file and ca_file go together: set all three or none", key)
	}
	return nil
}

// Server reads the files for a listener. It returns nil where encryption is off.
func (m Mutual) Server(key string) (*tls.Config, error) {
	t, err := m.config(key)
	if t != nil {
		t.ClientCAs, t.RootCAs = t.RootCAs, nil
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return t, err
}

// Client reads the files for those who call. It returns nil where encryption is off.
func (m Mutual) Client(key string) (*tls.Config, error) { return m.config(key) }

func (m Mutual) config(key string) (*tls.Config, error) {
	return Client{Enabled: m.Enabled(), CertFile: m.CertFile, KeyFile: m.KeyFile, CAFile: m.CAFile}.Config(key)
}
