package app

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"pushgate/internal/admin"
	"pushgate/internal/auth"
	"pushgate/internal/canary"
	"pushgate/internal/client"
)

// newCanary makes the canary, if there is to be one. It needs the gateway's listener, or
// the admin listener, when it runs.
func (n *Node) newCanary(registry prometheus.Registerer) {
	if !n.config.Canary.Enabled {
		return
	}
	if n.gateway == nil {
		n.log.Info("there is no canary here: clients do not connect to a node without the gateway's role")
		return
	}
	n.canary = canary.New(canary.Params{
		Config: n.config.Canary, Node: n.config.Node.ID, Listen: n.listenAsCanary, Publish: requestPublisher{n.publisher}.Publish,
		Logger: n.log, Registerer: registry,
	})
}

// details are what operators shall see beside the checks of readiness: none of it makes
// a node less ready.
func (n *Node) details() []admin.Detail {
	if n.canary == nil {
		return nil
	}
	return []admin.Detail{{Name: "canary", Text: n.canary.Text}}
}

// canaryToken is for how long the canary's own token is good.
const canaryToken = 24 * time.Hour

// listenAsCanary connects to this node's own gateway until ctx ends. Where clients need
// tokens that this node cannot sign, because it has only public keys, it goes by the
// address at which operators open sockets.
func (n *Node) listenAsCanary(ctx context.Context, user string, on canary.Events) error {
	url, token := n.config.Gateway.Scheme()+reachable(n.GatewayAddr()), ""
	if n.config.Auth.Mode == auth.ModeJWT {
		var err error
		if token, err = auth.Sign(n.config.Auth.JWT, auth.Grant{User: user, TTL: canaryToken}); err != nil {
			url, token = "ws://"+reachable(n.AdminAddr())+"/v1", n.config.Admin.Token
		}
	}
	c, err := client.New(client.Params{
		URL: url, User: user, Type: canary.Type, Token: token, MaxBackoff: time.Second,
		TLS: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it is this process, whose certificate bears another name
		OnState: func(s client.State, err error) {
			switch s {
			case client.Open:
				on.Opened()
			case client.Closed:
				n.log.Debug("the canary is not connected", zap.Error(err))
				on.Closed(err)
			case client.Connecting:
			}
		},
	})
	if err != nil {
		return err
	}
	return c.Run(ctx, func(_ context.Context, m client.Message) error {
		on.Received(m.ID)
		return nil
	})
}

// reachable is how a listener is reached from its own machine.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return address
}
