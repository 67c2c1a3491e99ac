package api

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/admin/access"
	"pushgate/internal/admin/answer"
	"pushgate/internal/admin/jobs"
	"pushgate/internal/deadletter"
	"pushgate/internal/explain"
	"pushgate/internal/groups"
	"pushgate/internal/operations"
	"pushgate/internal/waiting"
)

// call is a request that was let through.
type call struct {
	*http.Request
	writer http.ResponseWriter
	role   access.Role
}

// reply is an answer in JSON; a zero status is 200.
type reply struct {
	status int
	body   any
}

func ok(body any) (reply, error) { return reply{body: body}, nil }

// handler lets requests through, bounds them, and answers.
func (a *API) handler(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer a.recovering(w, route)
		setHeaders(w)
		admit := a.p.Guard.Admit
		if route.socket {
			admit = a.p.Guard.AdmitSocket
		}
		role, refusal := admit(r, route.need)
		if refusal == nil {
			refusal = checkContent(route, r)
		}
		if refusal != nil {
			a.log.Debug("refused", zap.String("path", r.URL.Path), zap.Int("status", refusal.Status), zap.String("from", r.RemoteAddr))
			refusal.Write(w)
			return
		}
		if route.raw != nil {
			route.raw(a, w, r)
			return
		}
		a.serve(route, call{Request: r, writer: w, role: role}) //nolint:contextcheck // the call carries its request, and that its context
	}
}

func (a *API) serve(route Route, c call) {
	if c.Method == http.MethodGet && c.ContentLength != 0 {
		// Its answer waits until the body is there: it must not hold a place of a search.
		badRequest("a GET has no body", "ask by the parameters in the address").Write(c.writer)
		return
	}
	if route.search {
		leave, err := a.search()
		if err != nil {
			a.problemOf(err, route).Write(c.writer)
			return
		}
		defer leave()
	}
	ctx, cancel := context.WithTimeout(c.Context(), route.patience)
	defer cancel()
	c.Request = c.WithContext(ctx)
	// Who does not take the answer holds a connection, and the answer in memory.
	_ = http.NewResponseController(c.writer).SetWriteDeadline(time.Now().Add(route.patience + short))
	result, err := route.serve(a, c)
	if err != nil {
		problem := a.problemOf(err, route)
		a.log.Debug("not answered", zap.String("path", c.URL.Path), zap.Int("status", problem.Status), zap.Error(err))
		problem.Write(c.writer)
		return
	}
	if result.status == 0 {
		result.status = http.StatusOK
	}
	answer.JSON(c.writer, result.status, result.body)
}

// search takes a place among those that read topics; the caller gives it back.
func (a *API) search() (leave func(), err error) {
	select {
	case a.searches <- struct{}{}:
		return func() { <-a.searches }, nil
	default:
		return nil, &answer.Problem{
			Status: http.StatusTooManyRequests, Text: fmt.Sprintf("%d searches run on this node already", maxSearches),
			Hint: "try again in a moment, or ask another node", RetryAfter: time.Second,
		}
	}
}

// setHeaders: what is answered is nobody else's, and is no page.
func setHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// checkContent wants JSON where something is changed: no form on a page of another
// origin can send that unasked.
func checkContent(route Route, r *http.Request) *answer.Problem {
	if route.Method != http.MethodPost || route.payload {
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &answer.Problem{Status: http.StatusUnsupportedMediaType, Text: "the body is not said to be JSON", Hint: "send Content-Type: application/json"}
	}
	return nil
}

// problemOf says how a failure is answered.
func (a *API) problemOf(err error, route Route) *answer.Problem {
	if problem, ok := errors.AsType[*answer.Problem](err); ok {
		return problem
	}
	if problem := problemOfParts(err); problem != nil {
		return problem
	}
	switch {
	case errors.Is(err, jobs.ErrTooMany):
		return &answer.Problem{Status: http.StatusTooManyRequests, Text: err.Error(), Hint: "wait until one has ended (GET /v1/operations), or ask another node", RetryAfter: short}
	case errors.Is(err, jobs.ErrLeaving):
		return &answer.Problem{Status: http.StatusServiceUnavailable, Text: err.Error(), Hint: "ask another node", RetryAfter: time.Second}
	case errors.Is(err, context.DeadlineExceeded):
		return &answer.Problem{
			Status: http.StatusServiceUnavailable, Text: fmt.Sprintf("not answered within %s: %s", route.patience, err),
			Hint: "ask for less, with since and until; where that does not help, look at the check kafka on /readyz", RetryAfter: time.Second,
		}
	default:
		return &answer.Problem{Status: http.StatusServiceUnavailable, Text: err.Error(), Hint: "look at the check kafka on /readyz, and try again", RetryAfter: time.Second}
	}
}

// problemOfParts knows what those who are asked refuse; nil: something else.
func problemOfParts(err error) *answer.Problem {
	const ask = "GET /v1/openapi.yaml says what may be asked"
	if busy, ok := errors.AsType[*operations.BusyError](err); ok {
		return conflict(busy.Error(), "wait for it, cancel it with POST /v1/operations/"+busy.Other.ID+`/cancel, or send "force": true`)
	}
	if unknown, ok := errors.AsType[*operations.NotFoundError](err); ok {
		return notFound("there is no operation "+unknown.ID, "GET /v1/operations lists those that are kept")
	}
	if errors.Is(err, deadletter.ErrNotFound) {
		return notFound("there is no such dead letter, or not any more", "GET /v1/dead-letters lists those that are kept")
	}
	if bad, ok := errors.AsType[*deadletter.FilterError](err); ok {
		return badRequest(bad.Error(), ask)
	}
	if bad, ok := errors.AsType[*deadletter.CursorError](err); ok {
		return badRequest(bad.Error(), "begin again without cursor")
	}
	if bad, ok := errors.AsType[*waiting.BadRequestError](err); ok {
		return badRequest(bad.Error(), ask)
	}
	if bad, ok := errors.AsType[*explain.BadRequestError](err); ok {
		return badRequest(bad.Error(), ask)
	}
	if bad, ok := errors.AsType[*groups.GoneForError](err); ok {
		return badRequest(bad.Error(), ask)
	}
	if unknown, ok := errors.AsType[*groups.NoGroupError](err); ok {
		return notFound(unknown.Error(), "GET /v1/groups lists them")
	}
	return nil
}

func notFound(text, hint string) *answer.Problem {
	return &answer.Problem{Status: http.StatusNotFound, Text: text, Hint: hint}
}

func (a *API) recovering(w http.ResponseWriter, route Route) {
	if p := recover(); p != nil { //nolint:revive // it is what is deferred
		if p == http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is
			panic(p)
		}
		a.log.Error("a request handler failed", zap.String("path", route.Path), zap.Any("panic", p), zap.Stack("stack"))
		(&answer.Problem{Status: http.StatusInternalServerError, Text: "the server failed", Hint: "its log says where"}).Write(w)
	}
}

// absent is the answer of a node that does not have a part.
func absent(what, hint string) *answer.Problem {
	return &answer.Problem{Status: http.StatusNotImplemented, Text: what, Hint: hint}
}

func badRequest(text, hint string) *answer.Problem {
	return &answer.Problem{Status: http.StatusBadRequest, Text: text, Hint: hint}
}

func conflict(text, hint string) *answer.Problem {
	return &answer.Problem{Status: http.StatusConflict, Text: text, Hint: hint}
}
