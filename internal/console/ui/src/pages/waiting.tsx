import { useEffect, useState } from 'preact/hooks';
import { Action, ActionDialog } from '../action';
import { Wait, WaitingSummary, Waits } from '../api';
import { ago, bytes, count, failures, payloadText, plural, word } from '../format';
import { useGet } from '../live';
import { usePages } from '../paging';
import { PagingFoot } from '../pagingfoot';
import { Card, Changing, Check, Choice, CopyButton, Dialog, Empty, Facts, Page, Reason, Shown, Table, TextField, When } from '../parts';
import { Params, Route, go, href, withParam } from '../route';

const pageSize = 50;
const names = ['user', 'type', 'reason', 'id', 'older_than'] as const;
type Filter = Partial<Record<(typeof names)[number], string>>;

export function WaitingPage({ route }: { route: Route }) {
  const filter: Filter = {};
  for (const name of names) {
    const value = route.params.get(name);
    if (value) filter[name] = value;
  }
  const key = JSON.stringify(filter);
  const summary = useGet<WaitingSummary>('waiting/summary', {}, 5_000);
  const waits = usePages<Wait, Waits>('waiting', { ...filter, limit: pageSize }, (a) => a.waits);
  const [chosen, setChosen] = useState<Map<string, Wait>>(new Map());
  const [action, setAction] = useState<Action>();
  useEffect(() => setChosen(new Map()), [key]);

  const done = () => {
    setChosen(new Map());
    waits.reload();
    summary.reload();
  };
  const filtered = names.some((n) => filter[n]);
  const of = (kind: 'release' | 'discard_waiting'): Action =>
    chosen.size
      ? { kind, choice: { waits: [...chosen.values()].map(identity) }, chosen: plural(chosen.size, 'selected message'), onDone: done }
      : { kind, choice: { filter }, chosen: filtered ? 'all that match' : 'all that wait', onDone: done };
  const choose = (of: Wait[], on: boolean) => {
    const next = new Map(chosen);
    for (const w of of) {
      if (on) next.set(place(w), w);
      else next.delete(place(w));
    }
    setChosen(next);
  };
  const open = route.params.get('open');
  const shown = open && waits.rows.find((w) => place(w) === open);
  return (
    <Page title="Waiting" lead="What could not be delivered yet and will be offered again: when its user returns, or when it is due.">
      <Shown of={summary} what="the summary">
        {(s) => <Summary s={s} filter={filter} />}
      </Shown>
      <FilterForm filter={filter} key={key} />
      <div class="toolbar" role="group" aria-label="What to do with them">
        {waits.rows.length > 0 && (
          <>
            <Check label={chosen.size ? `${chosen.size} selected` : 'Select all shown'} checked={waits.rows.every((w) => chosen.has(place(w)))} onValue={(on) => choose(waits.rows, on)} />
            <span class="grow" />
            <Changing primary onClick={() => setAction(of('release'))}>
              {chosen.size ? 'Release selected…' : 'Release all that match…'}
            </Changing>
            <Changing danger onClick={() => setAction(of('discard_waiting'))}>
              {chosen.size ? 'Discard selected…' : 'Discard all that match…'}
            </Changing>
          </>
        )}
      </div>
      {waits.rows.length > 0 && (
        <Table
          caption="Waiting messages"
          rows={waits.rows}
          rowKey={place}
          marked={(w) => chosen.has(place(w))}
          columns={[
            { head: 'Select', hideHead: true, cell: (w) => <Check quiet label={`Select the message ${w.id || place(w)} for ${w.user}`} checked={chosen.has(place(w))} onValue={(on) => choose([w], on)} /> },
            {
              head: 'User',
              cell: (w) => (
                <a data-row href={withParam(route, 'open', place(w))}>
                  {w.user}
                </a>
              ),
            },
            { head: 'Type', cell: (w) => w.type },
            { head: 'Reason', cell: (w) => <Reason name={w.reason} /> },
            { head: 'Waits since', cell: (w) => <When at={w.since || w.first_seen} relative /> },
            { head: 'Next attempt', cell: (w) => (w.reason === 'offline' ? <span class="quiet">when the user returns</span> : <When at={w.due} relative />) },
            { head: 'Expires', cell: (w) => <When at={w.expires} relative /> },
            { head: 'Attempts', number: true, cell: (w) => w.attempt },
            { head: 'Message id', wide: true, cell: (w) => <code class="clip">{w.id}</code> },
          ]}
        />
      )}
      {waits.asked && !waits.loading && !waits.failure && !waits.rows.length && !waits.next && (
        <Empty title={filtered ? 'No waiting message matches' : 'Nothing waits'}>{filtered ? <a href={href('waiting')}>Show all</a> : 'Every message is delivered, dead or on its way.'}</Empty>
      )}
      <PagingFoot of={waits} one="message" />
      {shown && <WaitDialog w={shown} route={route} act={setAction} done={done} />}
      {action && <ActionDialog action={action} onClose={() => setAction(undefined)} />}
    </Page>
  );
}

