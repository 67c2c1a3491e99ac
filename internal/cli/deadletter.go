package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"pushgate/internal/deadletter"
	"pushgate/internal/kafka"
	"pushgate/internal/push"
)

func (p *program) deadLetterCommand() *cobra.Command {
	group := p.group("deadletter", "Messages that died: which, why, and their bytes")
	group.AddCommand(p.deadLetterListCommand(), p.deadLetterShowCommand())
	return group
}

// letterFlags are the filters all commands about dead letters have.
type letterFlags struct {
	user, kind, reason, id string
	since                  string
}

func (f *letterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "of this user")
	flags.StringVar(&f.kind, "type", "", "of this business type")
	flags.StringVar(&f.reason, "reason", "", "that died for this reason: "+reasons())
	flags.StringVar(&f.id, "id", "", "with this message id")
	flags.StringVar(&f.since, "since", "", "that died since then: a time (RFC 3339) or a duration ago, such as 2h")
}

func reasons() string {
	var names []string
	for _, r := range push.Deaths() {
		names = append(names, r.String())
	}
	return strings.Join(names, ", ")
}

func (f *letterFlags) filter(now time.Time) (deadletter.Filter, error) {
	filter := deadletter.Filter{User: f.user, Type: f.kind, ID: f.id}
	if f.reason != "" {
		reason, err := push.ParseReason(f.reason)
		if err != nil {
			return filter, &usageError{fmt.Sprintf("--reason %s: use one of %s", f.reason, reasons())}
		}
		filter.Reason = reason
	}
	if f.since != "" {
		since, err := parseSince(f.since, now)
		if err != nil {
			return filter, err
		}
		filter.Since = since
	}
	return filter, nil
}

func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, &usageError{fmt.Sprintf("--since %s: write a time as 2030-01-02T15:04:05Z or a duration as 2h", text)}
	}
	return t, nil
}

// deadLetterLog is the Kafka side in the words of package deadletter.
type deadLetterLog struct{ *kafka.Cluster }

func (l deadLetterLog) NewReader(topic string, partition int32, offset int64) deadletter.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

// eachLetter calls do for the letters a filter takes.
func (p *program) eachLetter(ctx context.Context, f letterFlags, do func(deadletter.Letter) error) error {
	filter, err := f.filter(time.Now())
	if err != nil {
		return err
	}
	cluster, c, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	topic := c.Kafka.Topics.DeadLetter
	if _, err := partitionsOf(ctx, cluster, topic); err != nil {
		return err
	}
	for letter, err := range deadletter.New(deadLetterLog{cluster}, topic).Letters(ctx, filter) {
		if malformed, ok := errors.AsType[*deadletter.MalformedError](err); ok {
			_, _ = fmt.Fprintf(p.Err, "passed over: %s\n", malformed)
			continue
		}
		if err != nil {
			return err
		}
		if err := do(letter); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) deadLetterListCommand() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{Use: "list", Short: "List dead letters, oldest first", Args: cobra.NoArgs}
	f.add(cmd)
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		list, err := p.newListing("DIED", "USER", "TYPE", "REASON", "ID", "ATTEMPTS", "ERROR")
		if err != nil {
			return err
		}
		const errorWidth = 60
		err = p.eachLetter(cmd.Context(), f, func(l deadletter.Letter) error {
			return list.row(shownLetterOf(l), l.At.UTC().Format(time.RFC3339), l.User, l.Type, l.Reason, l.ID, l.Attempt, shorten(l.Error, errorWidth))
		})
		if err != nil {
			return err
		}
		return list.end()
	})
	return cmd
}

func (p *program) deadLetterShowCommand() *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show dead letters with this message id: headers, payload, where it came from", Args: cobra.ExactArgs(1),
	}
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, args []string) error {
		f.id = args[0]
		found := 0
		err := p.eachLetter(cmd.Context(), f, func(l deadletter.Letter) error {
			found++
			return p.showLetter(l)
		})
		if err != nil {
			return err
		}
		if found == 0 {
			return fmt.Errorf("no dead letter has the id %s: pushgate deadletter list shows all", args[0])
		}
		return nil
	})
	return cmd
}

