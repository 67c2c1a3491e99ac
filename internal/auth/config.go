// Package auth says who may connect: it verifies tokens and takes them off
// requests. It knows neither sockets nor users' sessions.
package auth

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// The modes of Config.Mode.
const (
	ModeNone = "none"
	ModeJWT  = "jwt"
)

// Config says how clients prove who they are.
type Config struct {
	Mode     string    `mapstructure:"mode" doc:"none or jwt. none lets anybody be any user, and is refused on a listener other machines can reach unless auth.insecure is true."`
	Insecure bool      `mapstructure:"insecure" doc:"Allow auth.mode none on any listener. For closed networks only."`
	JWT      JWTConfig `mapstructure:"jwt"`
}

// JWTConfig says which tokens are good. One source of keys is configured.
type JWTConfig struct {
	HMACSecret    string        `mapstructure:"hmac_secret" secret:"true" doc:"Shared secret of HS256 tokens, at least 32 bytes."`
	PublicKeyFile string        `mapstructure:"public_key_file" doc:"PEM file with public keys (RSA: RS256, P-256: ES256, Ed25519: EdDSA); several while keys are rotated."`
	JWKSURL       string        `mapstructure:"jwks_url" doc:"Address of a JSON Web Key Set, fetched again every hour and when an unknown key id is seen."`
	Issuer        string        `mapstructure:"issuer" doc:"Required iss claim; empty: any."`
	Audience      string        `mapstructure:"audience" doc:"Required aud claim; empty: any."`
	UserClaim     string        `mapstructure:"user_claim" doc:"Claim that holds the user id."`
	Leeway        time.Duration `mapstructure:"leeway" doc:"Clock difference that is tolerated when exp and nbf are checked."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config {
	return Config{Mode: ModeNone, JWT: JWTConfig{UserClaim: "sub", Leeway: 10 * time.Second}}
}

// minSecret is the length of an HS256 secret: that of its hash (RFC 7518, 3.2).
const minSecret = 32

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	if c.Mode == ModeNone {
		return nil
	}
	if c.Mode != ModeJWT {
		return fmt.Errorf("auth.mode is %q: use none or jwt", c.Mode)
	}
	var errs []error
	sources := 0
	for _, source := range []string{c.JWT.HMACSecret, c.JWT.PublicKeyFile, c.JWT.JWKSURL} {
		if source != "" {
			sources++
		}
	}
	if sources != 1 {
		errs = append(errs, fmt.Errorf("auth.mode is jwt and %d sources of keys are set: set one of auth.jwt.hmac_secret, auth.jwt.public_key_file and auth.jwt.jwks_url", sources))
	}
	if n := len(c.JWT.HMACSecret); n > 0 && n < minSecret {
		errs = append(errs, fmt.Errorf("auth.jwt.hmac_secret has %d bytes: HS256 needs at least %d", n, minSecret))
	}
	if c.JWT.JWKSURL != "" {
		u, err := url.Parse(c.JWT.JWKSURL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()))) {
			errs = append(errs, errors.New("auth.jwt.jwks_url must be an https address (http is for loopback only)"))
		}
	}
	if c.JWT.UserClaim == "" {
		errs = append(errs, errors.New("auth.jwt.user_claim is empty: name the claim that holds the user id, such as sub"))
	}
	if c.JWT.Leeway < 0 || c.JWT.Leeway > 5*time.Minute {
		errs = append(errs, fmt.Errorf("auth.jwt.leeway is %s: must be from 0 to 5m", c.JWT.Leeway))
	}
	return errors.Join(errs...)
}

// ValidateListener refuses a listener that lets any machine be any user.
func (c Config) ValidateListener(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || c.Mode != ModeNone || c.Insecure || loopback(host) {
		return nil //nolint:nilerr // whether the address is one is not judged here
	}
	return fmt.Errorf("auth.mode is none, but gateway.listen (%s) can be reached from other machines, where anybody could read anybody's messages: "+
		"set auth.mode to jwt, listen on 127.0.0.1, or set auth.insecure to true if the network is closed", listen)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
