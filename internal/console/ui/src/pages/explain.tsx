import { useState } from 'preact/hooks';
import { MessageStory, Story, StoryEvent } from '../api';
import { clockMillis, parse, plural, since, word } from '../format';
import { useGet } from '../live';
import { Badge, Card, Choice, CopyButton, Empty, Page, Shown, TextField, Tone } from '../parts';
import { Params, Route, go, href } from '../route';

export function ExplainPage({ route }: { route: Route }) {
  const user = route.params.get('user') ?? '';
  const id = route.params.get('id') ?? '';
  const span = route.params.get('since') ?? '';
  const key = JSON.stringify([user, id, span]);
  const [from, setFrom] = useState(() => ({ key, since: span && since(span) }));
  if (from.key !== key) setFrom({ key, since: span && since(span) });
  const story = useGet<Story>(user || id ? 'explain' : undefined, { user, id, since: from.since, limit: 50 });
  return (
    <Page title="Explain" lead="What became of a message, or of a user’s messages, told out of the topics.">
      <Question user={user} id={id} span={span} key={key} />
      {!user && !id ? (
        <Empty title="Whose messages?">Give a user, or the id of a message, or both. With both it is quickest.</Empty>
      ) : (
        <Shown of={story} what="the story">
          {(s) => <Told s={s} id={id} />}
        </Shown>
      )}
    </Page>
  );
}

function Question(p: { user: string; id: string; span: string }) {
  const [user, setUser] = useState(p.user);
  const [id, setId] = useState(p.id);
  const [span, setSpan] = useState(p.span);
  return (
    <form
      class="filters"
      role="search"
      aria-label="Explain"
      onSubmit={(e) => {
        e.preventDefault();
        go('explain', { user: user.trim(), id: id.trim(), since: span } as Params);
      }}
    >
      <TextField label="User" value={user} onValue={setUser} type="search" data-search boxClass="grow" />
      <TextField label="Message id" value={id} onValue={setId} boxClass="grow" />
      <Choice
        label="From"
        value={span}
        onValue={setSpan}
        options={[
          ['', 'As far as needed'],
          ['15m', '15 minutes ago'],
          ['1h', 'An hour ago'],
          ['24h', 'A day ago'],
          ['7d', '7 days ago'],
        ]}
      />
      <div class="field buttons">
        <button type="submit" class="button primary" disabled={!user.trim() && !id.trim()}>
          Explain
        </button>
      </div>
    </form>
  );
}

function Told({ s, id }: { s: Story; id: string }) {
  const messages = s.messages ?? [];
  return (
    <>
      {!!s.gaps?.length && (
        <div class="note" role="note">
          <strong>What could not be known</strong>
          <ul>
            {s.gaps.map((g) => (
              <li key={g}>{g}</li>
            ))}
          </ul>
        </div>
      )}
      {messages.length ? (
        <p class="fine" role="status">
          {plural(messages.length, 'message')}
          {s.user && ` of ${s.user}`}
        </p>
      ) : (
        <Empty title="Nothing was found">{id ? 'No record bears this id within the time looked at.' : 'Nothing was produced for this user within the time looked at.'} Look from earlier on, or check the spelling.</Empty>
      )}
      {messages.map((m, i) => (
        <OneStory key={m.id + i} m={m} user={m.user || s.user} />
      ))}
    </>
  );
}

export function outcomeTone(outcome: string): Tone {
  if (/^not_|gateway_ended/.test(outcome)) return 'warn';
  if (/deliver|acknowledg/.test(outcome)) return 'good';
  if (/dead|discard|fail|exhaust/.test(outcome)) return 'bad';
  if (/expir|wait|unknown/.test(outcome)) return 'warn';
  return 'info';
}

function OneStory({ m, user }: { m: MessageStory; user: string }) {
  const events = m.events ?? [];
  const began = parse(events[0]?.time);
  return (
    <Card
      title={
        <>
          <code>{m.id || 'without an id'}</code>
          {m.id && <CopyButton text={m.id} what="the id" />}
        </>
      }
      aside={
        <span class="story-head">
          {m.type && <Badge>{m.type}</Badge>} {m.outcome && <Badge tone={outcomeTone(m.outcome)}>{word(m.outcome)}</Badge>}
        </span>
      }
    >
      <ol class="timeline">
        {events.map((e, i) => (
          <li key={i} class={eventTone(e.kind)}>
            <div class="when">
              {e.time ? <time dateTime={e.time}>{clockMillis(e.time)}</time> : <span class="quiet">unknown</span>}
              {i > 0 && e.time && !Number.isNaN(began) && <span class="fine">+{after(parse(e.time) - began)}</span>}
            </div>
            <div>
              <p>{e.text || word(e.kind)}</p>
              <p class="fine">{[word(e.kind), place(e)].filter(Boolean).join(' · ')}</p>
            </div>
          </li>
        ))}
      </ol>
      {/dead/.test(m.outcome) && (
        <p class="fine">
          <a href={href('dead-letters', { user, id: m.id, state: 'all' })}>The dead letter</a>
        </p>
      )}
    </Card>
  );
}

function after(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

function eventTone(kind: string): string {
  if (/gap|unknown/.test(kind)) return 'gap';
  return outcomeTone(kind);
}

function place(e: StoryEvent): string {
  if (!e.where) return '';
  if (typeof e.where === 'string') return e.where;
  const { topic, partition, offset, node } = e.where;
  return [topic && `${topic}${partition === undefined ? '' : ` [${partition}]`}${offset === undefined ? '' : ` @ ${offset}`}`, node].filter(Boolean).join(' · ');
}