func (p *program) showLetter(l deadletter.Letter) error {
	if p.output == outputJSON {
		list, err := p.newListing()
		if err != nil {
			return err
		}
		return list.row(shownLetterOf(l))
	}
	var b strings.Builder
	line := func(name string, value any) { _, _ = fmt.Fprintf(&b, "%-10s %s\n", name, printable(fmt.Sprint(value))) }
	line("id", l.ID)
	line("user", l.User)
	line("type", l.Type)
	line("reason", l.Reason)
	line("error", l.Error)
	line("died", l.At.UTC().Format(time.RFC3339Nano))
	line("first seen", l.FirstSeen.UTC().Format(time.RFC3339Nano))
	line("expires", l.Expires.UTC().Format(time.RFC3339Nano))
	line("attempts", fmt.Sprintf("%d offered, %d failed", l.Attempt, l.Failures))
	line("from", fmt.Sprintf("%s/%d at %d", l.OriginTopic, l.OriginPartition, l.OriginOffset))
	line("decided by", l.Node)
	line("stands at", fmt.Sprintf("partition %d, offset %d", l.Partition, l.Offset))
	_, _ = fmt.Fprintln(&b, "headers")
	for _, h := range l.Headers {
		_, _ = fmt.Fprintf(&b, "  %s: %s\n", printable(h.Key), printable(string(h.Value)))
	}
	_, _ = fmt.Fprintf(&b, "payload    %d bytes\n%s\n", len(l.Data), pretty(l.Data))
	_, err := fmt.Fprintln(p.Out, b.String())
	return wrapWrite(err)
}

// pretty shows a payload: JSON indented, text as it is, else in hexadecimal.
func pretty(data []byte) string {
	var value any
	if json.Unmarshal(data, &value) == nil {
		if b, err := json.MarshalIndent(value, "  ", "  "); err == nil {
			return "  " + string(b)
		}
	}
	if utf8.Valid(data) {
		return "  " + printable(string(data))
	}
	const most = 256
	return fmt.Sprintf("  %x", data[:min(len(data), most)])
}

// shownLetter is a dead letter in JSON.
type shownLetter struct {
	ID        string            `json:"id"`
	User      string            `json:"user"`
	Type      string            `json:"type"`
	Reason    string            `json:"reason"`
	Error     string            `json:"error"`
	DiedAt    time.Time         `json:"died_at"`
	FirstSeen time.Time         `json:"first_seen"`
	Expires   time.Time         `json:"expires"`
	Attempt   int               `json:"attempt"`
	Failures  int               `json:"failures"`
	Node      string            `json:"node"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Origin    shownOrigin       `json:"origin"`
	Headers   map[string]string `json:"headers"`
	Data      json.RawMessage   `json:"data,omitempty"`
	Base64    []byte            `json:"data_base64,omitempty"`
}

type shownOrigin struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

func shownLetterOf(l deadletter.Letter) shownLetter {
	s := shownLetter{
		ID: l.ID, User: l.User, Type: l.Type, Reason: l.Reason.String(), Error: l.Error,
		DiedAt: l.At, FirstSeen: l.FirstSeen, Expires: l.Expires, Attempt: l.Attempt, Failures: l.Failures,
		Node: l.Node, Partition: l.Partition, Offset: l.Offset,
		Origin:  shownOrigin{Topic: l.OriginTopic, Partition: l.OriginPartition, Offset: l.OriginOffset},
		Headers: make(map[string]string, len(l.Headers)),
	}
	for _, h := range l.Headers {
		s.Headers[h.Key] = string(h.Value)
	}
	if json.Valid(l.Data) {
		s.Data = l.Data
	} else {
		s.Base64 = l.Data
	}
	return s
}
