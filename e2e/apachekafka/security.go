package apachekafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The SASL mechanisms a listener may ask for.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Security is what clients need in order to connect. The zero value lets
// everybody in, in plain text. Brokers among themselves speak plain text.
type Security struct {
	// Mechanism is how clients log in: one of the constants, or empty.
	Mechanism string
	// Users are those who may log in: their passwords by name.
	Users map[string]string
	// TLS encrypts. The certificate is good for 127.0.0.1 and localhost, and
	// signed by Certificates.CA.
	TLS bool
	// ClientCertificates makes brokers refuse clients without a certificate
	// signed by the same authority. It takes TLS.
	ClientCertificates bool
}

func (s Security) check() error {
	switch s.Mechanism {
	case "", Plain, ScramSHA256, ScramSHA512:
	default:
		return fmt.Errorf("Security.Mechanism is %q: use %s, %s or %s", s.Mechanism, Plain, ScramSHA256, ScramSHA512)
	}
	if (s.Mechanism == "") != (len(s.Users) == 0) {
		return fmt.Errorf("Security.Mechanism is %q and there are %d users: both or neither", s.Mechanism, len(s.Users))
	}
	if s.ClientCertificates && !s.TLS {
		return fmt.Errorf("Security.ClientCertificates takes Security.TLS")
	}
	return nil
}

// protocol is Kafka's name for the combination.
func (s Security) protocol() string {
	switch {
	case s.Mechanism != "" && s.TLS:
		return "SASL_SSL"
	case s.Mechanism != "":
		return "SASL_PLAINTEXT"
	case s.TLS:
		return "SSL"
	default:
		return "PLAINTEXT"
	}
}

// properties of a node that serves clients so.
func (s Security) properties(authority string, node pair) map[string]string {
	const prefix = "listener.name.client."
	p := map[string]string{}
	if s.TLS {
		p[prefix+"ssl.keystore.type"] = "PEM"
		p[prefix+"ssl.keystore.certificate.chain"] = node.certificate
		p[prefix+"ssl.keystore.key"] = node.key
		p[prefix+"ssl.truststore.type"] = "PEM"
		p[prefix+"ssl.truststore.certificates"] = authority
	}
	if s.ClientCertificates {
		p[prefix+"ssl.client.auth"] = "required"
	}
	if s.Mechanism == "" {
		return p
	}
	p["sasl.enabled.mechanisms"] = s.Mechanism
	module := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	if s.Mechanism == Plain {
		var b strings.Builder
		b.WriteString("org.apache.kafka.common.security.plain.PlainLoginModule required")
		for _, name := range slices.Sorted(maps.Keys(s.Users)) {
			fmt.Fprintf(&b, " user_%s=%q", name, s.Users[name])
		}
		b.WriteString(";")
		module = b.String()
	}
	p[prefix+strings.ToLower(s.Mechanism)+".sasl.jaas.config"] = module
	return p
}

// formatArguments are what `format` needs to know: SCRAM's users are records of
// the cluster's metadata, not lines of a node's configuration.
func (s Security) formatArguments() []string {
	var args []string
	if s.Mechanism == ScramSHA256 || s.Mechanism == ScramSHA512 {
		for _, name := range slices.Sorted(maps.Keys(s.Users)) {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", s.Mechanism, name, s.Users[name]))
		}
	}
	return args
}
