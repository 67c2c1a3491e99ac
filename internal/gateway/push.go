package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/push"
)

const (
	// maxCarriage is what one call may bring, beside a single message that is larger:
	// custodians stay below (routing.batch_bytes).
	maxCarriage = 64<<20 + 1<<20
	// keptBuffer is up to which size a buffer is kept for the next call.
	keptBuffer = 4 << 20
	// pushPatience bounds how long a single push waits for its client's word. Sessions
	// give up earlier, by session.ack_timeout.
	pushPatience = 2 * time.Minute
)

// carry takes what a custodian brings: POST /push. The answer is a receipt.
func (s *Server) carry(w http.ResponseWriter, r *http.Request) {
	buf, _ := s.buffers.Get().(*bytes.Buffer)
	if buf == nil {
		buf = &bytes.Buffer{}
	}
	defer func() {
		if buf.Cap() <= keptBuffer {
			buf.Reset()
			s.buffers.Put(buf)
		}
	}()
	if refusal := s.readCarriage(w, r, buf); refusal != nil {
		refusal.write(w)
		return
	}
	c, err := push.DecodeCarriage(buf.Bytes())
	if err != nil {
		problem{Status: http.StatusBadRequest, Error: err.Error()}.write(w)
		return
	}
	answer, err := s.Carrier.Carry(r.Context(), &c)
	if err != nil {
		problem{Status: http.StatusServiceUnavailable, Error: err.Error(), RetryAfter: 1}.write(w)
		return
	}
	if err := writeReceipt(w, &answer, s.Config.ReadHeaderTimeout); err != nil {
		// What it says stands in push.receipts.
		s.log.Debug("a custodian did not take the answer to its call", zap.String("from", r.RemoteAddr), zap.Error(err))
	}
}

// writeReceipt writes the answer of a call.
func writeReceipt(w http.ResponseWriter, answer *push.Receipt, patience time.Duration) error {
	body := answer.AppendBinary(nil)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	conn := http.NewResponseController(w)
	// A transport that has no deadlines is none of a listener's.
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := w.Write(body)
	return err //nolint:wrapcheck // the caller says what was being done
}

// readCarriage reads the body, which has a time to arrive in.
func (s *Server) readCarriage(w http.ResponseWriter, r *http.Request, buf *bytes.Buffer) *problem {
	limit := int64(maxCarriage + s.Limits.MaxBytes)
	tooLarge := &problem{Status: http.StatusRequestEntityTooLarge, Error: "the call brings more than " + strconv.FormatInt(limit, 10) + " bytes", Hint: "make routing.batch_bytes smaller"}
	if r.ContentLength > limit {
		return tooLarge
	}
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(s.Config.ReadHeaderTimeout))
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := io.Copy(buf, http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		_ = deadline.SetReadDeadline(time.Time{}) // see bodyOf
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &problem{Status: http.StatusRequestTimeout, Error: "the body did not arrive in time"}
	}
	return &problem{Status: http.StatusBadRequest, Error: "the body could not be read"}
}

// pushed is the answer to a message that was delivered.
type pushed struct {
	Outcome string `json:"outcome"`
}

// push delivers one message to its user here: POST /push/{userId}. The body is the
// payload, CloudEvents headers say the rest, as for produce. Without a ce-id each
// call is another message; with one, a call that is made again is not written again.
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	m, refusal := s.messageOf(w, r)
	if refusal != nil {
		refusal.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pushPatience)
	defer cancel()
	status, reason, here := s.Carrier.Push(ctx, &m)
	switch {
	case !here:
		problem{Status: http.StatusNotFound, Error: "the user has no session here that takes the message", Hint: "look the user up again, or post the message to /v1/users/{userId}/messages"}.write(w)
	case status == push.Done:
		answer(w, http.StatusOK, pushed{Outcome: push.Delivered.String()})
	case status == push.Failed && reason == push.SlowConsumer:
		problem{Status: http.StatusTooManyRequests, Error: "the client takes messages too slowly", Reason: reason.String(), RetryAfter: 1}.write(w)
	default:
		if status != push.Failed { // the time is up
			reason = push.AckTimeout
		}
		problem{
			Status: http.StatusServiceUnavailable, Error: "the message is not known to be delivered", Reason: reason.String(),
			Hint: "send it again with the same ce-id", RetryAfter: 1,
		}.write(w)
	}
}

// messageOf makes a message of what was posted.
func (s *Server) messageOf(w http.ResponseWriter, r *http.Request) (push.Message, *problem) {
	rec, _, refusal := s.producer.recordOf(w, r)
	if refusal != nil {
		return push.Message{}, refusal
	}
	m, err := push.ParseRequest(&rec, "", s.Limits)
	if err != nil {
		return m, &problem{Status: http.StatusBadRequest, Error: err.Error()}
	}
	if !time.Now().Before(m.Expires) {
		return m, &problem{Status: http.StatusBadRequest, Error: "the message has expired", Hint: "send it with a later ce-expirytime, or not at all"}
	}
	if r.Header.Get("ce-time") == "" {
		m.Time = time.Time{} // its sender has given none
	}
	return m, nil
}
