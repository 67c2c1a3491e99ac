package apachekafka

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPropertiesKeepLinesAndBackslashes(t *testing.T) {
	assert.Equal(t, "a=1\nb=x\\ny\\\\z\n", encodeProperties(map[string]string{"b": "x\ny\\z", "a": "1"}))
}

func TestThreeNodesLoseNothingWithOne(t *testing.T) {
	nodes := []*node{{id: 1, controllerPort: 1}, {id: 2, controllerPort: 2}, {id: 3, controllerPort: 3}}
	p := properties(nodes[1], nodes, Security{})
	assert.Equal(t, "2", p["node.id"])
	assert.Equal(t, "1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3", p["controller.quorum.voters"])
	for k, v := range p {
		switch {
		case strings.HasSuffix(k, "replication.factor"):
			assert.Equal(t, "3", v, k)
		case strings.HasSuffix(k, "min.isr"), k == "min.insync.replicas":
			assert.Equal(t, "2", v, k)
		}
	}
}

func TestSecurityThatCannotWorkIsRefused(t *testing.T) {
	users := map[string]string{"alice": "secret"}
	for name, s := range map[string]Security{
		"unknown mechanism":          {Mechanism: "GSSAPI", Users: users},
		"mechanism without users":    {Mechanism: Plain},
		"users without mechanism":    {Users: users},
		"client certificates, plain": {ClientCertificates: true},
	} {
		assert.Error(t, s.check(), name)
	}
	require.NoError(t, Security{Mechanism: ScramSHA512, Users: users, TLS: true, ClientCertificates: true}.check())
}

func TestNodesAreOneOrThree(t *testing.T) {
	for _, n := range []int{0, 2, 4} {
		_, err := Start(t.Context(), Distribution{}, Params{Nodes: n, Dir: t.TempDir()})
		assert.ErrorContains(t, err, "1 or 3")
	}
}

func TestClusterIDIsNeverTakenForAnOption(t *testing.T) {
	for range 1000 {
		id := newClusterID()
		assert.Len(t, id, 22)
		assert.NotEqual(t, "-", id[:1])
	}
}
