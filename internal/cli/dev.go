package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pushgate/internal/app"
	"pushgate/internal/config"
)

// devDefaults are what the command dev has instead of the common defaults.
func devDefaults() map[string]string {
	return map[string]string{
		"node.id":    "dev",
		"log.format": "console",
		"log.level":  "warn",
		// Nobody else takes partitions over, so a killed process is missed for as
		// short as the broker allows.
		"kafka.session_timeout": "1s",
		"drain.timeout":         "1s",
	}
}

func (p *program) devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process: broker, gateway, custodian",
		Long: `Run a whole platform in one process, on loopback, to try things on: an embedded
broker that speaks Kafka's protocol, a gateway and a custodian. What it holds
survives restarts, also kill -9, in --data-dir.`,
		Args: cobra.NoArgs,
	}
	d := config.Default()
	flags := cmd.Flags()
	flags.String("data-dir", d.Dev.DataDir, "where its data is kept")
	flags.String("kafka-listen", d.Dev.KafkaListen, "address of the embedded broker")
	flags.String("gateway-listen", d.Gateway.Listen, "address clients connect to")
	flags.String("admin-listen", d.Admin.Listen, "address of health checks and metrics")
	demo := flags.Bool("demo", false, "play the whole story with built-in clients, then stay up")
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		c, _, err := p.load(devDefaults(), changed(cmd, map[string]string{
			"data-dir": "dev.data_dir", "kafka-listen": "dev.kafka_listen",
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
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- node.Run(running) }()
	select {
	case err := <-ended:
		return err
	case <-node.Up():
	}
	p.welcome(c, node)
	if demo {
		if err := p.demo(running, node); err != nil && ctx.Err() == nil {
			stop()
			<-ended
			return fmt.Errorf("the demonstration: %w", err)
		}
	}
	return <-ended
}

// welcome says where things are, and what to try.
func (p *program) welcome(c config.Config, d *app.Dev) {
	me := invocation()
	_, _ = fmt.Fprintf(p.Out, `Pushgate is running. Its data is in %s; Ctrl-C stops it.

  clients    ws://%s/websocket/{type}/{user}
  producers  %s, topic %s (any Kafka client)
  health     http://%s/readyz, metrics at /metrics

Try, in two other terminals:

  %s listen --user 42%s
  %s send --user 42 --data '{"order":991,"state":"shipped"}'%s
  %s deadletter list%s

`, c.Dev.DataDir, d.GatewayAddr(), d.BrokerAddr(), c.Kafka.Topics.Requests, d.AdminAddr(),
		me, unlessDefault(" --url ws://", d.GatewayAddr(), config.Default().Gateway.Listen),
		me, unlessDefault(" --set kafka.brokers=", d.BrokerAddr(), config.Default().Dev.KafkaListen),
		me, unlessDefault(" --set kafka.brokers=", d.BrokerAddr(), config.Default().Dev.KafkaListen))
}

func unlessDefault(flag, addr, byDefault string) string {
	if addr == byDefault {
		return ""
	}
	if host, port, err := net.SplitHostPort(addr); err == nil && (host == "::" || host == "0.0.0.0") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return flag + addr
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
