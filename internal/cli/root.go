package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/term"

	"pushgate/internal/config"
	"pushgate/internal/kafka"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is what all commands share.
type program struct {
	Streams
	version string

	file   string   // --config
	sets   []string // --set
	output string   // --output

	// began says that a command has begun: what fails before is wrong usage.
	began bool
}

// Run runs one command line and returns the exit code. The end of ctx asks a
// command to end in order.
func Run(ctx context.Context, args []string, streams Streams, version string) int {
	p := &program{Streams: streams, version: version}
	root := p.root() //nolint:contextcheck // commands take the context from cobra
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	_, silent := errors.AsType[*silentError](err)
	switch {
	case silent:
		return exitFailed
	case !p.began:
		_, _ = fmt.Fprintf(p.Err, "pushgate: %s\nSee: %s --help\n", err, usedCommand(root, args))
		return exitUsage
	}
	_, _ = fmt.Fprintf(p.Err, "pushgate: %s\n", err)
	if _, usage := errors.AsType[*usageError](err); usage {
		return exitUsage
	}
	return exitFailed
}

// usageError is wrong usage that only the command itself can see.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// silentError fails a command that has said everything already.
type silentError struct{}

func (*silentError) Error() string { return "failed" }

func usedCommand(root *cobra.Command, args []string) string {
	found, _, err := root.Find(args)
	if err != nil {
		return root.CommandPath()
	}
	return found.CommandPath()
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "pushgate",
		Short:         "Messages from Kafka to the sockets of users, each with an outcome",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          p.run(func(cmd *cobra.Command, _ []string) error { return cmd.Help() }),
	}
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	root.PersistentFlags().StringVar(&p.file, "config", "", "configuration file (YAML)")
	root.PersistentFlags().StringArrayVar(&p.sets, "set", nil, "set a configuration key, as key=value; wins over file and environment")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		p.devCommand(), p.serveCommand(), p.sendCommand(), p.listenCommand(),
		p.deadLetterCommand(), p.retryCommand(), p.explainCommand(), p.operationsCommand(), p.userCommand(), p.nodesCommand(), p.groupsCommand(), p.auditCommand(), p.topicsCommand(), p.benchCommand(), p.tokenCommand(), p.configCommand(), p.versionCommand(),
	)
	return root
}

// run wraps what a command does, so that errors before it count as wrong usage.
func (p *program) run(do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		p.began = true
		return do(cmd, args)
	}
}

// load reads the configuration: defaults (a command may have some of its own),
// the file, the environment, flags by key.
func (p *program) load(defaults map[string]string, flags map[string]config.Flag) (config.Config, config.Origins, error) {
	all := make(map[string]config.Flag)
	for _, set := range p.sets {
		key, value, ok := strings.Cut(set, "=")
		if !ok {
			return config.Config{}, nil, &usageError{fmt.Sprintf("--set %s: write it as key=value", set)}
		}
		all[key] = config.Flag{Name: "set", Value: value}
	}
	maps.Copy(all, flags)
	c, origins, err := config.Load(config.Sources{Defaults: defaults, File: p.file, Env: os.Environ(), Flags: all})
	if err != nil {
		return c, origins, fmt.Errorf("the configuration is not valid:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return c, origins, nil
}

// changed returns the flags that were given, by the key each sets.
func changed(cmd *cobra.Command, keys map[string]string) map[string]config.Flag {
	flags := make(map[string]config.Flag)
	for name, key := range keys {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			flags[key] = config.Flag{Name: name, Value: f.Value.String()}
		}
	}
	return flags
}

// open connects a command to the cluster of the configuration. It fails at once
// where the cluster does not answer.
func (p *program) open(ctx context.Context) (*kafka.Cluster, config.Config, error) {
	c, _, err := p.load(nil, nil)
	if err != nil {
		return nil, c, err
	}
	const patience = 10 * time.Second
	cluster, err := kafka.Open(kafka.Params{Config: c.Kafka, Logger: zap.NewNop(), GiveUp: patience})
	if err != nil {
		return nil, c, err
	}
	if err := cluster.Ping(ctx); err != nil {
		_ = cluster.Close()
		return nil, c, fmt.Errorf("no Kafka at %s (kafka.brokers): %w. Is it running? `pushgate dev` starts one to try things on",
			strings.Join(c.Kafka.Brokers, ", "), err)
	}
	return cluster, c, nil
}

// partitionsOf returns how many partitions a topic has; one that is not there is an
// error that says what to type.
func partitionsOf(ctx context.Context, cluster *kafka.Cluster, topic string) (int32, error) {
	count, err := cluster.PresentPartitions(ctx, topic)
	if err == nil && count == 0 {
		err = fmt.Errorf("there is no topic %s: create the topics with pushgate topics apply", topic)
	}
	return count, err
}

// interactive says whether a stream is a terminal.
func interactive(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
