package jsontext_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/jsontext"
)

// texts are valid ones and others, each one's neighbours and pieces are tried, too.
func texts() []string {
	return []string{
		`{"order":991,"state":"shipped","items":[1,2.5,-3e+7,0,0.1E-2],"note":null,"ok":true,"no":false,"empty":{},"none":[]}`,
		`"text with \" \\ \/ \b \f \n \r \t \u00e9 \uD83D\uDE00 and é"`, ` [ [ [ ] ] , { "a" : { } } ] `, "\t\r\n 1 \n", "",
		`01`, `-`, `-0`, `1.`, `.5`, `1e`, `1e+`, `+1`, `0x1`, `tru`, `nul`, `truefalse`, `"\x"`, `"\u12g4"`, `"\u12`, `"a`, `"\`, "\"\x01\"", "\"\x00\"", "\"\x7f\"",
		`{"a":1,}`, `[1,]`, `[,1]`, `{,}`, `{"a"}`, `{"a":}`, `{1:2}`, `[1 2]`, `[1}`, `{"a":1]`, `{}{}`, `[]]`, `{"a" "b"}`, "\xff", "\"\xff\"", "\u00a01", "\ufeff1",
		`"` + strings.Repeat("0123456", 40) + `"`, `"` + strings.Repeat("x", 64) + "\x1f\"",
	}
}

func TestValidDecidesAsTheStandardLibraryDoes(t *testing.T) {
	assertSame := func(text []byte) {
		if want := json.Valid(text); jsontext.Valid(text) != want {
			assert.Equal(t, want, !want, "%q", text)
		}
	}
	for _, text := range texts() {
		b := []byte(text)
		for i := range len(b) + 1 {
			assertSame(b[:i])
			assertSame(b[i:])
		}
		for i := range b {
			changed := []byte(text)
			for c := range 256 {
				changed[i] = byte(c)
				assertSame(changed)
			}
		}
	}
	for _, depth := range []int{1, 63, 64, 65, 511, 512, 513, 9_999, 10_000, 10_001} {
		for _, open := range []string{"[", `{"a":`, `[{"a":`} {
			closing := strings.NewReplacer(`"a":`, "", "[{", "}]", "[", "]", "{", "}").Replace(open)
			levels := depth / (strings.Count(open, "[") + strings.Count(open, "{"))
			assertSame([]byte(strings.Repeat(open, levels) + "1" + strings.Repeat(closing, levels)))
			assertSame([]byte(strings.Repeat(open, levels) + "1" + strings.Repeat(closing, max(levels-1, 0))))
		}
	}
}

func FuzzValidDecidesAsTheStandardLibraryDoes(f *testing.F) {
	for _, text := range texts() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		assert.Equal(t, json.Valid(text), jsontext.Valid(text))
	})
}

func TestValidAllocatesNothing(t *testing.T) {
	text := []byte(texts()[0])
	assert.Zero(t, testing.AllocsPerRun(100, func() { jsontext.Valid(text) }))
}

func BenchmarkValid(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"text", fmt.Sprintf(`{"order":991,"note":%q}`, strings.Repeat("shipped ", 28))}, {"fields", texts()[0] + strings.Repeat(" ", 128)},
	} {
		text := []byte(c.text)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				jsontext.Valid(text)
			}
		})
		b.Run(c.name+" by the standard library", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				json.Valid(text)
			}
		})
	}
}
