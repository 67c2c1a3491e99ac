package directory

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func node(id string, life uint64, addr string) Node {
	return Node{
		ID: id, Life: life, Addr: addr, Capabilities: []string{"gateway", "push/1"},
		Since: time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC),
	}
}

func aNodeIsResolvedByNameAndByAddress(t *testing.T, r *rig) {
	a, b := node("gw-a", 1, "192.0.2.1:8080"), node("gw-b", 2, "[2001:db8::1]:8080")
	require.NoError(t, r.registry.Register(t.Context(), b))
	require.NoError(t, r.registry.Register(t.Context(), a))
	for _, n := range []Node{a, b} {
		for _, by := range []string{n.ID, n.Addr} {
			found, err := r.registry.Resolve(t.Context(), by)
			require.NoError(t, err)
			assert.Equal(t, n, found)
		}
	}
	all, err := r.registry.List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []Node{a, b}, all)
	for _, nobody := range []string{"gw", "192.0.2.1:80", ""} {
		_, err = r.registry.Resolve(t.Context(), nobody)
		require.ErrorIs(t, err, ErrUnknownNode)
	}
	// It moves: the old address is nobody's, even before its lease ends.
	moved := node("gw-a", 3, "192.0.2.9:8080")
	require.NoError(t, r.registry.Register(t.Context(), moved))
	_, err = r.registry.Resolve(t.Context(), a.Addr)
	require.ErrorIs(t, err, ErrUnknownNode)
	require.NoError(t, r.registry.Deregister(t.Context(), a), "an old life takes nothing from the new one")
	found, err := r.registry.Resolve(t.Context(), "gw-a")
	require.NoError(t, err)
	assert.Equal(t, moved, found)
	require.NoError(t, r.registry.Deregister(t.Context(), moved))
	all, err = r.registry.List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []Node{b}, all)
}

func TestARegistrationEndsWithItsLease(t *testing.T) {
	r := embeddedRig(t, testConfig())
	n := node("gw-a", 1, "192.0.2.1:8080")
	require.ErrorIs(t, r.registry.Renew(t.Context(), n), ErrLost)
	require.NoError(t, r.registry.Register(t.Context(), n))
	for range 3 {
		r.advance(t, testLease*3/4)
		require.NoError(t, r.registry.Renew(t.Context(), n))
		found, err := r.registry.Resolve(t.Context(), n.Addr)
		require.NoError(t, err)
		assert.Equal(t, n, found)
	}
	r.advance(t, testLease+time.Second)
	for _, by := range []string{n.ID, n.Addr} {
		_, err := r.registry.Resolve(t.Context(), by)
		require.ErrorIs(t, err, ErrUnknownNode)
	}
	all, err := r.registry.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, all)
	require.ErrorIs(t, r.registry.Renew(t.Context(), n), ErrLost)
	// A name that has long been gone leaves the list, too.
	r.advance(t, 2*keepListed)
	require.NoError(t, r.registry.Register(t.Context(), node("gw-b", 2, "192.0.2.2:8080")))
	assert.Equal(t, []string{"gw-b"}, r.rdb.ZRange(t.Context(), r.keys.nodes(), 0, -1).Val())
}

func aNewerLifeKeepsItsName(t *testing.T, r *rig) {
	older, newer := node("gw-a", 1, "192.0.2.1:8080"), node("gw-a", 2, "192.0.2.2:8080")
	require.NoError(t, r.registry.Register(t.Context(), older))
	require.NoError(t, r.registry.Register(t.Context(), newer))
	require.ErrorIs(t, r.registry.Renew(t.Context(), older), ErrSuperseded)
	require.ErrorIs(t, r.registry.Register(t.Context(), older), ErrSuperseded)
	require.NoError(t, r.registry.Renew(t.Context(), newer))
}

