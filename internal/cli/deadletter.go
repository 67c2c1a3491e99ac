package cli

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/deadletter"
	"pushgate/internal/kafka"
	"pushgate/internal/operations"
	"pushgate/internal/push"
)

func (p *program) deadLetterCommand() *cobra.Command {
	group := p.group("deadletter", "Messages that died: which, why, and their bytes; replay and discard them")
	group.AddCommand(p.deadLetterListCommand(), p.deadLetterShowCommand(), p.deadLetterReplayCommand(), p.deadLetterDiscardCommand())
	return group
}

// letterFlags are the filters all commands about dead letters have.
type letterFlags struct {
	user, kind, reason, notReason, id, text string
	since, until                            string
	state                                   string
	everywhere                              bool
}

func (f *letterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "of this user")
	flags.StringVar(&f.kind, "type", "", "of this business type")
	flags.StringVar(&f.reason, "reason", "", "that died for this reason: "+reasons())
	flags.StringVar(&f.notReason, "not-reason", "", "that died for any other reason than this")
	flags.StringVar(&f.id, "id", "", "with this message id")
	flags.StringVar(&f.text, "text", "", "with this text in the payload")
	flags.StringVar(&f.since, "since", "", "that died since then: a time (RFC 3339) or a duration ago, such as 2h")
	flags.StringVar(&f.until, "until", "", "that died before then: a time or a duration ago")
	flags.StringVar(&f.state, "state", "open", "by what was done to them: open (nothing), replayed, discarded, all")
	flags.BoolVar(&f.everywhere, "everywhere", false, "with --user: look in all partitions, not only in the user's home (slower)")
}

func reasons() string {
	var names []string
	for _, r := range push.Deaths() {
		names = append(names, r.String())
	}
	return strings.Join(names, ", ")
}

func (f *letterFlags) filter(now time.Time) (deadletter.Filter, error) {
	filter := deadletter.Filter{User: f.user, Type: f.kind, ID: f.id, Text: f.text, Everywhere: f.everywhere}
	var err error
	for _, one := range []struct {
		flag, text string
		into       *push.Reason
	}{{"--reason", f.reason, &filter.Reason}, {"--not-reason", f.notReason, &filter.NotReason}} {
		if one.text == "" {
			continue
		}
		if *one.into, err = push.ParseReason(one.text); err != nil {
			return filter, &usageError{fmt.Sprintf("%s %s: use one of %s", one.flag, one.text, reasons())}
		}
	}
	if f.since != "" {
		if filter.Since, err = parseSince(f.since, now); err != nil {
			return filter, err
		}
	}
	if f.until != "" {
		if filter.Until, err = parseTimeFlag("until", f.until, now); err != nil {
			return filter, err
		}
	}
	if filter.State, err = deadletter.ParseState(f.state); err != nil {
		return filter, &usageError{"--" + err.Error()}
	}
	if err := filter.Validate(); err != nil {
		return filter, &usageError{err.Error()}
	}
	return filter, nil
}

func parseSince(text string, now time.Time) (time.Time, error) {
	return parseTimeFlag("since", text, now)
}

func parseTimeFlag(name, text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, &usageError{fmt.Sprintf("--%s %s: write a time as 2030-01-02T15:04:05Z or a duration as 2h", name, text)}
	}
	return t, nil
}

// parsePlace understands PARTITION/OFFSET.
func parsePlace(text string) (deadletter.Place, bool) {
	left, right, ok := strings.Cut(text, "/")
	partition, err := strconv.ParseInt(left, 10, 32)
	if !ok || err != nil || partition < 0 {
		return deadletter.Place{}, false
	}
	offset, err := strconv.ParseInt(right, 10, 64)
	return deadletter.Place{Partition: int32(partition), Offset: offset}, err == nil && offset >= 0
}

func placeText(at deadletter.Place) string { return fmt.Sprintf("%d/%d", at.Partition, at.Offset) }

// deadLetterLog is the Kafka side in the words of packages deadletter and operations.
type deadLetterLog struct{ *kafka.Cluster }

func (l deadLetterLog) NewReader(topic string, partition int32, offset int64) operations.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

// letters are the dead letters, and what was done to them.
type letters struct {
	*deadletter.Store
	log     *operations.Log
	cluster *kafka.Cluster
}

func (l *letters) close() { _ = l.cluster.Close() }

// openLetters opens the dead letters of the cluster of the configuration. Close them.
func (p *program) openLetters(ctx context.Context) (*letters, error) {
	cluster, c, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	topics := c.Kafka.Topics
	if _, err := partitionsOf(ctx, cluster, topics.DeadLetter); err != nil {
		_ = cluster.Close()
		return nil, err
	}
	log := operations.New(deadLetterLog{cluster}, topics.Operations)
	return &letters{cluster: cluster, log: log, Store: deadletter.New(deadletter.Params{
		Log: deadLetterLog{cluster}, Topics: deadletter.Topics{DeadLetter: topics.DeadLetter, Requests: topics.Requests},
		Operations: log, Limits: c.Limits(),
	})}, nil
}

// passedOver says that records were none of what they should be.
func (p *program) passedOver(count int) {
	if count > 0 {
		_, _ = fmt.Fprintf(p.Err, "%d records of the dead-letter topic are no dead letters and were passed over\n", count)
	}
}

// homeOnly says that a user's letters were looked for in one partition.
func (p *program) homeOnly(f *deadletter.Filter) {
	if f.User != "" && !f.Everywhere {
		_, _ = fmt.Fprintln(p.Err, "only the user's home partition was read; --everywhere reads all: for what an odd producer wrote elsewhere, or from before partitions were added")
	}
}

// operator is who is given with --by, else who works at this machine.
func operator(given string) string {
	if given != "" {
		return given
	}
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}
