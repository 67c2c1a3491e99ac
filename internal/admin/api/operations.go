package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/operations"
)

// dry is true where it is not said: what changes many messages has to be asked for.
func dry(asked *bool) bool { return asked == nil || *asked }

// checkChoice wants to be told what is chosen; all letters are an empty filter, and
// never nothing.
func checkChoice(filter bool, named int, list string) error {
	switch {
	case filter == (named > 0):
		return badRequest(fmt.Sprintf("give either filter or %s", list), `{"filter":{}} chooses all that are open`)
	case named > maxChosen:
		return badRequest(fmt.Sprintf("%s holds more than %d", list, maxChosen), "choose by a filter")
	}
	return nil
}

// checkWhy is about the reason for discarding.
func checkWhy(why string, needed bool) error {
	const most = 500
	switch {
	case strings.TrimSpace(why) == "" && needed:
		return badRequest("why is missing", "say why it is discarded: it is kept in the record")
	case len(why) > most || strings.ContainsFunc(why, func(r rune) bool { return r < ' ' }):
		return badRequest("why is longer than 500 bytes, or no one line", "be brief")
	}
	return nil
}

// rehearse answers what an order would do. It reads as a search does.
func (a *API) rehearse(plan func() (any, error)) (reply, error) {
	leave, err := a.search()
	if err != nil {
		return reply{}, err
	}
	defer leave()
	body, err := plan()
	return reply{body: body}, err
}

// act does what was ordered. It tells how far it is, first as soon as the operation is
// recorded.
type act func(ctx context.Context, progress func(operations.Operation)) (operations.Operation, error)

// perform starts what was ordered and answers once it is recorded. It goes on when the
// request has ended.
func (a *API) perform(c call, do act) (reply, error) {
	if a.p.Jobs == nil {
		return reply{}, absent("this node runs no operations", "ask another node")
	}
	f := &follower{api: a}
	_, err := a.p.Jobs.Start(c.Context(), func(ctx context.Context, began func(id string)) error {
		last, err := do(ctx, func(o operations.Operation) {
			f.note(o)
			began(o.ID)
		})
		f.end(last)
		if err == nil && last.ID != "" {
			began(last.ID) // it had so little to do that it told nothing before
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	o := f.operation()
	a.log.Info("operation started", zap.String("operation", o.ID), zap.String("kind", string(o.Kind)), zap.String("by", o.By))
	return reply{status: http.StatusAccepted, body: shown(o)}, nil
}

// follower keeps how far an operation of this node is, for those who ask while it runs.
type follower struct {
	api   *API
	last  operations.Operation // under api.mu, as is ended
	ended bool
}

func (f *follower) note(o operations.Operation) {
	f.api.mu.Lock()
	defer f.api.mu.Unlock()
	if f.ended {
		return
	}
	f.last = o
	f.api.running[o.ID] = o
}

func (f *follower) end(o operations.Operation) {
	f.api.mu.Lock()
	defer f.api.mu.Unlock()
	delete(f.api.running, f.last.ID)
	f.ended = true
	if o.ID != "" {
		f.last = o
	}
}

func (f *follower) operation() operations.Operation {
	f.api.mu.Lock()
	defer f.api.mu.Unlock()
	return f.last
}

func (a *API) runs(id string) (operations.Operation, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o, found := a.running[id]
	return o, found
}

// shown has no null where a list or an object is promised.
func shown(o operations.Operation) operations.Operation {
	if o.Filter == nil {
		o.Filter = map[string]string{}
	}
	return o
}

// operations answers GET /v1/operations.
func (a *API) operations(c call) (reply, error) {
	if a.p.Operations == nil {
		return reply{}, absent("this node keeps no record of operations", "ask another node")
	}
	const usual, most, days = 50, 1000, 35
	q := queryOf(c)
	limit, since := q.number("limit", usual, 1, most), q.time("since")
	if err := q.end(); err != nil {
		return reply{}, err
	}
	if since.IsZero() {
		since = time.Now().AddDate(0, 0, -days) // all that is kept, by default
	}
	list, err := a.p.Operations.List(c.Context(), since, limit)
	if err != nil {
		return reply{}, err
	}
	answer := struct {
		Operations []operations.Operation `json:"operations"`
	}{make([]operations.Operation, 0, len(list))}
	for _, o := range list {
		if here, runs := a.runs(o.ID); runs {
			o = here // newer than the record
		}
		answer.Operations = append(answer.Operations, shown(o))
	}
	return ok(answer)
}

// operation answers GET /v1/operations/{id}.
func (a *API) operation(c call) (reply, error) {
	id := c.PathValue("id")
	if here, runs := a.runs(id); runs {
		return ok(shown(here))
	}
	if a.p.Operations == nil {
		return reply{}, absent("this node keeps no record of operations", "ask another node")
	}
	o, err := a.p.Operations.Get(c.Context(), id)
	return reply{body: shown(o)}, err
}

// cancel answers POST /v1/operations/{id}/cancel. The operation ends within some
// seconds, wherever it runs.
func (a *API) cancel(c call) (reply, error) {
	var posted struct {
		By string `json:"by"`
	}
	if c.ContentLength != 0 {
		if err := decode(c, &posted); err != nil {
			return reply{}, err
		}
	}
	who, err := by(c, posted.By)
	if err != nil {
		return reply{}, err
	}
	if a.p.Operations == nil {
		return reply{}, absent("this node keeps no record of operations", "ask another node")
	}
	id := c.PathValue("id")
	o, runs := a.runs(id)
	if !runs {
		if o, err = a.p.Operations.Get(c.Context(), id); err != nil {
			return reply{}, err
		}
	}
	if o.State != operations.Running {
		return reply{}, conflict(fmt.Sprintf("operation %s does not run: it is %s", id, o.State), "GET /v1/operations lists those that run")
	}
	a.log.Info("operation cancelled", zap.String("operation", id), zap.String("by", who))
	if a.p.Jobs == nil || !a.p.Jobs.Cancel(id, &operations.CancelledError{By: who}) {
		if err := a.p.Operations.Cancel(c.Context(), id, who); err != nil {
			return reply{}, fmt.Errorf("asking operation %s to end: %w", id, err)
		}
	}
	return reply{status: http.StatusAccepted, body: shown(o)}, nil
}
