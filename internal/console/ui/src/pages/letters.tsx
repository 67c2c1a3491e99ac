import { useEffect, useState } from 'preact/hooks';
import { Action, ActionDialog } from '../action';
import { Letter, Letters, Operation, WholeLetter } from '../api';
import { bytes, deaths, plural, payloadText, since, word } from '../format';
import { useGet } from '../live';
import { usePages } from '../paging';
import { PagingFoot } from '../pagingfoot';
import { Badge, Card, Changing, Check, Choice, CopyButton, Dialog, Empty, Facts, Page, Reason, Shown, Table, TextField, When } from '../parts';
import { Params, Route, go, href, withParam } from '../route';

const pageSize = 50;
const names = ['text', 'user', 'type', 'reason', 'id', 'since', 'until', 'state', 'order', 'everywhere'] as const;
type Filter = Partial<Record<(typeof names)[number], string>>;

function filterOf(route: Route): Filter {
  const f: Filter = {};
  for (const name of names) {
    const value = route.params.get(name);
    if (value) f[name] = value;
  }
  return f;
}

/** asked is the filter as the API takes it: times are moments there. */
function asked(f: Filter): Record<string, string | undefined> {
  return { ...f, since: f.since && since(f.since), until: f.until && since(f.until), state: f.state ?? 'open' };
}

export function LettersPage({ route }: { route: Route }) {
  const filter = filterOf(route);
  const key = JSON.stringify(filter);
  // A relative time is fixed once a search, so that its pages belong together.
  const [q, setQ] = useState(() => ({ key, query: asked(filter) }));
  if (q.key !== key) setQ({ key, query: asked(filter) });
  const letters = usePages<Letter, Letters>('dead-letters', { ...q.query, limit: pageSize }, (a) => a.letters);
  const [chosen, setChosen] = useState<Map<string, Letter>>(new Map());
  const [action, setAction] = useState<Action>();
  useEffect(() => setChosen(new Map()), [key]);

  const open = /^(\d+)-(\d+)$/.exec(route.params.get('open') ?? '');
  const done = () => {
    setChosen(new Map());
    letters.reload();
  };
  const filtered = names.some((n) => n !== 'order' && n !== 'state' && n !== 'everywhere' && filter[n]);
  const { order: _, everywhere, ...named } = q.query;
  const choice = everywhere ? { ...named, everywhere: true } : named;
  const of = (kind: 'replay' | 'discard'): Action =>
    chosen.size
      ? { kind, choice: { letters: [...chosen.values()].map((l) => ({ partition: l.partition, offset: l.offset })) }, chosen: plural(chosen.size, 'selected letter'), onDone: done }
      : { kind, choice: { filter: choice }, chosen: filtered ? 'all that match' : 'all open letters', onDone: done };
  const all = letters.rows.length > 0 && letters.rows.every((l) => chosen.has(place(l)));
  const choose = (of: Letter[], on: boolean) => {
    const next = new Map(chosen);
    for (const l of of) {
      if (on) next.set(place(l), l);
      else next.delete(place(l));
    }
    setChosen(next);
  };

  return (
    <Page title="Dead letters" lead="What could not be delivered, and why. Replay gives a letter another life.">
      <FilterForm filter={filter} key={key} />
      <div class="toolbar" role="group" aria-label="What to do with them">
        {letters.rows.length > 0 && <Check label={chosen.size ? `${chosen.size} selected` : 'Select all shown'} checked={all} onValue={(on) => choose(letters.rows, on)} />}
        <span class="grow" />
        {letters.rows.length > 0 && (
          <>
            <Changing primary onClick={() => setAction(of('replay'))}>
              {chosen.size ? 'Replay selected…' : 'Replay all that match…'}
            </Changing>
            <Changing danger onClick={() => setAction(of('discard'))}>
              {chosen.size ? 'Discard selected…' : 'Discard all that match…'}
            </Changing>
          </>
        )}
      </div>
      {letters.rows.length > 0 && (
        <Table
          caption="Dead letters"
          rows={letters.rows}
          rowKey={place}
          marked={(l) => chosen.has(place(l))}
          columns={[
            { head: 'Select', hideHead: true, cell: (l) => <Check quiet label={`Select the letter ${l.id || place(l)} of ${l.user}`} checked={chosen.has(place(l))} onValue={(on) => choose([l], on)} /> },
            {
              head: 'Died',
              cell: (l) => (
                <a data-row href={withParam(route, 'open', place(l))}>
                  <When at={l.died_at} />
                </a>
              ),
            },
            { head: 'User', cell: (l) => <b>{l.user}</b> },
            { head: 'Type', cell: (l) => l.type },
            {
              head: 'Reason',
              cell: (l) => (
                <>
                  <Reason name={l.reason} /> {l.again && <Again />} {l.state !== 'open' && <Badge>{l.state}</Badge>}
                </>
              ),
            },
            {
              head: 'Error and payload',
              wide: true,
              cell: (l) => (
                <>
                  <span class="clip">{l.error}</span>
                  <code class="clip quiet">{l.preview}</code>
                </>
              ),
            },
            { head: 'Attempts', number: true, cell: (l) => l.attempt || '–' },
          ]}
        />
      )}
      {letters.asked && !letters.loading && !letters.failure && !letters.rows.length && !letters.next && (
        <Empty title={filtered ? 'No letter matches' : 'No dead letters'}>{filtered ? <a href={href('dead-letters')}>Show all that are open</a> : 'Nothing died that was not replayed or discarded since.'}</Empty>
      )}
      <PagingFoot of={letters} one="letter" />
      {letters.homeOnly && (
        <p class="fine">
          Looked at the user’s own partition only. Letters of producers that partition otherwise are elsewhere: <a href={href('dead-letters', { ...filter, everywhere: 'true' })}>look everywhere</a>.
        </p>
      )}
      {open && <LetterDialog partition={open[1]} offset={open[2]} route={route} act={setAction} done={letters.reload} />}
      {action && <ActionDialog action={action} onClose={() => setAction(undefined)} />}
    </Page>
  );
}

