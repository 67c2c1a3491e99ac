package listen_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/listen"
)

func TestOnlyAddressesOfThisMachineAreLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.7:1": true, "localhost:0": true, "[::1]:8080": true,
		":8080": false, "0.0.0.0:8080": false, "[::]:1": false, "10.0.0.1:8080": false, "example.com:1": false, "nonsense": false,
	} {
		assert.Equal(t, want, listen.Loopback(address), address)
	}
}
