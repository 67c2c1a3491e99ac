import type { ComponentChildren } from 'preact';
import { Letters, Nodes, Overview, Point } from '../api';
import { Chart, Line, spread } from '../chart';
import { ago, count, duration, latency, parse, plural, rate, word } from '../format';
import { useGet, useNow } from '../live';
import { Badge, Card, Choice, Empty, Page, Problem, Reason, Shown, Table, Tone } from '../parts';
import { Route, go, href } from '../route';

const pollEvery = 2_000;

export function OverviewPage({ route }: { route: Route }) {
  const minutes = route.params.get('minutes') ?? '10';
  const overview = useGet<Overview>('overview', { minutes }, pollEvery);
  const nodes = useGet<Nodes>('nodes', {}, 5_000);
  return (
    <Page
      title="Overview"
      lead={overview.data && !overview.failure && <Freshness at={overview.data.at} />}
      actions={
        <Choice
          label="Charts over"
          boxClass="inline"
          value={minutes}
          onValue={(m) => go('overview', { minutes: m === '10' ? undefined : m }, true)}
          options={[
            ['5', '5 minutes'],
            ['10', '10 minutes'],
            ['15', '15 minutes'],
          ]}
        />
      }
    >
      <Shown of={overview} what="the overview">
        {(o) => (
          <>
            <Tiles o={o} />
            <Attention nodes={nodes.data} failure={nodes.failure && <Problem failure={nodes.failure} retry={nodes.reload} stale={!!nodes.data} />} />
            <Charts o={o} />
          </>
        )}
      </Shown>
    </Page>
  );
}

function Freshness({ at }: { at: string }) {
  const now = useNow(1000);
  const old = now - parse(at) > 15_000;
  return old ? <span class="error-text">These are the figures of {ago(at)}.</span> : <>Live. All nodes together.</>;
}

function Tiles({ o }: { o: Overview }) {
  const now = o.now;
  const oldest = oldestSeconds(now.oldest_wait);
  return (
    <ul class="tiles" aria-label="Present figures">
      <Tile name="Delivered" value={rate(now.delivered_per_s)} unit="/s" />
      <Tile name="Requested" value={rate(now.requests_per_s)} unit="/s" />
      <Tile name="Latency p50 · p99" value={latency(now.p50)} unit={` · ${latency(now.p99)}`} />
      <Tile name="Sessions" value={count(now.sessions)} unit={` of ${plural(now.users, 'user')}`} />
      <Tile name="Waiting" value={count(now.waiting)} unit={now.waiting && oldest !== undefined ? ` · longest for ${duration(oldest)}` : ''} to={href('waiting')} />
      <Tile name="Dying" value={rate(now.dead_per_s)} unit="/s" to={href('dead-letters', { since: '1h' })} tone={now.dead_per_s > 0 ? 'warn' : undefined} />
      <Tile name="In flight" value={count(now.in_flight)} unit="" />
      <Tile name="Nodes alive" value={count(o.nodes.alive)} unit={o.nodes.silent ? ` · ${o.nodes.silent} silent` : ''} to={href('nodes')} tone={o.nodes.silent ? 'bad' : undefined} />
    </ul>
  );
}

function oldestSeconds(oldest: string | number | undefined): number | undefined {
  if (typeof oldest === 'number') return oldest < 1e9 ? oldest : (Date.now() - parse(oldest)) / 1000;
  const ms = parse(oldest);
  return Number.isNaN(ms) ? undefined : (Date.now() - ms) / 1000;
}

function Tile(p: { name: string; value: string; unit: string; to?: string; tone?: Tone }) {
  const inner = (
    <>
      <span class="tile-name">{p.name}</span>
      <span class="tile-value">
        {p.value}
        <small>{p.unit}</small>
      </span>
    </>
  );
  return <li class={'tile ' + (p.tone ?? '')}>{p.to ? <a href={p.to}>{inner}</a> : <div>{inner}</div>}</li>;
}

interface Matter {
  tone: Tone;
  label: string;
  text: ComponentChildren;
  to: string;
}

function matters(nodes: Nodes): Matter[] {
  const found: Matter[] = [];
  const all = nodes.nodes ?? [];
  const alive = all.filter((n) => n.state === 'alive');
  for (const n of all) {
    const to = href('nodes/' + encodeURIComponent(n.node));
    if (n.state === 'silent') found.push({ tone: 'bad', label: 'Silent node', text: `${n.node} says nothing: last heard ${ago(n.last_report ?? n.since)}`, to });
    if (n.state === 'alive' && !n.ready && !n.stopping) {
      const bad = Object.entries(n.checks ?? {}).filter(([, v]) => v !== 'ok');
      found.push({ tone: 'warn', label: 'Not ready', text: `${n.node}: ${bad.map(([k, v]) => `${k}: ${v}`).join('; ') || 'no reason given'}`, to });
    }
    if (n.state === 'stopped') continue;
    for (const h of n.custody ?? []) if (h.stalled) found.push({ tone: 'bad', label: 'Stalled', text: `Partition ${h.partition} in custody of ${n.node}: ${h.stalled}`, to });
    for (const r of n.reading ?? []) if (r.stalled) found.push({ tone: 'bad', label: 'Stalled', text: `Partition ${r.partition} as read by ${n.node}: ${r.stalled}`, to });
  }
  const nobody = nodes.uncustodied ?? [];
  if (nobody.length) {
    found.push({ tone: 'bad', label: 'No custodian', text: `${plural(nobody.length, 'partition')} in nobody’s custody: ${nobody.slice(0, 12).join(', ')}${nobody.length > 12 ? '…' : ''}. What fails there waits.`, to: href('nodes') });
  }
  const told = nodes.warnings ?? [];
  for (const text of told) found.push({ tone: 'warn', label: 'Settings', text, to: href('nodes') });
  if (!told.length) {
    for (const [name, of] of [['routing', (n) => n.routing], ['order', (n) => n.order], ['version', (n) => n.version]] as [string, (n: (typeof alive)[0]) => string][]) {
      const values = [...new Set(alive.map(of))];
      if (values.length > 1) found.push({ tone: name === 'version' ? 'info' : 'warn', label: 'Differing', text: `The nodes differ in ${name}: ${values.join(', ')}`, to: href('nodes') });
    }
  }
  return found;
}

