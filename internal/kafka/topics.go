package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// TopicSpec is what a topic should be.
type TopicSpec struct {
	Name        string
	Partitions  int32
	Replication int16
	Configs     map[string]string
	// Single: one partition will do, whatever the others have.
	Single bool
	// Optional: nodes run without it, or with another form of it. Only what it is for
	// is not to be had then.
	Optional bool
	// ailing is what is wrong with the partitions of a topic that exists, empty if nothing.
	ailing string
}

// Settings of topics that are checked.
const (
	cleanupPolicy   = "cleanup.policy"
	timestampType   = "message.timestamp.type"
	maxMessageBytes = "max.message.bytes"
	retentionMs     = "retention.ms"
	minInsync       = "min.insync.replicas"
	segmentMs       = "segment.ms"
)

// headerRoom is what headers and framing may take on top of a payload; each
// further topic of a message's way gets as much again, for what the platform
// adds. A dead letter must never be refused for its size.
const headerRoom = 64 << 10

// TopicSpecs returns what the platform's topics should be, for a number of
// partitions, a replication factor (0: the brokers' default, at most 3) and the
// largest payload in bytes.
func (c Config) TopicSpecs(partitions int32, replication int16, maxPayload int) []TopicSpec {
	const day = 24 * time.Hour
	spec := func(name string, maxBytes int, retention time.Duration) TopicSpec {
		s := TopicSpec{Name: name, Partitions: partitions, Replication: replication, Configs: map[string]string{
			cleanupPolicy:   "delete",
			timestampType:   "LogAppendTime",
			maxMessageBytes: strconv.Itoa(maxBytes),
			retentionMs:     strconv.FormatInt(retention.Milliseconds(), 10),
		}}
		if replication >= 3 {
			s.Configs[minInsync] = "2"
		}
		return s
	}
	// A batch of smaller records may be as large as this, whatever one record is.
	largest := max(maxPayload, 1<<20)
	// Longer than the dead letters they speak of, whose last segment may be a week older.
	operations := spec(c.Topics.Operations, largest, 40*day)
	operations.Optional = true
	nodes := spec(c.Topics.Nodes, largest, 6*time.Hour)
	nodes.Single, nodes.Optional = true, true
	if partitions > 0 {
		nodes.Partitions = 1
	}
	// Retention takes whole segments, and these would not be full for days.
	nodes.Configs[segmentMs] = strconv.FormatInt(time.Hour.Milliseconds(), 10)
	return []TopicSpec{
		spec(c.Topics.Requests, largest+headerRoom, 7*day),
		// Waits are written anew every custody.offline_recheck: this must exceed that
		// and the longest time without any custodian.
		spec(c.Topics.Retry, largest+2*headerRoom, 8*day),
		spec(c.Topics.DeadLetter, largest+3*headerRoom, 30*day),
		spec(c.Topics.Receipts, largest, 2*day),
		spec(c.Topics.Outcomes, largest, 7*day),
		operations,
		nodes,
	}
}

// Severity of a difference.
type Severity string

// A problem keeps a node from running; a hint does not.
const (
	Problem Severity = "problem"
	Hint    Severity = "hint"
)

// TopicDifference is one thing that is not as it should be.
type TopicDifference struct {
	Topic    string   `json:"topic"`
	What     string   `json:"what"` // "missing", "partitions", or the name of a setting
	Is       string   `json:"is"`
	Should   string   `json:"should"`
	Severity Severity `json:"severity"`
	Remedy   string   `json:"remedy"`
}

func (d TopicDifference) String() string {
	if d.What == whatMissing {
		return fmt.Sprintf("%s is missing (%s)", d.Topic, d.Remedy)
	}
	return fmt.Sprintf("%s: %s is %s, should be %s (%s)", d.Topic, d.What, d.Is, d.Should, d.Remedy)
}

// whatMissing is the difference of a topic that is not there.
const whatMissing = "missing"

// WhatReplicas is the difference of a topic whose replicas are not all there. Nodes run
// all the same: it passes, and with enough replicas left nothing stands still.
const WhatReplicas = "replicas"

const applyRemedy = "pushgate topics apply"

// PlanTopics compares the cluster with what should be. A spec with 0 partitions
// takes the number the request topic has.
func (c *Cluster) PlanTopics(ctx context.Context, specs []TopicSpec) ([]TopicDifference, error) {
	found, err := c.describeTopics(ctx, specs)
	if err != nil {
		return nil, err
	}
	want := specs[0].Partitions
	if is, ok := found[specs[0].Name]; ok && want == 0 {
		want = is.Partitions
	}
	var all []TopicDifference
	for _, s := range specs {
		if !s.Single {
			s.Partitions = want
		}
		is, ok := found[s.Name]
		if !ok {
			all = append(all, TopicDifference{
				Topic: s.Name, What: whatMissing, Is: "absent", Should: "present", Severity: s.worst(), Remedy: applyRemedy,
			})
			continue
		}
		all = append(all, compare(is, s)...)
		if is.ailing != "" {
			all = append(all, TopicDifference{
				Topic: s.Name, What: WhatReplicas, Is: is.ailing, Should: "all in sync", Severity: Hint, Remedy: "bring the brokers back that have them",
			})
		}
	}
	return all, nil
}

