package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/auth"
	"pushgate/internal/push"
	"pushgate/internal/ws"
)

// handshakeProblem turns a refusal of the WebSocket handshake into ours.
func handshakeProblem(err error) *problem {
	var refused *ws.HandshakeError
	if errors.As(err, &refused) {
		return &problem{Status: refused.Status, Error: refused.Text}
	}
	return &problem{Status: http.StatusBadRequest, Error: err.Error()}
}

// produced is the answer to a message that was taken.
type produced struct {
	ID string `json:"id"`
}

// produce writes a message to Kafka: POST /v1/users/{userId}/messages.
func (s *Server) produce(w http.ResponseWriter, r *http.Request) {
	id, refusal := s.authenticate(r)
	switch {
	case refusal != nil:
		refusal.write(w)
		return
	case !id.May(auth.ScopePush):
		problem{Status: http.StatusForbidden, Error: "the token lacks the scope push", Hint: "ask for a token whose scope claim has push"}.write(w)
		return
	}
	rec, messageID, refusal := s.recordOf(w, r)
	if refusal != nil {
		refusal.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Config.PublishTimeout)
	defer cancel()
	if err := s.Publisher.Publish(ctx, rec); err != nil {
		var rejected *push.RejectedError
		if errors.As(err, &rejected) {
			problem{Status: http.StatusRequestEntityTooLarge, Error: "kafka refuses the message", Hint: "make it smaller"}.write(w)
			return
		}
		s.log.Warn("message not taken", zap.String("user", string(rec.Key)), zap.String("id", messageID), zap.Error(err))
		problem{
			Status: http.StatusServiceUnavailable, Error: "the message is not known to be in kafka",
			Hint: "send it again with the same ce-id", RetryAfter: 1,
		}.write(w)
		return
	}
	answer(w, http.StatusAccepted, produced{ID: messageID})
}

// recordOf makes the request record out of a posted message: the body is the
// payload, CloudEvents headers (binary mode) say the rest, ?ttl= is a shorthand
// for ce-expirytime.
func (s *Server) recordOf(w http.ResponseWriter, r *http.Request) (push.Record, string, *problem) {
	var rec push.Record
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.Limits.MaxBytes)+1))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return rec, "", &problem{Status: http.StatusRequestEntityTooLarge, Error: "the payload is larger than message.max_bytes"}
	}
	if err != nil {
		return rec, "", &problem{Status: http.StatusBadRequest, Error: "the body could not be read"}
	}
	messageID := r.Header.Get("ce-id")
	if messageID == "" {
		messageID = push.NewID(time.Now())
	}
	rec = push.Record{Key: []byte(r.PathValue("user")), Value: body, Time: time.Now()}
	rec.Headers.AddText(push.HeaderID, messageID)
	for from, to := range map[string]string{
		"ce-type": push.HeaderType, "ce-source": push.HeaderSource, "ce-time": push.HeaderTime,
		"ce-expirytime": push.HeaderExpiryTime, "Content-Type": push.HeaderContentType, "traceparent": push.HeaderTraceParent,
	} {
		if value := r.Header.Get(from); value != "" {
			rec.Headers.AddText(to, value)
		}
	}
	if ttl := r.URL.Query().Get("ttl"); ttl != "" {
		d, err := time.ParseDuration(ttl)
		if err != nil || d <= 0 {
			return rec, "", &problem{Status: http.StatusBadRequest, Error: "ttl is no duration above zero", Hint: "write it as 90s or 1h"}
		}
		rec.Headers.AddText(push.HeaderExpiryTime, time.Now().Add(d).UTC().Format(time.RFC3339Nano))
	}
	if _, err := push.ParseRequest(&rec, "", s.Limits); err != nil {
		var invalid *push.InvalidError
		if errors.As(err, &invalid) && invalid.Reason == push.TooLarge {
			return rec, "", &problem{Status: http.StatusRequestEntityTooLarge, Error: err.Error()}
		}
		return rec, "", &problem{Status: http.StatusBadRequest, Error: err.Error()}
	}
	return rec, messageID, nil
}
