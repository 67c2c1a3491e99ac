import { useState } from 'preact/hooks';
import { Failure, Group, Held, Node, Nodes, Pruned, Reading, post } from '../api';
import { ago, bytes, count, duration, latency, parse, plural } from '../format';
import { asFailure, useGet } from '../live';
import { Badge, Card, Changing, Dialog, Empty, Facts, Loading, Page, Problem, Shown, Table, TextField, Tone, When } from '../parts';
import { Route, href } from '../route';
import { operatorName } from '../session';

const pollEvery = 3_000;

export function NodesPage({ route }: { route: Route }) {
  const nodes = useGet<Nodes>('nodes', {}, pollEvery);
  const wanted = route.rest[0];
  if (wanted) return <OneNode nodes={nodes} name={wanted} />;
  return (
    <Page title="Nodes" lead="Who is alive, what each has in custody, and how far it lags.">
      <Shown of={nodes} what="the nodes">
        {(all) => (
          <>
            {!!all.uncustodied?.length && (
              <div class="problem" role="alert">
                <div>
                  <strong>{plural(all.uncustodied.length, 'partition')} in nobody’s custody</strong>
                  <p>{all.uncustodied.join(', ')}. What fails there waits until a custodian takes over; after the loss of a node that is seconds.</p>
                </div>
              </div>
            )}
            {all.warnings?.map((w) => (
              <p class="note" key={w}>
                {w}
              </p>
            ))}
            {all.nodes?.length ? <NodeTable nodes={all.nodes} /> : <Empty title="No node has reported yet">Each does so every two seconds (nodes.report_interval).</Empty>}
          </>
        )}
      </Shown>
      <Groups />
    </Page>
  );
}

const tones: Record<string, Tone> = { alive: 'good', silent: 'bad', stopped: 'quiet' };

function State({ n }: { n: Node }) {
  return (
    <>
      <Badge tone={n.state === 'alive' && (!n.ready || n.stopping) ? 'warn' : tones[n.state]}>{n.state === 'alive' && n.stopping ? 'stopping' : n.state === 'alive' && !n.ready ? 'not ready' : n.state}</Badge>
      {n.shared_id && (
        <Badge tone="bad" title="Two processes report under this id">
          id used twice
        </Badge>
      )}
      {n.state !== 'alive' && <span class="fine"> {ago(n.since)}</span>}
    </>
  );
}

function lag(parts: (Held | Reading)[] | null | undefined): { messages: number; seconds: number } {
  let messages = 0;
  let seconds = 0;
  for (const p of parts ?? []) {
    messages += p.lag_messages ?? 0;
    seconds = Math.max(seconds, p.lag_seconds ?? 0);
  }
  return { messages, seconds };
}

function Lag({ of }: { of: { messages: number; seconds: number } }) {
  if (!of.messages) return <span class="quiet">none</span>;
  return (
    <>
      {count(of.messages)} <span class="fine">· {duration(of.seconds)}</span>
    </>
  );
}

function stalls(n: Node): number {
  return [...(n.custody ?? []), ...(n.reading ?? [])].filter((p) => p.stalled).length;
}

function NodeTable({ nodes }: { nodes: Node[] }) {
  return (
    <Table
      caption="Nodes"
      rows={nodes}
      rowKey={(n) => n.node}
      columns={[
        {
          head: 'Node',
          cell: (n) => (
            <a data-row href={href('nodes/' + encodeURIComponent(n.node))}>
              {n.node}
            </a>
          ),
        },
        { head: 'State', cell: (n) => <State n={n} /> },
        { head: 'Version', cell: (n) => n.version },
        { head: 'Up', cell: (n) => duration(((n.state === 'alive' ? Date.now() : parse(n.at)) - parse(n.started)) / 1000) },
        { head: 'Sessions', number: true, cell: (n) => count(n.sessions) },
        {
          head: 'Custody',
          number: true,
          cell: (n) => (
            <>
              {count(n.custody?.length ?? 0)} {stalls(n) > 0 && <Badge tone="bad">{stalls(n)} stalled</Badge>}
            </>
          ),
        },
        { head: 'Reading lag', number: true, cell: (n) => <Lag of={lag(n.reading)} /> },
        { head: 'Custody lag', number: true, cell: (n) => <Lag of={lag(n.custody)} /> },
        { head: 'p99', number: true, cell: (n) => latency(n.latency?.p99) },
      ]}
    />
  );
}

