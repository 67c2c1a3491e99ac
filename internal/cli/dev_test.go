package cli_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/cli"
)

func TestADevelopmentPlatformWhoseAddressIsTakenNamesTheFlagToChooseAnother(t *testing.T) {
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	flags := []string{"--kafka-listen", "--redis-listen", "--gateway-listen", "--admin-listen"}
	for _, flag := range flags {
		args := []string{"dev", "--routing", "targeted", "--data-dir", t.TempDir()}
		for _, f := range flags {
			address := "127.0.0.1:0"
			if f == flag {
				address = taken.Addr().String()
			}
			args = append(args, f, address)
		}
		var stdout, stderr transcript
		code := cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, "test")
		assert.Equal(t, 1, code, flag)
		assert.Contains(t, stderr.String(), taken.Addr().String()+" is in use already", flag)
		assert.Contains(t, stderr.String(), "choose another address with "+flag+"\n")
		assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
	}
}
