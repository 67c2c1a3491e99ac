package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/client"
	"pushgate/internal/push"
)

// listenFlags say who listens, where, and until when.
type listenFlags struct {
	user, kind, url, token string
	count                  int
	period                 time.Duration
	silent, compress       bool
}

func (p *program) listenCommand() *cobra.Command {
	var f listenFlags
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Connect as a user; print each message as one JSON line, then acknowledge it",
		Example: `  pushgate listen --user 42
  pushgate listen --user 42 --type order --count 1 --for 10s
  pushgate listen --user 42 --url wss://push.shop.example --token "$token"`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "user to connect as")
	flags.StringVar(&f.kind, "type", push.AllTypes, "business type to take")
	flags.StringVar(&f.url, "url", "ws://127.0.0.1:8080", "address of a gateway")
	flags.StringVar(&f.token, "token", "", "token, where the gateway asks for one")
	flags.IntVar(&f.count, "count", 0, "exit after so many messages (0: never)")
	flags.DurationVar(&f.period, "for", 0, "exit after so long (0: never); with --count, exit 1 if they have not come by then")
	flags.BoolVar(&f.silent, "no-ack", false, "do not acknowledge: see what happens then")
	flags.BoolVar(&f.compress, "compress", false, "offer permessage-deflate, as browsers do")
	_ = cmd.MarkFlagRequired("user")
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error { return p.listen(cmd.Context(), f) })
	return cmd
}

func (p *program) listen(ctx context.Context, f listenFlags) error {
	if err := push.CheckUser(f.user); err != nil {
		return &usageError{"--user: " + err.Error()}
	}
	if f.count < 0 || f.period < 0 {
		return &usageError{"--count and --for must not be negative"}
	}
	if f.period > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.period)
		defer cancel()
	}
	device, err := client.New(client.Params{
		URL: f.url, User: f.user, Type: f.kind, Token: f.token, Silent: f.silent, Compress: f.compress,
		OnState: p.tellState(f),
	})
	if err != nil {
		return &usageError{"--url: " + err.Error()}
	}
	out := json.NewEncoder(p.Out)
	out.SetEscapeHTML(false)
	got := 0
	err = device.Run(ctx, func(_ context.Context, m client.Message) error {
		if err := out.Encode(m); err != nil {
			return fmt.Errorf("writing the output: %w", err)
		}
		if got++; f.count > 0 && got >= f.count {
			return client.ErrStop
		}
		return nil
	})
	if err == nil && f.period > 0 && got < f.count {
		return fmt.Errorf("%d of %d messages came within %s", got, f.count, f.period)
	}
	return err
}

// tellState says on a terminal how the connection is doing, and in any case, once,
// why there is none.
func (p *program) tellState(f listenFlags) func(client.State, error) {
	talk := interactive(p.Err)
	told := false
	return func(s client.State, err error) {
		switch {
		case s == client.Open:
			told = false
			if talk {
				_, _ = fmt.Fprintf(p.Err, "connected as %s to %s\n", f.user, f.url)
			}
		case s == client.Closed && err != nil && !told && client.Passing(err):
			told = true
			_, _ = fmt.Fprintf(p.Err, "%s; connecting again\n", err)
		}
	}
}
