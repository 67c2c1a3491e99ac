package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// ScopePush allows to produce messages over HTTP.
const ScopePush = "push"

// Identity is who a token speaks for.
type Identity struct {
	// User is empty when tokens are not asked for: then anybody is anybody.
	User string
	// Expires ends the identity; zero: never.
	Expires time.Time
	Scopes  []string
	// Anonymous: no token was asked for.
	Anonymous bool
}

// Is says whether the identity may act as a user.
func (i Identity) Is(user string) bool { return i.Anonymous || i.User == user }

// May says whether the identity has a scope.
func (i Identity) May(scope string) bool { return i.Anonymous || slices.Contains(i.Scopes, scope) }

// ErrNoToken says that a token is needed and none came.
var ErrNoToken = errors.New("a token is needed: send it as Authorization: Bearer, as ?token=, or as subprotocol bearer.<token>")

// BadTokenError says why a token is not good. Its text tells nothing that the
// token's owner may not know.
type BadTokenError struct{ Text string }

func (e *BadTokenError) Error() string { return e.Text }

// Verifier verifies tokens. Safe for concurrent use.
type Verifier struct {
	config Config
	parser *jwt.Parser
	keys   jwt.Keyfunc
	stop   context.CancelFunc
}

// New makes a verifier: it reads key files, and fetches a key set when one is
// configured, which must answer within ten seconds. Close it.
func New(ctx context.Context, c Config) (*Verifier, error) {
	v := &Verifier{config: c, stop: func() {}}
	if c.Mode == ModeNone {
		return v, nil
	}
	methods := []string{"RS256", "ES256", "EdDSA"}
	switch {
	case c.JWT.HMACSecret != "":
		methods = []string{"HS256"}
		v.keys = func(*jwt.Token) (any, error) { return []byte(c.JWT.HMACSecret), nil }
	case c.JWT.PublicKeyFile != "":
		keys, err := readPublicKeys(c.JWT.PublicKeyFile)
		if err != nil {
			return nil, err
		}
		v.keys = func(t *jwt.Token) (any, error) { return fitting(keys, t.Method.Alg()) }
	default:
		if err := v.useKeySet(ctx, c.JWT.JWKSURL); err != nil {
			return nil, err
		}
	}
	options := []jwt.ParserOption{jwt.WithValidMethods(methods), jwt.WithExpirationRequired(), jwt.WithLeeway(c.JWT.Leeway)}
	if c.JWT.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.JWT.Issuer))
	}
	if c.JWT.Audience != "" {
		options = append(options, jwt.WithAudience(c.JWT.Audience))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

// Close ends what runs in the background.
func (v *Verifier) Close() { v.stop() }

func (v *Verifier) useKeySet(ctx context.Context, address string) error {
	const patience = 10 * time.Second
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	must := false // a node without keys would refuse everybody
	set, err := keyfunc.NewDefaultOverrideCtx(background, []string{address}, keyfunc.Override{
		NoErrorReturnFirstHTTPReq: &must,
		Client:                    &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}},
		HTTPTimeout:               patience,
	})
	if err != nil {
		stop()
		return fmt.Errorf("auth.jwt.jwks_url: fetching the key set: %w", err)
	}
	v.keys, v.stop = set.Keyfunc, stop
	return nil
}

// readPublicKeys reads all keys of a PEM file.
func readPublicKeys(path string) ([]any, error) {
	rest, err := os.ReadFile(path) //nolint:gosec // the file the operator named
	if err != nil {
		return nil, fmt.Errorf("auth.jwt.public_key_file: %w", err)
	}
	var keys []any
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		key, err := parsePublic(block)
		if err != nil {
			return nil, fmt.Errorf("auth.jwt.public_key_file: block %d (%s): %w", len(keys)+1, block.Type, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("auth.jwt.public_key_file: no key in %s, which must be PEM", path)
	}
	return keys, nil
}

func parsePublic(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes) //nolint:wrapcheck // wrapped by the caller
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes) //nolint:wrapcheck // as above
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err //nolint:wrapcheck // as above
		}
		return cert.PublicKey, nil
	default:
		return nil, errors.New("only public keys and certificates belong here")
	}
}

