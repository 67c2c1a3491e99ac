package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/app"
	"pushgate/internal/fleet"
)

func (p *program) nodesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes [NODE]",
		Short: "Who is alive, what it has in custody, how far it lags",
		Long: `Read what the nodes report of themselves, every nodes.report_interval, to
kafka.topics.nodes. No node is asked: it also works when none answers. A node that has
not reported for three intervals, and at least 10s, is silent; one that said it would
stop is stopped. Those that are gone are shown for as long as the topic keeps reports.

LAG and BEHIND are of the worst partition: messages not read yet, and the age of the
oldest. What is wrong with the deployment as a whole goes to standard error.

With NODE, or --output json, all that is known of each is shown.`,
		Example: `  pushgate nodes
  pushgate nodes gateway-1
  pushgate nodes --output json`,
		Args: cobra.MaximumNArgs(1),
	}
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, args []string) error {
		if p.output != outputTable && p.output != outputJSON {
			return &usageError{fmt.Sprintf("--output %s: use table or json", p.output)}
		}
		f, err := p.fleet(cmd.Context())
		if err != nil {
			return err
		}
		if len(args) == 1 {
			return p.showNode(f, args[0])
		}
		return p.listNodes(f)
	})
	return cmd
}

// fleet reads the reports of all nodes.
func (p *program) fleet(ctx context.Context) (fleet.Fleet, error) {
	cluster, c, err := p.open(ctx)
	if err != nil {
		return fleet.Fleet{}, err
	}
	defer func() { _ = cluster.Close() }()
	if _, err := partitionsOf(ctx, cluster, cluster.Topics().Nodes); err != nil {
		return fleet.Fleet{}, err
	}
	count, err := cluster.PresentPartitions(ctx, cluster.Topics().Requests)
	if err != nil {
		return fleet.Fleet{}, err
	}
	return known(ctx, app.View(cluster, count), c.Nodes.ReportInterval+time.Second)
}

// known runs a view until it knows how things are.
func known(ctx context.Context, view *fleet.View, patience time.Duration) (fleet.Fleet, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- view.Run(ctx)
	}()
	err := view.Await(ctx, patience)
	f := view.Fleet()
	cancel()
	// What ended the view is why it knows nothing.
	if failed := <-ended; failed != nil {
		return f, failed
	}
	return f, err
}

func (p *program) listNodes(f fleet.Fleet) error {
	if len(f.Nodes) == 0 {
		if _, err := fmt.Fprintf(p.Err, "no node has reported: none of this release is running, or none can write to kafka.topics.nodes\n"); err != nil {
			return wrapWrite(err)
		}
	}
	list, err := p.newListing("NODE", "STATE", "SINCE", "VERSION", "ROLES", "SESSIONS", "USERS", "CUSTODY", "WAITING", "LAG", "BEHIND", "P99", "NOT WELL")
	if err != nil {
		return err
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		load := loadOf(&n.Report)
		err := list.row(n, n.Node, stateOfNode(n), n.Since.Local().Format(time.DateTime), n.Version, strings.Join(n.Roles, "+"), n.Sessions, n.Users,
			orDash(load.custody), load.waiting, load.lag, inWords(load.behind), latencyOf(&n.Report), shorten(strings.Join(troubles(n), "; "), 100))
		if err != nil {
			return err
		}
	}
	if err := list.end(); err != nil {
		return err
	}
	return p.warnings(f)
}

// warnings go where people see them and scripts do not.
func (p *program) warnings(f fleet.Fleet) error {
	for _, w := range f.Warnings {
		if _, err := fmt.Fprintf(p.Err, "warning: %s\n", printable(w)); err != nil {
			return wrapWrite(err)
		}
	}
	if f.Malformed > 0 {
		_, err := fmt.Fprintf(p.Err, "warning: %d records of the nodes' topic are no reports; does somebody else write there?\n", f.Malformed)
		return wrapWrite(err)
	}
	return nil
}

// latencyOf is the latency that one of a hundred messages of the last interval had.
func latencyOf(r *fleet.Report) string {
	if r.Latency.Count == 0 {
		return "-"
	}
	return time.Duration(r.Latency.P99 * float64(time.Second)).Round(100 * time.Microsecond).String()
}

// stateOfNode is the state of a node, and more: that it drains, that its id is not its own.
func stateOfNode(n *fleet.Node) string {
	state := string(n.State)
	if n.State == fleet.Alive && n.Stopping {
		state = "draining"
	}
	if n.SharedID {
		state += "!"
	}
	return state
}

// troubles are what is not well with a node that is alive.
func troubles(n *fleet.Node) []string {
	if n.State != fleet.Alive {
		return nil
	}
	var list []string
	if n.SharedID {
		list = append(list, "its id is used twice")
	}
	for _, name := range slices.Sorted(maps.Keys(n.Checks)) {
		if said := n.Checks[name]; said != "ok" && !n.Stopping {
			list = append(list, name+": "+strings.ReplaceAll(said, "\n", "; "))
		}
	}
	for _, h := range n.Custody {
		if h.Stalled != "" && n.Checks["custody"] == "ok" {
			list = append(list, strings.ReplaceAll(h.Stalled, "\n", "; "))
		}
	}
	return list
}

