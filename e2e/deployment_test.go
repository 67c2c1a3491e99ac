package e2e

import (
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"pushgate/internal/directory"
)

// partitions of the topics of most tests.
const partitions = 4

// deployment is a set of topics on a broker, and the nodes that serve it.
type deployment struct {
	t        *testing.T
	brokers  []string
	prefix   string
	extra    map[string]string // environment of each process
	redis    string            // address of the directory; empty where routing is broadcast
	producer *kgo.Client
}

// deploy makes the topics of a fresh deployment, with the program's own command.
func deploy(t *testing.T, brokers []string) *deployment {
	t.Helper()
	return deployWith(t, brokers, nil)
}

// deployWith has more variables for each of the deployment's processes.
func deployWith(t *testing.T, brokers []string, env map[string]string, options ...kgo.Opt) *deployment {
	t.Helper()
	return deployOver(t, partitions, brokers, env, options...)
}

// deployOver has the topics over a number of partitions.
func deployOver(t *testing.T, partitions int, brokers []string, env map[string]string, options ...kgo.Opt) *deployment {
	t.Helper()
	d := &deployment{t: t, brokers: brokers, extra: env, prefix: fmt.Sprintf("t%06x.", rand.Uint32()&0xffffff)}
	apply := run(t, "topics", d.env(), "topics", "apply", "--partitions", fmt.Sprint(partitions))
	require.Zero(t, apply.exit(60*time.Second), apply.out.String())
	return d.connectProducer(options...)
}

// internalToken is what nodes of a targeted deployment show each other.
const internalToken = "of-the-nodes"

// deployTargeted makes a deployment with targeted routing, on the directory that the
// tests share.
func deployTargeted(t *testing.T, brokers []string) *deployment {
	t.Helper()
	return deployOn(t, brokers, sharedDirectory(t))
}

// deployBy makes a deployment with the routing asked for.
func deployBy(t *testing.T, brokers []string, targeted bool) *deployment {
	t.Helper()
	if targeted {
		return deployTargeted(t, brokers)
	}
	return deploy(t, brokers)
}

// deployOn makes a deployment with targeted routing, on a directory of one's own.
func deployOn(t *testing.T, brokers []string, redis directory.RedisConfig, options ...kgo.Opt) *deployment {
	t.Helper()
	d := deployWith(t, brokers, map[string]string{
		"PUSHGATE_ROUTING_MODE":                "targeted",
		"PUSHGATE_DIRECTORY_REDIS_MODE":        redis.Mode,
		"PUSHGATE_DIRECTORY_REDIS_ADDR":        strings.Join(redis.Addr, ","),
		"PUSHGATE_DIRECTORY_REDIS_MASTER_NAME": redis.MasterName,
		"PUSHGATE_DIRECTORY_REDIS_TIMEOUT":     redis.Timeout.String(),
		"PUSHGATE_INTERNAL_TOKEN":              internalToken,
	}, options...)
	d.redis = redis.Addr[0]
	d.extra["PUSHGATE_DIRECTORY_REDIS_KEY_PREFIX"] = d.prefix
	return d
}

func (d *deployment) connectProducer(options ...kgo.Opt) *deployment {
	d.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(d.brokers...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	require.NoError(d.t, err)
	d.t.Cleanup(client.Close)
	d.producer = client
	return d
}

// env is what every process of the deployment has in its environment.
func (d *deployment) env() map[string]string {
	env := map[string]string{
		"PUSHGATE_KAFKA_BROKERS":            strings.Join(d.brokers, ","),
		"PUSHGATE_KAFKA_TOPICS_REQUESTS":    d.topic("requests"),
		"PUSHGATE_KAFKA_TOPICS_RETRY":       d.topic("retry"),
		"PUSHGATE_KAFKA_TOPICS_DEAD_LETTER": d.topic("dead-letter"),
		"PUSHGATE_KAFKA_TOPICS_RECEIPTS":    d.topic("receipts"),
		"PUSHGATE_KAFKA_TOPICS_OUTCOMES":    d.topic("outcomes"),
		"PUSHGATE_KAFKA_TOPICS_OPERATIONS":  d.topic("operations"),
		"PUSHGATE_KAFKA_TOPICS_NODES":       d.topic("nodes"),
		"PUSHGATE_CUSTODY_GROUP":            d.prefix + "custodians",
	}
	maps.Copy(env, d.extra)
	return env
}

func (d *deployment) topic(name string) string { return d.prefix + "push." + name }

// message is what a producer sends.
type message struct {
	id, user string
	kind     string // business type
	data     string
	ttl      time.Duration
}

func (d *deployment) record(m message) *kgo.Record {
	r := &kgo.Record{Topic: d.topic("requests"), Key: []byte(m.user), Value: []byte(m.data)}
	if m.data == "" {
		r.Value = fmt.Appendf(nil, `{"id":%q}`, m.id)
	}
	add := func(k, v string) { r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)}) }
	add("ce_id", m.id)
	add("ce_source", "/e2e")
	add("content-type", "application/json")
	if m.kind != "" {
		add("ce_type", m.kind)
	}
	if m.ttl > 0 {
		add("ce_expirytime", time.Now().Add(m.ttl).Format(time.RFC3339Nano))
	}
	return r
}

// send produces messages and returns when the broker has them.
func (d *deployment) send(messages ...message) {
	d.t.Helper()
	records := make([]*kgo.Record, 0, len(messages))
	for _, m := range messages {
		records = append(records, d.record(m))
	}
	const patience = 60 * time.Second
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	require.NoError(d.t, d.producer.ProduceSync(ctx, records...).FirstErr())
}

// messages makes n messages for a user, with ids from the prefix.
func messages(user, prefix string, n int) (list []message, ids []string) {
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		list = append(list, message{id: id, user: user})
		ids = append(ids, id)
	}
	return list, ids
}

// read reads a platform topic from its beginning until enough says so, or the
// time is up, and returns what it found.
func (d *deployment) read(topic string, within time.Duration, enough func([]*kgo.Record) bool) []*kgo.Record {
	d.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(d.brokers...), kgo.ConsumeTopics(d.topic(topic)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	require.NoError(d.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(d.t.Context(), within)
	defer cancel()
	var all []*kgo.Record
	for !enough(all) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			break
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// librdkafka's default partitioner: CRC32 of the key modulo the partitions.
func librdkafkaPartitioner() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, n int) int { return int(crc32.ChecksumIEEE(r.Key) % uint32(n)) }
	})
}
