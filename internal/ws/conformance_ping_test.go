package ws_test

import (
	"fmt"
	"testing"
)

func TestPingsAreAnsweredWithTheirPayload(t *testing.T) { conform(t, pingRules()) }

// pingRules are group 2.
func pingRules() []rule {
	var rules []rule
	for _, size := range []int{0, 1, 2, 124, 125} {
		rules = append(rules, rule{name: fmt.Sprintf("a ping of %d bytes", size), says: ping(scribble(size)).bytes(), sees: []frame{pong(scribble(size))}})
	}
	for _, size := range []int{126, 127, 65535, 65536} {
		rules = append(rules,
			rule{name: fmt.Sprintf("a ping of %d bytes", size), says: ping(stars(size)).bytes(), fails: 1002},
			rule{name: fmt.Sprintf("a pong of %d bytes", size), says: pong(stars(size)).bytes(), fails: 1002},
		)
	}
	var ten, answers []frame
	for i := range 10 {
		ten, answers = append(ten, ping(fmt.Sprintf("payload %d", i))), append(answers, pong(fmt.Sprintf("payload %d", i)))
	}
	return append(rules,
		rule{name: "a ping of text", says: ping("Hello, world!").bytes(), sees: []frame{pong("Hello, world!")}},
		rule{name: "a ping need not be UTF-8", says: ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff").bytes(), sees: []frame{pong("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}},
		rule{name: "an empty pong that nobody asked for", says: pong("").bytes()},
		rule{name: "a pong that nobody asked for", says: pong("unsolicited").bytes()},
		rule{name: "a pong that nobody asked for, then a ping", says: stream(pong("unsolicited"), ping("ping")), sees: []frame{pong("ping")}},
		rule{name: "ten pings are answered in their order", says: stream(ten...), sees: answers},
		rule{name: "pings between messages", says: stream(ping("1"), text("a"), ping("2"), text("b"), ping("3")), sees: []frame{pong("1"), text("a"), pong("2"), text("b"), pong("3")}},
	)
}
