package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "0123456789abcdef0123456789abcdef"

func config() auth.Config {
	c := auth.DefaultConfig()
	c.Mode, c.JWT.HMACSecret, c.JWT.Issuer, c.JWT.Audience = auth.ModeJWT, secret, "shop", "push"
	return c
}

func verifier(t *testing.T, c auth.Config) *auth.Verifier {
	t.Helper()
	require.NoError(t, c.Validate())
	v, err := auth.New(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(v.Close)
	return v
}

func claims(change ...func(jwt.MapClaims)) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "42", "iss": "shop", "aud": "push", "exp": time.Now().Add(time.Hour).Unix(), "scope": "push read"}
	for _, f := range change {
		f(c)
	}
	return c
}

func signed(t *testing.T, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	require.NoError(t, err)
	return token
}

func TestAGoodTokenSaysWhoItsOwnerIs(t *testing.T) {
	id, err := verifier(t, config()).Verify(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(secret), claims()))
	require.NoError(t, err)
	assert.Equal(t, "42", id.User)
	assert.True(t, id.Is("42"))
	assert.False(t, id.Is("43"))
	assert.True(t, id.May(auth.ScopePush))
	assert.False(t, id.May("admin"))
	assert.WithinDuration(t, time.Now().Add(time.Hour).Add(auth.DefaultConfig().JWT.Leeway), id.Expires, 5*time.Second, "as long as it would be accepted")
}

func TestABadTokenSaysWhatIsWrongWithIt(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	tests := map[string]struct {
		token string
		says  string
	}{
		"expired":       {signed(t, jwt.SigningMethodHS256, []byte(secret), claims(func(c jwt.MapClaims) { c["exp"] = 1 })), "expired"},
		"no expiry":     {signed(t, jwt.SigningMethodHS256, []byte(secret), claims(func(c jwt.MapClaims) { delete(c, "exp") })), "exp"},
		"not yet":       {signed(t, jwt.SigningMethodHS256, []byte(secret), claims(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() })), "nbf"},
		"wrong aud":     {signed(t, jwt.SigningMethodHS256, []byte(secret), claims(func(c jwt.MapClaims) { c["aud"] = "x" })), "aud"},
		"wrong iss":     {signed(t, jwt.SigningMethodHS256, []byte(secret), claims(func(c jwt.MapClaims) { c["iss"] = "x" })), "iss"},
		"wrong secret":  {signed(t, jwt.SigningMethodHS256, []byte("another secret, just as long as it is"), claims()), "signature"},
		"algorithm":     {signed(t, jwt.SigningMethodHS512, []byte(secret), claims()), "signature"},
		"RS256 for HS":  {signed(t, jwt.SigningMethodRS256, rsaKey, claims()), "signature"},
		"unsigned":      {signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims()), "signature"},
		"no user":       {signed(t, jwt.SigningMethodHS256, []byte(secret), claims(func(c jwt.MapClaims) { delete(c, "sub") })), "sub"},
		"user a number": {signed(t, jwt.SigningMethodHS256, []byte(secret), claims(func(c jwt.MapClaims) { c["sub"] = 42 })), "sub"},
		"nonsense":      {"nonsense", "malformed"},
	}
	v := verifier(t, config())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), test.token)
			var bad *auth.BadTokenError
			require.ErrorAs(t, err, &bad)
			assert.Contains(t, bad.Text, test.says)
			assert.NotContains(t, bad.Text, test.token)
		})
	}
	_, err = v.Verify(t.Context(), "")
	require.ErrorIs(t, err, auth.ErrNoToken)
}

func writeKeys(t *testing.T, keys ...any) string {
	t.Helper()
	var all []byte
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k)
		require.NoError(t, err)
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	path := filepath.Join(t.TempDir(), "keys.pem")
	require.NoError(t, os.WriteFile(path, all, 0o600))
	return path
}

func TestPublicKeysOfEveryKindVerifyAndRotate(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	older, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)

	c := config()
	c.JWT.HMACSecret, c.JWT.PublicKeyFile = "", writeKeys(t, &older.PublicKey, &rsaKey.PublicKey, &ecKey.PublicKey, edPublic)
	v := verifier(t, c)
	for name, token := range map[string]string{
		"RS256": signed(t, jwt.SigningMethodRS256, rsaKey, claims()),
		"older": signed(t, jwt.SigningMethodRS256, older, claims()),
		"ES256": signed(t, jwt.SigningMethodES256, ecKey, claims()),
		"EdDSA": signed(t, jwt.SigningMethodEdDSA, edKey, claims()),
	} {
		_, err := v.Verify(t.Context(), token)
		require.NoError(t, err, name)
	}
	// The classic confusion: the public key used as an HMAC secret.
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), signed(t, jwt.SigningMethodHS256, der, claims()))
	require.Error(t, err)
}

