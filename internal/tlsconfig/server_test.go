package tlsconfig_test

import (
	"crypto/tls"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/tlsconfig"
)

func TestAListenerShowsItsCertificateToAnybody(t *testing.T) {
	p := pair(t)
	server, err := tlsconfig.Server{CertFile: p.CertFile, KeyFile: p.KeyFile}.Config("gateway.tls", nil)
	require.NoError(t, err)
	require.NoError(t, greet(t, server, &tls.Config{RootCAs: pool(t, p.CAFile)}))
	require.Error(t, greet(t, server, &tls.Config{RootCAs: pool(t, pair(t).CAFile)}))
}

func TestACertificateIsReadAgainWhenItHasChangedAndKeptWhileItCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := pair(t), pair(t)
		var told []error
		server, err := tlsconfig.Server{CertFile: first.CertFile, KeyFile: first.KeyFile}.Config("gateway.tls", func(err error) { told = append(told, err) })
		require.NoError(t, err)
		shown := func() []byte {
			<-time.After(10 * time.Second)
			c, err := server.GetCertificate(nil)
			require.NoError(t, err)
			return c.Certificate[0]
		}
		before := shown()
		assert.Empty(t, told)

		copied := func(from, to string) {
			content, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(to, content, 0o600))
			require.NoError(t, os.Chtimes(to, time.Time{}, time.Now()))
		}
		copied(second.CertFile, first.CertFile) // whose key is not there yet
		assert.Equal(t, before, shown())
		require.Len(t, told, 1)
		require.ErrorContains(t, told[0], "gateway.tls.cert_file and key_file")
		assert.Equal(t, before, shown())
		assert.Len(t, told, 1, "once")

		copied(second.KeyFile, first.KeyFile)
		assert.NotEqual(t, before, shown())
		require.Len(t, told, 2)
		require.NoError(t, told[1])

		require.NoError(t, os.Remove(first.KeyFile))
		assert.NotEqual(t, before, shown())
		require.Len(t, told, 3)
		require.ErrorContains(t, told[2], "no such file")
	})
}

func TestHalfOfAServersCertificateIsRefused(t *testing.T) {
	require.NoError(t, tlsconfig.Server{}.Validate("gateway.tls"))
	require.ErrorContains(t, tlsconfig.Server{KeyFile: "k"}.Validate("gateway.tls"), "gateway.tls.cert_file and gateway.tls.key_file go together")
	_, err := tlsconfig.Server{CertFile: "/nowhere", KeyFile: "/nowhere"}.Config("gateway.tls", nil)
	require.ErrorContains(t, err, "gateway.tls.cert_file")
	c, err := tlsconfig.Server{}.Config("gateway.tls", nil)
	require.NoError(t, err)
	assert.Nil(t, c)
}
