package listen_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"pushgate/internal/listen"
)

func TestHandshakesThatFailFillNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		l := zap.NewStdLog(listen.FewHandshakes(zap.New(core)).With(zap.String("node", "n")))
		for range 1000 {
			l.Printf("http: TLS handshake error from %s: EOF", "127.0.0.1:1")
			l.Printf("http: panic serving %s", "127.0.0.1:1")
		}
		require.Equal(t, 1, logs.FilterMessage("http: TLS handshake error from 127.0.0.1:1: EOF").Len())
		assert.Equal(t, 1000, logs.FilterMessage("http: panic serving 127.0.0.1:1").Len(), "all else is there")
		<-time.After(10 * time.Second)
		l.Printf("http: TLS handshake error from %s: EOF", "127.0.0.1:2")
		last := logs.All()[logs.Len()-1]
		assert.Equal(t, "http: TLS handshake error from 127.0.0.1:2: EOF", last.Message)
		assert.Equal(t, "n", last.ContextMap()["node"])
		assert.Equal(t, int64(1000), last.ContextMap()["handshakes"])
	})
}
