package session

import "pushgate/internal/ws"

// The codes the platform closes sessions with. Those the protocol itself asks
// for are in package ws.
const (
	CloseNormal       ws.Code = 1000
	CloseGoElsewhere  ws.Code = 1001
	ClosePolicy       ws.Code = 1008
	CloseTooBig       ws.Code = 1009
	CloseInternal     ws.Code = 1011
	CloseTryLater     ws.Code = 1013
	CloseTokenExpired ws.Code = 4401
	CloseReplaced     ws.Code = 4409
)

// CodeText is what the close frame says beside the code, empty for codes the
// platform does not send.
func CodeText(c ws.Code) string {
	switch c {
	case CloseNormal:
		return "goodbye"
	case CloseGoElsewhere:
		return "this server is going away: connect again, to another one"
	case ClosePolicy:
		return "the message is not one this subprotocol allows"
	case CloseTooBig:
		return "the message is too big"
	case CloseInternal:
		return "the server failed: connect again"
	case CloseTryLater:
		return "too slow or over capacity: connect again later"
	case CloseTokenExpired:
		return "the token has expired: connect again with a new one"
	case CloseReplaced:
		return "replaced by a newer connection of the same user"
	default:
		return ""
	}
}

// ShouldReconnect says whether a client that was closed with the code connects
// again by itself, with exponential backoff and jitter. After CloseTokenExpired
// it needs a new token first; after the others it would only be closed again.
func ShouldReconnect(c ws.Code) bool {
	switch c {
	case CloseGoElsewhere, ws.CodeAbnormal, CloseInternal, CloseTryLater:
		return true
	default:
		return false
	}
}

// codeLabels is the closed set of labels of the closes metric.
func codeLabels() map[ws.Code]string {
	return map[ws.Code]string{
		CloseNormal: "1000", CloseGoElsewhere: "1001", ws.CodeProtocolError: "1002",
		ws.CodeNone: "1005", ws.CodeAbnormal: "1006", ws.CodeInvalidPayload: "1007",
		ClosePolicy: "1008", CloseTooBig: "1009", CloseInternal: "1011", CloseTryLater: "1013",
		CloseTokenExpired: "4401", CloseReplaced: "4409",
	}
}

// otherCode labels the codes clients make up.
const otherCode = "other"
