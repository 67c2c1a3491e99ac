package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Grant is what a development token says.
type Grant struct {
	User   string
	Scopes []string
	TTL    time.Duration
}

// Sign signs a development token with the configured HMAC secret, so that what
// is configured can be tried without an identity provider. Public keys cannot
// sign.
func Sign(c JWTConfig, g Grant) (string, error) {
	if c.HMACSecret == "" {
		return "", errors.New("development tokens are signed with auth.jwt.hmac_secret, which is not set; " +
			"with public keys, tokens come from whoever holds the private key")
	}
	now := time.Now()
	claims := jwt.MapClaims{
		c.UserClaim: g.User,
		"iat":       now.Unix(),
		"exp":       now.Add(g.TTL).Unix(),
	}
	if c.Issuer != "" {
		claims["iss"] = c.Issuer
	}
	if c.Audience != "" {
		claims["aud"] = c.Audience
	}
	if len(g.Scopes) > 0 {
		claims["scope"] = strings.Join(g.Scopes, " ")
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(c.HMACSecret))
	if err != nil {
		return "", fmt.Errorf("signing the token: %w", err)
	}
	return token, nil
}
