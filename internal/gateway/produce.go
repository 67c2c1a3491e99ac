package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/auth"
	"pushgate/internal/push"
	"pushgate/internal/ws"
)

// handshakeProblem turns a refusal of the WebSocket handshake into ours.
func handshakeProblem(err error) *problem {
	if refused, ok := errors.AsType[*ws.HandshakeError](err); ok {
		return &problem{Status: refused.Status, Error: refused.Text, Allow: http.MethodGet}
	}
	return &problem{Status: http.StatusBadRequest, Error: err.Error()}
}

// ProducerParams are what a Producer needs.
type ProducerParams struct {
	Config    Config
	Limits    push.Limits
	Publisher Publisher
	Logger    *zap.Logger
}

// Producer writes messages that are posted over HTTP to Kafka. Who may post is decided
// before.
type Producer struct {
	ProducerParams
	log *zap.Logger
}

// NewProducer returns a Producer. It starts nothing.
func NewProducer(p ProducerParams) *Producer {
	return &Producer{ProducerParams: p, log: p.Logger.Named("gateway")}
}

// produced is the answer to a message that was taken.
type produced struct {
	ID string `json:"id"`
}

// produce writes a message to Kafka: POST /v1/users/{userId}/messages.
func (s *Server) produce(w http.ResponseWriter, r *http.Request) {
	w, told := s.counted(w)
	defer told()
	if !s.Config.originAllowed(r) {
		problem{Status: http.StatusForbidden, Error: "this origin may not post", Hint: "add it to gateway.allowed_origins"}.write(w)
		return
	}
	id, refusal := s.authenticate(r)
	switch {
	case refusal != nil:
		refusal.write(w)
		return
	case !id.May(auth.ScopePush):
		problem{Status: http.StatusForbidden, Error: "the token lacks the scope push", Hint: "ask for a token whose scope claim has push"}.write(w)
		return
	}
	s.producer.ServeHTTP(w, r)
}

// ServeHTTP writes the message in the body for the user in the path (value user), and
// answers once Kafka has it, or 503 when that is not known.
func (p *Producer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec, messageID, refusal := p.recordOf(w, r)
	if refusal != nil {
		refusal.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.Config.PublishTimeout)
	defer cancel()
	if err := p.Publisher.Publish(ctx, rec); err != nil {
		if _, ok := errors.AsType[*push.RejectedError](err); ok {
			problem{Status: http.StatusRequestEntityTooLarge, Error: "kafka refuses the message", Hint: "make it smaller"}.write(w)
			return
		}
		p.log.Warn("message not taken", zap.String("user", string(rec.Key)), zap.String("id", messageID), zap.Error(err))
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
func (p *Producer) recordOf(w http.ResponseWriter, r *http.Request) (push.Record, string, *problem) {
	var rec push.Record
	body, refusal := p.bodyOf(w, r)
	if refusal != nil {
		return rec, "", refusal
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
		"tracestate": push.HeaderTraceState,
	} {
		if value := r.Header.Get(from); value != "" {
			rec.Headers.AddText(to, value)
		}
	}
	if ttl := r.URL.Query().Get("ttl"); ttl != "" {
		if r.Header.Get("ce-expirytime") != "" {
			return rec, "", &problem{Status: http.StatusBadRequest, Error: "both ttl and ce-expirytime are given", Hint: "give one of them"}
		}
		d, err := time.ParseDuration(ttl)
		if err != nil || d <= 0 {
			return rec, "", &problem{Status: http.StatusBadRequest, Error: "ttl is no duration above zero", Hint: "write it as 90s or 1h"}
		}
		rec.Headers.AddText(push.HeaderExpiryTime, time.Now().Add(d).UTC().Format(time.RFC3339Nano))
	}
	if _, err := push.ParseRequest(&rec, "", p.Limits); err != nil {
		if invalid, ok := errors.AsType[*push.InvalidError](err); ok && invalid.Reason == push.TooLarge {
			return rec, "", &problem{Status: http.StatusRequestEntityTooLarge, Error: err.Error()}
		}
		return rec, "", &problem{Status: http.StatusBadRequest, Error: err.Error()}
	}
	return rec, messageID, nil
}

// bodyOf reads the payload. Like the headers, it has a time to arrive in: a
// client that sends a byte a minute would hold a connection for as long as it
// likes.
func (p *Producer) bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	deadline := http.NewResponseController(w)
	// A transport that has no deadlines is none of a listener's.
	_ = deadline.SetReadDeadline(time.Now().Add(p.Config.ReadHeaderTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(p.Limits.MaxBytes)+1))
	if err == nil {
		// It would end the request while Kafka is waited for: net/http listens for
		// the client's end meanwhile. After an error it stays: what is left of the
		// body is read before the answer.
		_ = deadline.SetReadDeadline(time.Time{})
		return body, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &problem{Status: http.StatusRequestEntityTooLarge, Error: "the payload is larger than message.max_bytes"}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &problem{Status: http.StatusRequestTimeout, Error: "the body did not arrive in time"}
	}
	return nil, &problem{Status: http.StatusBadRequest, Error: "the body could not be read"}
}
