package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/auth"
	"pushgate/internal/push"
)

func (p *program) tokenCommand() *cobra.Command {
	grant := auth.Grant{}
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Sign a development token with auth.jwt.hmac_secret",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringVar(&grant.User, "user", "", "user the token is for")
	cmd.Flags().DurationVar(&grant.TTL, "ttl", time.Hour, "how long it is good for")
	cmd.Flags().StringSliceVar(&grant.Scopes, "scope", nil, "scopes, such as push (produce messages over HTTP)")
	_ = cmd.MarkFlagRequired("user")
	cmd.RunE = p.run(func(*cobra.Command, []string) error {
		if err := push.CheckUser(grant.User); err != nil {
			return &usageError{"--user: " + err.Error()}
		}
		if grant.TTL <= 0 {
			return &usageError{"--ttl must be above zero"}
		}
		c, _, err := p.load(nil, nil)
		if err != nil {
			return err
		}
		token, err := auth.Sign(c.Auth.JWT, grant)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(p.Out, token)
		return wrapWrite(err)
	})
	return cmd
}
