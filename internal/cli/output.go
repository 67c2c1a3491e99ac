package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
)

// The forms of a listing.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// addOutputFlag gives a command that lists things its --output.
func (p *program) addOutputFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&p.output, "output", "o", outputTable, "table or json (one object a line)")
}

// listing writes rows as they come.
type listing struct {
	json  *json.Encoder
	table *tabwriter.Writer
	rows  int
}

// newListing writes the heading of a table, or nothing where JSON is asked for.
func (p *program) newListing(columns ...string) (*listing, error) {
	switch p.output {
	case outputJSON:
		e := json.NewEncoder(p.Out)
		e.SetEscapeHTML(false)
		return &listing{json: e}, nil
	case outputTable:
		const gap = 2
		l := &listing{table: tabwriter.NewWriter(p.Out, 0, 0, gap, ' ', 0)}
		_, err := fmt.Fprintln(l.table, strings.Join(columns, "\t"))
		return l, wrapWrite(err)
	default:
		return nil, &usageError{fmt.Sprintf("--output %s: use table or json", p.output)}
	}
}

// row writes one row: an object in JSON, cells in a table.
func (l *listing) row(object any, cells ...any) error {
	l.rows++
	if l.json != nil {
		return wrapWrite(l.json.Encode(object))
	}
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = printable(fmt.Sprint(c))
	}
	_, err := fmt.Fprintln(l.table, strings.Join(texts, "\t"))
	if err == nil {
		// A long listing must not be held in memory until its end.
		const many = 500
		if l.rows%many == 0 {
			err = l.table.Flush()
		}
	}
	return wrapWrite(err)
}

// end writes what is held back.
func (l *listing) end() error {
	if l.table == nil {
		return nil
	}
	return wrapWrite(l.table.Flush())
}

func wrapWrite(err error) error {
	if err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

// printable keeps what others wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// shorten cuts a text for a table.
func shorten(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
