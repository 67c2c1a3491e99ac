package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/auth"
	"pushgate/internal/bench"
	"pushgate/internal/client"
	"pushgate/internal/config"
	"pushgate/internal/session"
)

// benchFlags say what is loaded, beside how.
type benchFlags struct {
	load       bench.Config
	types      []string
	urls       []string
	plain      bool
	admins     []string
	adminToken string
	histogram  string

	// silentNode is why the node of the configuration is not asked.
	silentNode error
}

func (p *program) benchCommand() *cobra.Command {
	f := benchFlags{load: bench.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load a deployment; report rates, latency, what was lost or came twice, and what it cost",
		Long: `Connect many users, write messages for them to Kafka, and take what arrives.

Latency counts from when a message was to be sent, not from when it was: a
deployment that stalls cannot hide it. A message is delivered when the first
device of its user has it, and lost when none has after the time to settle; what
a device gets twice is a repeat.

Nodes are asked for what they have used: those of --admin, or else the one at
admin.listen of the configuration, if it answers. Of pushgate dev that includes
the broker. Ctrl-C ends the load early and reports what there is. Exit code 1
when a message was lost.`,
		Example: `  pushgate bench --users 1000 --rate 1000 --ramp-up 10s --duration 30s
  pushgate bench --users 10000 --rate 0 --no-ack-protocol --output json
  pushgate bench --devices 3 --churn 0.02 --duration 30s
  pushgate bench --offline-share 0.5 --type news=9 --type alarm=1`,
		Args: cobra.NoArgs,
	}
	flags, c := cmd.Flags(), &f.load
	flags.IntVar(&c.Users, "users", c.Users, "users who connect")
	flags.IntVar(&c.Devices, "devices", c.Devices, "connections of each user")
	flags.IntVar(&c.ConnectRate, "connect-rate", c.ConnectRate, "connections begun a second")
	flags.StringArrayVar(&f.urls, "url", []string{"ws://127.0.0.1:8080"}, "address of a gateway; give several to spread the users")
	flags.BoolVar(&f.plain, "no-ack-protocol", false, "connect without a subprotocol, so that nothing is acknowledged")
	flags.IntVar(&c.Rate, "rate", c.Rate, "messages a second; 0: as fast as it goes with --in-flight under way")
	flags.IntVar(&c.InFlight, "in-flight", c.InFlight, "messages under way at a time with --rate 0")
	flags.DurationVar(&c.RampUp, "ramp-up", c.RampUp, "how long the rate takes to rise to --rate, before the warm-up")
	flags.IntVar(&c.Payload, "payload", c.Payload, "bytes of a payload")
	flags.StringArrayVar(&f.types, "type", nil, "business type of the messages, as TYPE=SHARE; may be given several times")
	flags.DurationVar(&c.Duration, "duration", c.Duration, "how long to measure")
	flags.DurationVar(&c.WarmUp, "warm-up", c.WarmUp, "load before it that is not measured")
	flags.DurationVar(&c.Settle, "settle", c.Settle, "how long to wait for the last messages; what has not come then is lost")
	flags.Float64Var(&c.OfflineShare, "offline-share", 0, "share of the users (0 to 1) who connect only after the load, when their messages wait")
	flags.Float64Var(&c.Churn, "churn", 0, "share of the users (0 to 1) who disconnect each second, with all their devices")
	flags.DurationVar(&c.Away, "away", c.Away, "how long who disconnected by --churn stays away")
	flags.StringArrayVar(&f.admins, "admin", nil, "admin listener of a node (http://host:port) to ask what it uses; may be given several times (default: admin.listen of the configuration)")
	flags.StringVar(&f.adminToken, "admin-token", "", "admin.token of the nodes (default: that of the configuration)")
	flags.StringVar(&f.histogram, "histogram", "", "file to write the latency histogram to, for HdrHistogram's plotter")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error { return p.bench(cmd.Context(), f) })
	return cmd
}

