package app

import (
	"cmp"
	"context"
	"slices"

	"pushgate/internal/admin/api"
)

// findUser says where a user is connected: everywhere, as the directory knows it;
// without one, here. It blocks for some round trips to the directory.
func (n *Node) findUser(ctx context.Context, user string) (api.User, error) {
	found := api.User{User: user, Node: n.config.Node.ID, Scope: api.ScopeNode}
	switch {
	case n.directory != nil:
		found.Scope = api.ScopeDeployment
		var err error
		if found.Sessions, err = n.directory.sessionsOf(ctx, user); err != nil {
			return found, err
		}
	case n.hub != nil:
		found.Sessions = n.sessionsOf(user)
	}
	slices.SortStableFunc(found.Sessions, func(a, b api.Session) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Node, b.Node))
	})
	return found, nil
}

func (w *whereabouts) sessionsOf(ctx context.Context, user string) ([]api.Session, error) {
	found := w.redis.Lookup(ctx, []string{user})[0]
	if found.Err != nil {
		return nil, found.Err
	}
	sessions := make([]api.Session, len(found.Entries))
	for i, e := range found.Entries {
		// A node that has just gone has no address any more; its lease tells soon.
		address, _ := w.book.Address(ctx, e.Node, e.Life)
		sessions[i] = api.Session{
			Node: e.Node, Address: address, Since: e.Since, Type: e.Type, Client: e.ClientAddr, UserAgent: e.UserAgent,
		}
	}
	return sessions, nil
}

// sessionsOf are those here.
func (n *Node) sessionsOf(user string) []api.Session {
	address, _ := n.advertised() // validated; to be shown only
	var sessions []api.Session
	for _, s := range n.hub.Sessions(user) {
		client, agent := s.Client()
		sessions = append(sessions, api.Session{
			Node: n.config.Node.ID, Address: address, Since: s.Opened(), Type: s.Type(), Client: client, UserAgent: agent,
		})
	}
	return sessions
}

// users counts who has a session here.
func (n *Node) users() int {
	_, users := n.hub.Counts()
	return users
}
