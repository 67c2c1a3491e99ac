package session

import "pushgate/internal/ws"

// form is how messages look on a connection: its subprotocol, and which compressed frames
// its client takes. It is one byte of every session.
type form uint8

const windowShift = 4

func formOf(s Subprotocol, w ws.Window) form { return form(s) | form(w)<<windowShift }

func (f form) subprotocol() Subprotocol { return Subprotocol(f & (1<<windowShift - 1)) }

func (f form) window() ws.Window { return ws.Window(f >> windowShift) }
