package api

import (
	"net/http"
	"time"

	"pushgate/internal/groups"
)

// Session is who asks, and whom.
type session struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Role    string `json:"role"`
	Gateway bool   `json:"gateway"`
	Routing string `json:"routing"`
	Order   string `json:"order"`
}

// session answers GET /v1/session.
func (a *API) session(c call) (reply, error) {
	s := a.p.Self
	return ok(session{Node: s.Node, Version: s.Version, Role: c.role.String(), Gateway: s.Gateway, Routing: s.Routing, Order: s.Order})
}

// overview answers GET /v1/overview.
func (a *API) overview(c call) (reply, error) {
	if a.p.Fleet == nil {
		return reply{}, absent("this node does not know the others", "ask another node")
	}
	const usual, most = 10, 15
	q := queryOf(c)
	minutes := q.number("minutes", usual, 1, most)
	if err := q.end(); err != nil {
		return reply{}, err
	}
	return ok(a.p.Fleet.Overview(minutes))
}

// nodes answers GET /v1/nodes.
func (a *API) nodes(call) (reply, error) {
	if a.p.Fleet == nil {
		return reply{}, absent("this node does not know the others", "ask another node")
	}
	return ok(a.p.Fleet.Fleet())
}

// groups answers GET /v1/groups.
func (a *API) groups(c call) (reply, error) {
	if a.p.Groups == nil {
		return reply{}, absent("this node does not know the consumer groups", "ask another node")
	}
	q := queryOf(c)
	goneFor := q.duration("gone_for", groups.DefaultGoneFor)
	if err := q.end(); err != nil {
		return reply{}, err
	}
	found, err := a.p.Groups.List(c.Context(), goneFor)
	if found.Groups == nil {
		found.Groups = []groups.Group{}
	}
	return reply{body: found}, err
}

// prune answers POST /v1/groups/prune.
func (a *API) prune(c call) (reply, error) {
	if a.p.Groups == nil {
		return reply{}, absent("this node does not know the consumer groups", "ask another node")
	}
	var posted struct {
		DryRun  *bool  `json:"dry_run"`
		GoneFor string `json:"gone_for"`
		Node    string `json:"node"`
		By      string `json:"by"`
	}
	if err := decode(c, &posted); err != nil {
		return reply{}, err
	}
	order := groups.Pruning{GoneFor: groups.DefaultGoneFor, Node: posted.Node, DryRun: dry(posted.DryRun)}
	var err error
	if posted.GoneFor != "" {
		if order.GoneFor, err = time.ParseDuration(posted.GoneFor); err != nil || order.GoneFor <= 0 {
			return reply{}, badRequest("gone_for is no duration above zero", "write it as 1h")
		}
	}
	if order.By, err = by(c, posted.By); err != nil {
		return reply{}, err
	}
	done, err := a.p.Groups.Prune(c.Context(), order)
	for _, list := range []*[]groups.Group{&done.Deleted, &done.Kept, &done.Failed} {
		if *list == nil {
			*list = []groups.Group{}
		}
	}
	return reply{body: done}, err
}

// messages answers POST /v1/users/{user}/messages.
func (a *API) messages(w http.ResponseWriter, r *http.Request) {
	if a.p.Messages == nil {
		absent("this node takes no messages", "ask another node").Write(w)
		return
	}
	a.p.Messages.ServeHTTP(w, r)
}

// sockets answers GET /v1/websocket/{type}/{user}.
func (a *API) sockets(w http.ResponseWriter, r *http.Request) {
	if a.p.Sockets == nil {
		absent("this node is no gateway: it has no sockets", "ask a node that has the role gateway").Write(w)
		return
	}
	a.p.Sockets.ServeHTTP(w, r)
}