function Again() {
  return (
    <Badge tone="bad" title="It was replayed, and died for the same reason: a replay of a whole filter leaves it out">
      died again
    </Badge>
  );
}

function place(l: Letter): string {
  return `${l.partition}-${l.offset}`;
}

const spans: [string, string][] = [
  ['', 'Any time'],
  ['15m', 'Last 15 minutes'],
  ['1h', 'Last hour'],
  ['24h', 'Last 24 hours'],
  ['7d', 'Last 7 days'],
  ['custom', 'From … to …'],
];

function FilterForm({ filter }: { filter: Filter }) {
  const [f, setF] = useState(filter);
  const [custom, setCustom] = useState(!!filter.until || !spans.some(([v]) => v === (filter.since ?? '')));
  const set = (name: keyof Filter) => (value: string) => setF({ ...f, [name]: value });
  const submit = (e?: Event) => {
    e?.preventDefault();
    go('dead-letters', f as Params);
  };
  const now = (name: keyof Filter) => (value: string) => go('dead-letters', { ...f, [name]: value } as Params);
  return (
    <form class="filters" role="search" aria-label="Dead letters" onSubmit={submit}>
      <TextField label="Text in the payload" type="search" boxClass="grow" value={f.text ?? ''} onValue={set('text')} data-search placeholder="Search  /" />
      <TextField label="User" value={f.user ?? ''} onValue={set('user')} />
      <TextField label="Type" value={f.type ?? ''} onValue={set('type')} />
      <TextField label="Message id" value={f.id ?? ''} onValue={set('id')} />
      <Choice label="Reason" value={f.reason ?? ''} onValue={now('reason')} options={[['', 'Any'], ...deaths.map((r): [string, string] => [r, word(r)])]} />
      <Choice
        label="Died"
        value={custom ? 'custom' : (f.since ?? '')}
        onValue={(v) => {
          setCustom(v === 'custom');
          if (v !== 'custom') go('dead-letters', { ...f, since: v, until: '' } as Params);
        }}
        options={spans}
      />
      {custom && (
        <>
          <TextField label="From" type="datetime-local" value={local(f.since)} onValue={set('since')} />
          <TextField label="To" type="datetime-local" value={local(f.until)} onValue={set('until')} />
        </>
      )}
      <Choice
        label="State"
        value={f.state ?? 'open'}
        onValue={now('state')}
        options={[
          ['open', 'Open'],
          ['replayed', 'Replayed'],
          ['discarded', 'Discarded'],
          ['all', 'All'],
        ]}
      />
      <Choice
        label="Order"
        value={f.order ?? 'newest'}
        onValue={now('order')}
        options={[
          ['newest', 'Newest first'],
          ['oldest', 'Oldest first'],
        ]}
      />
      <div class="field buttons">
        <button type="submit" class="button primary">
          Search
        </button>
        <a class="button" href={href('dead-letters')}>
          Clear
        </a>
      </div>
    </form>
  );
}

