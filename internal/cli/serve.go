package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"pushgate/internal/app"
	"pushgate/internal/gcpace"
)

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node of a cluster",
		Long: `Run a node: gateway, custodian, or both (node.roles).

It waits for a Kafka cluster that is away, and refuses to run on topics that are
not as they should be: pushgate topics apply creates them. SIGTERM drains it; a
second signal ends it at once.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		c, _, err := p.load(nil, nil)
		if err != nil {
			return err
		}
		logger, err := c.Log.NewLogger()
		if err != nil {
			return err
		}
		defer func() { _ = logger.Sync() }() // standard error often has no sync
		node, err := app.New(cmd.Context(), app.Params{Config: c, Logger: logger, Version: p.version})
		if err != nil {
			return err
		}
		unpace := gcpace.Start()
		defer unpace()
		if err := node.Run(cmd.Context()); err != nil {
			return fmt.Errorf("the node has ended: %w", err)
		}
		return nil
	})
	return cmd
}