// worst is how severe a difference of the topic can be.
func (s TopicSpec) worst() Severity {
	if s.Optional {
		return Hint
	}
	return Problem
}

// compare lists how one topic differs from its spec.
func compare(is, should TopicSpec) []TopicDifference {
	var all []TopicDifference
	differ := func(what, a, b string, s Severity, remedy string) {
		if should.Optional {
			s = Hint
		}
		all = append(all, TopicDifference{Topic: should.Name, What: what, Is: a, Should: b, Severity: s, Remedy: remedy})
	}
	// 0: as many as the request topic has, and there is none.
	if should.Partitions != 0 && is.Partitions != should.Partitions && !should.Single {
		remedy := applyRemedy
		if is.Partitions > should.Partitions {
			remedy = fmt.Sprintf("partitions cannot be taken away: %s --partitions %d", applyRemedy, is.Partitions)
		}
		differ("partitions", strconv.Itoa(int(is.Partitions)), strconv.Itoa(int(should.Partitions)), Problem, remedy)
	}
	for _, name := range slices.Sorted(maps.Keys(should.Configs)) {
		a, b := is.Configs[name], should.Configs[name]
		// Fewer copies than min.insync.replicas asks for would make a topic that
		// cannot be written to.
		if a == b || name == minInsync && is.Replication < 3 {
			continue
		}
		switch name {
		case cleanupPolicy, timestampType:
			differ(name, a, b, Problem, applyRemedy)
		case maxMessageBytes:
			if number(a) < number(b) {
				differ(name, a, b, Problem, applyRemedy)
			}
		case retentionMs:
			if number(a) >= 0 && number(a) < number(b) {
				differ(name, a, b, Hint, applyRemedy+", if messages live that long")
			}
		default:
			differ(name, a, b, Hint, applyRemedy)
		}
	}
	return all
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// WrongTopicsError lists what keeps a node from running.
type WrongTopicsError struct{ Problems []TopicDifference }

func (e *WrongTopicsError) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, d := range e.Problems {
		lines = append(lines, d.String())
	}
	return fmt.Sprintf("topics are not as this node needs them: %s. To mend it, run: %s", strings.Join(lines, "; "), applyRemedy)
}

// CheckTopics returns a *WrongTopicsError when there is a problem.
func (c *Cluster) CheckTopics(ctx context.Context, specs []TopicSpec) error {
	differences, err := c.PlanTopics(ctx, specs)
	if err != nil {
		return err
	}
	problems := slices.DeleteFunc(differences, func(d TopicDifference) bool { return d.Severity != Problem })
	if len(problems) > 0 {
		return &WrongTopicsError{Problems: problems}
	}
	return nil
}

// ApplyTopics creates what is missing, adds partitions, and changes settings. It
// takes nothing away.
func (c *Cluster) ApplyTopics(ctx context.Context, specs []TopicSpec) error {
	found, err := c.describeTopics(ctx, specs)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range specs {
		is, ok := found[s.Name]
		if !ok {
			errs = append(errs, c.createTopic(ctx, s))
			continue
		}
		if is.Partitions < s.Partitions {
			errs = append(errs, c.addPartitions(ctx, s))
		}
		errs = append(errs, c.alterTopic(ctx, is, s))
	}
	return errors.Join(errs...)
}

func (c *Cluster) createTopic(ctx context.Context, s TopicSpec) error {
	entries := make([]kafkago.ConfigEntry, 0, len(s.Configs))
	for _, name := range slices.Sorted(maps.Keys(s.Configs)) {
		entries = append(entries, kafkago.ConfigEntry{ConfigName: name, ConfigValue: s.Configs[name]})
	}
	replication := s.Replication
	if replication == 0 {
		var err error
		if replication, err = c.DefaultReplication(ctx); err != nil {
			return err
		}
	}
	return c.attempt(ctx, "create_topics", func(ctx context.Context) error {
		res, err := c.client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
			Topic: s.Name, NumPartitions: int(s.Partitions), ReplicationFactor: int(replication), ConfigEntries: entries,
		}}})
		if err == nil {
			err = res.Errors[s.Name]
		}
		if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", s.Name, err)
		}
		return nil
	})
}

func (c *Cluster) addPartitions(ctx context.Context, s TopicSpec) error {
	return c.attempt(ctx, "create_partitions", func(ctx context.Context) error {
		res, err := c.client.CreatePartitions(ctx, &kafkago.CreatePartitionsRequest{Topics: []kafkago.TopicPartitionsConfig{{
			Name: s.Name, Count: s.Partitions,
		}}})
		if err == nil {
			err = res.Errors[s.Name]
		}
		if err != nil {
			return fmt.Errorf("adding partitions to %s: %w", s.Name, err)
		}
		return nil
	})
}