function identity(w: Wait) {
  return { partition: w.partition, origin: w.origin, user: w.user };
}

function place(w: Wait): string {
  return `${w.partition}-${w.origin}-${w.user}`;
}

function Summary({ s, filter }: { s: WaitingSummary; filter: Filter }) {
  const reasons = Object.entries(s.by_reason ?? {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return (
    <ul class="tiles" aria-label="Waiting by reason">
      <li class="tile">
        <a href={href('waiting')}>
          <span class="tile-name">All</span>
          <span class="tile-value">
            {count(s.total)}
            <small>{s.oldest && s.total > 0 ? ` · oldest message ${ago(s.oldest).replace(' ago', '')}` : ''}</small>
          </span>
        </a>
      </li>
      {reasons.map(([reason, n]) => (
        <li key={reason} class={'tile' + (filter.reason === reason ? ' chosen' : '')}>
          <a href={href('waiting', { ...filter, reason })}>
            <span class="tile-name">{word(reason)}</span>
            <span class="tile-value">
              {count(n)}
              <small> {Math.round((n / Math.max(1, s.total)) * 100)} %</small>
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}

function FilterForm({ filter }: { filter: Filter }) {
  const [f, setF] = useState(filter);
  const set = (name: keyof Filter) => (value: string) => setF({ ...f, [name]: value });
  const now = (name: keyof Filter) => (value: string) => go('waiting', { ...f, [name]: value } as Params);
  return (
    <form
      class="filters"
      role="search"
      aria-label="Waiting messages"
      onSubmit={(e) => {
        e.preventDefault();
        go('waiting', f as Params);
      }}
    >
      <TextField label="User" type="search" boxClass="grow" value={f.user ?? ''} onValue={set('user')} data-search placeholder="Search  /" />
      <TextField label="Type" value={f.type ?? ''} onValue={set('type')} />
      <TextField label="Message id" value={f.id ?? ''} onValue={set('id')} />
      <Choice label="Reason" value={f.reason ?? ''} onValue={now('reason')} options={[['', 'Any'], ...failures.map((r): [string, string] => [r, word(r)])]} />
      <Choice
        label="Waits for at least"
        value={f.older_than ?? ''}
        onValue={now('older_than')}
        options={[
          ['', 'Any time'],
          ['1m', '1 minute'],
          ['10m', '10 minutes'],
          ['1h', '1 hour'],
          ['6h', '6 hours'],
          ['24h', '24 hours'],
        ]}
      />
      <div class="field buttons">
        <button type="submit" class="button primary">
          Search
        </button>
        <a class="button" href={href('waiting')}>
          Clear
        </a>
      </div>
    </form>
  );
}

function WaitDialog(p: { w: Wait; route: Route; act: (a: Action) => void; done: () => void }) {
  const { w } = p;
  const payload = payloadText(w);
  const close = () => {
    location.hash = withParam(p.route, 'open');
  };
  const of = (kind: 'release' | 'discard_waiting') => () =>
    p.act({
      kind,
      choice: { waits: [identity(w)] },
      chosen: 'this message',
      onDone: p.done,
    });
  return (
    <Dialog
      side
      title="Waiting message"
      onClose={close}
      foot={
        <>
          <a class="button" href={href('explain', { user: w.user, id: w.id })}>
            Explain
          </a>
          <span class="grow" />
          <Changing danger onClick={of('discard_waiting')}>
            Discard…
          </Changing>
          <Changing primary onClick={of('release')}>
            Release now…
          </Changing>
        </>
      }
    >
      <p class="headline">
        <Reason name={w.reason} />
      </p>
      <Facts
        of={[
          ['User', w.user],
          ['Type', w.type],
          [
            'Message id',
            w.id && (
              <>
                <code>{w.id}</code> <CopyButton text={w.id} what="the id" />
              </>
            ),
          ],
          ['First seen', <When at={w.first_seen} />],
          ['Waits since', <When at={w.since} />],
          ['Next attempt', w.reason === 'offline' ? 'when the user returns' : <When at={w.due} />],
          ['Expires', <When at={w.expires} />],
          ['Attempts', `${w.attempt}, ${plural(w.failures ?? 0, 'failure')}`],
          ['Partition', `${w.partition}, origin ${w.origin}`],
          ['Size', bytes(w.size)],
        ]}
      />
      {payload.text && (
        <Card title="Payload" aside={<span class="fine">{payload.kind}</span>}>
          <div class="code-box">
            <CopyButton text={payload.text} what="the payload" />
            <pre tabIndex={0} aria-label="Payload">
              {payload.text}
            </pre>
          </div>
        </Card>
      )}
    </Dialog>
  );
}
