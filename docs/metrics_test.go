package docs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/app"
	"pushgate/internal/config"
	"pushgate/internal/freeport"
)

func TestEveryMetricIsDocumentedAndEveryDocumentedMetricIsThere(t *testing.T) {
	content, err := os.ReadFile("operating.md")
	require.NoError(t, err)
	families := scraped(t)
	require.NotEmpty(t, families)
	assert.Empty(t, wrongMetrics(string(content), families))
	for _, name := range documents(t, os.DirFS(".")) {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Empty(t, unknownMetrics(string(content), families), name)
	}
}

func TestWrongMetricsAreFound(t *testing.T) {
	families := map[string]family{
		"pushgate_a_total":   {kind: "counter", labels: []string{"reason"}},
		"pushgate_b_seconds": {kind: "histogram"},
	}
	right := "| `pushgate_a_total` | counter | `reason`: `x`, `y` | |\n| `pushgate_b_seconds` | histogram | | |\n" +
		"`pushgate_b_seconds_bucket`, `pushgate_a_total{reason=\"x\"}`, `pushgate.gateway.ID`"
	assert.Empty(t, wrongMetrics(right, families))
	assert.Empty(t, unknownMetrics(right, families))
	for change, want := range map[[2]string]string{
		{"| `pushgate_b_seconds`", "| seconds"}:      "pushgate_b_seconds has no row",
		{"| counter |", "| gauge |"}:                 "pushgate_a_total is a counter, not a gauge",
		{"`reason`: `x`", "`code`: `x`"}:             `pushgate_a_total has the labels ["reason"], not "code"`,
		{"| histogram | |", "| histogram | `code`|"}: `pushgate_b_seconds has the labels [], not "code"`,
	} {
		text := strings.Replace(right, change[0], change[1], 1)
		require.NotEqual(t, right, text)
		assert.Equal(t, []string{want}, wrongMetrics(text, families))
	}
	for _, unknown := range []string{"pushgate_c_total", "pushgate_a_total_count", "pushgate_a"} {
		assert.Equal(t, []string{unknown}, unknownMetrics("see `"+unknown+"`", families))
	}
}

func TestEveryConfigurationKeyThatADocumentNamesExists(t *testing.T) {
	wrong, named := wrongKeys(t, os.DirFS("."))
	assert.NotZero(t, named)
	assert.Empty(t, wrong)
}

func TestWrongKeysAreFound(t *testing.T) {
	tree := func(text string) fstest.MapFS {
		return fstest.MapFS{"guide.md": {Data: []byte(text)}, "adr/0001-old.md": {Data: []byte("`node.name`")}}
	}
	for _, right := range []string{
		"`node.id`, `auth.jwt`, `kafka.tls.*`, `session.max_per_user: 2`, `message.expired=drop`, `PUSHGATE_NODE_ID`",
		"`message.timestamp.type`, `push.requests`, `pushgate.v1`, `cloudevents.json`, `internal/push.Message`, node.name",
		"```sh\npushgate serve --set node.id=a # node.name\n```",
	} {
		wrong, _ := wrongKeys(t, tree(right))
		assert.Empty(t, wrong, right)
	}
	for text, names := range map[string]string{
		"`node.name`":                               "node.name",
		"the keys of `kafka.tsl.*`":                 "kafka.tsl",
		"`auth.mode: none`, `auth.jwt.secret`":      "auth.jwt.secret",
		"export PUSHGATE_NODE_NAME=a":               "PUSHGATE_NODE_NAME",
		"```sh\npushgate serve --set nod.id=a\n```": "nod.id",
	} {
		wrong, named := wrongKeys(t, tree(text))
		assert.Equal(t, []string{"guide.md names " + names + ", which is no key"}, wrong)
		assert.NotZero(t, named)
	}
}

// family is what a scrape says of a metric.
type family struct {
	kind   string
	labels []string // sorted; without the bucket's of a histogram
}

// scraped runs a whole platform, and a node whose Kafka is away, because what
// fails is counted by what it is, and has no family before; and merges what the
// two have to tell.
func scraped(t *testing.T) map[string]family {
	t.Helper()
	families := make(map[string]family)
	whole := onFreePorts(t)
	whole.Routing.Mode = config.RoutingTargeted // has all that broadcast has, and more
	dev, err := app.NewDev(t.Context(), app.Params{Config: whole, Logger: zap.NewNop(), Version: "test"})
	require.NoError(t, err)
	// The last families that appear are those of the first commit.
	until(t, dev.Run, dev.AdminAddr(), "pushgate_delivery_lag", families)

	lonely := onFreePorts(t)
	lonely.Kafka.Brokers = []string{freeport.Address(t)}
	node, err := app.New(t.Context(), app.Params{Config: lonely, Logger: zap.NewNop(), Version: "test"})
	require.NoError(t, err)
	until(t, node.Run, node.AdminAddr(), "pushgate_kafka_errors_total", families)
	return families
}

func onFreePorts(t *testing.T) config.Config {
	t.Helper()
	const free = "127.0.0.1:0"
	c := config.Default()
	c.Node.ID = "docs"
	c.Gateway.Listen, c.Admin.Listen, c.Dev.KafkaListen, c.Dev.RedisListen = free, free, free, free
	c.Dev.DataDir = t.TempDir()
	c.Kafka.SessionTimeout = time.Second
	c.Canary.Enabled, c.Tracing.Enabled, c.Tracing.Endpoint = true, true, "http://"+freeport.Address(t) // they have families of their own
	return c
}

// until runs a node until it has a family, and adds all it has to families.
func until(t *testing.T, run func(context.Context) error, admin, name string, families map[string]family) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	const long, look = 30 * time.Second, 20 * time.Millisecond
	assert.Eventually(t, func() bool {
		parse(scrape(ctx, admin), families)
		_, there := families[name]
		return there
	}, long, look, "%s does not appear", name)
	stop()
	assert.NoError(t, <-ended)
}

