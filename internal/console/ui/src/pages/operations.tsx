import { Progress, stateTones } from '../action';
import { Operation } from '../api';
import { count, word } from '../format';
import { useGet } from '../live';
import { Badge, Card, Empty, Facts, Page, Shown, Table, When } from '../parts';
import { Route, href } from '../route';

const pollEvery = 5_000;

export function OperationsPage({ route }: { route: Route }) {
  return route.rest[0] ? <OneOperation id={route.rest[0]} /> : <AllOperations />;
}

function AllOperations() {
  const operations = useGet<{ operations: Operation[] | null }>('operations', { limit: 100 }, pollEvery);
  return (
    <Page title="Operations" lead="What operators did: who, when, to which messages, and how many they were.">
      <Shown of={operations} what="the operations">
        {(all) =>
          all.operations?.length ? (
            <Table
              caption="Operations"
              rows={all.operations}
              rowKey={(o) => o.id}
              columns={[
                {
                  head: 'Began',
                  cell: (o) => (
                    <a data-row href={href('operations/' + encodeURIComponent(o.id))}>
                      <When at={o.began} />
                    </a>
                  ),
                },
                { head: 'What', cell: (o) => <b>{word(o.kind)}</b> },
                { head: 'Who', cell: (o) => o.by },
                { head: 'State', cell: (o) => <Badge tone={stateTones[o.state]}>{o.state}</Badge> },
                { head: 'Filter', wide: true, cell: (o) => <FilterText of={o} /> },
                { head: 'Done', number: true, cell: (o) => (o.state === 'done' ? `${count(o.done)} of ${count(o.matched)}` : `${count(o.done)} so far`) },
                { head: 'Left out', number: true, cell: (o) => count(o.skipped) },
                { head: 'Failed', number: true, cell: (o) => (o.failed ? <span class="error-text">{count(o.failed)}</span> : '0') },
              ]}
            />
          ) : (
            <Empty title="Nobody has done anything yet">Replays, discards, releases and the pruning of groups are recorded here for 40 days.</Empty>
          )
        }
      </Shown>
    </Page>
  );
}

function FilterText({ of }: { of: Operation }) {
  const filter = Object.entries(of.filter ?? {}).filter(([, v]) => v);
  return (
    <>
      {filter.length ? (
        filter.map(([k, v]) => (
          <code key={k} class="pair">
            {k}={v}
          </code>
        ))
      ) : (
        <span class="quiet">everything</span>
      )}
      {of.why && <span class="clip fine">“{of.why}”</span>}
    </>
  );
}

function OneOperation({ id }: { id: string }) {
  const operation = useGet<Operation>('operations/' + encodeURIComponent(id));
  return (
    <Page title={operation.data ? word(operation.data.kind) : 'Operation'} lead={<a href={href('operations')}>← All operations</a>}>
      <Shown of={operation} what="the operation">
        {(o) => (
          <div class="columns">
            <Card title="Progress">
              <Progress key={o.id} first={o} onEnd={o.state === 'running' ? operation.reload : undefined} />
            </Card>
            <Card title="Record">
              <Facts
                of={[
                  ['Who', o.by],
                  ['Why', o.why],
                  ['Filter', <FilterText of={{ ...o, why: undefined }} />],
                  ['Began', <When at={o.began} />],
                  ['Last heard of', <When at={o.updated} />],
                  ['Ended', o.ended && <When at={o.ended} />],
                ]}
              />
            </Card>
          </div>
        )}
      </Shown>
    </Page>
  );
}
