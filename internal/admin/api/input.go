package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/admin/answer"
	"pushgate/internal/push"
)

// query reads parameters of an address. Its first problem is kept.
type query struct {
	values url.Values
	known  []string
	now    time.Time
	bad    *answer.Problem
}

func queryOf(c call) *query { return &query{values: c.URL.Query(), now: time.Now()} }

func (q *query) text(name string) string {
	q.known = append(q.known, name)
	if len(q.values[name]) > 1 {
		q.wrong(name, "is given more than once")
	}
	return q.values.Get(name)
}

func (q *query) wrong(name, why string) {
	if q.bad == nil {
		q.bad = badRequest(fmt.Sprintf("%s %s", name, why), "GET /v1/openapi.yaml says what may be asked")
	}
}

// number is within low and high; without it, otherwise.
func (q *query) number(name string, otherwise, low, high int) int {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		q.wrong(name, fmt.Sprintf("is %q: write a number from %d to %d", text, low, high))
	}
	return n
}

func (q *query) duration(name string, otherwise time.Duration) time.Duration {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		q.wrong(name, fmt.Sprintf("is %q: write a duration as 90s or 24h", text))
	}
	return d
}

func (q *query) time(name string) time.Time {
	t, err := parseTime(q.text(name), q.now)
	if err != nil {
		q.wrong(name, err.Error())
	}
	return t
}

func (q *query) flag(name string) *bool {
	text := q.text(name)
	if text == "" {
		return nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		q.wrong(name, fmt.Sprintf("is %q: write true or false", text))
	}
	return &b
}

func (q *query) oneOf(name string, names ...string) string {
	text := q.text(name)
	if text == "" {
		return names[0]
	}
	if !slices.Contains(names, text) {
		q.wrong(name, fmt.Sprintf("is %q: use one of %s", text, strings.Join(names, ", ")))
	}
	return text
}

// end returns the first problem; a parameter that nothing has asked for is one.
func (q *query) end() error {
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			q.wrong(name, "is no parameter here: there are "+strings.Join(q.known, ", "))
		}
	}
	if q.bad != nil {
		return q.bad
	}
	return nil
}

// parseTime understands a time, or a duration before now. Empty: the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("is %q: write a time as 2030-01-02T15:04:05Z, or how long ago as 2h", text)
	}
	return t, nil
}

const (
	// maxBody bounds what is posted, maxChosen how many letters or waits are named one
	// by one.
	maxBody   = 1 << 20
	maxChosen = 5000
)

// decode reads the JSON of a body, strictly: a misspelt "dry_run" must not become a
// real one.
func decode(c call, into any) error {
	_ = http.NewResponseController(c.writer).SetReadDeadline(time.Now().Add(short))
	decoder := json.NewDecoder(http.MaxBytesReader(c.writer, c.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		_, err = decoder.Token()
		if errors.Is(err, io.EOF) {
			// It would end the request: net/http listens for the client's end meanwhile.
			_ = http.NewResponseController(c.writer).SetReadDeadline(time.Time{})
			return nil
		}
		err = errors.New("more follows after the object")
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return &answer.Problem{Status: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("the body is larger than %d bytes", maxBody), Hint: "choose by a filter"}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &answer.Problem{Status: http.StatusRequestTimeout, Text: "the body did not arrive in time", Hint: "send it again"}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return badRequest("the body is not understood: "+err.Error(), "GET /v1/openapi.yaml says what it may hold")
}

// by is who asks, for the record: the name that is given, or else the address.
func by(c call, name string) (string, error) {
	const most = 128
	if len(name) > most || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return "", badRequest("by is longer than 128 bytes, or no one line", "give a name")
	}
	if name == "" {
		name = c.RemoteAddr
		if host, _, err := net.SplitHostPort(c.RemoteAddr); err == nil {
			name = host
		}
	}
	return fmt.Sprintf("%s (%s)", name, c.role), nil
}

// deathOf and failureOf understand reasons, of a letter and of a wait; empty: any.
func deathOf(name string) (push.Reason, error) { return reasonOf(name, push.Deaths()) }

func failureOf(name string) (push.Reason, error) { return reasonOf(name, push.Failures()) }

func reasonOf(name string, among []push.Reason) (push.Reason, error) {
	if name == "" {
		return push.ReasonNone, nil
	}
	names := make([]string, 0, len(among))
	for _, r := range among {
		if r.String() == name {
			return r, nil
		}
		names = append(names, r.String())
	}
	return push.ReasonNone, badRequest(fmt.Sprintf("reason is %q", name), "use one of "+strings.Join(names, ", "))
}

// checkUser is about a user who may be left out.
func checkUser(user string) error {
	if user == "" {
		return nil
	}
	if err := push.CheckUser(user); err != nil {
		return badRequest(err.Error(), "a user id is 1 to 256 bytes of UTF-8")
	}
	return nil
}
