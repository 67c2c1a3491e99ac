package tlsconfig

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Server is TLS of a listener that anybody may connect to. It is off where nothing is set.
type Server struct {
	CertFile string `mapstructure:"cert_file" doc:"PEM file of the certificate that clients are shown, with its chain. Read again when it changes. Empty: no TLS here; it may end in front of the gateway."`
	KeyFile  string `mapstructure:"key_file" doc:"PEM file of the certificate's private key."`
}

// Enabled says whether connections are encrypted.
func (s Server) Enabled() bool { return s != Server{} }

// Validate reports what does not go together. Key is the section that the settings stand
// in.
func (s Server) Validate(key string) error { return bothOrNone(key, s.CertFile, s.KeyFile) }

// Config reads the files, and reads them again when they have changed: connections that
// are opened from then on, or ten seconds after, are shown the new certificate. Onward is
// told each time, nil or why the old one is kept; it must not block. Config returns nil
// where encryption is off.
func (s Server) Config(key string, onward func(error)) (*tls.Config, error) {
	if !s.Enabled() {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	r := &renewed{files: s, key: key, onward: onward}
	var err error
	if r.stamp, err = r.look(); err == nil {
		err = r.load()
	}
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return r.certificate(), nil
		},
	}, nil
}

// renewed is a certificate that follows its files.
type renewed struct {
	files  Server
	key    string
	onward func(error)

	mu      sync.Mutex
	current *tls.Certificate
	stamp   stamp
	looked  time.Time
}

// stamp tells whether files have changed.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = 10 * time.Second

func (r *renewed) certificate() *tls.Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.looked) >= lookEvery {
		r.looked = now
		if found, err := r.look(); found != r.stamp { // or gone, and then of none
			r.stamp = found
			if err == nil {
				err = r.load()
			}
			r.onward(err)
		}
	}
	return r.current
}

func (r *renewed) look() (stamp, error) {
	cert, err1 := os.Stat(r.files.CertFile)
	key, err2 := os.Stat(r.files.KeyFile)
	if err := errors.Join(err1, err2); err != nil {
		return stamp{}, fmt.Errorf("%s.cert_file and key_file: %w", r.key, err)
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

func (r *renewed) load() error {
	pair, err := certificate(r.key, r.files.CertFile, r.files.KeyFile)
	if err != nil {
		return err
	}
	r.current, r.looked = &pair[0], time.Now()
	return nil
}
