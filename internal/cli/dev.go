package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pushgate/internal/app"
	"pushgate/internal/config"
	"pushgate/internal/gcpace"
	"pushgate/internal/listen"
)

// devDefaults are what the command dev has instead of the common defaults.
func devDefaults(demo bool) map[string]string {
	defaults := map[string]string{
		"node.id":    "dev",
		"log.format": "console",
		"log.level":  "warn",
		// Nobody else takes partitions over, so a killed process is missed for as
		// short as the broker allows.
		"kafka.session_timeout": "1s",
		"outcomes.enabled":      "true",
		"drain.timeout":         "1s",
	}
	if demo {
		maps.Copy(defaults, demoDefaults())
	}
	return defaults
}

func (p *program) devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process: broker, gateway, custodian",
		Long: `Run a whole platform in one process, on loopback, to try things on: an embedded
broker that speaks Kafka's protocol, a gateway and a custodian; with --routing
targeted also a directory that speaks Redis's. What the broker holds survives
restarts, also kill -9, in --data-dir.`,
		Args: cobra.NoArgs,
	}
	d := config.Default()
	flags := cmd.Flags()
	flags.String("data-dir", d.Dev.DataDir, "where its data is kept")
	flags.String("kafka-listen", d.Dev.KafkaListen, "address of the embedded broker")
	flags.String("routing", d.Routing.Mode, "broadcast or targeted; with the latter it also starts an embedded directory")
	flags.String("redis-listen", d.Dev.RedisListen, "address of the embedded directory, which speaks Redis's protocol")
	flags.String("gateway-listen", d.Gateway.Listen, "address clients connect to")
	flags.String("admin-listen", d.Admin.Listen, "address of health checks and metrics")
	demo := flags.Bool("demo", false, "play the whole story with built-in clients, then stay up")
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		c, _, err := p.load(devDefaults(*demo), changed(cmd, map[string]string{
			"data-dir": "dev.data_dir", "kafka-listen": "dev.kafka_listen",
			"routing": "routing.mode", "redis-listen": "dev.redis_listen",
			"gateway-listen": "gateway.listen", "admin-listen": "admin.listen",
		}))
		if err != nil {
			return err
		}
		return p.dev(cmd.Context(), c, *demo)
	})
	return cmd
}

func (p *program) dev(ctx context.Context, c config.Config, demo bool) error {
	logger, err := c.Log.NewLogger()
	if err != nil {
		return err
	}
	defer func() { _ = logger.Sync() }() // standard error often has no sync
	node, err := app.NewDev(ctx, app.Params{Config: c, Logger: logger, Version: p.version})
	if err != nil {
		return byFlag(err)
	}
	unpace := gcpace.Start()
	defer unpace()
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- node.Run(running)
		stop() // nothing else goes on without it
	}()
	select {
	case err := <-ended:
		return err
	case <-node.Up():
	}
	p.welcome(c, node)
	if demo {
		if err := p.demo(running, c, node); err != nil && running.Err() == nil {
			stop()
			if failed := <-ended; failed != nil {
				return failed // and the story with it
			}
			return fmt.Errorf("the demonstration: %w", err)
		}
	}
	if running.Err() == nil {
		p.suggest(c, node, demo)
	}
	return <-ended
}

// byFlag names the flag of this command where an error names the key of a
// listener: whoever tries the platform has no configuration file.
func byFlag(err error) error {
	taken, ok := errors.AsType[*listen.InUseError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%s: %s is in use already: stop what listens there, or choose another address with --%s",
		taken.Name, taken.Address, strings.NewReplacer(".", "-", "_", "-").Replace(strings.TrimPrefix(taken.Key, "dev.")))
}

// welcome says where things are.
func (p *program) welcome(c config.Config, d *app.Dev) {
	_, _ = fmt.Fprintf(p.Out, `Pushgate is running (process %d). Its data is in %s; Ctrl-C stops it.

  clients    %s/websocket/{type}/{user}
  producers  %s, topic %s (any Kafka client)
  console    http://%s/ (health at /readyz, metrics at /metrics)
`, os.Getpid(), c.Dev.DataDir, c.Gateway.Scheme()+d.GatewayAddr(), d.BrokerAddr(), c.Kafka.Topics.Requests, d.AdminAddr())
	if a := d.DirectoryAddr(); a != "" {
		_, _ = fmt.Fprintf(p.Out, "  directory  redis://%s (routing is targeted)\n", a)
	}
	_, _ = fmt.Fprintln(p.Out)
}

// suggest says what to try.
func (p *program) suggest(c config.Config, d *app.Dev, demo bool) {
	me, usual := invocation(), config.Default().Gateway.Listen
	if c.Gateway.TLS.Enabled() {
		usual = "" // listen expects no TLS unless it is told
	}
	if demo {
		_, _ = fmt.Fprintf(p.Out, `
The platform stays up; Ctrl-C stops it. Its own count of the outcomes:

  curl -s http://%s/metrics | grep ^pushgate_outcomes_total

Its timeouts are short for the story's sake: without --demo they are the usual ones.

`, dialable(d.AdminAddr()))
	}
	_, _ = fmt.Fprintf(p.Out, `Try, in two other terminals:

  %s listen --user 42%s
  %s send --user 42 --data '{"order":991,"state":"shipped"}'%s
  %s deadletter list%s

`, me, unlessDefault(" --url "+c.Gateway.Scheme(), d.GatewayAddr(), usual),
		me, unlessDefault(" --set kafka.brokers=", d.BrokerAddr(), config.Default().Dev.KafkaListen),
		me, unlessDefault(" --set kafka.brokers=", d.BrokerAddr(), config.Default().Dev.KafkaListen))
}

func unlessDefault(flag, addr, byDefault string) string {
	if addr == byDefault {
		return ""
	}
	return flag + dialable(addr)
}

// invocation is how this program was started, as it can be typed again.
func invocation() string {
	path, err := os.Executable()
	switch {
	case err != nil:
		return "pushgate"
	case strings.Contains(path, string(filepath.Separator)+"go-build"):
		return "go run ./cmd/pushgate"
	case strings.ContainsRune(os.Args[0], filepath.Separator):
		return os.Args[0]
	default:
		return "pushgate"
	}
}
