package api

import "pushgate/internal/explain"

// explain answers GET /v1/explain.
func (a *API) explain(c call) (reply, error) {
	if a.p.Stories == nil {
		return reply{}, absent("this node cannot explain", "ask another node")
	}
	q := queryOf(c)
	asked := explain.Ask{
		User: q.text("user"), ID: q.text("id"), Since: q.time("since"), Until: q.time("until"),
		Limit: q.number("limit", explain.DefaultLimit, 1, explain.MaxLimit),
	}
	if err := q.end(); err != nil {
		return reply{}, err
	}
	if asked.User == "" && asked.ID == "" {
		return reply{}, badRequest("neither user nor id is given", "give one of them, or both")
	}
	story, err := a.p.Stories.Story(c.Context(), asked)
	if story.Messages == nil {
		story.Messages = []explain.MessageStory{}
	}
	return reply{body: story}, err
}
