package api

import (
	"context"
	"fmt"
	"time"

	"pushgate/internal/operations"
	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

// waitPlace names a wait: the user is named, too, so that nothing is done to another
// message that came to stand there.
type waitPlace struct {
	Partition int32  `json:"partition"`
	Origin    int64  `json:"origin"`
	User      string `json:"user"`
}

// waitPlan is what an order would do.
type waitPlan struct {
	Matched      int            `json:"matched"`
	WouldRelease *int           `json:"would_release,omitempty"`
	WouldDiscard *int           `json:"would_discard,omitempty"`
	Sample       []waiting.Wait `json:"sample"`
}

// waits answers GET /v1/waiting.
func (a *API) waits(c call) (reply, error) {
	if a.p.Waiting == nil {
		return reply{}, absent("this node does not know what waits", "ask another node")
	}
	const usual, most = 50, 500
	q := queryOf(c)
	f := waitFilter{User: q.text("user"), Type: q.text("type"), Reason: q.text("reason"), ID: q.text("id"), OlderThan: q.text("older_than")}
	limit, cursor := q.number("limit", usual, 1, most), q.text("cursor")
	if err := q.end(); err != nil {
		return reply{}, err
	}
	filter, err := f.parse()
	if err != nil {
		return reply{}, err
	}
	page, err := a.p.Waiting.Page(c.Context(), filter, limit, cursor)
	if err == nil {
		_, err = a.p.Waiting.Fill(c.Context(), page.Waits)
	}
	if page.Waits == nil {
		page.Waits = []waiting.Wait{}
	}
	return reply{body: page}, err
}

// waitSummary answers GET /v1/waiting/summary.
func (a *API) waitSummary(c call) (reply, error) {
	if a.p.Waiting == nil {
		return reply{}, absent("this node does not know what waits", "ask another node")
	}
	q := queryOf(c)
	f := waitFilter{User: q.text("user"), Type: q.text("type"), Reason: q.text("reason"), ID: q.text("id"), OlderThan: q.text("older_than")}
	if err := q.end(); err != nil {
		return reply{}, err
	}
	filter, err := f.parse()
	if err != nil {
		return reply{}, err
	}
	sum, err := a.p.Waiting.Summary(c.Context(), filter)
	return reply{body: sum}, err
}

// waitFilter is waiting.Filter as it is written in JSON and in addresses.
type waitFilter struct {
	User      string `json:"user"`
	Type      string `json:"type"`
	Reason    string `json:"reason"`
	ID        string `json:"id"`
	OlderThan string `json:"older_than"`
}

func (f waitFilter) parse() (waiting.Filter, error) {
	parsed := waiting.Filter{User: f.User, Type: f.Type, ID: f.ID}
	if err := checkUser(f.User); err != nil {
		return parsed, err
	}
	if f.Type != "" {
		if err := push.CheckType(f.Type); err != nil {
			return parsed, badRequest(err.Error(), "a business type is a short name")
		}
	}
	var err error
	if parsed.Reason, err = failureOf(f.Reason); err != nil {
		return parsed, err
	}
	if f.OlderThan != "" {
		if parsed.OlderThan, err = time.ParseDuration(f.OlderThan); err != nil || parsed.OlderThan < 0 {
			return parsed, badRequest(fmt.Sprintf("older_than is %q", f.OlderThan), "write a duration as 90s or 24h")
		}
	}
	return parsed, nil
}

// waitOrder is what is posted to release or discard what waits.
type waitOrder struct {
	Filter *waitFilter `json:"filter"`
	Waits  []waitPlace `json:"waits"`
	DryRun *bool       `json:"dry_run"`
	Why    string      `json:"why"`
	By     string      `json:"by"`
}

// releaseWaits answers POST /v1/waiting/release.
func (a *API) releaseWaits(c call) (reply, error) { return a.handleWaits(c, operations.Release) }

// discardWaits answers POST /v1/waiting/discard.
func (a *API) discardWaits(c call) (reply, error) { return a.handleWaits(c, operations.DiscardWaiting) }

func (a *API) handleWaits(c call, kind operations.Kind) (reply, error) {
	if a.p.WaitOperator == nil {
		return reply{}, absent("this node does not handle what waits", "ask another node")
	}
	var posted waitOrder
	if err := decode(c, &posted); err != nil {
		return reply{}, err
	}
	filter, order, err := posted.parse(c, kind)
	if err != nil {
		return reply{}, err
	}
	act := a.p.WaitOperator.Release
	if kind == operations.DiscardWaiting {
		act = a.p.WaitOperator.Discard
	}
	if !order.DryRun {
		return a.perform(c, func(ctx context.Context, progress func(operations.Operation)) (operations.Operation, error) {
			order.OnProgress = progress
			return act(ctx, filter, order)
		})
	}
	return a.rehearse(func() (any, error) {
		found, err := act(c.Context(), filter, order)
		if err != nil {
			return nil, err
		}
		plan := waitPlan{Matched: found.Matched, Sample: []waiting.Wait{}}
		if kind == operations.Release {
			plan.WouldRelease = &found.Matched
		} else {
			plan.WouldDiscard = &found.Matched
		}
		const some = 20
		if a.p.Waiting != nil && len(order.Waits) == 0 && found.Matched > 0 {
			page, err := a.p.Waiting.Page(c.Context(), filter, some, "")
			if err != nil {
				return nil, err
			}
			plan.Sample = append(plan.Sample, page.Waits...)
		}
		return plan, nil
	})
}

func (o *waitOrder) parse(c call, kind operations.Kind) (filter waiting.Filter, order waiting.Order, err error) {
	order = waiting.Order{DryRun: dry(o.DryRun), Why: o.Why}
	if kind == operations.DiscardWaiting {
		err = checkWhy(o.Why, !order.DryRun)
	} else if o.Why != "" {
		err = badRequest("why is for discarding", "leave it out")
	}
	if err != nil {
		return filter, order, err
	}
	if err := checkChoice(o.Filter != nil, len(o.Waits), "waits"); err != nil {
		return filter, order, err
	}
	for _, w := range o.Waits {
		if w.Partition < 0 || w.Origin < 0 || push.CheckUser(w.User) != nil {
			return filter, order, badRequest("waits holds one that cannot be", "give partition, origin and user of each, from GET /v1/waiting")
		}
		order.Waits = append(order.Waits, waiting.Ref{Partition: w.Partition, Origin: w.Origin, User: w.User})
	}
	if o.Filter != nil {
		if filter, err = o.Filter.parse(); err != nil {
			return filter, order, err
		}
	}
	order.By, err = by(c, o.By)
	return filter, order, err
}