function OneNode(p: { nodes: ReturnType<typeof useGet<Nodes>>; name: string }) {
  return (
    <Page title={p.name} lead={<a href={href('nodes')}>← All nodes</a>}>
      <Shown of={p.nodes} what="the node">
        {(all) => {
          const n = all.nodes?.find((one) => one.node === p.name);
          if (!n) return <Empty title={`Nothing is known of ${p.name}`}>What nodes say of themselves is kept for 15 minutes. It may be written differently, or long gone.</Empty>;
          return <Details n={n} />;
        }}
      </Shown>
    </Page>
  );
}

function Details({ n }: { n: Node }) {
  const counters = Object.entries(n.counters ?? {});
  const byName = counters.filter((c): c is [string, Record<string, number>] => !!c[1] && typeof c[1] === 'object');
  return (
    <>
      <div class="columns">
        <Card title="Node" aside={<State n={n} />}>
          <Facts
            of={[
              ['Version', n.version],
              ['Started', <When at={n.started} />],
              ['Last report', <When at={n.last_report ?? n.at} relative />],
              ['Roles', n.roles?.join(', ')],
              ['Gateway', n.gateway],
              ['Admin', n.admin],
              ['Routing', n.routing],
              ['Order', n.order],
              ['Sessions', `${count(n.sessions)} of ${plural(n.users, 'user')}`],
              ['Latency', n.latency?.count ? `p50 ${latency(n.latency.p50)}, p99 ${latency(n.latency.p99)}` : 'nothing acknowledged lately'],
              ['Memory', bytes(n.rss)],
              ['CPU, since the start', duration(n.cpu)],
              ...Object.entries(n.details ?? {}),
            ]}
          />
        </Card>
        <Card title="Checks" aside={<Badge tone={n.ready ? 'good' : 'warn'}>{n.ready ? 'ready' : 'not ready'}</Badge>}>
          <Facts of={Object.entries(n.checks ?? {}).map(([name, value]) => [name, value === 'ok' ? <Badge tone="good">ok</Badge> : <span class="error-text">{value}</span>])} />
        </Card>
        <Card title="Since its start">
          <Facts of={[...counters.filter(([, v]) => typeof v === 'number').map(([name, v]): [string, string] => [name, count(v as number)]), ...byName.flatMap(([name, map]) => Object.entries(map).map(([k, v]): [string, string] => [`${name}: ${k}`, count(v)]))]} />
        </Card>
      </div>
      <Card title="Partitions in custody" aside={<span class="fine">{plural(n.custody?.length ?? 0, 'partition')}</span>}>
        {n.custody?.length ? (
          <Table
            caption="Partitions in custody"
            rows={n.custody}
            rowKey={(h) => String(h.partition)}
            alarming={(h) => !!h.stalled}
            columns={[
              { head: 'Partition', cell: (h) => <b>{h.partition}</b> },
              { head: 'In flight', number: true, cell: (h) => count(h.in_flight ?? 0) },
              { head: 'Waiting', number: true, cell: (h) => count(h.waiting ?? 0) },
              { head: 'Oldest wait', cell: (h) => <When at={h.oldest_wait} relative /> },
              { head: 'Lag', number: true, cell: (h) => <Lag of={{ messages: h.lag_messages ?? 0, seconds: h.lag_seconds ?? 0 }} /> },
              { head: 'Condition', wide: true, cell: (h) => (h.stalled ? <span class="error-text">Stalled: {h.stalled}</span> : <span class="quiet">works</span>) },
            ]}
          />
        ) : (
          <Empty title="None">It is no custodian, or others hold them all.</Empty>
        )}
      </Card>
      <Card title="Partitions it reads" aside={<span class="fine">{plural(n.reading?.length ?? 0, 'partition')}</span>}>
        {n.reading?.length ? (
          <Table
            caption="Partitions it reads"
            rows={n.reading}
            rowKey={(r) => String(r.partition)}
            alarming={(r) => !!r.stalled}
            columns={[
              { head: 'Partition', cell: (r) => <b>{r.partition}</b> },
              { head: 'Position', number: true, cell: (r) => count(r.position) },
              { head: 'End', number: true, cell: (r) => count(r.end) },
              { head: 'Lag', number: true, cell: (r) => <Lag of={{ messages: r.lag_messages ?? 0, seconds: r.lag_seconds ?? 0 }} /> },
              { head: 'Condition', wide: true, cell: (r) => (r.stalled ? <span class="error-text">Stalled: {r.stalled}</span> : <span class="quiet">works</span>) },
            ]}
          />
        ) : (
          <Empty title="None">It has no gateway, or is told by others what to deliver.</Empty>
        )}
      </Card>
    </>
  );
}

