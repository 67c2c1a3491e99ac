package embedded_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"pushgate/internal/freeport"
	"pushgate/internal/kafka/embedded"
)

const topic, group = "push.requests", "pushgate.gateway.a"

func start(t *testing.T, c embedded.Config) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(t.Context(), c)
	require.NoError(t, err)
	return b
}

func onDisk(dir string) embedded.Config {
	return embedded.Config{Listen: "127.0.0.1:0", DataDir: dir}
}

func client(t *testing.T, address string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, options...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// fill creates the topic and writes n records, and commits how far a group has
// read them.
func fill(t *testing.T, address string, n int) {
	t.Helper()
	c := client(t, address)
	defer c.Close()
	admin := kadm.NewClient(c)
	retention := "1234567"
	res, err := admin.CreateTopic(t.Context(), 2, 1, map[string]*string{"retention.ms": &retention}, topic)
	require.NoError(t, err)
	require.NoError(t, res.Err)
	for i := range n {
		rec := &kgo.Record{Topic: topic, Key: []byte("u"), Value: fmt.Append(nil, i)}
		require.NoError(t, c.ProduceSync(t.Context(), rec).FirstErr())
	}
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 1, 7, -1)
	require.NoError(t, admin.CommitAllOffsets(t.Context(), group, offsets))
}

// check finds what fill has left.
func check(t *testing.T, address string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := client(t, address, kgo.ConsumeTopics(topic))
	defer c.Close()
	var values []string
	for len(values) < n {
		fetches := c.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	for i, v := range values {
		assert.Equal(t, fmt.Sprint(i), v)
	}
	admin := kadm.NewClient(c)
	offsets, err := admin.FetchOffsets(ctx, group)
	require.NoError(t, err)
	at, ok := offsets.Lookup(topic, 1)
	assert.True(t, ok, "what was committed is gone")
	assert.Equal(t, int64(7), at.At)
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	require.NoError(t, err)
	for _, one := range configs[0].Configs {
		if one.Key == "retention.ms" {
			assert.Equal(t, "1234567", one.MaybeValue())
		}
	}
}

func TestWhatWasWrittenSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	b := start(t, onDisk(dir))
	fill(t, b.Addresses()[0], 20)
	require.NoError(t, b.Close())
	for range 2 {
		b = start(t, onDisk(dir))
		check(t, b.Addresses()[0], 20)
		require.NoError(t, b.Close())
	}
}

func TestWhatWasWrittenSurvivesTheProcessBeingKilled(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, dir)
	fill(t, c.address, 20)
	c.kill()
	b := start(t, onDisk(dir))
	check(t, b.Addresses()[0], 20)
	require.NoError(t, b.Close())
}

func TestInMemoryNothingIsKept(t *testing.T) {
	b := start(t, embedded.Config{Listen: "127.0.0.1:0"})
	fill(t, b.Addresses()[0], 1)
	require.NoError(t, b.Close())
	b = start(t, embedded.Config{Listen: "127.0.0.1:0"})
	topics, err := kadm.NewClient(client(t, b.Addresses()[0])).ListTopics(t.Context())
	require.NoError(t, err)
	assert.Empty(t, topics.Names())
	require.NoError(t, b.Close())
}

func TestASecondProcessOnTheSameDataIsRefusedAndToldWhoHasIt(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, dir)
	_, err := embedded.Start(t.Context(), onDisk(dir))
	require.ErrorContains(t, err, fmt.Sprintf("data directory %s is in use by process %d", dir, c.pid))
	require.ErrorContains(t, err, "--data-dir", "and what to do")

	c.kill()
	b := start(t, onDisk(dir)) // the lock ends with its process, however it ends
	inside := startChild(t, dir)
	assert.Contains(t, inside.address, fmt.Sprintf("in use by process %d", os.Getpid()))
	require.NoError(t, b.Close())
}

func TestAPortThatIsTakenIsSaidByItsAddressAndFreesTheData(t *testing.T) {
	var lc net.ListenConfig
	other, err := lc.Listen(t.Context(), "tcp", freeport.Address(t))
	require.NoError(t, err)
	dir := t.TempDir()
	config := embedded.Config{Listen: other.Addr().String(), DataDir: dir}
	_, err = embedded.Start(t.Context(), config)
	require.ErrorContains(t, err, other.Addr().String()+" is in use already")
	require.ErrorContains(t, err, "--kafka-listen", "and what to do")

	require.NoError(t, other.Close())
	b := start(t, config)
	assert.Equal(t, []string{config.Listen}, b.Addresses())
	require.NoError(t, b.Close())
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	for listen, says := range map[string]string{
		"":               "not host:port",
		"localhost":      "not host:port",
		"127.0.0.1:many": `port "many" is no number`,
	} {
		_, err := embedded.Start(t.Context(), embedded.Config{Listen: listen})
		assert.ErrorContains(t, err, says, listen)
	}
}

func TestADataDirectoryThatCannotBeMadeIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := embedded.Start(t.Context(), onDisk(filepath.Join(file, "data")))
	require.ErrorContains(t, err, "data directory")
}

func TestTheDataIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := start(t, onDisk(dir))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.NoError(t, b.Close())
}