// fitting returns the keys that an algorithm can use: the algorithm is pinned to
// the kind of key, so that no token can choose how it is verified.
func fitting(keys []any, algorithm string) (any, error) {
	var set jwt.VerificationKeySet
	for _, key := range keys {
		ok := false
		switch key.(type) {
		case *rsa.PublicKey:
			ok = algorithm == "RS256"
		case *ecdsa.PublicKey:
			ok = algorithm == "ES256"
		case ed25519.PublicKey:
			ok = algorithm == "EdDSA"
		}
		if ok {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("no key for %s", algorithm)
	}
	return set, nil
}

// Verify says who a token speaks for. The error is ErrNoToken or a
// *BadTokenError. It may block while a key set is fetched, until ctx ends.
func (v *Verifier) Verify(_ context.Context, token string) (Identity, error) {
	if v.config.Mode == ModeNone {
		return Identity{Anonymous: true}, nil
	}
	if token == "" {
		return Identity{}, ErrNoToken
	}
	claims := jwt.MapClaims{}
	if _, err := v.parser.ParseWithClaims(token, claims, v.keys); err != nil {
		return Identity{}, &BadTokenError{Text: explain(err, v.config.JWT)}
	}
	user, ok := claims[v.config.JWT.UserClaim].(string)
	if !ok || user == "" {
		return Identity{}, &BadTokenError{Text: fmt.Sprintf("the token's claim %s holds no user id", v.config.JWT.UserClaim)}
	}
	id := Identity{User: user, Scopes: scopes(claims)}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		id.Expires = exp.Add(v.config.JWT.Leeway) // until then it is accepted
	}
	return id, nil
}

func scopes(claims jwt.MapClaims) []string {
	var list []string
	if s, ok := claims["scope"].(string); ok {
		list = strings.Fields(s)
	}
	if all, ok := claims["scp"].([]any); ok {
		for _, one := range all {
			if s, ok := one.(string); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// explain says what is wrong with a token in words that help its owner.
func explain(err error, c JWTConfig) string {
	for _, known := range []struct {
		is   error
		text string
	}{
		{jwt.ErrTokenExpired, "the token has expired"},
		{jwt.ErrTokenNotValidYet, "the token is not valid yet (nbf)"},
		{jwt.ErrTokenInvalidAudience, fmt.Sprintf("the token is not for %q (aud)", c.Audience)},
		{jwt.ErrTokenInvalidIssuer, fmt.Sprintf("the token is not from %q (iss)", c.Issuer)},
		{jwt.ErrTokenRequiredClaimMissing, "the token lacks a required claim (exp)"},
		{jwt.ErrTokenMalformed, "the token is malformed"},
		{jwt.ErrTokenSignatureInvalid, "the token's signature does not match"},
		{jwt.ErrTokenUnverifiable, "the token was signed with a key or an algorithm that is not accepted here"},
	} {
		if errors.Is(err, known.is) {
			return known.text
		}
	}
	return "the token is not valid"
}

// bearerProtocol begins the subprotocol that carries a token.
const bearerProtocol = "bearer."

// TokenOf takes the token off a request: a header, a parameter of the address,
// or - for browsers, which cannot set headers - a subprotocol. Empty: there is
// none.
func TokenOf(r *http.Request) string {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if found && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	if token := r.URL.Query().Get("token"); token != "" {
		return token
	}
	for _, line := range r.Header.Values("Sec-Websocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(name), bearerProtocol); ok {
				return token
			}
		}
	}
	return ""
}

// CarriesToken says whether a subprotocol is one that carries a token.
func CarriesToken(subprotocol string) bool { return strings.HasPrefix(subprotocol, bearerProtocol) }