func TestNodesThatCannotBeRegistered(t *testing.T) {
	r := embeddedRig(t, testConfig())
	for name, change := range map[string]func(*Node){
		"no name":          func(n *Node) { n.ID = "" },
		"a slash":          func(n *Node) { n.ID = "a/b" },
		"a long name":      func(n *Node) { n.ID = string(make([]byte, 129)) },
		"no address":       func(n *Node) { n.Addr = "" },
		"no port":          func(n *Node) { n.Addr = "192.0.2.1" },
		"no host":          func(n *Node) { n.Addr = ":80" },
		"spaces in it":     func(n *Node) { n.Addr = "a b:80" },
		"several words":    func(n *Node) { n.Capabilities = []string{"a b"} },
		"an empty ability": func(n *Node) { n.Capabilities = []string{""} },
	} {
		n := node("gw-a", 1, "192.0.2.1:8080")
		require.NoError(t, n.Validate())
		change(&n)
		require.Error(t, r.registry.Register(t.Context(), n), name)
	}
	_, err := r.Begin(t.Context(), "a b", Life{})
	require.ErrorIs(t, err, errNodeID)
	_, err = NewKeeper(KeeperParams{Node: Node{ID: "a b", Addr: "x:1"}})
	require.ErrorIs(t, err, errNodeID)
}

func TestGeneratedNamesAreValidAndDiffer(t *testing.T) {
	a, b := NewNodeID(), NewNodeID()
	assert.True(t, validNode(a), a)
	assert.NotEqual(t, a, b)
}

// resolver is what a fake resolves.
type resolver func(string) (Node, error)

func (r resolver) Resolve(_ context.Context, by string) (Node, error) { return r(by) }

func TestAnAddressBookAsksOnceForALife(t *testing.T) {
	asked := 0
	current := node("gw-a", 1, "192.0.2.1:8080")
	book := NewBook(resolver(func(string) (Node, error) {
		asked++
		return current, nil
	}))
	for range 3 {
		addr, err := book.Address(t.Context(), "gw-a", 1)
		require.NoError(t, err)
		assert.Equal(t, "192.0.2.1:8080", addr)
	}
	assert.Equal(t, 1, asked)
	_, err := book.Address(t.Context(), "gw-a", 2)
	require.ErrorIs(t, err, ErrUnknownNode, "the registry does not know that life yet, or any more")
	current = node("gw-a", 2, "192.0.2.2:8080")
	addr, err := book.Address(t.Context(), "gw-a", 2)
	require.NoError(t, err)
	assert.Equal(t, "192.0.2.2:8080", addr)
	current.Life = 0
	for i := range 2 {
		addr, err = book.Address(t.Context(), "gw-a", 9)
		require.NoError(t, err)
		assert.Equal(t, "192.0.2.2:8080", addr)
		assert.Equal(t, 4+i, asked, "who knows no lives is asked again")
	}
	broken := NewBook(resolver(func(string) (Node, error) { return Node{}, errors.New("away") }))
	_, err = broken.Address(t.Context(), "gw-a", 1)
	require.ErrorContains(t, err, "finding the address of node gw-a: away")
}

func TestAnAddressBookIsBounded(t *testing.T) {
	life := uint64(0)
	book := NewBook(resolver(func(string) (Node, error) { return node("gw-a", life, "192.0.2.1:8080"), nil }))
	for range maxBook + 10 {
		life++
		_, err := book.Address(t.Context(), "gw-a", life)
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, len(book.known), maxBook)
}

func TestDNSResolvesNamesThatThePlatformGives(t *testing.T) {
	// "localhost" is in the hosts file of every machine.
	d := DNS{Port: "8080"}
	n, err := d.Resolve(t.Context(), "localhost")
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(n.Addr)
	require.NoError(t, err)
	assert.True(t, net.ParseIP(host).IsLoopback())
	assert.Equal(t, "8080", port)
	back, err := d.Resolve(t.Context(), "127.0.0.1:8080")
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:8080", back.Addr)
	assert.Equal(t, "localhost", back.ID)
	_, err = DNS{Suffix: ".elsewhere"}.Resolve(t.Context(), "127.0.0.1:8080")
	require.ErrorIs(t, err, ErrUnknownNode)
	_, err = d.Resolve(t.Context(), "no name")
	require.ErrorIs(t, err, ErrUnknownNode)
	err = d.failed("gw-a", &net.DNSError{IsNotFound: true})
	require.ErrorIs(t, err, ErrUnknownNode)
	require.NotErrorIs(t, d.failed("gw-a", &net.DNSError{IsTimeout: true}), ErrUnknownNode)
}
