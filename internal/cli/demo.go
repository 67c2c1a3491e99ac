package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/app"
	"pushgate/internal/auth"
	"pushgate/internal/config"
	"pushgate/internal/deadletter"
	"pushgate/internal/demo"
	"pushgate/internal/kafka"
	"pushgate/internal/push"
)

// demoDefaults are what dev --demo has on top: times so short that the story can
// be told in one go. The buffer of a connection holds what waits for the slow
// client of the story, which comes all at once when she is back: a client is too
// slow here when a write takes too long.
func demoDefaults() map[string]string {
	return map[string]string{
		"session.ack_timeout":        "1s",
		"session.write_timeout":      "1s",
		"session.max_buffered_bytes": "2097152",
		"retry.backoff.initial":      "300ms",
		// The story has a poison record in it, which is worth a warning elsewhere.
		"log.level": "error",
	}
}

// demo plays the demonstration on a platform that is up.
func (p *program) demo(ctx context.Context, c config.Config, d *app.Dev) error {
	kafkaConfig := c.Kafka
	kafkaConfig.Brokers = []string{d.BrokerAddr()}
	cluster, err := kafka.Open(kafka.Params{Config: kafkaConfig, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	publisher := cluster.NewPublisher(c.Kafka.Topics.Requests)
	defer publisher.Close()
	topics, err := newDemoTopics(ctx, cluster, c.Custody.Group)
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Params{
		Gateway: c.Gateway.Scheme() + dialable(d.GatewayAddr()), Token: demoToken(c.Auth),
		Publisher: publisher, Topics: topics, Partitions: topics.partitions,
		ListDeadLetters: func(ctx context.Context, user string) (string, string, error) {
			return p.listDeadLetters(ctx, kafkaConfig, user)
		},
		Out: p.Out,
	})
}

// demoToken signs tokens where the platform asks for them.
func demoToken(c auth.Config) func(user string) (string, error) {
	return func(user string) (string, error) {
		if c.Mode != auth.ModeJWT {
			return "", nil
		}
		return auth.Sign(c.JWT, auth.Grant{User: user, TTL: time.Hour})
	}
}

// listDeadLetters runs the command a reader would type, and says how to type it.
func (p *program) listDeadLetters(ctx context.Context, c kafka.Config, user string) (command, output string, err error) {
	args := []string{"deadletter", "list", "--user", user}
	command = invocation() + " " + strings.Join(args, " ") +
		unlessDefault(" --set kafka.brokers=", c.Brokers[0], config.Default().Dev.KafkaListen)
	// What surrounds this process may name another cluster.
	args = append(args, "--set", "kafka.brokers="+c.Brokers[0], "--set", "kafka.topics.dead_letter="+c.Topics.DeadLetter)
	var out, failure bytes.Buffer
	if code := Run(ctx, args, Streams{In: strings.NewReader(""), Out: &out, Err: &failure}, p.version); code != exitDone {
		return command, "", fmt.Errorf("%s: %s", command, strings.TrimSpace(failure.String()))
	}
	return command, out.String(), nil
}

// dialable is where a listener is reached from its own machine.
func dialable(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && (host == "::" || host == "0.0.0.0") {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// demoTopics reads the platform's topics for package demo.
type demoTopics struct {
	cluster    *kafka.Cluster
	group      string // of the custodians
	partitions int32
	began      time.Time
	letters    *deadletter.Store
	retries    []retryCursor // by partition
}

// retryCursor is what was read of one partition of the retry topic.
type retryCursor struct {
	next    int64
	entries []push.RetryEntry
}

func newDemoTopics(ctx context.Context, cluster *kafka.Cluster, group string) (*demoTopics, error) {
	topics := cluster.Topics()
	t := &demoTopics{
		cluster: cluster, group: group, began: time.Now(),
		letters: deadletter.New(deadletter.Params{Log: deadLetterLog{cluster}, Topics: deadletter.Topics{DeadLetter: topics.DeadLetter}}),
	}
	var err error
	if t.partitions, err = cluster.Partitions(ctx, topics.Requests); err != nil {
		return nil, err
	}
	t.retries = make([]retryCursor, t.partitions)
	for number := range t.partitions {
		if _, t.retries[number].next, err = cluster.Bounds(ctx, topics.Retry, number); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Retries implements demo.Topics. What was read once is not read again.
func (t *demoTopics) Retries(ctx context.Context, user string) ([]push.RetryEntry, error) {
	topic, home := t.cluster.Topics().Retry, push.Home(user, t.partitions)
	_, end, err := t.cluster.Bounds(ctx, topic, home)
	if err != nil {
		return nil, err
	}
	cursor := &t.retries[home]
	reader := t.cluster.NewReader(topic, home, cursor.next)
	defer reader.Close()
	for cursor.next < end {
		batch, err := reader.Read(ctx)
		if err != nil {
			return nil, err
		}
		for i := range batch.Records {
			entry, err := push.ParseRetry(&batch.Records[i])
			if err != nil {
				return nil, err
			}
			cursor.entries = append(cursor.entries, entry)
		}
		cursor.next = batch.Next
	}
	var found []push.RetryEntry
	for _, e := range cursor.entries {
		if e.User == user {
			found = append(found, e)
		}
	}
	return found, nil
}

// DeadLetters implements demo.Topics.
func (t *demoTopics) DeadLetters(ctx context.Context) ([]demo.DeadLetter, error) {
	var found []demo.DeadLetter
	for letter, err := range t.letters.Letters(ctx, deadletter.Filter{Since: t.began}) {
		if err != nil {
			return nil, err
		}
		found = append(found, demo.DeadLetter{DeadLetter: letter.DeadLetter, Data: letter.Data})
	}
	return found, nil
}

// Settled implements demo.Topics: what the custodians have committed is settled.
func (t *demoTopics) Settled(ctx context.Context) (bool, error) {
	topic := t.cluster.Topics().Requests
	ends := make([]int64, t.partitions)
	numbers := make([]int32, t.partitions)
	for number := range t.partitions {
		_, end, err := t.cluster.Bounds(ctx, topic, number)
		if err != nil {
			return false, err
		}
		ends[number], numbers[number] = end, number
	}
	committed, err := t.cluster.Committed(ctx, t.group, topic, numbers)
	if err != nil {
		return false, err
	}
	for number, end := range ends {
		if end > 0 && committed[int32(number)].Offset < end {
			return false, nil
		}
	}
	return true, nil
}