/** local writes a time as a datetime-local field takes it. */
function local(text: string | undefined): string {
  if (!text || /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/.test(text)) return text ?? '';
  const ms = Date.parse(since(text));
  if (Number.isNaN(ms)) return '';
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function LetterDialog(p: { partition: string; offset: string; route: Route; act: (a: Action) => void; done: () => void }) {
  const letter = useGet<WholeLetter>(`dead-letters/${p.partition}/${p.offset}`);
  const close = () => {
    location.hash = withParam(p.route, 'open');
  };
  const l = letter.data;
  const of = (kind: 'replay' | 'discard') => () =>
    p.act({
      kind,
      choice: { letters: [{ partition: Number(p.partition), offset: Number(p.offset) }] },
      chosen: 'this letter',
      onDone: () => {
        letter.reload();
        p.done();
      },
    });
  return (
    <Dialog
      side
      title="Dead letter"
      onClose={close}
      foot={
        l && (
          <>
            <a class="button" href={href('explain', { user: l.user, id: l.id })}>
              Explain
            </a>
            <span class="grow" />
            {l.state === 'open' && (
              <>
                <Changing danger onClick={of('discard')}>
                  Discard…
                </Changing>
                <Changing primary onClick={of('replay')}>
                  Replay…
                </Changing>
              </>
            )}
          </>
        )
      }
    >
      <Shown of={letter} what="the letter">
        {(l) => <LetterBody l={l} />}
      </Shown>
    </Dialog>
  );
}

function LetterBody({ l }: { l: WholeLetter }) {
  const payload = payloadText(l);
  return (
    <>
      <p class="headline">
        <Reason name={l.reason} /> {l.again && <Again />} {l.state !== 'open' && <Badge>{l.state}</Badge>} <span>{l.error}</span>
      </p>
      <Facts
        of={[
          ['User', <a href={href('dead-letters', { user: l.user, state: 'all' })}>{l.user}</a>],
          ['Type', l.type],
          [
            'Message id',
            l.id && (
              <>
                <code>{l.id}</code> <CopyButton text={l.id} what="the id" />
              </>
            ),
          ],
          ['Died', <When at={l.died_at} />],
          ['First seen', l.first_seen && <When at={l.first_seen} />],
          ['Expires', l.expires && <When at={l.expires} />],
          ['Attempts', l.attempt ? `${l.attempt}, ${plural(l.failures, 'failure')}` : undefined],
          ['Replays', l.replays ? String(l.replays) : undefined],
          ['By node', l.node],
          ['Origin', l.origin?.topic && `${l.origin.topic}, partition ${l.origin.partition}, offset ${l.origin.offset}`],
          ['Letter', `partition ${l.partition}, offset ${l.offset}`],
          ['Size', bytes(l.size)],
          ['Handled by', l.operation && <HandledBy id={l.operation} />],
        ]}
      />
      <Card title="Payload" aside={<span class="fine">{payload.kind}</span>}>
        {payload.text ? (
          <div class="code-box">
            <CopyButton text={payload.text} what="the payload" />
            <pre tabIndex={0} aria-label="Payload">
              {payload.text}
            </pre>
          </div>
        ) : (
          <Empty title="It is empty" />
        )}
      </Card>
      <Card title="Headers">
        {l.headers?.length ? (
          <Table
            caption="Headers"
            rows={l.headers.map((h, i) => ({ ...h, i }))}
            rowKey={(h) => String(h.i)}
            columns={[
              { head: 'Header', cell: (h) => <code>{h.key}</code> },
              { head: 'Value', wide: true, cell: (h) => <code class="wrap">{h.value}</code> },
            ]}
          />
        ) : (
          <Empty title="None" />
        )}
      </Card>
    </>
  );
}

function HandledBy({ id }: { id: string }) {
  const operation = useGet<Operation>('operations/' + encodeURIComponent(id));
  return (
    <a href={href('operations/' + encodeURIComponent(id))}>
      {operation.data ? `${word(operation.data.kind)} by ${operation.data.by}` : id}
    </a>
  );
}
