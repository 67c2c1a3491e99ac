package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"pushgate/internal/admin/access"
	"pushgate/internal/admin/answer"
)

// Route is one operation of the API.
type Route struct {
	Method, Path string
	// need is the role it takes; search, that it reads topics and few run at once.
	need   access.Role
	search bool
	// patience bounds it.
	patience time.Duration
	// serve answers, or raw where the answer is not JSON.
	serve func(*API, call) (reply, error)
	raw   func(*API, http.ResponseWriter, *http.Request)
	// socket: the token may be a subprotocol. payload: the body is not JSON of ours.
	socket, payload bool
}

// How long requests may take.
const (
	short = 5 * time.Second
	long  = 30 * time.Second // reads topics
	whole = 2 * time.Minute  // reads everything that was chosen
)

// Routes returns all operations.
func Routes() []Route {
	const look, change = access.Reader, access.Operator
	return []Route{
		{Method: http.MethodGet, Path: "/v1/session", need: look, patience: short, serve: (*API).session},
		{Method: http.MethodGet, Path: "/v1/overview", need: look, patience: short, serve: (*API).overview},
		{Method: http.MethodGet, Path: "/v1/nodes", need: look, patience: short, serve: (*API).nodes},
		{Method: http.MethodGet, Path: "/v1/users/{user}", need: look, patience: short, serve: (*API).user},
		{Method: http.MethodGet, Path: "/v1/dead-letters", need: look, search: true, patience: long, serve: (*API).letters},
		{Method: http.MethodGet, Path: "/v1/dead-letters/{partition}/{offset}", need: look, search: true, patience: long, serve: (*API).letter},
		{Method: http.MethodPost, Path: "/v1/dead-letters/replay", need: change, patience: whole, serve: (*API).replayLetters},
		{Method: http.MethodPost, Path: "/v1/dead-letters/discard", need: change, patience: whole, serve: (*API).discardLetters},
		{Method: http.MethodGet, Path: "/v1/operations", need: look, search: true, patience: long, serve: (*API).operations},
		{Method: http.MethodGet, Path: "/v1/operations/{id}", need: look, search: true, patience: long, serve: (*API).operation},
		{Method: http.MethodPost, Path: "/v1/operations/{id}/cancel", need: change, patience: long, serve: (*API).cancel},
		{Method: http.MethodGet, Path: "/v1/waiting", need: look, search: true, patience: long, serve: (*API).waits},
		{Method: http.MethodGet, Path: "/v1/waiting/summary", need: look, search: true, patience: long, serve: (*API).waitSummary},
		{Method: http.MethodPost, Path: "/v1/waiting/release", need: change, patience: whole, serve: (*API).releaseWaits},
		{Method: http.MethodPost, Path: "/v1/waiting/discard", need: change, patience: whole, serve: (*API).discardWaits},
		{Method: http.MethodGet, Path: "/v1/explain", need: look, search: true, patience: whole, serve: (*API).explain},
		{Method: http.MethodGet, Path: "/v1/groups", need: look, search: true, patience: long, serve: (*API).groups},
		{Method: http.MethodPost, Path: "/v1/groups/prune", need: change, search: true, patience: long, serve: (*API).prune},
		{Method: http.MethodPost, Path: "/v1/users/{user}/messages", need: change, patience: long, raw: (*API).messages, payload: true},
		{Method: http.MethodGet, Path: "/v1/websocket/{type}/{user}", need: change, raw: (*API).sockets, socket: true},
		{Method: http.MethodGet, Path: "/v1/openapi.yaml", need: look, patience: short, raw: (*API).document},
	}
}

// register adds the routes, and refusals in the same form as all others for what is
// none.
func (a *API) register() {
	methods := make(map[string][]string)
	for _, route := range Routes() {
		a.mux.HandleFunc(route.Method+" "+route.Path, a.handler(route))
		methods[route.Path] = append(methods[route.Path], route.Method)
	}
	for path, allowed := range methods {
		slices.Sort(allowed)
		a.mux.HandleFunc(path, a.refuse(func(*http.Request) *answer.Problem {
			allow := strings.Join(allowed, ", ")
			return &answer.Problem{Status: http.StatusMethodNotAllowed, Text: "this address does not take that method", Hint: "use " + allow, Allow: allow}
		}))
	}
	a.mux.HandleFunc("/", a.refuse(func(*http.Request) *answer.Problem {
		return &answer.Problem{Status: http.StatusNotFound, Text: "there is nothing at this address", Hint: "GET /v1/openapi.yaml names what there is"}
	}))
}

// refuse answers whoever may ask at all.
func (a *API) refuse(why func(*http.Request) *answer.Problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w)
		if _, refusal := a.p.Guard.Admit(r, access.Reader); refusal != nil {
			refusal.Write(w)
			return
		}
		why(r).Write(w)
	}
}