func (p *program) bench(ctx context.Context, f benchFlags) error {
	if err := f.readTypes(); err != nil {
		return err
	}
	if err := f.load.Validate(); err != nil {
		return &usageError{strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	if p.output != outputTable && p.output != outputJSON {
		return &usageError{fmt.Sprintf("--output %s: use table or json", p.output)}
	}
	cluster, c, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	params := bench.Params{Config: f.load, Topic: cluster.Topics().Requests, Log: cluster, Nap: bench.Nap, OnProgress: p.tellProgress()}
	if params.Partitions, err = partitionsOf(ctx, cluster, params.Topic); err != nil {
		return err
	}
	if params.NewDevice, err = f.devices(c); err != nil {
		return err
	}
	// Of our own: no idle connection must outlive the command.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	asking := &http.Client{Transport: transport}
	if f.adminToken == "" {
		f.adminToken = c.Admin.Token // the nodes of a deployment share it, as a rule
	}
	for _, address := range f.admins {
		params.Nodes = append(params.Nodes, bench.NodeAt(asking, address, f.adminToken))
	}
	if len(f.admins) == 0 {
		node := bench.NodeAt(asking, "http://"+dialable(c.Admin.Listen), f.adminToken)
		if f.silentNode = answers(ctx, node); f.silentNode == nil {
			params.Nodes = append(params.Nodes, node)
		}
	}
	report, err := bench.Run(ctx, params)
	if err != nil {
		return err
	}
	if err := p.writeBench(f, report); err != nil {
		return err
	}
	return benchVerdict(f, report)
}

// answers asks a node that nobody has named whether it is there.
func answers(ctx context.Context, node bench.Node) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := node.Usage(ctx)
	return err
}

// readTypes reads --type.
func (f *benchFlags) readTypes() error {
	const bits = 64
	for _, text := range f.types {
		name, share, ok := strings.Cut(text, "=")
		weight, err := strconv.ParseFloat(share, bits)
		if !ok || err != nil {
			return &usageError{fmt.Sprintf("--type %s: write it as TYPE=SHARE, such as news=3", text)}
		}
		f.load.Types = append(f.load.Types, bench.TypeShare{Type: name, Share: weight})
	}
	return nil
}

// devices returns how users connect: to the gateways in turn, with a token of
// their own where the configuration asks for tokens.
func (f benchFlags) devices(c config.Config) (func(bench.DeviceParams) (bench.Device, error), error) {
	signs := c.Auth.Mode == auth.ModeJWT
	if signs && c.Auth.JWT.HMACSecret == "" {
		return nil, errors.New("auth.mode is jwt, and the users need tokens: set auth.jwt.hmac_secret, which the nodes must have, too")
	}
	for _, url := range f.urls {
		if _, err := client.New(client.Params{URL: url, User: "any"}); err != nil {
			return nil, &usageError{"--url: " + err.Error()}
		}
	}
	return func(d bench.DeviceParams) (bench.Device, error) {
		at := d.Number % len(f.urls)
		params := client.Params{
			// When its gateway goes, a device goes on to the next.
			URL: f.urls[at], Others: slices.Concat(f.urls[at+1:], f.urls[:at]), User: d.User, Plain: f.plain, OnState: d.OnState,
			// A run is shorter than the patience of a phone.
			MaxBackoff: 2 * time.Second,
		}
		if signs {
			token, err := auth.Sign(c.Auth.JWT, auth.Grant{User: d.User, TTL: 24 * time.Hour})
			if err != nil {
				return nil, err
			}
			params.Token = token
		}
		return client.New(params)
	}, nil
}

// tellProgress keeps a line on a terminal up to date; it is nil elsewhere.
func (p *program) tellProgress() func(bench.Progress) {
	if !interactive(p.Err) {
		return nil
	}
	var before bench.Progress
	return func(now bench.Progress) {
		const wipe = "\r\x1b[K"
		if now.Phase == bench.Done {
			_, _ = fmt.Fprint(p.Err, wipe)
			return
		}
		_, _ = fmt.Fprint(p.Err, wipe+progressLine(before, now))
		before = now
	}
}

// progressLine says how the run is doing, and how it did since it was asked last.
func progressLine(before, now bench.Progress) string {
	rate := func(from, to int64) float64 {
		over := (now.Elapsed - before.Elapsed).Seconds()
		if over <= 0 {
			return 0
		}
		return float64(to-from) / over
	}
	left := ""
	if now.Left > 0 {
		left = fmt.Sprintf(", %s left", now.Left.Round(time.Second))
	}
	return fmt.Sprintf("%s%s: %d connected, %d produced (%.0f/s), %d delivered (%.0f/s)", now.Phase, left,
		now.Connected, now.Produced, rate(before.Produced, now.Produced), now.Delivered, rate(before.Delivered, now.Delivered))
}

func (p *program) writeBench(f benchFlags, report *bench.Report) error {
	if f.histogram != "" {
		if err := writeHistogram(f.histogram, report.Latency); err != nil {
			return err
		}
	}
	if p.output == outputJSON {
		l, err := p.newListing()
		if err != nil {
			return err
		}
		return l.row(report)
	}
	if err := p.benchCounts(f, report); err != nil {
		return err
	}
	if err := p.benchTimes(report); err != nil {
		return err
	}
	return p.benchNodes(report)
}

func writeHistogram(path string, d bench.Distribution) (err error) {
	file, err := os.Create(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("--histogram: %w", err)
	}
	defer func() {
		if closing := file.Close(); err == nil && closing != nil {
			err = fmt.Errorf("--histogram: %w", closing)
		}
	}()
	return d.Plot(file)
}

func (p *program) benchCounts(f benchFlags, r *bench.Report) error {
	l, err := p.newListing("MEASURE", "VALUE")
	if err != nil {
		return err
	}
	protocol := session.PushgateName
	if f.plain {
		protocol = "no subprotocol"
	}
	if f.load.Devices > 1 {
		protocol = fmt.Sprintf("%d devices each, %s", r.Devices, protocol)
	}
	load := fmt.Sprintf("%d/s", r.Rate)
	if r.Rate == 0 {
		load = fmt.Sprintf("as fast as it goes, %d in flight", r.InFlight)
	}
	rows := [][2]string{
		{"users", fmt.Sprintf("%d, %s", r.Users, protocol)},
		{"load", fmt.Sprintf("%s, %d bytes each", load, r.Payload)},
		{"measured", time.Duration(r.Window).Round(time.Millisecond).String()},
		{"produced", fmt.Sprintf("%d (%.0f/s)", r.Produced, r.ProducedPerSecond)},
		{"delivered", fmt.Sprintf("%d (%.0f/s)", r.Delivered, r.DeliveredPerSecond)},
		{"lost", fmt.Sprint(r.Lost)},
		{"repeats", fmt.Sprint(r.Repeats)},
	}
	if r.Devices > 1 {
		rows = append(rows, [2]string{"copies", fmt.Sprintf("%d; %d messages at all devices of their users", r.Copies, r.AtAllDevices)})
	}
	if r.Churn > 0 {
		rows = append(rows, [2]string{"churn", fmt.Sprintf("%d times a user was sent away for %s; %d connections opened again", r.SentAway, f.load.Away, r.Reconnects)})
	}
	for _, rare := range []struct {
		name  string
		count int64
	}{
		{"not known to be in Kafka", r.Unconfirmed},
		{"still under way", r.UnderWay},
		{"at the wrong user", r.Misdirected},
		{"of another run", r.Strangers},
		{"connections closed", r.Closed},
	} {
		if rare.count > 0 {
			rows = append(rows, [2]string{rare.name, fmt.Sprint(rare.count)})
		}
	}
	rows = append(rows, [2]string{"last message after", time.Duration(r.Settle).Round(time.Millisecond).String()})
	if f.silentNode != nil {
		rows = append(rows, [2]string{"nodes", "not asked, --admin names one: " + f.silentNode.Error()})
	}
	for _, problem := range r.Problems {
		rows = append(rows, [2]string{"problem", problem})
	}
	for _, row := range rows {
		if err := l.row(nil, row[0], row[1]); err != nil {
			return err
		}
	}
	return l.end()
}

func (p *program) benchTimes(r *bench.Report) error {
	if _, err := fmt.Fprintln(p.Out); err != nil {
		return wrapWrite(err)
	}
	l, err := p.newListing("TIME", "COUNT", "P50", "P90", "P99", "P99.9", "MAX")
	if err != nil {
		return err
	}
	type line struct {
		name string
		d    bench.Distribution
	}
	lines := []line{
		{"to connect", r.Connect},
		{"latency", r.Latency},
	}
	for _, t := range r.Types {
		lines = append(lines, line{"  of type " + t.Type, t.Latency})
	}
	if r.Returning != nil {
		lines = append(lines, line{"latency of users sent away", *r.Returning})
	}
	lines = append(lines, []line{
		{"  until Kafka has it", r.Written},
		{"  generator late", r.Pacing},
	}...)
	if r.Waiting != nil {
		lines = append(lines, line{"connected to first waiting", r.Waiting.First}, line{"connected to last waiting", r.Waiting.Last})
	}
	for _, e := range lines {
		cells := []any{e.name, e.d.Count()}
		for _, percent := range []float64{50, 90, 99, 99.9, 100} {
			const step = 10 * time.Microsecond
			cells = append(cells, e.d.At(percent).Round(step))
		}
		if err := l.row(nil, cells...); err != nil {
			return err
		}
	}
	return l.end()
}

func (p *program) benchNodes(r *bench.Report) error {
	if len(r.Nodes) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(p.Out); err != nil {
		return wrapWrite(err)
	}
	l, err := p.newListing("NODE", "CPU", "DELIVERIES/CPU-S", "CPU EACH", "RSS", "IDLE RSS", "PER CONNECTION", "READ", "DROPPED")
	if err != nil {
		return err
	}
	const mib, kib = 1 << 20, 1 << 10
	for _, n := range r.Nodes {
		err := l.row(nil, n.Name, fmt.Sprintf("%.2fs", n.CPUSeconds), fmt.Sprintf("%.0f", n.PerCPUSecond), fmt.Sprintf("%.1fµs", n.CPUMicros),
			fmt.Sprintf("%.1fMiB", n.RSSBytes/mib), fmt.Sprintf("%.1fMiB", n.IdleRSSBytes/mib),
			fmt.Sprintf("%.1fKiB", n.RSSPerConnection/kib), fmt.Sprintf("%.0f", n.Read), fmt.Sprintf("%.0f", n.Dropped))
		if err != nil {
			return err
		}
	}
	return l.end()
}

// benchVerdict is why the command fails although it reported.
func benchVerdict(f benchFlags, r *bench.Report) error {
	var wrong []string
	if r.Lost > 0 {
		text := fmt.Sprintf("%d of %d messages were lost: they have not arrived within --settle %s", r.Lost, r.Produced, f.load.Settle)
		if f.plain && r.Churn > 0 {
			text += " (without acknowledgements, what is on its way to a connection that ends is lost)"
		}
		wrong = append(wrong, text)
	}
	if r.Misdirected > 0 {
		wrong = append(wrong, fmt.Sprintf("%d messages arrived at a user they were not for", r.Misdirected))
	}
	if r.Unconfirmed > 0 {
		wrong = append(wrong, fmt.Sprintf("%d messages are not known to be in Kafka", r.Unconfirmed))
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}
