package ws_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/ws"
)

func TestTextIsUTF8(t *testing.T) { conform(t, textRules()) }

// greek is the word with which Markus Kuhn's tests of UTF-8 decoders begin, which most of
// the texts below are from. All of its characters have two bytes, but one that has three.
const greek = "κ\u1f79σμε"

// wellFormed are texts by what they have in common.
var wellFormed = []struct {
	name  string
	texts []string
}{
	{"text beyond ASCII", []string{"Hello-µ@ßöäüàá-UTF-8!!", greek, "κ", "κ\u1f79", "12345678κ", "1234567κ89"}},
	{"the first of each length", []string{"\x00", "\u0080", "\u0800", "\U00010000"}},
	{"the last of each length", []string{"\x7f", "\u07ff", "\uffff", "\U0010ffff"}},
	{"around the surrogates, and the last one", []string{"\ud7ff", "\ue000", "\ufffd", "\U0010ffff"}},
	{"specials", []string{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufeff"}},
	{"what is no character has a code point", noncharacters()},
}

func noncharacters() (list []string) {
	for r := rune(0xFDD0); r <= 0xFDEF; r++ {
		list = append(list, string(r))
	}
	for plane := range rune(17) {
		list = append(list, string(plane<<16|0xFFFE), string(plane<<16|0xFFFF))
	}
	return list
}

// illFormed are texts that are not UTF-8, by why they are not.
var illFormed = []struct {
	why   string
	texts []string
}{
	{"a surrogate in the middle", []string{greek + "\xed\xa0\x80edited"}},
	{"of five or six bytes", []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
	{"beyond the last code point", []string{"\xf4\x90\x80\x80", "\xf7\xbf\xbf\xbf", greek + "\xf4\x90\x80\x80edited", "\xf5\x80\x80\x80"}},
	{"continuations of nothing", []string{"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", "a\x80", greek + "\xbf", everyByte(0x80, 0xBF)}},
	{"lonely starts", []string{"\xc2 \xc3 ", "\xdf ", "\xe0 \xe1 ", "\xef ", "\xf0 \xf1 ", "\xf4 ", "\xf8 ", "\xfb ", "\xfc ", "\xfd ", "\xce\xce\xba", "\xe1\xbd\xe1"}},
	{"a character without its end", []string{"\xc2", "\xdf", "\xe0\xa0", "\xef\xbf", "\xf0\x90\x80", "\xf4\x8f\xbf", "\xf0", "\xf0\x90", greek + "\xce", greek[:3], "12345678\xf0\x9f\x98"}},
	{"such characters together", []string{"\xc2\xe0\xa0\xf0\x90\x80", "\xdf\xef\xbf\xf4\x8f\xbf"}},
	{"bytes that there are not", []string{"\xfe", "\xff", "\xfe\xfe\xff\xff", "\xc0", "\xc1", "12345678\xff", "1234567\xff"}},
	{"overlong forms of /", []string{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"}},
	{"the largest overlong forms", []string{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"}},
	{"overlong forms of NUL", []string{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"}},
	{"single surrogates", []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"}},
	{"pairs of surrogates", []string{"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"}},
}

func everyByte(first, last byte) string {
	var b []byte
	for c := first; c <= last && c >= first; c++ {
		b = append(b, c)
	}
	return string(b)
}

// hopeless is how many bytes of a text it takes to see that no valid text begins so; 0 if
// that is not before its end.
func hopeless(s string) int {
	for n := 1; n <= len(s); n++ {
		rest := s[:n]
		for rest != "" && utf8.FullRuneInString(rest) {
			r, size := utf8.DecodeRuneInString(rest)
			if r == utf8.RuneError && size == 1 {
				return n
			}
			rest = rest[size:]
		}
	}
	return 0
}

// textRules are group 6.
func textRules() []rule {
	rules := []rule{
		{name: "a character in two fragments", says: stream(text(greek[:1]).andMore(), cont(greek[1:])), sees: []frame{text(greek)}},
		{name: "a character in three fragments, and a ping inside", says: stream(text(greek[:3]).andMore(), ping("\xff"), cont(greek[3:4]).andMore(), cont(greek[4:])), sees: []frame{pong("\xff"), text(greek)}},
		{name: "an empty fragment inside a character", says: stream(text(greek[:1]).andMore(), cont("").andMore(), cont(greek[1:])), sees: []frame{text(greek)}},
		{name: "the last fragment ends inside a character", says: stream(text("a").andMore(), cont(greek[:3])), fails: 1007},
		{name: "an empty last fragment leaves a character without its end", says: stream(text(greek[:3]).andMore(), cont("")), fails: 1007},
		{name: "binary may be anything", says: stream(binaryFrame("\xff\xfe"), binaryFrame(greek[:3]).andMore(), cont("\xff")), sees: []frame{binaryFrame("\xff\xfe"), binaryFrame(greek[:3] + "\xff")}},
		{name: "no state is left for the next message", says: stream(text(greek), binaryFrame("\xce"), text("a")), sees: []frame{text(greek), binaryFrame("\xce"), text("a")}},
		{name: "what came before text that is not UTF-8 comes back", says: stream(text("a"), ping("p"), text("\xff"), ping("q")), sees: []frame{text("a"), pong("p")}, fails: 1007},
		{name: "a fragment that is not UTF-8, the others withheld", says: stream(text(greek).andMore(), cont("\xf4\x90\x80\x80").andMore()), fails: 1007},
	}
	for _, group := range wellFormed {
		whole, bytewise := rule{name: group.name}, rule{name: group.name + ", in fragments of one byte"}
		for _, s := range group.texts {
			whole.says, whole.sees = append(whole.says, text(s).bytes()...), append(whole.sees, text(s))
			bytewise.says, bytewise.sees = append(bytewise.says, stream(text(s).in(1)...)...), append(bytewise.sees, text(s))
		}
		rules = append(rules, whole, bytewise)
	}
	for _, group := range illFormed {
		for i, s := range group.texts {
			name := fmt.Sprintf("%s: % x", group.why, s)
			rules = append(rules, rule{name: name + ", in fragments of one byte", says: stream(text(s).in(1)...), fails: 1007})
			n := hopeless(s)
			if n > 0 {
				rules = append(rules, rule{name: name + ", what follows the first bad byte withheld", says: withheld(s, n), fails: 1007})
			}
			if n == 0 || i == 0 {
				rules = append(rules, rule{name: name, says: stream(text(s), text("a")), fails: 1007})
			}
		}
	}
	return rules
}

// withheld is the beginning of a frame of text: its header, and the first n bytes of s.
func withheld(s string, n int) []byte {
	b := text(s + stars(10)).bytes()
	return b[:len(b)-len(s)-10+n]
}

func TestTheParserRefusesTextAtItsFirstBadByte(t *testing.T) {
	for _, group := range illFormed {
		for _, s := range group.texts {
			assert.False(t, utf8.ValidString(s), "% x", s)
			n := hopeless(s)
			if n == 0 {
				continue
			}
			var none recorder
			_, broken := feed(withheld(s, n-1), testLimits, one, &none)
			assert.Nil(t, broken, "% x after %d bytes", s, n-1)
			_, broken = feed(withheld(s, n), testLimits, one, &none)
			if assert.NotNil(t, broken, "% x after %d bytes", s, n) {
				assert.Equal(t, ws.CodeInvalidPayload, broken.Code)
			}
			assert.Empty(t, none)
		}
	}
	for _, group := range wellFormed {
		for _, s := range group.texts {
			assert.True(t, utf8.ValidString(s), "% x", s)
			assert.Zero(t, hopeless(s))
		}
	}
}

func TestEveryCodePointIsText(t *testing.T) {
	var all strings.Builder
	for r := range rune(utf8.MaxRune + 1) {
		if utf8.ValidRune(r) {
			all.WriteRune(r)
		}
	}
	limits := ws.ParserLimits{MaxFrameBytes: all.Len(), MaxMessageBytes: all.Len()}
	head := binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, uint64(all.Len()))
	noKey := make([]byte, 4)
	var got answers
	_, broken := feed(slices.Concat(head, noKey, []byte(all.String())), limits, func() int { return 997 }, &got)
	assert.Nil(t, broken)
	assert.True(t, slices.Equal(answers{text(all.String())}, got))
}
