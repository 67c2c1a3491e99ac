package session

// Subprotocol is the form messages have on a connection.
type Subprotocol uint8

// The subprotocols. Plain is what a client gets that names none.
const (
	Plain Subprotocol = iota
	Pushgate
	CloudEvents
	subprotocols // how many there are
)

// Names as they stand in Sec-WebSocket-Protocol.
const (
	PushgateName    = "pushgate.v1"
	CloudEventsName = "cloudevents.json"
)

// SubprotocolNames lists what a handshake may choose from.
func SubprotocolNames() []string { return []string{PushgateName, CloudEventsName} }

// SubprotocolOf is the subprotocol a handshake chose; names that are not one,
// such as a token a browser had to send that way, mean Plain.
func SubprotocolOf(name string) Subprotocol {
	switch name {
	case PushgateName:
		return Pushgate
	case CloudEventsName:
		return CloudEvents
	default:
		return Plain
	}
}

// String is the label of the subprotocol in metrics.
func (s Subprotocol) String() string {
	switch s {
	case Pushgate:
		return PushgateName
	case CloudEvents:
		return CloudEventsName
	default:
		return "none"
	}
}

// Acknowledges says whether clients confirm what they got.
func (s Subprotocol) Acknowledges() bool { return s == Pushgate }
