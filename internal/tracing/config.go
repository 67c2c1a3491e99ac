package tracing

import (
	"errors"
	"fmt"
	"net/url"
)

// Config of tracing. It should be the same on all nodes: the spans of one message come
// from several.
type Config struct {
	Enabled  bool    `mapstructure:"enabled" doc:"Send spans of what becomes of traced messages to a collector. Set it on all nodes, or spans name parents that are not there."`
	Endpoint string  `mapstructure:"endpoint" doc:"Base address of the collector: OTLP over HTTP, such as http://127.0.0.1:4318; /v1/traces is added."`
	Sample   float64 `mapstructure:"sample" doc:"Share of the messages that are traced although their producer did not ask for it, from 0 to 1. Those whose traceparent says sampled always are."`
	Users    bool    `mapstructure:"users" doc:"Name the user in spans. Off: a collector need not know who gets what."`
	Name     string  `mapstructure:"name" doc:"service.name of the spans. service.instance.id is node.id."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config {
	return Config{Endpoint: "http://127.0.0.1:4318", Name: "pushgate"}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	// NaN is neither.
	if !(c.Sample >= 0 && c.Sample <= 1) {
		errs = append(errs, fmt.Errorf("tracing.sample is %v: must be from 0 to 1", c.Sample))
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		// It may hold a password.
		errs = append(errs, errors.New("tracing.endpoint is no address of a collector: write it as http://host:4318 or https://host:4318, without user or query"))
	}
	if c.Name == "" {
		errs = append(errs, errors.New("tracing.name is empty: write the service.name that spans shall have, such as pushgate"))
	}
	return errors.Join(errs...)
}
