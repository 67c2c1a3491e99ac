package freeport_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/freeport"
)

func TestNobodyIsGivenAPortTwiceOrOneThatIsListenedOn(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		for _, port := range freeport.Ports(t, 9) {
			require.False(t, seen[port], port)
			seen[port] = true
			// Another process that looks for its ports may be trying this one just now.
			const patience, look = 5 * time.Second, time.Millisecond
			require.Eventually(t, func() bool {
				var lc net.ListenConfig
				l, err := lc.Listen(t.Context(), "tcp", freeport.At(port))
				if err == nil {
					t.Cleanup(func() { _ = l.Close() }) // all are held until the end
				}
				return err == nil
			}, patience, look, port)
		}
	}
}

func TestNoOutgoingConnectionIsGivenSuchAPort(t *testing.T) {
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return // Only Linux says what it gives.
	}
	require.NoError(t, err)
	lowest, err := strconv.Atoi(strings.Fields(string(text))[0])
	require.NoError(t, err)
	const usual = 32768
	if lowest < usual {
		return // It was set to give more, and these may be among them.
	}
	for _, port := range freeport.Ports(t, 9) {
		assert.Less(t, port, lowest, "see %s", file)
	}
}

func TestALookThatIsEndedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := freeport.Find(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
}
