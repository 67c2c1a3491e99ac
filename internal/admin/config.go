package admin

import (
	"errors"
	"fmt"
	"net"

	"pushgate/internal/listen"
)

// Config of the admin listener.
type Config struct {
	Listen    string `mapstructure:"listen" doc:"Address of health checks, metrics, the admin API and the console."`
	Token     string `mapstructure:"token" secret:"true" doc:"Secret that makes an operator: metrics, profiles and the admin API ask for it (Authorization: Bearer). Required off loopback; health checks never ask."`
	ReadToken string `mapstructure:"read_token" secret:"true" doc:"Secret that may look and change nothing: it reads metrics and the admin API, payloads included. Empty: there is none."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8081"} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("admin.listen is %q: write it as host:port", c.Listen)
	}
	switch {
	case c.Token == "" && !listen.Loopback(c.Listen):
		return fmt.Errorf("admin.token is empty, but admin.listen (%s) can be reached from other machines: set a token, or listen on 127.0.0.1", c.Listen)
	case c.Token == "" && c.ReadToken != "":
		return errors.New("admin.read_token is set, but admin.token is empty, so that everybody is operator: set admin.token, too")
	case c.Token != "" && c.Token == c.ReadToken:
		return errors.New("admin.read_token is admin.token, so that who may look may change, too: set another")
	}
	return nil
}