function Groups() {
  const groups = useGet<{ groups: Group[] | null }>('groups');
  const [prunes, setPrunes] = useState(false);
  const gone = groups.data?.groups?.filter((g) => g.gone).length ?? 0;
  return (
    <Card
      title="Consumer groups"
      aside={
        <Changing disabled={!gone} onClick={() => setPrunes(true)}>
          {gone ? `Prune ${plural(gone, 'group')}…` : 'Nothing to prune'}
        </Changing>
      }
    >
      <Shown of={groups} what="the consumer groups">
        {(all) =>
          all.groups?.length ? (
            <Table
              caption="Consumer groups"
              rows={all.groups}
              rowKey={(g) => g.name}
              columns={[
                { head: 'Group', cell: (g) => <code>{g.name}</code> },
                { head: 'Node', cell: (g) => g.node || <span class="quiet">–</span> },
                { head: 'State', cell: (g) => <Badge tone={g.gone ? 'warn' : 'good'}>{g.gone ? 'gone' : g.state || 'used'}</Badge> },
                { head: 'Members', number: true, cell: (g) => count(g.members) },
                { head: 'Lag', number: true, cell: (g) => count(g.lag) },
                { head: 'Last seen', cell: (g) => <When at={g.last_seen} relative /> },
                { head: 'Why', wide: true, cell: (g) => <span class="fine">{g.why}</span> },
              ]}
            />
          ) : (
            <Empty title="There are none" />
          )
        }
      </Shown>
      {prunes && (
        <PruneDialog
          onClose={() => {
            setPrunes(false);
            groups.reload();
          }}
        />
      )}
    </Card>
  );
}

function PruneDialog(p: { onClose: () => void }) {
  const [by, setBy] = useState(operatorName.get());
  const [goneFor, setGoneFor] = useState('1h');
  const [dry, setDry] = useState<Pruned>();
  const [done, setDone] = useState<Pruned>();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();

  const ask = async (dryRun: boolean) => {
    setBusy(true);
    setFailure(undefined);
    try {
      const answer = await post<Pruned>('groups/prune', { dry_run: dryRun, gone_for: goneFor.trim(), by: by.trim() || undefined });
      if (dryRun) setDry(answer);
      else setDone(answer);
    } catch (error) {
      setFailure(asFailure(error));
    } finally {
      setBusy(false);
    }
  };
  const doomed = dry?.deleted ?? [];
  return (
    <Dialog
      title="Prune consumer groups"
      onClose={p.onClose}
      foot={
        done ? (
          <button type="button" class="button primary" onClick={p.onClose}>
            Close
          </button>
        ) : (
          <>
            <button type="button" class="button" disabled={busy} onClick={() => void ask(true)}>
              Dry run
            </button>
            <button type="button" class="button danger solid" disabled={busy || !doomed.length || !by.trim()} onClick={() => void ask(false)}>
              {dry ? `Delete ${plural(doomed.length, 'group')}` : 'Delete'}
            </button>
          </>
        )
      }
    >
      {failure && <Problem failure={failure} />}
      {busy && <Loading what="the groups" />}
      {!done && (
        <div class="fields">
          <TextField label="Your name" hint="Recorded with the operation." value={by} onValue={setBy} data-first />
          <TextField
            label="Gone for at least"
            value={goneFor}
            onValue={(v) => {
              setGoneFor(v);
              setDry(undefined);
            }}
          />
        </div>
      )}
      <div aria-live="polite">
        {dry && !done && (
          <>
            <p class="verdict">
              <strong>Dry run:</strong> {plural(doomed.length, 'group')} would be deleted, {count(dry.kept?.length ?? 0)} kept.
            </p>
            <GroupList of={doomed} />
          </>
        )}
        {done && (
          <>
            <p class="verdict">
              <Badge tone={done.failed?.length ? 'warn' : 'good'}>done</Badge> {plural(done.deleted?.length ?? 0, 'group')} deleted
              {done.failed?.length ? `, ${done.failed.length} failed` : ''}.
            </p>
            <GroupList of={done.failed ?? []} />
          </>
        )}
      </div>
    </Dialog>
  );
}

function GroupList({ of }: { of: Group[] }) {
  return (
    <ul class="sample">
      {of.map((g) => (
        <li key={g.name}>
          <code>{g.name}</code> <span class="fine">{g.why}</span>
        </li>
      ))}
    </ul>
  );
}
