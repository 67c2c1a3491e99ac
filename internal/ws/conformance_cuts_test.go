package ws_test

import (
	"testing"

	"pgregory.net/rapid"

	"pushgate/internal/ws"
)

// TestWhatIsSeenIsTheSameHoweverAConversationIsCut: rules one after another make a
// conversation, which is cut anywhere, and of which the first bytes may come with the
// request.
func TestWhatIsSeenIsTheSameHoweverAConversationIsCut(t *testing.T) {
	var open, last []rule // those that leave the connection open, and those that do not
	for _, r := range allRules() {
		switch {
		case len(r.says) > 1000:
		case r.ends():
			last = append(last, r)
		default:
			open = append(open, r)
		}
	}
	for _, tr := range transports() {
		t.Run(tr.name, func(t *testing.T) {
			dial := tr.open(t)
			early := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 3000))
			if tr.name == "pipe" {
				early = rapid.Just(0)
			}
			rapid.Check(t, func(rt *rapid.T) {
				var whole rule
				for _, r := range rapid.SliceOfN(rapid.SampledFrom(open), 0, 6).Draw(rt, "rules") {
					if pongBytes(whole.sees)+pongBytes(r.sees) < 2000 { // more need not all be answered
						whole.says, whole.sees = append(whole.says, r.says...), append(whole.sees, r.sees...)
					}
				}
				end := rapid.SampledFrom(last).Draw(rt, "the last rule")
				whole.says, whole.sees = append(whole.says, end.bytes()...), append(whole.sees, end.sees...)
				whole.fails, whole.closes = end.fails, end.closes
				sizes := rapid.SampledFrom([]*rapid.Generator[int]{rapid.Just(1), rapid.IntRange(1, 20), rapid.IntRange(1, 2000)}).Draw(rt, "sizes")
				a := arrival{early: early.Draw(rt, "bytes with the request"), next: func() func() int { return func() int { return sizes.Draw(rt, "piece") } }}
				if err := a.hold(t, dial, whole); err != nil {
					rt.Fatalf("%v", err)
				}
			})
		})
	}
}

func pongBytes(frames []frame) (n int) {
	for _, f := range frames {
		if f.op == ws.OpPong {
			n += 2 + len(f.payload)
		}
	}
	return n
}
