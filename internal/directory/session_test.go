package directory

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnEntryIsTextThatPeopleCanRead(t *testing.T) {
	s := Session{
		User: "alice", Epoch: 42, Type: "order", ClientAddr: "192.0.2.7:51234", UserAgent: "Example/1.0 (test)",
		Since: time.Date(2030, 1, 2, 4, 4, 5, 6_789_000, time.FixedZone("", 3600)),
	}
	assert.Equal(t, "2030-01-02T03:04:05.006Z order 192.0.2.7:51234 Example/1.0 (test)", s.value())
	assert.Equal(t, "gw-1/1893553445000.42", field("gw-1/1893553445000", 42))
	assert.Equal(t, "42 alice", s.member())
}

func TestWhatAClientSaysOfItselfCannotBreakAnEntry(t *testing.T) {
	for agent, kept := range map[string]string{
		"":                       "",
		"a\r\nb\x00\x1b[31mc":    "ab[31mc",
		"é":                      "",
		strings.Repeat("x", 500): strings.Repeat("x", maxAgentBytes),
	} {
		s := session("alice", 1)
		s.ClientAddr, s.UserAgent = "", agent
		e, ok := parseEntry("alice", field("gw-1/2", 1), s.value())
		require.True(t, ok)
		assert.Equal(t, kept, e.UserAgent)
		assert.Empty(t, e.ClientAddr)
	}
}

func FuzzAnEntryIsUnderstoodOrPassedOver(f *testing.F) {
	s := session("alice", 7)
	f.Add("gw-1/12.7", s.value())
	f.Add("node", "gw-1")
	f.Add("gw-1/12.7", "2030-01-02T03:04:05.006Z %zz - -")
	f.Add("/.", "   ")
	f.Fuzz(func(t *testing.T, name, value string) {
		e, ok := parseEntry("alice", name, value)
		if !ok {
			return
		}
		// Written again, it is read as the same, whatever it was before cleaning.
		again, ok := parseEntry("alice", field(Life{Node: e.Node, Number: e.Life}.String(), e.Epoch), e.value())
		require.True(t, ok)
		third, ok := parseEntry("alice", field(Life{Node: e.Node, Number: e.Life}.String(), e.Epoch), again.value())
		require.True(t, ok)
		assert.Equal(t, again, third)
		assert.Equal(t, e.Type, again.Type)
		assert.True(t, e.Since.Equal(again.Since))
	})
}

func FuzzAMemberOfAnIndexIsUnderstoodOrPassedOver(f *testing.F) {
	f.Add("7 alice")
	f.Add(" ")
	f.Fuzz(func(t *testing.T, member string) {
		if s, ok := parseMember(member); ok {
			again, ok := parseMember(s.member())
			assert.True(t, ok)
			assert.Equal(t, s, again)
		}
	})
}
