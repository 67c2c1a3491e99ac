package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pushgate/internal/client"
	"pushgate/internal/push"
	"pushgate/internal/ws"
)

// subprotocol is the one in which clients acknowledge.
const subprotocol = "pushgate.v1"

// retried: a message that is not acknowledged is offered again, and its frame
// says so.
func (s *stage) retried(ctx context.Context) error {
	const acknowledged = 3
	erin := s.user("erin")
	conn, err := s.dial(ctx, erin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Drop() }() // an orderly goodbye comes first
	// Reading blocks on the socket: the end of ctx unblocks it.
	stop := context.AfterFunc(ctx, func() { _ = conn.Drop() })
	defer stop()
	if err := rest(ctx, settling); err != nil {
		return err
	}
	s.say("Erin's client gets a message and does not acknowledge it at first:")
	s.gap()
	last := time.Now()
	id, err := s.send(ctx, erin, orderEvent(0))
	if err != nil {
		return err
	}
	var frame string
	for attempt := 1; attempt <= acknowledged; attempt++ {
		if frame, err = readFrame(ctx, conn, attempt); err != nil {
			return err
		}
		took, reaction := time.Since(last), "no acknowledgement"
		last = time.Now()
		if attempt == acknowledged {
			s.book.came(id)
			if err := acknowledge(conn, id); err != nil {
				return err
			}
			reaction = "acknowledged"
		}
		s.show("attempt %d  after %7s  %s", attempt, span(took), reaction)
	}
	// Behind the acknowledgement: the gateway reads that before this.
	const normal = 1000
	if err := conn.Close(normal, ""); err != nil {
		return fmt.Errorf("saying goodbye: %w", err)
	}
	entries, err := s.Topics.Retries(ctx, erin)
	if err != nil {
		return err
	}
	reasons := reasonsOf(entries)
	if len(reasons) == 0 {
		return errors.New("push.retry does not say that it waited")
	}
	s.gap()
	s.say("In between it waited in push.retry, as %s. Its frame says which attempt it is:", strings.Join(reasons, " and again as "))
	s.gap()
	s.show("%s", frame)
	return nil
}

// dial connects a user with a bare socket: the client library acknowledges what
// it has seen before without asking.
func (s *stage) dial(ctx context.Context, user string) (*ws.ClientConn, error) {
	token, err := s.Token(user)
	if err != nil {
		return nil, fmt.Errorf("a token for %s: %w", user, err)
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	address := s.Gateway + "/websocket/" + push.AllTypes + "/" + url.PathEscape(user)
	conn, err := ws.Dial(ctx, address, ws.DialParams{Header: header, Subprotocols: []string{subprotocol}})
	if err != nil {
		return nil, fmt.Errorf("connecting %s: %w", user, err)
	}
	return conn, nil
}

// readFrame reads the frame of an attempt, as text.
func readFrame(ctx context.Context, conn *ws.ClientConn, attempt int) (string, error) {
	_, payload, err := conn.ReadMessage()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("waiting for attempt %d: %w", attempt, err)
	}
	var m client.Message
	if err := json.Unmarshal(payload, &m); err != nil {
		return "", fmt.Errorf("attempt %d: %w", attempt, err)
	}
	if m.Attempt != attempt {
		return "", fmt.Errorf("a frame says attempt %d, expected was %d", m.Attempt, attempt)
	}
	return string(payload), nil
}

func acknowledge(conn *ws.ClientConn, id string) error {
	ack, err := json.Marshal(map[string][]string{"ack": {id}})
	if err == nil {
		err = conn.WriteMessage(ws.OpText, ack)
	}
	if err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	return nil
}

func reasonsOf(entries []push.RetryEntry) []string {
	var reasons []string
	for _, e := range entries {
		if !e.Ends {
			reasons = append(reasons, e.Reason.String())
		}
	}
	return reasons
}
