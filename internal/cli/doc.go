// Package cli is the command line: it turns arguments into calls of the other
// packages and their results into text. Exit codes: 0 done, 1 failed (one line
// says what, why and what to do), 2 wrong usage.
package cli
