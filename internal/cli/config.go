package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"pushgate/internal/config"
)

func (p *program) configCommand() *cobra.Command {
	group := p.group("config", "The configuration: every key, what is in force, is it valid")
	group.AddCommand(p.configDefaultCommand(), p.configCheckCommand(), p.configShowCommand())
	return group
}

// group is a command that only has others below it.
func (p *program) group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: p.run(func(cmd *cobra.Command, _ []string) error { return cmd.Help() }),
	}
}

func (p *program) configDefaultCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "default", Short: "Print every key with its default, as a file to edit", Args: cobra.NoArgs}
	cmd.RunE = p.run(func(*cobra.Command, []string) error { return config.WriteDefault(p.Out) })
	return cmd
}

func (p *program) configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Verify a configuration; name every problem", Args: cobra.MaximumNArgs(1),
	}
	cmd.RunE = p.run(func(_ *cobra.Command, args []string) error {
		if len(args) == 1 {
			p.file = args[0]
		}
		if _, _, err := p.load(nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintln(p.Out, "the configuration is valid")
		return wrapWrite(err)
	})
	return cmd
}

func (p *program) configShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show", Short: "Print what is in force and where each value came from; secrets are masked", Args: cobra.NoArgs,
	}
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(*cobra.Command, []string) error {
		c, origins, err := p.load(nil, nil)
		if err != nil {
			return err
		}
		list, err := p.newListing("KEY", "VALUE", "FROM")
		if err != nil {
			return err
		}
		for _, s := range config.Show(c, origins) {
			if err := list.row(s, s.Key, s.Value, s.Origin); err != nil {
				return err
			}
		}
		return list.end()
	})
	return cmd
}
