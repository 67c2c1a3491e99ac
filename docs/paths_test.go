// Package docs has no code: only the documents, and the test that keeps them
// honest about paths.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryPathThatADocumentNamesExists(t *testing.T) {
	wrong, documents := wrongPaths(t, os.DirFS(".."))
	assert.NotEmpty(t, documents)
	assert.Empty(t, wrong)
}

func TestWrongPathsAreFound(t *testing.T) {
	tree := func(readme string) fstest.MapFS {
		return fstest.MapFS{
			"README.md":                {Data: []byte(readme)},
			"docs/guide.md":            {Data: []byte("# The guide\n\n## What `serve` does, and why\n")},
			"docs/adr/0001-first.md":   {Data: []byte("# 1\n")},
			"internal/push/message.go": {Data: []byte("package push\n")},
			"e2e/e2e_test.go":          {Data: []byte("package e2e\n")},
		}
	}
	for _, right := range []string{
		"[guide](docs/guide.md) and [its part](docs/guide.md#what-serve-does-and-why)",
		"[here](#here)\n\n# Here\n", "[away](https://example.com/docs/none.md)", "[mail](mailto:a@b.c)",
		"`internal/push`, `internal/push/`, `internal/push/message.go:12`, `internal/push.Message`",
		"`go test ./e2e/...`, `docs/adr/*.md`, `docs/adr/NNNN-slug.md`, `internal/{push}`",
		"`content/type`, `push/requests`, `/internal/none`, `a/b/c`",
		"```\ncat internal/push/message.go # docs/guide.md\n```",
	} {
		wrong, _ := wrongPaths(t, tree(right))
		assert.Empty(t, wrong, right)
	}
	for wrong, names := range map[string]string{
		"[guide](docs/guid.md)":                    "docs/guid.md",
		"[part](docs/guide.md#what-serve-does)":    "docs/guide.md#what-serve-does",
		"[here](#there)\n\n# Here\n":               "README.md#there",
		"see `internal/pull`":                      "internal/pull",
		"see `internal/push/massage.go:12`":        "internal/push/massage.go",
		"run `go test ./e2e/more/...`":             "e2e/more",
		"```sh\ncat internal/push/massage.go\n```": "internal/push/massage.go",
		"`deployments/none/*.yaml`":                "deployments/none/*.yaml",
	} {
		found, _ := wrongPaths(t, tree(wrong))
		if assert.Len(t, found, 1, wrong) {
			assert.Equal(t, "README.md names "+names+", which is not there", found[0])
		}
	}
	// A link is relative to its document, a path in code to the root.
	nested := tree("")
	nested["docs/guide.md"].Data = []byte("[1](adr/0001-first.md) [2](../README.md) `internal/push` [3](docs/guide.md)")
	found, _ := wrongPaths(t, nested)
	assert.Equal(t, []string{"docs/guide.md names docs/docs/guide.md, which is not there"}, found)
}

var (
	link = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	// Spans of code, and fenced blocks as a whole.
	code    = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)
	// A path in code is one that starts in a directory of the house.
	house = regexp.MustCompile(`^(?:\./)?((?:\.ci|\.github|cmd|config|deployments|docs|e2e|internal)/[\w./*-]*)`)
	// What may follow a path: the line in a file, or a name in a package.
	suffix = regexp.MustCompile(`(:\d+|\.[A-Z]\w*(\.\w+)*|/?\.\.\.|[./])$`)
)

// wrongPaths returns what documents name and is not there, and the documents.
func wrongPaths(t *testing.T, tree fs.FS) (wrong, documents []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "node_modules"):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			documents = append(documents, name)
		}
		return nil
	})
	require.NoError(t, err)
	for _, document := range documents {
		content, err := fs.ReadFile(tree, document)
		require.NoError(t, err)
		text := string(content)
		for _, target := range append(linked(document, text), inCode(text)...) {
			if !exists(tree, target) {
				wrong = append(wrong, fmt.Sprintf("%s names %s, which is not there", document, target))
			}
		}
	}
	return wrong, documents
}

// linked returns the targets of links within the tree, from its root.
func linked(document, text string) []string {
	var targets []string
	for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
		target := found[1]
		switch {
		case strings.Contains(target, ":"): // A scheme.
		case strings.HasPrefix(target, "#"):
			targets = append(targets, document+target)
		default:
			targets = append(targets, path.Join(path.Dir(document), target))
		}
	}
	return targets
}

// inCode returns the paths that commands and mentions name, from the root.
func inCode(text string) []string {
	var targets []string
	for _, span := range code.FindAllString(text, -1) {
		for word := range strings.FieldsFuncSeq(span, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("`\"'(),;=", r) }) {
			found := house.FindStringSubmatch(word)
			if found == nil || strings.ContainsAny(word, "{<…$") || strings.Contains(word, "NNN") {
				continue // No path, or the pattern of one.
			}
			target := found[1]
			for suffix.MatchString(target) {
				target = suffix.ReplaceAllString(target, "")
			}
			targets = append(targets, target)
		}
	}
	return targets
}

// exists tells whether a path, a glob of paths, or a heading of a document is
// there.
func exists(tree fs.FS, target string) bool {
	name, anchor, _ := strings.Cut(target, "#")
	found, err := fs.Glob(tree, name)
	if err != nil || len(found) == 0 {
		return false
	}
	if anchor == "" {
		return true
	}
	content, err := fs.ReadFile(tree, name)
	if err != nil {
		return false
	}
	for _, h := range heading.FindAllStringSubmatch(string(content), -1) {
		if slug(h[1]) == anchor {
			return true
		}
	}
	return false
}

// slug is the anchor that a heading gets where Markdown is commonly shown.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, heading)
}