func TestAKeySetIsFetched(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "one"}})
	require.NoError(t, err)
	public := jwk.Marshal()
	public.D = ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]any{"keys": []any{public}}))
	}))
	defer server.Close()
	c := config()
	c.JWT.HMACSecret, c.JWT.JWKSURL = "", server.URL
	v := verifier(t, c)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims())
	token.Header["kid"] = "one"
	text, err := token.SignedString(key)
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), text)
	require.NoError(t, err)
}

func TestADevelopmentTokenIsAccepted(t *testing.T) {
	c := config()
	token, err := auth.Sign(c.JWT, auth.Grant{User: "42", Scopes: []string{"push"}, TTL: time.Minute})
	require.NoError(t, err)
	id, err := verifier(t, c).Verify(t.Context(), token)
	require.NoError(t, err)
	assert.True(t, id.May("push"))
	_, err = auth.Sign(auth.JWTConfig{}, auth.Grant{User: "42"})
	require.ErrorContains(t, err, "auth.jwt.hmac_secret")
}

func TestConfigurationsThatCannotWorkSayWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*auth.Config)
		says   string
	}{
		"mode":         {func(c *auth.Config) { c.Mode = "basic" }, "none or jwt"},
		"no key":       {func(c *auth.Config) { c.JWT.HMACSecret = "" }, "0 sources"},
		"two keys":     {func(c *auth.Config) { c.JWT.JWKSURL = "https://x/y" }, "2 sources"},
		"short secret": {func(c *auth.Config) { c.JWT.HMACSecret = "short" }, "at least 32"},
		"plain jwks":   {func(c *auth.Config) { c.JWT.HMACSecret, c.JWT.JWKSURL = "", "http://elsewhere/keys" }, "https"},
		"no claim":     {func(c *auth.Config) { c.JWT.UserClaim = "" }, "user_claim"},
		"leeway":       {func(c *auth.Config) { c.JWT.Leeway = time.Hour }, "leeway"},
	} {
		c := config()
		test.change(&c)
		assert.ErrorContains(t, c.Validate(), test.says, name)
	}
}

func TestWithoutTokensOnlyLoopbackIsListenedOn(t *testing.T) {
	none := auth.DefaultConfig()
	require.NoError(t, none.ValidateListener("127.0.0.1:8080"))
	require.NoError(t, none.ValidateListener("[::1]:8080"))
	require.ErrorContains(t, none.ValidateListener(":8080"), "auth.insecure")
	require.NoError(t, config().ValidateListener(":8080"))
	none.Insecure = true
	require.NoError(t, none.ValidateListener(":8080"))
}

func TestTheTokenIsFoundWhereverClientsPutIt(t *testing.T) {
	request := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/websocket/all/42", http.NoBody)
		change(r)
		return r
	}
	for name, r := range map[string]*http.Request{
		"header":      request(func(r *http.Request) { r.Header.Set("Authorization", "bearer tok") }),
		"parameter":   request(func(r *http.Request) { r.URL.RawQuery = "token=tok" }),
		"subprotocol": request(func(r *http.Request) { r.Header.Set("Sec-Websocket-Protocol", "pushgate.v1, bearer.tok") }),
	} {
		assert.Equal(t, "tok", auth.TokenOf(r), name)
	}
	assert.Empty(t, auth.TokenOf(request(func(r *http.Request) { r.Header.Set("Authorization", "Basic tok") })))
}

func FuzzTokenOf(f *testing.F) {
	f.Add("Bearer x", "token=y", "pushgate.v1, bearer.z")
	f.Fuzz(func(_ *testing.T, header, query, protocol string) {
		r := &http.Request{Header: http.Header{"Authorization": {header}, "Sec-Websocket-Protocol": {protocol}}}
		r.URL = httptest.NewRequest(http.MethodGet, "/", http.NoBody).URL
		r.URL.RawQuery = query
		_ = auth.TokenOf(r)
	})
}
