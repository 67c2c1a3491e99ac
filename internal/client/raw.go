package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"pushgate/internal/ws"
)

// RunRaw is Run for who must be cheap, such as a load generator: take gets each
// frame as it came, repeats too, and decodes what it needs of it. The frame is
// valid until take returns; nil acknowledges it.
func (c *Client) RunRaw(ctx context.Context, take func(frame []byte) error) error {
	var ack []byte
	return c.stay(ctx, func(conn *ws.ClientConn, frame []byte) error {
		err := take(frame)
		if err != nil && !errors.Is(err, ErrStop) {
			return &handlerError{err}
		}
		if !c.p.Silent && !c.p.Plain {
			id, ok := rawID(frame)
			if !ok {
				return errNoMessage
			}
			ack = append(append(append(ack[:0], `{"ack":["`...), id...), `"]}`...)
			if err := conn.WriteMessage(ws.OpText, ack); err != nil {
				return fmt.Errorf("acknowledging: %w", err)
			}
		}
		return err
	})
}

var errNoMessage = errors.New("the gateway sent what is no message")

// rawID cuts the id out of a frame, as it stands there: with the escapes that an
// acknowledgement needs as well. The gateway writes the id first.
func rawID(frame []byte) (id []byte, ok bool) {
	rest, ok := bytes.CutPrefix(frame, []byte(`{"id":"`))
	if !ok {
		return nil, false
	}
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return rest[:i], true
		case '\\':
			i++
		}
	}
	return nil, false
}
