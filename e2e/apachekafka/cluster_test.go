package apachekafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const topic = "apachekafka.test"

func TestKilledNodeComesBackWithItsData(t *testing.T) {
	c, ok := Run(t, Params{Nodes: 1})
	if !ok {
		return
	}
	client := connect(t, c.Addresses())
	createTopic(t, client, 1)
	produce(t, client, 0, 100)

	require.NoError(t, c.Kill(0))
	require.NoError(t, c.Kill(0), "killing what is dead does nothing")
	require.ErrorContains(t, c.Pause(0), "not running")
	require.NoError(t, c.Restart(t.Context(), 0))

	assert.Equal(t, 100, count(t, c.Addresses(), 100))
}

func TestPausedNodeAnswersWhenItIsContinued(t *testing.T) {
	c, ok := Run(t, Params{Nodes: 1})
	if !ok {
		return
	}
	client := connect(t, c.Addresses(), kgo.RequestTimeoutOverhead(time.Second), kgo.RequestRetries(0))
	require.NoError(t, client.Ping(t.Context()))
	require.NoError(t, c.Pause(0))
	require.Error(t, client.Ping(t.Context()))
	require.NoError(t, c.Continue(0))
	require.NoError(t, client.Ping(t.Context()))
}

func TestThreeNodesSurviveTheDeathOfOne(t *testing.T) {
	c, ok := Run(t, Params{Nodes: 3})
	if !ok {
		return
	}
	client := connect(t, c.Addresses())
	createTopic(t, client, 3)
	produce(t, client, 0, 100)

	require.NoError(t, c.Kill(1))
	produce(t, client, 100, 200) // All replicas in sync have it: two.
	assert.Equal(t, 200, count(t, []string{c.Addresses()[0], c.Addresses()[2]}, 200))

	require.NoError(t, c.Restart(t.Context(), 1))
	assert.Equal(t, 200, count(t, c.Addresses()[1:2], 200))
}

func TestAllNodesComeBackInSyncWithWhatTheyHad(t *testing.T) {
	c, ok := Run(t, Params{Nodes: 3})
	if !ok {
		return
	}
	client := connect(t, c.Addresses())
	createTopic(t, client, 3)
	produce(t, client, 0, 100)
	require.NoError(t, c.InSync(t.Context(), topic))
	require.NoError(t, c.RestartAll(t.Context()))
	require.NoError(t, c.InSync(t.Context(), topic))
	assert.Equal(t, 100, count(t, c.Addresses(), 100))

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	require.ErrorContains(t, c.InSync(ctx, "none"), "knows nothing of topic none")
}

func TestADetourLeadsThroughProxiesOnly(t *testing.T) {
	c, ok := Run(t, Params{Nodes: 1, Detour: true})
	if !ok {
		return
	}
	require.Len(t, c.Detours(), 1)
	detour := c.Detours()[0]
	around := connect(t, []string{detour.Forward}, kgo.RequestRetries(0))
	brokers, err := kadm.NewClient(around).ListBrokers(t.Context())
	require.NoError(t, err)
	require.Len(t, brokers, 1)
	host, port, err := net.SplitHostPort(detour.Listen)
	require.NoError(t, err)
	assert.Equal(t, host, brokers[0].Host)
	assert.Equal(t, port, strconv.Itoa(int(brokers[0].Port)), "nothing leads past the proxy")
	createTopic(t, connect(t, c.Addresses()), 1)
}

func TestClientsLogIn(t *testing.T) {
	alice := func(password string) map[string]sasl.Mechanism {
		s := scram.Auth{User: "alice", Pass: password}
		return map[string]sasl.Mechanism{
			Plain:       plain.Auth{User: "alice", Pass: password}.AsMechanism(),
			ScramSHA256: s.AsSha256Mechanism(),
			ScramSHA512: s.AsSha512Mechanism(),
		}
	}
	const password = "secret=with;signs"
	for _, mechanism := range []string{Plain, ScramSHA256, ScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			c, ok := Run(t, Params{Nodes: 1, Security: Security{
				Mechanism: mechanism, Users: map[string]string{"alice": password, "bob": "other"},
				TLS: mechanism == ScramSHA512,
			}})
			if !ok {
				return
			}
			var encrypted []kgo.Opt
			if mechanism == ScramSHA512 {
				encrypted = append(encrypted, kgo.DialTLSConfig(trust(t, c)))
			}
			client := connect(t, c.Addresses(), append(encrypted, kgo.SASL(alice(password)[mechanism]))...)
			require.NoError(t, client.Ping(t.Context()))

			intruder := connect(t, c.Addresses(), append(encrypted, kgo.SASL(alice("wrong")[mechanism]))...)
			require.ErrorIs(t, intruder.Ping(t.Context()), kerr.SaslAuthenticationFailed)

			require.NoError(t, connect(t, c.PlainAddresses()).Ping(t.Context()))
		})
	}
}

func TestBrokersAskForACertificate(t *testing.T) {
	c, ok := Run(t, Params{Nodes: 1, Security: Security{TLS: true, ClientCertificates: true}})
	if !ok {
		return
	}
	config := trust(t, c)
	require.Error(t, connect(t, c.Addresses(), kgo.DialTLSConfig(config), kgo.RequestRetries(0)).Ping(t.Context()))

	certificate, err := tls.LoadX509KeyPair(c.Certificates().Certificate, c.Certificates().Key)
	require.NoError(t, err)
	config = config.Clone()
	config.Certificates = []tls.Certificate{certificate}
	require.NoError(t, connect(t, c.Addresses(), kgo.DialTLSConfig(config)).Ping(t.Context()))
}

func TestNodeThatCannotStartSaysWhy(t *testing.T) {
	d, ok := Available(t)
	if !ok {
		return
	}
	_, err := Start(t.Context(), d, Params{
		Nodes: 1, Dir: t.TempDir(), Properties: map[string]string{"num.io.threads": "none"},
	})
	require.Error(t, err)
	assert.ErrorContains(t, err, "num.io.threads")
}

func trust(t *testing.T, c *Cluster) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(c.Certificates().CA)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func connect(t *testing.T, addresses []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(addresses...), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.MetadataMinAge(100*time.Millisecond))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func createTopic(t *testing.T, client *kgo.Client, replicas int16) {
	t.Helper()
	created, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, replicas, nil, topic)
	require.NoError(t, err)
	require.NoError(t, created.Err)
}

// produce writes records with the values from (inclusive) to (exclusive).
func produce(t *testing.T, client *kgo.Client, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	records := make([]*kgo.Record, 0, to-from)
	for i := from; i < to; i++ {
		records = append(records, kgo.StringRecord(strconv.Itoa(i)))
	}
	require.NoError(t, client.ProduceSync(ctx, records...).FirstErr())
}

// count reads until it has seen so many different values.
func count(t *testing.T, addresses []string, want int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reader := connect(t, addresses, kgo.ConsumeTopics(topic))
	seen := map[string]bool{}
	for len(seen) < want && ctx.Err() == nil {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
	return len(seen)
}
