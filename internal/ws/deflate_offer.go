package ws

import (
	"net/http"
	"strconv"
	"strings"
)

// The names of RFC 7692, section 7.
const (
	headerExtensions = "Sec-Websocket-Extensions"

	deflateName             = "permessage-deflate"
	serverNoContextTakeover = "server_no_context_takeover"
	clientNoContextTakeover = "client_no_context_takeover"
	serverMaxWindowBits     = "server_max_window_bits"
	clientMaxWindowBits     = "client_max_window_bits"

	// deflateForgetful is the extension with no window kept from one message to the next,
	// on either side: what a server answers, and what this package's client offers.
	deflateForgetful = deflateName + "; " + serverNoContextTakeover + "; " + clientNoContextTakeover
)

const (
	minWindowBits = 8
	maxWindowBits = 15
)

// deflateOffer is what an offer of permessage-deflate asks of the server.
type deflateOffer struct {
	// serverBits is the largest window, as a power of two, that the server may compress
	// with; 0 where the offer leaves that to it.
	serverBits uint8
}

// window is the largest window the server may compress with.
func (o deflateOffer) window() Window {
	if o.serverBits == 0 {
		return maxWindowBits
	}
	return Window(o.serverBits)
}

// answer is the value of Sec-WebSocket-Extensions that accepts the offer. How large the
// client's window may be is left to the client, whatever it hints at: what it sends can be
// read with any.
func (o deflateOffer) answer() string {
	if o.serverBits == 0 {
		return deflateForgetful
	}
	return deflateForgetful + "; " + serverMaxWindowBits + "=" + strconv.Itoa(int(o.serverBits))
}

// acceptDeflate returns the first offer of permessage-deflate that can be met; clients
// list them by preference, in one header or in several. Those with a parameter that is
// unknown, has an invalid value or stands there twice are declined (RFC 7692, section
// 7.1), and so are other extensions.
func acceptDeflate(h http.Header) (deflateOffer, bool) {
	for _, line := range h[headerExtensions] {
		for offer := range strings.SplitSeq(line, ",") {
			if o, ok := parseDeflateOffer(offer); ok {
				return o, true
			}
		}
	}
	return deflateOffer{}, false
}

// parseDeflateOffer reads an extension and its parameters. Names are compared as they
// are. A quoted value is that of a token: it has no commas and semicolons to be cut at
// (RFC 6455, section 9.1).
func parseDeflateOffer(offer string) (o deflateOffer, ok bool) {
	name, rest, more := strings.Cut(offer, ";")
	if strings.Trim(name, " \t") != deflateName {
		return o, false
	}
	seen := make(map[string]bool)
	for more {
		var param string
		param, rest, more = strings.Cut(rest, ";")
		name, value, valued := strings.Cut(param, "=")
		name = strings.Trim(name, " \t")
		bits, valid := windowBits(value)
		switch {
		case seen[name]:
			return o, false
		case (name == serverNoContextTakeover || name == clientNoContextTakeover) && !valued:
		case name == serverMaxWindowBits && valid:
			o.serverBits = bits
		case name == clientMaxWindowBits && (valid || !valued):
		default:
			return o, false
		}
		seen[name] = true
	}
	return o, true
}

// windowBits reads a decimal number from 8 to 15 without leading zeros, as a token or as
// a quoted string.
func windowBits(value string) (bits uint8, ok bool) {
	value = strings.Trim(value, " \t")
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	for bits = minWindowBits; bits <= maxWindowBits; bits++ {
		if value == strconv.Itoa(int(bits)) {
			return bits, true
		}
	}
	return 0, false
}

// forgetful says whether a server's answer to this package's offer leaves it without a
// window to keep.
func forgetful(answer string) bool {
	_, ok := parseDeflateOffer(answer)
	_, params, _ := strings.Cut(answer, ";")
	for param := range strings.SplitSeq(params, ";") {
		if strings.Trim(param, " \t") == serverNoContextTakeover {
			return ok
		}
	}
	return false
}
