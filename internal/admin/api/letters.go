package api

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"pushgate/internal/deadletter"
	"pushgate/internal/operations"
)

// letterPage is a part of the letters that were asked for.
type letterPage struct {
	Letters []letter `json:"letters"`
	// Next is the cursor of the next page, empty at the end.
	Next string `json:"next"`
	// Complete: the page is full, or the last one. Else its time was over.
	Complete bool `json:"complete"`
	// Scanned records were looked at for this page; Malformed are no dead letters.
	Scanned   int64 `json:"scanned"`
	Malformed int   `json:"malformed"`
	// HomeOnly: only the home partition of the user was read.
	HomeOnly bool `json:"home_only"`
}

// letter is a dead letter in a list.
type letter struct {
	deadletter.Place
	ID       string    `json:"id"`
	User     string    `json:"user"`
	Type     string    `json:"type"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	DiedAt   time.Time `json:"died_at"`
	Attempt  int       `json:"attempt"`
	Failures int       `json:"failures"`
	// Replays is how often it was replayed before it died; Again, that it died of the
	// same after the last one.
	Replays int    `json:"replays"`
	Again   bool   `json:"again"`
	State   string `json:"state"`
	Size    int    `json:"size"`    // of the payload, bytes
	Preview string `json:"preview"` // its beginning, empty where it is no text
}

// wholeLetter is a dead letter with all there is to know.
type wholeLetter struct {
	letter
	Origin    origin    `json:"origin"`
	FirstSeen time.Time `json:"first_seen"`
	Expires   time.Time `json:"expires"`
	Node      string    `json:"node"` // that decided
	// Operation that handled it, empty where it is open.
	Operation string   `json:"operation,omitempty"`
	Headers   []header `json:"headers"`
	payload
}

// origin is where the record stood that a letter was made from.
type origin struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// header of a record.
type header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// payload is one of these, or nothing where it is empty.
type payload struct {
	Data   json.RawMessage `json:"data,omitempty"`
	Text   string          `json:"text,omitempty"`
	Base64 []byte          `json:"data_base64,omitempty"`
}

// payloadOf shows bytes as what they are.
func payloadOf(b []byte) payload {
	switch {
	case len(b) == 0:
		return payload{}
	case json.Valid(b):
		return payload{Data: b}
	case utf8.Valid(b):
		return payload{Text: string(b)}
	default:
		return payload{Base64: b}
	}
}

// previewOf is the beginning of a payload that is text.
func previewOf(b []byte, size int) string {
	const most = 160 // bytes
	cut := size > most
	b = b[:min(len(b), most)]
	for cut && len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
		b = b[:len(b)-1] // a character cut in two
	}
	if cut && len(b) > 0 {
		b = b[:len(b)-1]
	}
	switch {
	case !utf8.Valid(b):
		return ""
	case cut:
		return string(b) + "…"
	default:
		return string(b)
	}
}

func letterOf(l *deadletter.Letter) letter {
	return letter{
		Place: l.Place, ID: l.ID, User: l.User, Type: l.Type, Reason: l.Reason.String(), Error: l.Error, DiedAt: l.At,
		Attempt: l.Attempt, Failures: l.Failures, Replays: l.Replay.Count, Again: l.Again, State: l.State.String(),
		Size: l.Size, Preview: previewOf(l.Data, l.Size),
	}
}

func lettersOf(list []deadletter.Letter) []letter {
	letters := make([]letter, len(list))
	for i := range list {
		letters[i] = letterOf(&list[i])
	}
	return letters
}

func wholeLetterOf(l *deadletter.Letter) wholeLetter {
	whole := wholeLetter{
		letter:    letterOf(l),
		Origin:    origin{Topic: l.OriginTopic, Partition: l.OriginPartition, Offset: l.OriginOffset},
		FirstSeen: l.FirstSeen, Expires: l.Expires, Node: l.Node, Operation: l.Operation,
		Headers: make([]header, len(l.Headers)), payload: payloadOf(l.Data),
	}
	for i, h := range l.Headers {
		whole.Headers[i] = header{Key: h.Key, Value: string(h.Value)}
	}
	return whole
}

// letterPlan is what an order would do.
type letterPlan struct {
	Matched      int            `json:"matched"`
	WouldReplay  *int           `json:"would_replay,omitempty"`
	WouldDiscard *int           `json:"would_discard,omitempty"`
	Skipped      map[string]int `json:"skipped"`
	// DieAgain would be replayed, and are invalid or too large still.
	DieAgain  int      `json:"die_again"`
	Sample    []letter `json:"sample"`
	Malformed int      `json:"malformed"`
	HomeOnly  bool     `json:"home_only"`
}

func planOf(p *deadletter.Plan) letterPlan {
	plan := letterPlan{
		Matched: p.Matched, DieAgain: p.DieAgain, Sample: lettersOf(p.Sample), Malformed: p.Malformed, HomeOnly: p.HomeOnly,
		Skipped: map[string]int{string(deadletter.SkipExpired): 0, string(deadletter.SkipAgain): 0, string(deadletter.SkipHandled): 0},
	}
	for why, count := range p.Skipped {
		plan.Skipped[string(why)] = count
	}
	return plan
}

// letters answers GET /v1/dead-letters.
func (a *API) letters(c call) (reply, error) {
	if a.p.Letters == nil {
		return reply{}, absent("this node does not know the dead letters", "ask another node")
	}
	const usual, most = 50, 500
	q := queryOf(c)
	f := letterFilter{
		User: q.text("user"), Type: q.text("type"), Reason: q.text("reason"), NotReason: q.text("not_reason"), ID: q.text("id"), Text: q.text("text"),
		Since: q.text("since"), Until: q.text("until"), State: q.text("state"), Again: q.flag("again"),
	}
	if everywhere := q.flag("everywhere"); everywhere != nil {
		f.Everywhere = *everywhere
	}
	asked := deadletter.Query{Limit: q.number("limit", usual, 1, most), Cursor: q.text("cursor")}
	if q.oneOf("order", "newest", "oldest") == "oldest" {
		asked.Order = deadletter.OldestFirst
	}
	if err := q.end(); err != nil {
		return reply{}, err
	}
	var err error
	if asked.Filter, err = f.parse(q.now); err != nil {
		return reply{}, err
	}
	page, err := a.p.Letters.Page(c.Context(), asked)
	if err != nil {
		return reply{}, err
	}
	return ok(letterPage{
		Letters: lettersOf(page.Letters), Next: page.Next, Complete: page.Complete, Scanned: page.Scanned,
		Malformed: page.Malformed, HomeOnly: page.HomeOnly,
	})
}

// letter answers GET /v1/dead-letters/{partition}/{offset}.
func (a *API) letter(c call) (reply, error) {
	if a.p.Letters == nil {
		return reply{}, absent("this node does not know the dead letters", "ask another node")
	}
	partition, err1 := strconv.ParseInt(c.PathValue("partition"), 10, 32)
	offset, err2 := strconv.ParseInt(c.PathValue("offset"), 10, 64)
	if err1 != nil || err2 != nil || partition < 0 || offset < 0 {
		return reply{}, badRequest("partition or offset is no number from 0", "take them from GET /v1/dead-letters")
	}
	found, err := a.p.Letters.Get(c.Context(), deadletter.Place{Partition: int32(partition), Offset: offset})
	if err != nil {
		return reply{}, err
	}
	return ok(wholeLetterOf(&found))
}

// letterFilter is deadletter.Filter as it is written in JSON and in addresses.
type letterFilter struct {
	User       string `json:"user"`
	Type       string `json:"type"`
	Reason     string `json:"reason"`
	NotReason  string `json:"not_reason"`
	ID         string `json:"id"`
	Text       string `json:"text"`
	Since      string `json:"since"`
	Until      string `json:"until"`
	State      string `json:"state"`
	Again      *bool  `json:"again"`
	Everywhere bool   `json:"everywhere"`
}

func (f *letterFilter) parse(now time.Time) (deadletter.Filter, error) {
	parsed := deadletter.Filter{User: f.User, Type: f.Type, ID: f.ID, Text: f.Text, Again: f.Again, Everywhere: f.Everywhere}
	const hint = "GET /v1/openapi.yaml says what may be asked"
	var err error
	if parsed.Reason, err = deathOf(f.Reason); err != nil {
		return parsed, err
	}
	if parsed.NotReason, err = deathOf(f.NotReason); err != nil {
		return parsed, err
	}
	if parsed.Since, err = parseTime(f.Since, now); err != nil {
		return parsed, badRequest("since "+err.Error(), hint)
	}
	if parsed.Until, err = parseTime(f.Until, now); err != nil {
		return parsed, badRequest("until "+err.Error(), hint)
	}
	if parsed.State, err = deadletter.ParseState(f.State); err != nil {
		return parsed, badRequest(err.Error(), hint)
	}
	if err := parsed.Validate(); err != nil {
		return parsed, badRequest(err.Error(), hint)
	}
	return parsed, nil
}

// letterOrder is what is posted to replay or discard letters.
type letterOrder struct {
	Filter  *letterFilter      `json:"filter"`
	Letters []deadletter.Place `json:"letters"`
	Rate    *float64           `json:"rate"`
	TTL     string             `json:"ttl"`
	Expired bool               `json:"expired"`
	Again   bool               `json:"again"`
	Force   bool               `json:"force"`
	DryRun  *bool              `json:"dry_run"`
	Why     string             `json:"why"`
	By      string             `json:"by"`
}

// replayLetters answers POST /v1/dead-letters/replay.
func (a *API) replayLetters(c call) (reply, error) {
	var posted letterOrder
	if err := decode(c, &posted); err != nil {
		return reply{}, err
	}
	if a.p.Replayer == nil {
		return reply{}, absent("this node does not handle dead letters", "ask another node")
	}
	if posted.Why != "" {
		return reply{}, badRequest("why is for discarding", "leave it out")
	}
	order := deadletter.ReplayParams{Expired: posted.Expired, Again: posted.Again, Force: posted.Force}
	var err error
	if order.Choice, order.By, err = posted.choice(c); err != nil {
		return reply{}, err
	}
	if order.Rate, order.TTL, err = posted.pace(); err != nil {
		return reply{}, err
	}
	if dry(posted.DryRun) {
		return a.rehearse(func() (any, error) {
			found, err := a.p.Replayer.PlanReplay(c.Context(), order)
			plan := planOf(&found)
			plan.WouldReplay = &found.Would
			return plan, err
		})
	}
	return a.perform(c, func(ctx context.Context, progress func(operations.Operation)) (operations.Operation, error) {
		order.OnProgress = progress
		return a.p.Replayer.Replay(ctx, order)
	})
}

// discardLetters answers POST /v1/dead-letters/discard.
func (a *API) discardLetters(c call) (reply, error) {
	var posted letterOrder
	if err := decode(c, &posted); err != nil {
		return reply{}, err
	}
	if a.p.Discarder == nil {
		return reply{}, absent("this node does not handle dead letters", "ask another node")
	}
	if posted.Rate != nil || posted.TTL != "" || posted.Expired || posted.Again {
		return reply{}, badRequest("rate, ttl, expired and again are for replaying", "leave them out")
	}
	if err := checkWhy(posted.Why, !dry(posted.DryRun)); err != nil {
		return reply{}, err
	}
	order := deadletter.DiscardParams{Force: posted.Force, Why: posted.Why}
	var err error
	if order.Choice, order.By, err = posted.choice(c); err != nil {
		return reply{}, err
	}
	if dry(posted.DryRun) {
		return a.rehearse(func() (any, error) {
			found, err := a.p.Discarder.PlanDiscard(c.Context(), order)
			plan := planOf(&found)
			plan.WouldDiscard = &found.Would
			return plan, err
		})
	}
	return a.perform(c, func(ctx context.Context, progress func(operations.Operation)) (operations.Operation, error) {
		order.OnProgress = progress
		return a.p.Discarder.Discard(ctx, order)
	})
}

// choice says which letters, and who asks.
func (o *letterOrder) choice(c call) (deadletter.Choice, string, error) {
	choice := deadletter.Choice{Letters: o.Letters}
	if err := checkChoice(o.Filter != nil, len(o.Letters), "letters"); err != nil {
		return choice, "", err
	}
	for _, l := range o.Letters {
		if l.Partition < 0 || l.Offset < 0 {
			return choice, "", badRequest("letters holds a partition or offset below 0", "take them from GET /v1/dead-letters")
		}
	}
	if o.Filter != nil {
		var err error
		if choice.Filter, err = o.Filter.parse(time.Now()); err != nil {
			return choice, "", err
		}
	}
	who, err := by(c, o.By)
	return choice, who, err
}

// pace says how fast letters are replayed, and for how long they live then.
func (o *letterOrder) pace() (rate float64, ttl time.Duration, err error) {
	const usual, most = 100, 100_000
	rate = usual
	if o.Rate != nil {
		rate = *o.Rate
	}
	if rate <= 0 || rate > most {
		return 0, 0, badRequest("rate is not above 0 and up to 100000 a second", "100 is usual")
	}
	if o.TTL != "" {
		if ttl, err = time.ParseDuration(o.TTL); err != nil || ttl <= 0 {
			return 0, 0, badRequest("ttl is no duration above zero", "write it as 90s or 1h")
		}
	}
	return rate, ttl, nil
}