// load of a node: sums, and the worst of its partitions.
type load struct {
	custody string
	waiting int
	lag     int64
	behind  float64 // seconds
}

func loadOf(r *fleet.Report) load {
	var l load
	var held []int32
	for _, h := range r.Custody {
		held = append(held, h.Partition)
		l.waiting += h.Waiting
		l.lag, l.behind = max(l.lag, h.LagMessages), max(l.behind, h.LagSeconds)
	}
	for _, at := range r.Reading {
		l.lag, l.behind = max(l.lag, at.LagMessages), max(l.behind, at.LagSeconds)
	}
	l.custody = fleet.Partitions(held)
	return l
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// inWords writes seconds as people do.
func inWords(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// showNode shows all that is known of one node.
func (p *program) showNode(f fleet.Fleet, name string) error {
	found := false
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if n.Node != name {
			continue
		}
		found = true
		if p.output == outputJSON {
			e := json.NewEncoder(p.Out)
			e.SetEscapeHTML(false)
			if err := e.Encode(n); err != nil {
				return wrapWrite(err)
			}
			continue
		}
		if err := p.describeNode(n, f.At); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no node %s has reported: pushgate nodes lists those that have", printable(name))
	}
	return nil
}

func (p *program) describeNode(n *fleet.Node, now time.Time) error {
	const gap = 2
	t := tabwriter.NewWriter(p.Out, 0, 0, gap, ' ', 0)
	line := func(name string, value any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, printable(fmt.Sprint(value))) // Flush tells
	}
	line("node", n.Node)
	line("state", stateOfNode(n))
	line("last report", n.LastReport.Local().Format(time.DateTime)+", "+now.Sub(n.LastReport).Round(100*time.Millisecond).String()+" ago")
	line("started", n.Started.Local().Format(time.DateTime)+", up "+n.At.Sub(n.Started).Round(time.Second).String())
	line("version", n.Version)
	line("roles", strings.Join(n.Roles, ", "))
	line("gateway", orDash(n.Gateway))
	line("admin", orDash(n.Admin))
	line("routing, order", n.Routing+", "+n.Order)
	line("sessions, users", fmt.Sprintf("%d, %d", n.Sessions, n.Users))
	line("latency p50, p99", fmt.Sprintf("%gs, %gs (%d messages in %gs)", n.Latency.P50, n.Latency.P99, n.Latency.Count, n.Interval))
	line("cpu, memory", fmt.Sprintf("%.1fs, %d MiB", n.CPU, n.RSS>>20))
	c := n.Counters
	line("as gateway", fmt.Sprintf("read %d, dropped %d, delivered %d, held %d, failed %d, repeats %d", c.Read, c.Dropped, c.Delivered, c.Held, c.Failed, c.Repeats))
	line("as custodian", fmt.Sprintf("judged %s; died %s; waited %s", counts(c.Outcomes), counts(c.Dead), counts(c.Waits)))
	for _, name := range slices.Sorted(maps.Keys(n.Checks)) {
		line("check "+name, n.Checks[name])
	}
	for _, name := range slices.Sorted(maps.Keys(n.Details)) {
		line(name, n.Details[name])
	}
	if err := t.Flush(); err != nil {
		return wrapWrite(err)
	}
	return p.describePartitions(n)
}

func (p *program) describePartitions(n *fleet.Node) error {
	if len(n.Custody) > 0 {
		_, _ = fmt.Fprintln(p.Out)
		list, err := p.newListing("CUSTODY OF", "IN FLIGHT", "WAITING", "OLDEST WAIT", "LAG", "BEHIND", "STALLED")
		if err != nil {
			return err
		}
		for _, h := range n.Custody {
			oldest := "-"
			if !h.OldestWait.IsZero() {
				oldest = n.LastReport.Sub(h.OldestWait).Round(time.Second).String()
			}
			if err := list.row(h, h.Partition, h.InFlight, h.Waiting, oldest, h.LagMessages, inWords(h.LagSeconds), h.Stalled); err != nil {
				return err
			}
		}
		if err := list.end(); err != nil {
			return err
		}
	}
	if len(n.Reading) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(p.Out)
	list, err := p.newListing("READS", "POSITION", "END", "LAG", "BEHIND", "STALLED")
	if err != nil {
		return err
	}
	for _, at := range n.Reading {
		if err := list.row(at, at.Partition, at.Position, at.End, at.LagMessages, inWords(at.LagSeconds), at.Stalled); err != nil {
			return err
		}
	}
	return list.end()
}

// counts writes counts by name.
func counts(m map[string]int64) string {
	if len(m) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(parts, ", ")
}