// scrape returns what there is, empty if there is no answer.
func scrape(ctx context.Context, admin string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return ""
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

var (
	typeLine = regexp.MustCompile(`(?m)^# TYPE (pushgate_\w+) (\w+)$`)
	label    = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
	// A row of a table of metrics: name, type, labels.
	row      = regexp.MustCompile("(?m)^\\| `(pushgate_\\w+)` \\| (\\w+) \\| ?([^|]*?) ?\\|")
	metric   = regexp.MustCompile(`\bpushgate_[a-z0-9_]+`)
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
)

// parse adds the families of a scrape.
func parse(text string, families map[string]family) {
	for _, found := range typeLine.FindAllStringSubmatch(text, -1) {
		f := families[found[1]]
		f.kind = found[2]
		sample := regexp.MustCompile(`(?m)^` + found[1] + `(?:_bucket)?\{(.*)\} `)
		for _, s := range sample.FindAllStringSubmatch(text, -1) {
			for _, l := range label.FindAllStringSubmatch(s[1], -1) {
				if l[1] != "le" && !slices.Contains(f.labels, l[1]) {
					f.labels = append(f.labels, l[1])
				}
			}
		}
		slices.Sort(f.labels)
		families[found[1]] = f
	}
}

// wrongMetrics says how the tables of metrics differ from what there is.
func wrongMetrics(text string, families map[string]family) []string {
	var wrong []string
	rows := make(map[string][]string)
	for _, found := range row.FindAllStringSubmatch(text, -1) {
		rows[found[1]] = found
	}
	for name, f := range families {
		found, ok := rows[name]
		if !ok {
			wrong = append(wrong, name+" has no row")
			continue
		}
		if found[2] != f.kind {
			wrong = append(wrong, fmt.Sprintf("%s is a %s, not a %s", name, f.kind, found[2]))
		}
		if said := labelsOf(found[3]); said != strings.Join(slices.Sorted(slices.Values(f.labels)), ",") {
			wrong = append(wrong, fmt.Sprintf("%s has the labels %q, not %q", name, f.labels, said))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// labelsOf returns the labels a cell names, sorted and joined. What follows a
// colon or "as" are values.
func labelsOf(cell string) string {
	names, _, _ := strings.Cut(cell, ":")
	names, _, _ = strings.Cut(names, ", as")
	var all []string
	for _, found := range codeSpan.FindAllStringSubmatch(names, -1) {
		all = append(all, found[1])
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// unknownMetrics returns the names in a document that are no metric's.
func unknownMetrics(text string, families map[string]family) []string {
	var unknown []string
	for _, name := range metric.FindAllString(text, -1) {
		if _, ok := families[name]; !ok && !partOfHistogram(name, families) && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func partOfHistogram(name string, families map[string]family) bool {
	return slices.ContainsFunc([]string{"_bucket", "_sum", "_count"}, func(suffix string) bool {
		whole, ok := strings.CutSuffix(name, suffix)
		return ok && families[whole].kind == "histogram"
	})
}

// documents lists those of this directory, without those below it: decision
// records speak of their time.
func documents(t *testing.T, tree fs.FS) []string {
	t.Helper()
	names, err := fs.Glob(tree, "*.md")
	require.NoError(t, err)
	return names
}

var (
	fenced = regexp.MustCompile("(?s)```.*?```")
	dotted = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)
	setKey = regexp.MustCompile(`--set ([\w.]+)=`)
	envKey = regexp.MustCompile(`\bPUSHGATE_[A-Z0-9_]+`)
)

// wrongKeys returns what documents take for a key of the configuration, or a
// section, and is none; and how many keys they name.
func wrongKeys(t *testing.T, tree fs.FS) (wrong []string, named int) {
	t.Helper()
	for _, name := range documents(t, tree) {
		content, err := fs.ReadFile(tree, name)
		require.NoError(t, err)
		for _, key := range keysIn(string(content)) {
			named++
			if !isKey(key) {
				wrong = append(wrong, fmt.Sprintf("%s names %s, which is no key", path.Base(name), key))
			}
		}
	}
	return wrong, named
}

// keysIn returns what looks like a key: dotted words in spans of code that begin
// with a section, what --set sets, and variables of the environment.
func keysIn(text string) []string {
	var keys []string
	for _, span := range codeSpan.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		for word := range strings.FieldsFuncSeq(span[1], func(r rune) bool { return strings.ContainsRune(" =:,()\"'", r) }) {
			word = strings.TrimSuffix(word, ".*")
			section, _, _ := strings.Cut(word, ".")
			if dotted.MatchString(word) && isKey(section) && !isTopicSetting(word) {
				keys = append(keys, word)
			}
		}
	}
	for _, found := range setKey.FindAllStringSubmatch(text, -1) {
		keys = append(keys, found[1])
	}
	return append(keys, envKey.FindAllString(text, -1)...)
}

// isKey says whether there is such a key, section, or variable.
func isKey(name string) bool {
	return slices.ContainsFunc(config.Keys(), func(k config.Key) bool {
		return k.Name == name || k.Env() == name || strings.HasPrefix(k.Name, name+".")
	})
}

// isTopicSetting says whether Kafka, and not this program, has a setting of that
// name, of topics or of a broker's log.
func isTopicSetting(name string) bool {
	const replicated = 3 // then min.insync.replicas is set, too
	_, ok := config.Default().Kafka.TopicSpecs(1, replicated, 1)[0].Configs[name]
	return ok || strings.HasPrefix(name, "log.retention.") || strings.HasPrefix(name, "log.dirs")
}
