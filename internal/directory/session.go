package directory

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/push"
)

// maxAgentBytes bounds what is kept of a user agent.
const maxAgentBytes = 128

// Session is one connection of a user to a node, as the directory keeps it.
type Session struct {
	// User is whose connection it is: 1 to push.MaxUserBytes bytes of any kind.
	User string
	// Epoch tells the connections of one life of a node apart. It names the entry,
	// so that closing one connection cannot touch the entry of another.
	Epoch uint64
	// Type is the business type it was opened for; push.AllTypes for all.
	Type string
	// Since is when it was opened, by the node's clock. It is kept to the
	// millisecond.
	Since time.Time
	// ClientAddr is where the client is (ip:port), and UserAgent what it says that
	// it is; for people to read, and cut and cleaned to that end. May be empty.
	ClientAddr, UserAgent string
}

// Validate says why a session cannot be kept.
func (s Session) Validate() error {
	if s.User == "" || len(s.User) > push.MaxUserBytes {
		return fmt.Errorf("a user id has 1 to %d bytes, not %d", push.MaxUserBytes, len(s.User))
	}
	if s.Type == "" || len(s.Type) > push.MaxTypeBytes {
		return fmt.Errorf("a business type has 1 to %d bytes, not %d", push.MaxTypeBytes, len(s.Type))
	}
	return nil
}

// Entry is a session, and where it is.
type Entry struct {
	Session
	// Node and Life say at which node, and in which of its lives.
	Node string
	Life uint64
}

// Owner is a node that holds a user, and what it takes for the user.
type Owner struct {
	Node string
	Life uint64
	// Epoch is that of the newest session there.
	Epoch uint64
	// Types are the business types of the sessions there, sorted.
	Types []string
}

// Takes says whether a session of the user there takes messages of a type.
func (o Owner) Takes(messageType string) bool {
	return slices.ContainsFunc(o.Types, func(t string) bool { return push.Takes(t, messageType) })
}

// Owners gathers entries of one user by node; the node whose session is the
// newest comes first.
func Owners(entries []Entry) []Owner {
	var all []Owner
	for _, e := range slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(b.Epoch, a.Epoch), strings.Compare(a.Node, b.Node))
	}) {
		i := slices.IndexFunc(all, func(o Owner) bool { return o.Node == e.Node && o.Life == e.Life })
		if i < 0 {
			i = len(all)
			all = append(all, Owner{Node: e.Node, Life: e.Life})
		}
		o := &all[i]
		o.Epoch = max(o.Epoch, e.Epoch)
		if at, found := slices.BinarySearch(o.Types, e.Type); !found {
			o.Types = slices.Insert(o.Types, at, e.Type)
		}
	}
	return all
}

// timeLayout sorts as text, and has the same length for all times.
const timeLayout = "2006-01-02T15:04:05.000Z"

// none stands for a text that is empty.
const none = "-"

// field names an entry in a user's hash.
func field(life string, epoch uint64) string { return life + "." + strconv.FormatUint(epoch, 10) }

// value is the entry itself.
func (s Session) value() string {
	return strings.Join([]string{
		s.Since.UTC().Format(timeLayout), url.PathEscape(s.Type),
		cmp.Or(clean(s.ClientAddr, false), none), cmp.Or(clean(s.UserAgent, true), none),
	}, " ")
}

// clean keeps printable ASCII, and spaces where they may stand: a client decides
// what its user agent is, and people look at it on a terminal.
func clean(s string, spaces bool) string {
	if len(s) > maxAgentBytes {
		s = s[:maxAgentBytes]
	}
	return strings.Map(func(r rune) rune {
		if r > ' ' && r <= '~' || r == ' ' && spaces {
			return r
		}
		return -1
	}, s)
}

// parseEntry understands a field of a user's hash. It returns false for what is
// none: the field "node", and what others wrote.
func parseEntry(user, field, value string) (Entry, bool) {
	e := Entry{Session: Session{User: user}}
	node, rest, ok := strings.Cut(field, "/")
	life, epoch, ok2 := strings.Cut(rest, ".")
	parts := strings.SplitN(value, " ", 4)
	if !ok || !ok2 || len(parts) != 4 {
		return Entry{}, false
	}
	e.Node = node
	var errs [4]error
	e.Life, errs[0] = strconv.ParseUint(life, 10, 64)
	e.Epoch, errs[1] = strconv.ParseUint(epoch, 10, 64)
	e.Since, errs[2] = time.Parse(timeLayout, parts[0])
	e.Type, errs[3] = url.PathUnescape(parts[1])
	e.ClientAddr, e.UserAgent = strings.TrimPrefix(parts[2], none), parts[3]
	if e.UserAgent == none {
		e.UserAgent = ""
	}
	return e, errs == [4]error{}
}

// member names an entry in the index of a life.
func (s Session) member() string { return strconv.FormatUint(s.Epoch, 10) + " " + s.User }

// parseMember understands a member of the index of a life.
func parseMember(member string) (Session, bool) {
	epoch, user, ok := strings.Cut(member, " ")
	number, err := strconv.ParseUint(epoch, 10, 64)
	return Session{User: user, Epoch: number}, ok && err == nil && user != ""
}
