package app_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/auth"
	"pushgate/internal/config"
)

// get returns what the admin listener answers.
func get(t *testing.T, address, path, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(b)
}

// publicKey writes a key to verify tokens with, of which nobody has the other half.
func publicKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	return path
}

func TestACanaryGetsItsMessagesHoweverClientsProveWhoTheyAre(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"anybody may be anybody": func(*config.Config) {},
		"this node can sign tokens": func(c *config.Config) {
			c.Auth.Mode, c.Auth.JWT.HMACSecret = auth.ModeJWT, strings.Repeat("s", 32)
			c.Auth.JWT.Issuer, c.Auth.JWT.Audience = "shop", "pushgate"
		},
		"this node can only verify them": func(c *config.Config) {
			c.Auth.Mode, c.Auth.JWT.PublicKeyFile = auth.ModeJWT, publicKey(t)
			c.Admin.Token = "operator's own"
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := devConfig(t.TempDir())
			change(&c)
			c.Canary.Enabled, c.Canary.Interval, c.Canary.Timeout = true, 300*time.Millisecond, 300*time.Millisecond
			d, stop := runDev(t, c)
			const patience, look = 20 * time.Second, 50 * time.Millisecond
			var metrics string
			assert.Eventually(t, func() bool {
				_, metrics = get(t, d.AdminAddr(), "/metrics", c.Admin.Token)
				return regexp.MustCompile(`(?m)^pushgate_canary_seconds_count [3-9]`).MatchString(metrics)
			}, patience, look, "%s", metrics)
			assert.Regexp(t, `(?m)^pushgate_canary_last_success_timestamp_seconds 1\.\d+e\+09$`, metrics)

			status, body := get(t, d.AdminAddr(), "/readyz", "")
			assert.Equal(t, http.StatusOK, status)
			var ready struct{ Details map[string]string }
			require.NoError(t, json.Unmarshal([]byte(body), &ready))
			assert.Contains(t, ready.Details["canary"], "ok: the last message took", body)
			stop()
		})
	}
}

func TestANodeThatIsNotReachedByItsCanaryIsReadyAllTheSame(t *testing.T) {
	c := devConfig(t.TempDir())
	c.Auth.Mode, c.Auth.JWT.PublicKeyFile = auth.ModeJWT, publicKey(t)
	c.Canary.Enabled, c.Canary.Interval, c.Canary.Timeout = true, 200*time.Millisecond, 200*time.Millisecond
	c.Message.MaxBytes = 1 // no message of its own is valid
	d, stop := runDev(t, c)
	const patience, look = 20 * time.Second, 50 * time.Millisecond
	assert.Eventually(t, func() bool {
		_, metrics := get(t, d.AdminAddr(), "/metrics", "")
		return regexp.MustCompile(`(?m)^pushgate_canary_failures_total\{stage="receive"\} [1-9]`).MatchString(metrics)
	}, patience, look)
	status, body := get(t, d.AdminAddr(), "/readyz", "")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `"canary":"failing for `)
	stop()
}

func TestANodeWithoutACanaryHasNoMetricsOfOne(t *testing.T) {
	d, stop := runDev(t, devConfig(t.TempDir()))
	_, metrics := get(t, d.AdminAddr(), "/metrics", "")
	assert.NotContains(t, metrics, "pushgate_canary")
	assert.NotContains(t, metrics, "pushgate_spans")
	_, body := get(t, d.AdminAddr(), "/readyz", "")
	assert.NotContains(t, body, "details")
	stop()
}
