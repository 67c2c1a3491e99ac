package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/kafka"
	"pushgate/internal/push"
)

// sendFlags describe the messages that send produces.
type sendFlags struct {
	user, kind, id, source, data string
	ttl                          time.Duration
	count                        int
	wait                         bool
	waitAtMost                   time.Duration
}

func (p *program) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Produce a message for a user; print its id once Kafka has it",
		Example: `  pushgate send --user 42 --data '{"order":991,"state":"shipped"}'
  pushgate send --user 42 --type order --ttl 1h --data hello --count 10
  tail -f events.ndjson | pushgate send --user 42 --data -`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "user the message is for")
	flags.StringVar(&f.kind, "type", "", "business type (default: default)")
	flags.StringVar(&f.id, "id", "", "id of the message (default: a fresh one)")
	flags.StringVar(&f.source, "source", "/pushgate/cli", "source of the event")
	flags.StringVar(&f.data, "data", "{}", "payload, JSON or text; - reads standard input, a message a line")
	flags.DurationVar(&f.ttl, "ttl", 0, "time to live (default: message.default_ttl)")
	flags.IntVar(&f.count, "count", 1, "how many messages")
	flags.BoolVar(&f.wait, "wait", false, "wait for what becomes of each message and print it (outcomes.enabled must be true on the nodes); exit 1 unless all are delivered")
	flags.DurationVar(&f.waitAtMost, "wait-timeout", time.Minute, "how long to wait after the last message")
	_ = cmd.MarkFlagRequired("user")
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		cluster, c, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		defer func() { _ = cluster.Close() }()
		publisher := cluster.NewPublisher(cluster.Topics().Requests)
		defer publisher.Close()
		if _, err := partitionsOf(cmd.Context(), cluster, cluster.Topics().Requests); err != nil {
			return err
		}
		if !f.wait {
			return p.send(cmd, f, publisher, c.Limits(), p.printID)
		}
		awaited, err := p.awaitOutcomes(cmd.Context(), cluster, f.user)
		if err != nil {
			return err
		}
		if err := p.send(cmd, f, publisher, c.Limits(), awaited.add); err != nil {
			return err
		}
		return awaited.print(cmd.Context(), f.waitAtMost)
	})
	return cmd
}

func (f sendFlags) check() error {
	if err := push.CheckUser(f.user); err != nil {
		return &usageError{"--user: " + err.Error()}
	}
	if f.count < 1 {
		return &usageError{"--count must be at least 1"}
	}
	if f.ttl < 0 {
		return &usageError{"--ttl must be above zero"}
	}
	if f.id != "" && (f.count > 1 || f.data == "-") {
		return &usageError{"--id names one message: leave out --count and --data -, or --id"}
	}
	return nil
}

func (p *program) printID(id string) error {
	_, err := fmt.Fprintln(p.Out, id)
	return wrapWrite(err)
}

// send produces each message and tells its id once it is in Kafka.
func (p *program) send(cmd *cobra.Command, f sendFlags, publisher *kafka.Publisher, limits push.Limits, tell func(id string) error) error {
	one := func(data string) error {
		rec, id := f.record(data)
		// What would only be dead-lettered is better refused here.
		if _, err := push.ParseRequest(&rec, "", limits); err != nil {
			return fmt.Errorf("not sent: %w", err)
		}
		if _, _, err := publisher.Publish(cmd.Context(), rec); err != nil {
			return fmt.Errorf("message %s is not known to be in Kafka (send it again with --id %s): %w", id, id, err)
		}
		return tell(id)
	}
	if f.data != "-" {
		for range f.count {
			if err := one(f.data); err != nil {
				return err
			}
		}
		return nil
	}
	const longest = 128 << 20
	lines := bufio.NewScanner(p.In)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		if err := one(lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	return nil
}

func (f sendFlags) record(data string) (rec push.Record, id string) {
	id = f.id
	if id == "" {
		id = push.NewID(time.Now())
	}
	rec = push.Record{Key: []byte(f.user), Value: []byte(data), Time: time.Now()}
	rec.Headers.AddText(push.HeaderID, id)
	rec.Headers.AddText(push.HeaderSpecVersion, "1.0")
	rec.Headers.AddText(push.HeaderSource, f.source)
	rec.Headers.AddText(push.HeaderTime, rec.Time.UTC().Format(time.RFC3339Nano))
	if f.kind != "" {
		rec.Headers.AddText(push.HeaderType, f.kind)
	}
	if f.ttl > 0 {
		rec.Headers.AddText(push.HeaderExpiryTime, rec.Time.Add(f.ttl).UTC().Format(time.RFC3339Nano))
	}
	contentType := "text/plain; charset=utf-8"
	if json.Valid(rec.Value) {
		contentType = "application/json"
	}
	rec.Headers.AddText(push.HeaderContentType, contentType)
	return rec, id
}
