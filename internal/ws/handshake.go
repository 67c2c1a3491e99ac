package ws

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 names it; nothing secret depends on it
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

const (
	version    = "13"
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

	headerKey      = "Sec-Websocket-Key"
	headerAccept   = "Sec-Websocket-Accept"
	headerVersion  = "Sec-Websocket-Version"
	headerProtocol = "Sec-Websocket-Protocol"
)

// HandshakeError says why a request cannot be upgraded, and how to answer it.
type HandshakeError struct {
	Status int
	Text   string
	// header is what the answer carries so that the client can do better.
	header http.Header
}

func (e *HandshakeError) Error() string { return e.Text }

// Refuse answers the request that caused the error.
func (e *HandshakeError) Refuse(w http.ResponseWriter) {
	maps.Copy(w.Header(), e.header)
	http.Error(w, e.Text, e.Status)
}

// CheckRequest says whether r is a WebSocket handshake this package can answer;
// the error is a *HandshakeError. Upgrade does it by itself; a caller that has
// other checks may want to order them.
func CheckRequest(r *http.Request) error {
	upgrade := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
	switch {
	case r.Method != http.MethodGet:
		return &HandshakeError{
			Status: http.StatusMethodNotAllowed, header: http.Header{"Allow": {http.MethodGet}},
			Text: fmt.Sprintf("a WebSocket is opened with GET, not %s", r.Method),
		}
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return &HandshakeError{
			Status: http.StatusUpgradeRequired, header: upgrade,
			Text: fmt.Sprintf("a WebSocket is opened over HTTP/1.1, not %s", r.Proto),
		}
	case !hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket"):
		return &HandshakeError{
			Status: http.StatusUpgradeRequired, header: upgrade,
			Text: "this address speaks WebSocket: send Connection: Upgrade and Upgrade: websocket",
		}
	}
	if v := r.Header[headerVersion]; len(v) != 1 || strings.TrimSpace(v[0]) != version {
		upgrade.Set(headerVersion, version)
		return &HandshakeError{
			Status: http.StatusUpgradeRequired, header: upgrade,
			Text: "Sec-WebSocket-Version must be 13",
		}
	}
	keys := r.Header[headerKey]
	if len(keys) != 1 || !validKey(keys[0]) {
		return &HandshakeError{
			Status: http.StatusBadRequest,
			Text:   "Sec-WebSocket-Key must be there once and be the base64 form of 16 bytes",
		}
	}
	return nil
}

func validKey(key string) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	return err == nil && len(raw) == 16
}

// OfferedSubprotocols lists the subprotocols a client offers, in its order of
// preference.
func OfferedSubprotocols(h http.Header) []string {
	var offered []string
	for _, line := range h[headerProtocol] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				offered = append(offered, name)
			}
		}
	}
	return offered
}

// hasToken says whether a comma-separated header has a token, in any case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(strings.TrimSpace(key) + acceptGUID)) //nolint:gosec // see import
	return base64.StdEncoding.EncodeToString(sum[:])
}