/** As many dead letters as are looked at for the reasons of the last hour. */
const glance = 200;

function Attention(p: { nodes?: Nodes; failure: ComponentChildren }) {
  const dead = useGet<Letters>('dead-letters', { since: '1h', state: 'open', not_reason: 'discarded', order: 'newest', limit: glance }, 30_000);
  const found = p.nodes ? matters(p.nodes) : [];
  const byReason = new Map<string, number>();
  for (const l of dead.data?.letters ?? []) byReason.set(l.reason, (byReason.get(l.reason) ?? 0) + 1);
  const more = !!dead.data?.next;
  const quiet = p.nodes && dead.data && !found.length && !byReason.size;
  return (
    <Card title="What needs attention" class="attention">
      {p.failure}
      {dead.failure && <Problem failure={dead.failure} retry={dead.reload} stale={!!dead.data} />}
      {quiet && (
        <p class="all-well">
          <Badge tone="good">All well</Badge> Nothing is stalled, no node is silent, and nothing died within the hour.
        </p>
      )}
      <ul class="matters" aria-live="polite">
        {found.map((m) => (
          <li key={m.label + m.to + String(m.text)}>
            <Badge tone={m.tone}>{m.label}</Badge>
            <a href={m.to}>{m.text}</a>
          </li>
        ))}
        {byReason.size > 0 && (
          <li>
            <Badge tone="warn">Dead letters</Badge>
            <span class="by-reason">
              {more ? `The latest ${dead.data?.letters?.length} of the last hour:` : 'Within the hour:'}{' '}
              {[...byReason]
                .sort((a, b) => b[1] - a[1])
                .map(([reason, n]) => (
                  <a key={reason} href={href('dead-letters', { reason, since: '1h' })} aria-label={`${count(n)} ${word(reason)}`}>
                    {count(n)} <Reason name={reason} />
                  </a>
                ))}
            </span>
          </li>
        )}
      </ul>
    </Card>
  );
}

function Charts({ o }: { o: Overview }) {
  const times = o.series.map((s) => parse(s.t) / 1000);
  const of = (pick: (p: Point) => number) => o.series.map((s) => pick(s) ?? null);
  const charts: { title: string; write: (n: number) => string; whole?: boolean; lines: Line[] }[] = [
    {
      title: 'Messages a second',
      write: rate,
      lines: [
        { label: 'delivered', color: 1, values: of((s) => s.delivered_per_s) },
        { label: 'requested', color: 2, values: of((s) => s.requests_per_s) },
      ],
    },
    {
      title: 'Produce to acknowledge',
      write: latency,
      lines: [
        { label: 'p50', color: 1, values: of((s) => s.p50 || (null as never)) },
        { label: 'p99', color: 2, values: of((s) => s.p99 || (null as never)) },
      ],
    },
    { title: 'Sessions', write: count, whole: true, lines: [{ label: 'connected', color: 1, values: of((s) => s.sessions) }] },
    { title: 'Waiting', write: count, whole: true, lines: [{ label: 'messages', color: 1, values: of((s) => s.waiting) }] },
    { title: 'Dead a second', write: rate, lines: [{ label: 'letters', color: 3, values: of((s) => s.dead_per_s) }] },
  ];
  if (times.length < 2) return <Empty title="The charts begin in some seconds">They need two reports of a node at least.</Empty>;
  return (
    <section aria-label="Charts">
      <div class="charts">
        {charts.map((c) => (
          <Chart key={c.title} title={c.title} times={times} lines={c.lines} write={c.write} whole={c.whole} />
        ))}
      </div>
      <details class="numbers">
        <summary>The charts in numbers</summary>
        <Table
          caption="The charts in numbers"
          rows={charts.flatMap((c) => c.lines.map((l) => ({ name: `${c.title}: ${l.label}`, write: c.write, spread: spread(l.values) })))}
          rowKey={(r) => r.name}
          columns={[
            { head: 'Of', cell: (r) => r.name },
            { head: 'Now', cell: (r) => r.write(r.spread[2]), number: true },
            { head: 'Least', cell: (r) => r.write(r.spread[0]), number: true },
            { head: 'Most', cell: (r) => r.write(r.spread[1]), number: true },
          ]}
        />
      </details>
    </section>
  );
}