func (c *Cluster) alterTopic(ctx context.Context, is, should TopicSpec) error {
	var changes []kafkago.IncrementalAlterConfigsRequestConfig
	for _, d := range compare(is, should) {
		if value, ok := should.Configs[d.What]; ok {
			changes = append(changes, kafkago.IncrementalAlterConfigsRequestConfig{
				Name: d.What, Value: value, ConfigOperation: kafkago.ConfigOperationSet,
			})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return c.attempt(ctx, "alter_configs", func(ctx context.Context) error {
		res, err := c.client.IncrementalAlterConfigs(ctx, &kafkago.IncrementalAlterConfigsRequest{
			Resources: []kafkago.IncrementalAlterConfigsRequestResource{{
				ResourceType: kafkago.ResourceTypeTopic, ResourceName: should.Name, Configs: changes,
			}},
		})
		if err != nil {
			return fmt.Errorf("changing topic %s: %w", should.Name, err)
		}
		for _, r := range res.Resources {
			if r.Error != nil {
				return fmt.Errorf("changing topic %s: %w", should.Name, r.Error)
			}
		}
		return nil
	})
}

// DefaultReplication is the replication factor of topics that are created without
// one being named: the number of brokers, at most 3.
func (c *Cluster) DefaultReplication(ctx context.Context) (int16, error) {
	const most = 3
	var n int
	err := c.retry(ctx, apiMetadata, func(ctx context.Context) error {
		res, err := c.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{}})
		if err != nil {
			return err //nolint:wrapcheck // wrapped by attempt
		}
		if n = len(res.Brokers); n == 0 {
			return errors.New("no broker in the metadata")
		}
		return nil
	})
	return int16(min(n, most)), err //nolint:gosec // at most 3
}

// PresentPartitions returns the number of partitions of a topic, 0 where there is
// no such topic.
func (c *Cluster) PresentPartitions(ctx context.Context, topic string) (int32, error) {
	found, err := c.describeTopics(ctx, []TopicSpec{{Name: topic}})
	return found[topic].Partitions, err
}

// describeTopics returns those of the topics that exist, as they are.
func (c *Cluster) describeTopics(ctx context.Context, specs []TopicSpec) (map[string]TopicSpec, error) {
	names := make([]string, 0, len(specs))
	for _, s := range specs {
		names = append(names, s.Name)
	}
	found := make(map[string]TopicSpec)
	err := c.attempt(ctx, apiMetadata, func(ctx context.Context) error {
		res, err := c.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: names})
		if err != nil {
			return err //nolint:wrapcheck // wrapped by attempt
		}
		for _, t := range res.Topics {
			if t.Error == nil && len(t.Partitions) > 0 {
				found[t.Name] = TopicSpec{
					Name:       t.Name,
					Partitions: int32(len(t.Partitions)), Replication: int16(len(t.Partitions[0].Replicas)), //nolint:gosec // small
					ailing: ailing(t.Partitions),
				}
			}
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return found, err
	}
	return found, c.describeConfigs(ctx, found)
}

// ailing says which partitions have no leader, or fewer replicas in sync than they have.
func ailing(partitions []kafkago.Partition) string {
	var leaderless, behind []string
	for _, p := range partitions {
		switch number := strconv.Itoa(p.ID); {
		case errors.Is(p.Error, kafkago.LeaderNotAvailable) || p.Leader.Host == "":
			leaderless = append(leaderless, number)
		case len(p.Isr) < len(p.Replicas):
			behind = append(behind, fmt.Sprintf("%s (%d of %d)", number, len(p.Isr), len(p.Replicas)))
		}
	}
	var said []string
	if len(leaderless) > 0 {
		said = append(said, "no leader of partition "+strings.Join(leaderless, ", "))
	}
	if len(behind) > 0 {
		said = append(said, "not all in sync of partition "+strings.Join(behind, ", "))
	}
	return strings.Join(said, "; ")
}

func (c *Cluster) describeConfigs(ctx context.Context, topics map[string]TopicSpec) error {
	resources := make([]kafkago.DescribeConfigRequestResource, 0, len(topics))
	for name := range topics {
		resources = append(resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: name,
			ConfigNames: []string{cleanupPolicy, timestampType, maxMessageBytes, retentionMs, minInsync, segmentMs},
		})
	}
	return c.retry(ctx, "describe_configs", func(ctx context.Context) error {
		res, err := c.client.DescribeConfigs(ctx, &kafkago.DescribeConfigsRequest{Resources: resources})
		if err != nil {
			return err //nolint:wrapcheck // wrapped by attempt
		}
		for _, r := range res.Resources {
			if r.Error != nil {
				return fmt.Errorf("topic %s: %w", r.ResourceName, r.Error)
			}
			t := topics[r.ResourceName]
			t.Configs = make(map[string]string)
			for _, e := range r.ConfigEntries {
				t.Configs[e.ConfigName] = e.ConfigValue
			}
			topics[r.ResourceName] = t
		}
		return nil
	})
}
