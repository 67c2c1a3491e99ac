package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/admin/api"
	"pushgate/internal/push"
)

// adminFlags say which node is asked, and with which token.
type adminFlags struct{ url, token string }

func (f *adminFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "admin", "", "admin listener of a node, http://host:port (default: admin.listen of the configuration)")
	cmd.Flags().StringVar(&f.token, "token", "", "admin.token of that node (default: that of the configuration)")
}

func (p *program) userCommand() *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "user USER",
		Short: "Where a user is connected: node, since when, from where",
		Long: `Ask a node where a user is connected. With routing.mode targeted any node knows
the sessions on all nodes; else a node knows its own, and says so. A user who is
connected nowhere is no error: the list is empty, and standard error says so.`,
		Example: `  pushgate user 42
  pushgate user 42 --admin http://gateway-1:8081 --token "$token" --output json`,
		Args: cobra.ExactArgs(1),
	}
	f.add(cmd)
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, args []string) error { return p.user(cmd.Context(), f, args[0]) })
	return cmd
}

func (p *program) user(ctx context.Context, f adminFlags, user string) error {
	if err := push.CheckUser(user); err != nil {
		return &usageError{err.Error()}
	}
	list, err := p.newListing("NODE", "ADDRESS", "SINCE", "TYPE", "CLIENT", "USER AGENT")
	if err != nil {
		return err
	}
	if err := p.fillIn(&f); err != nil {
		return err
	}
	var found api.User
	if err := f.get(ctx, "/v1/users/"+url.PathEscape(user), &found); err != nil {
		return err
	}
	for _, s := range found.Sessions {
		if err := list.row(s, s.Node, s.Address, s.Since.Local().Format(time.DateTime), s.Type, s.Client, s.UserAgent); err != nil {
			return err
		}
	}
	if err := list.end(); err != nil {
		return err
	}
	if len(found.Sessions) == 0 {
		_, err = fmt.Fprintf(p.Err, "user %s is not connected\n", printable(user))
	}
	if err == nil && found.Scope == api.ScopeNode {
		_, err = fmt.Fprintf(p.Err, "only node %s was asked about: routing is not targeted there, and it knows its own sessions only\n", printable(found.Node))
	}
	return wrapWrite(err)
}

// fillIn takes what was not given from the configuration.
func (p *program) fillIn(f *adminFlags) error {
	if f.url != "" && f.token != "" {
		return nil
	}
	c, _, err := p.load(nil, nil)
	if err != nil {
		return err
	}
	if f.url == "" {
		f.url = "http://" + dialable(c.Admin.Listen)
	}
	if f.token == "" {
		f.token = c.Admin.Token // the nodes of a deployment share it, as a rule
	}
	return nil
}

// get asks for a path and decodes the answer.
func (f adminFlags) get(ctx context.Context, path string, into any) error {
	const (
		patience = 10 * time.Second
		most     = 16 << 20
	)
	address := strings.TrimSuffix(f.url, "/")
	if u, err := url.Parse(address); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return &usageError{fmt.Sprintf("--admin %s: write it as http://host:port", f.url)}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking %s: %w", address, err)
	}
	if f.token != "" {
		req.Header.Set("Authorization", "Bearer "+f.token)
	}
	// Of our own: no idle connection must outlive the command.
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("no answer from the admin listener: %w. Is a node running there? --admin names another", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return fmt.Errorf("%s asks for its admin.token: give it with --token", address)
	default:
		return fmt.Errorf("%s answered %s: %w", address, res.Status, refusal(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s is no admin listener of this release: %w", address, err)
	}
	return nil
}

// refusal is what a node has to say about a request that it refuses.
func refusal(body []byte) error {
	var said struct{ Error, Hint string }
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		const some = 200
		return errors.New(printable(shorten(strings.TrimSpace(string(body)), some)))
	}
	if said.Hint != "" {
		said.Error += ": " + said.Hint
	}
	return errors.New(printable(said.Error))
}
