package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// teller writes the story. The first error of writing is kept and ends it.
type teller struct {
	out io.Writer
	err error
}

// say writes lines of prose.
func (t *teller) say(format string, args ...any) { t.write("", format, args...) }

// show writes lines of evidence, set off from the prose.
func (t *teller) show(format string, args ...any) { t.write("    ", format, args...) }

// gap sets prose and evidence apart.
func (t *teller) gap() { t.write("", "") }

func (t *teller) title(number int, title string) { t.write("", "\n%d. %s\n\n", number, title) }

func (t *teller) write(indent, format string, args ...any) {
	if t.err != nil {
		return
	}
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"), "\n") {
		b.WriteString(strings.TrimRight(indent+line, " "))
		b.WriteByte('\n')
	}
	if _, err := io.WriteString(t.out, b.String()); err != nil {
		t.err = fmt.Errorf("writing the output: %w", err)
	}
}

// span writes a duration with as many digits as mean something.
func span(d time.Duration) string {
	const few = 10 * time.Millisecond
	switch {
	case d < few:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// spread sums up how long messages took.
func spread(took []time.Duration) string {
	sorted := slices.Sorted(slices.Values(took))
	if len(sorted) == 0 {
		return "none"
	}
	return fmt.Sprintf("median %s, slowest %s", span(sorted[len(sorted)/2]), span(sorted[len(sorted)-1]))
}
