package deployments

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"pushgate/internal/cli"
	"pushgate/internal/notrun"
)

// ruleFile is a file of rules for Prometheus, as far as it is looked at here.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func ruleFiles() []string { return []string{"prometheus/slo.yaml", "prometheus/alerts.yaml"} }

func testFiles(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("prometheus/*_test.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

// rules returns all there are, alerts and records.
func rules(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, name := range ruleFiles() {
		var file ruleFile
		require.NoError(t, yaml.Unmarshal(read(t, name), &file), name)
		for _, g := range file.Groups {
			all = append(all, g.Rules...)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func alerts(t *testing.T) map[string]rule {
	t.Helper()
	found := make(map[string]rule)
	for _, r := range rules(t) {
		if r.Alert != "" {
			assert.NotContains(t, found, r.Alert, "there are two of that name")
			found[r.Alert] = r
		}
	}
	return found
}

var (
	ownMetric = regexp.MustCompile(`\bpushgate_[a-z0-9_]+`)
	recorded  = regexp.MustCompile(`\bpushgate:[a-z0-9_:]+`)
	// A row of the tables of metrics: name, and what to watch for, its last cell.
	metricRow = regexp.MustCompile("(?m)^\\| `(pushgate_\\w+)` \\|.*\\| ?([^|]*?) ?\\|$")
)

// documented returns the metrics of the platform, and what to watch each for.
func documented(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, row := range metricRow.FindAllStringSubmatch(string(read(t, "../docs/operating.md")), -1) {
		found[row[1]] = row[2]
	}
	require.NotEmpty(t, found)
	return found
}

// family cuts off what only a part of a histogram has.
func family(metric string, known map[string]string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		whole, ok := strings.CutSuffix(metric, suffix)
		if _, there := known[whole]; ok && there {
			return whole
		}
	}
	return metric
}

// expressions returns everything that is evaluated, by where it stands.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, r := range rules(t) {
		all[r.Alert+r.Record] = r.Expr
	}
	maps.Copy(all, dashboardExpressions(t))
	return all
}

func TestEveryMetricOfRulesAndDashboardExists(t *testing.T) {
	known := documented(t)
	records := make(map[string]bool)
	for _, r := range rules(t) {
		records[r.Record] = true
	}
	for where, expr := range expressions(t) {
		assert.Regexp(t, `(?i)pushgate`, expr, where)
		for _, name := range ownMetric.FindAllString(expr, -1) {
			assert.Contains(t, known, family(name, known), "%s: no such metric in docs/operating.md", where)
		}
		for _, name := range recorded.FindAllString(expr, -1) {
			assert.True(t, records[name], "%s: no rule records %s", where, name)
		}
	}
}

func TestEveryMetricThatIsToBeWatchedIsWatched(t *testing.T) {
	known := documented(t)
	watched := make(map[string]bool)
	for _, r := range alerts(t) {
		for _, name := range ownMetric.FindAllString(r.Expr, -1) {
			watched[family(name, known)] = true
		}
		for _, name := range recorded.FindAllString(r.Expr, -1) {
			for _, record := range rules(t) {
				if record.Record != name {
					continue
				}
				for _, name := range ownMetric.FindAllString(record.Expr, -1) {
					watched[family(name, known)] = true
				}
			}
		}
	}
	shown := make(map[string]bool)
	for _, expr := range dashboardExpressions(t) {
		for _, name := range ownMetric.FindAllString(expr, -1) {
			shown[family(name, known)] = true
		}
	}
	// What nobody can give a limit for, as it depends on the machines.
	const onlyShown = "network of the node"
	for name, watch := range known {
		switch {
		case watch == onlyShown:
			assert.True(t, shown[name], "the dashboard does not show %s", name)
		case watch != "":
			assert.True(t, watched[name], "no alert watches %s: %s", name, watch)
		}
	}
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	for name, r := range alerts(t) {
		assert.Regexp(t, `^Pushgate[A-Za-z]+$`, name)
		assert.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"], name)
		assert.NotEmpty(t, r.Annotations["summary"], name)
		assert.Regexp(t, `\d|\$value|query`, r.Annotations["description"], "%s: a description has figures", name)
		assert.True(t, anchorExists(t, r.Annotations["runbook_url"]), "%s: there is no %s", name, r.Annotations["runbook_url"])
		assert.Regexp(t, `^What it means: .+\nLook at first: .+\nCommand: pushgate .+\nDo: .+\n$`, r.Annotations["runbook"], name)
	}
}

// anchorExists says whether a document of the repository has the heading that a
// link leads to.
func anchorExists(t *testing.T, link string) bool {
	t.Helper()
	file, anchor, ok := strings.Cut(link, "#")
	if !ok {
		return false
	}
	punctuation := regexp.MustCompile(`[^a-z0-9 -]`)
	for line := range strings.Lines(string(read(t, filepath.Join("..", file)))) {
		heading, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimLeft(line, "#")), " ")
		if !ok && !strings.HasPrefix(line, "#") {
			continue
		}
		slug := strings.ReplaceAll(punctuation.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
		if slug == anchor {
			return true
		}
	}
	return false
}

func TestEveryCommandThatAnAlertNamesExists(t *testing.T) {
	command := regexp.MustCompile(`(?m)^Command: pushgate (.+)$`)
	tried := make(map[string]bool)
	for name, r := range alerts(t) {
		for _, found := range command.FindAllStringSubmatch(r.Annotations["runbook"], -1) {
			if tried[found[1]] {
				continue
			}
			tried[found[1]] = true
			var out, failure bytes.Buffer
			code := cli.Run(t.Context(), append(strings.Fields(found[1]), "--help"),
				cli.Streams{In: strings.NewReader(""), Out: &out, Err: &failure}, "test")
			assert.Zero(t, code, "%s: pushgate %s: %s", name, found[1], failure.String())
			words := strings.Fields(found[1])
			assert.Contains(t, out.String(), "pushgate "+words[0], "%s: what helps is not about %s", name, found[1])
		}
	}
	assert.NotEmpty(t, tried)
}

func TestEveryAlertIsTestedBothWays(t *testing.T) {
	fires, quiet := make(map[string]bool), make(map[string]bool)
	asked := regexp.MustCompile(`ALERTS\{alertname="(\w+)", alertstate="firing"\}`)
	for _, name := range testFiles(t) {
		var file struct {
			Tests []struct {
				Samples []struct {
					Expr     string
					Expected []any `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		require.NoError(t, yaml.Unmarshal(read(t, name), &file), name)
		for _, test := range file.Tests {
			for _, sample := range test.Samples {
				found := asked.FindStringSubmatch(sample.Expr)
				require.NotNil(t, found, sample.Expr)
				if len(sample.Expected) > 0 {
					fires[found[1]] = true
				} else {
					quiet[found[1]] = true
				}
			}
		}
	}
	for name := range alerts(t) {
		assert.True(t, fires[name], "%s: no test has it fire", name)
		assert.True(t, quiet[name], "%s: no test has it not fire", name)
	}
}

const dashboardFile = "grafana/dashboards/pushgate.json"

type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Annotations   struct{ List []struct{ Name, Expr string } }
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Datasource               struct{ Type, UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ Type, UID string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	require.NoError(t, json.Unmarshal(read(t, dashboardFile), &d))
	require.NotEmpty(t, d.Panels)
	return d
}

// dashboardExpressions returns what the panels evaluate.
func dashboardExpressions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[fmt.Sprintf("dashboard, %s, %s", p.Title, target.RefID)] = target.Expr
		}
	}
	for _, a := range d.Annotations.List {
		all["dashboard, annotation "+a.Name] = a.Expr
	}
	return all
}

func TestTheDashboardIsOneThatGrafanaTakes(t *testing.T) {
	d := readDashboard(t)
	assert.Equal(t, "pushgate", d.UID)
	assert.Equal(t, "Pushgate", d.Title)
	assert.GreaterOrEqual(t, d.SchemaVersion, 39)
	variables := make(map[string]bool)
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	assert.True(t, variables["datasource"] && variables["instance"])
	var rows []string
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], "the id of %s is another's, too", p.Title)
		ids[p.ID] = true
		assert.NotEmpty(t, p.Title)
		for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				assert.Empty(t, taken[[2]int{x, y}], "%s lies over it", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		assert.Contains(t, []string{"timeseries", "stat"}, p.Type, p.Title)
		assert.NotEmpty(t, p.Description, p.Title)
		assert.NotEmpty(t, p.FieldConfig.Defaults.Unit, p.Title)
		assert.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			assert.Equal(t, "${datasource}", target.Datasource.UID, p.Title)
			assert.NotEmpty(t, target.Expr, p.Title)
			for _, v := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				assert.True(t, variables[v[1]] || v[1] == "__rate_interval", "%s: no variable %s", p.Title, v[1])
			}
		}
	}
	assert.Len(t, taken, 24*(slices.MaxFunc(d.Panels, func(a, b panel) int { return a.GridPos.Y + a.GridPos.H - b.GridPos.Y - b.GridPos.H }).GridPos.Y+7),
		"there are no gaps")
	assert.Equal(t, []string{
		"Service level", "Traffic", "Latency", "Connections", "Custody, waiting and dead letters", "Kafka",
		"Directory and targeted routing", "Process",
	}, rows)
}

func TestEveryMetricIsOnTheDashboardOrInAnAlert(t *testing.T) {
	known := documented(t)
	used := make(map[string]bool)
	for _, expr := range expressions(t) {
		for _, name := range ownMetric.FindAllString(expr, -1) {
			used[family(name, known)] = true
		}
	}
	var unused []string
	for name := range known {
		if !used[name] {
			unused = append(unused, name)
		}
	}
	slices.Sort(unused)
	assert.Empty(t, unused, "what nobody looks at is not worth its cost")
}

// What Grafana and Prometheus are given in docker-compose.yml is there.
func TestTheMonitoringOfDockerComposeFindsItsFiles(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Profiles    []string
			Volumes     []string
			Environment map[string]string
			Configs     []any
		}
		Configs map[string]struct{ Content string }
	}
	require.NoError(t, yaml.Unmarshal(read(t, "../docker-compose.yml"), &compose))
	for _, name := range []string{"prometheus", "grafana"} {
		service := compose.Services[name]
		assert.Equal(t, []string{"monitoring"}, service.Profiles, name)
		mounts := 0
		for _, volume := range service.Volumes {
			if path, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(path, "./") {
				mounts++
				assert.FileExists(t, existing(t, filepath.Join("..", path)), volume)
			}
		}
		assert.NotZero(t, mounts, name)
	}
	for name, service := range compose.Services {
		if token := service.Environment["PUSHGATE_ADMIN_TOKEN"]; token != "" {
			assert.Equal(t, token, compose.Configs["prometheus-token"].Content, "Prometheus has the token of %s", name)
		}
		if id := service.Environment["PUSHGATE_NODE_ID"]; id != "" {
			assert.Contains(t, compose.Configs["prometheus-nodes"].Content, name+":8081")
		}
	}
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	require.NoError(t, yaml.Unmarshal(read(t, "grafana/provisioning/dashboards/pushgate.yaml"), &provider))
	require.Len(t, provider.Providers, 1)
	dashboards := provider.Providers[0].Options.Path
	assert.Contains(t, strings.Join(compose.Services["grafana"].Volumes, " "), ":"+dashboards+":")
	assert.Equal(t, dashboards+"/pushgate.json", compose.Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
	var source struct{ Datasources []struct{ Type, URL string } }
	require.NoError(t, yaml.Unmarshal(read(t, "grafana/provisioning/datasources/prometheus.yaml"), &source))
	require.Len(t, source.Datasources, 1)
	assert.Equal(t, "http://prometheus:9090", source.Datasources[0].URL)
}

// existing returns a file for a path: itself, or one of a directory's.
func existing(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	if !info.IsDir() {
		return path
	}
	entries, err := filepath.Glob(filepath.Join(path, "*"))
	require.NoError(t, err)
	require.NotEmpty(t, entries, path)
	if info, err := os.Stat(entries[0]); err == nil && info.IsDir() {
		return existing(t, entries[0])
	}
	return entries[0]
}

// The pods that the PodMonitor asks for metrics are those of pushgate.yaml.
func TestThePodMonitorScrapesThePods(t *testing.T) {
	var monitor struct {
		Spec struct {
			JobLabel string `yaml:"jobLabel"`
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			PodMetricsEndpoints []struct {
				Port, Path    string
				Authorization struct{ Credentials struct{ Name, Key string } }
			} `yaml:"podMetricsEndpoints"`
		}
	}
	require.NoError(t, yaml.Unmarshal(read(t, "kubernetes/podmonitor.yaml"), &monitor))
	var pods struct {
		Spec struct {
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					Containers []struct {
						Ports []struct{ Name string }
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(read(t, "kubernetes/pushgate.yaml"), &pods))
	labels := pods.Spec.Template.Metadata.Labels
	assert.Subset(t, labels, monitor.Spec.Selector.MatchLabels)
	assert.Equal(t, "pushgate", labels[monitor.Spec.JobLabel], "the job that the rules ask for")
	require.Len(t, monitor.Spec.PodMetricsEndpoints, 1)
	endpoint := monitor.Spec.PodMetricsEndpoints[0]
	assert.Equal(t, "/metrics", endpoint.Path)
	assert.Contains(t, pods.Spec.Template.Spec.Containers[0].Ports, struct{ Name string }{endpoint.Port})
	assert.Contains(t, secret(t), endpoint.Authorization.Credentials.Key)
}

// requirePromtool is the environment variable that, set to 1, makes the test fail
// where there is no promtool, instead of saying so and returning. Build servers set
// it.
const requirePromtool = "PUSHGATE_E2E_REQUIRE_PROMTOOL"

var announced notrun.Notice //nolint:gochecknoglobals // one line for the process

// promtool returns where it is. Where it says false, it has printed why.
func promtool(t *testing.T) (path string, ok bool) {
	t.Helper()
	required := os.Getenv(requirePromtool) == "1"
	if testing.Short() && !required {
		announced.Say("rules were not tested with promtool: -short was asked for")
		return "", false
	}
	path, err := exec.LookPath("promtool")
	if err == nil {
		return path, true
	}
	if required {
		t.Fatalf("%s=1, but there is no promtool in PATH: install the package prometheus (%v)", requirePromtool, err)
	}
	announced.Say("rules were not tested with promtool: install the package prometheus")
	return "", false
}

func TestPromtoolTakesConfigurationRulesAndDashboard(t *testing.T) {
	tool, ok := promtool(t)
	if !ok {
		return
	}
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "nodes.yaml", "slo.yaml", "alerts.yaml"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), read(t, "prometheus/"+name), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "secrets"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets", "pushgate-admin-token"), []byte("token"), 0o600))
	run(t, tool, "check", "config", filepath.Join(dir, "prometheus.yml"))
	run(t, tool, append([]string{"check", "rules"}, full(dir, "slo.yaml", "alerts.yaml")...)...)

	// Expressions of the dashboard, as rules.
	variables := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*")
	var records []map[string]string
	for _, expr := range dashboardExpressions(t) {
		records = append(records, map[string]string{
			"record": fmt.Sprintf("expression:%d", len(records)), "expr": variables.Replace(expr),
		})
	}
	content, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": records}}})
	require.NoError(t, err)
	written := filepath.Join(dir, "dashboard.yaml")
	require.NoError(t, os.WriteFile(written, content, 0o600))
	run(t, tool, "check", "rules", written)
}

func full(dir string, names ...string) []string {
	var paths []string
	for _, n := range names {
		paths = append(paths, filepath.Join(dir, n))
	}
	return paths
}

func TestEveryAlertFiresWhenItShouldAndNotOtherwise(t *testing.T) {
	tool, ok := promtool(t)
	if !ok {
		return
	}
	for _, name := range testFiles(t) {
		t.Run(filepath.Base(name), func(t *testing.T) { run(t, tool, "test", "rules", name) })
	}
}

// run fails the test, with what the tool says, when it does.
func run(t *testing.T, tool string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), tool, args...).CombinedOutput()
	assert.NoError(t, err, "promtool %s:\n%s", strings.Join(args, " "), out)
}
