import { useEffect, useRef, useState } from 'preact/hooks';
import { Failure, Story, get, postRaw } from '../api';
import { clockMillis, plural, word } from '../format';
import { asFailure } from '../live';
import { Badge, Card, Changing, Check, Empty, Page, Problem, TextField } from '../parts';
import { Link, Received, connect } from '../playsocket';
import { Route, go, href } from '../route';
import { useForbidden, useSession } from '../session';
import { outcomeTone } from './explain';

interface Frame extends Received {
  at: number;
  acknowledged: boolean;
}

interface Sent {
  id: string;
  at: number;
  user: string;
  outcome: string;
}

const keep = 200; // frames

export function PlaygroundPage({ route }: { route: Route }) {
  const session = useSession();
  const user = route.params.get('user') ?? '';
  return (
    <Page title="Playground" lead="Be a user: connect, send to that user, see what arrives, acknowledge it or not, and see what becomes of it.">
      {session && !session.gateway ? <Empty title="This node has no gateway">Open the console of a node that has one; Nodes lists their roles.</Empty> : <Play user={user} />}
    </Page>
  );
}

function Play(p: { user: string }) {
  const [user, setUser] = useState(p.user || 'alice');
  const [state, setState] = useState('closed');
  const [note, setNote] = useState('');
  const [automatic, setAutomatic] = useState(true);
  const [frames, setFrames] = useState<Frame[]>([]);
  const [sent, setSent] = useState<Sent[]>([]);
  const link = useRef<Link | undefined>(undefined);
  const auto = useRef(automatic);
  auto.current = automatic;
  const forbidden = useForbidden();
  const open = state === 'open';
  const live = state !== 'closed';

  useEffect(() => () => link.current?.close(), []);
  useOutcomes(sent, setSent);

  const acknowledge = (ids: string[]) => {
    if (!link.current) return;
    for (const id of ids) link.current.acknowledge(id);
    setFrames((old) => old.map((f) => (ids.includes(f.id) ? { ...f, acknowledged: true } : f)));
  };
  const toggle = () => {
    if (live) {
      link.current?.close();
      link.current = undefined;
      setState('closed');
      setNote('');
      return;
    }
    const name = user.trim();
    if (!name) return;
    go('playground', { user: name }, true);
    setNote('');
    link.current = connect(name, {
      state: (s, why) => {
        setState(s);
        setNote(why);
      },
      frame: (f) => {
        setFrames((old) => [{ ...f, at: Date.now(), acknowledged: false }, ...old].slice(0, keep));
        if (auto.current) acknowledge([f.id]);
      },
    });
  };
  const unacknowledged = frames.filter((f) => !f.acknowledged);
  return (
    <>
      <div class="columns two">
        <Card
          title="Connection"
          aside={
            <span role="status">
              <Badge tone={open ? 'good' : live ? 'warn' : 'quiet'}>{open ? 'connected' : live ? 'connecting' : 'not connected'}</Badge>
            </span>
          }
        >
          <form
            class="stack"
            onSubmit={(e) => {
              e.preventDefault();
              if (!forbidden) toggle();
            }}
          >
            <TextField label="User" value={user} onValue={setUser} disabled={live} data-search hint="As another tab or a phone of that user would; everything for them arrives here, too." />
            <Check label="Acknowledge what arrives at once" checked={automatic} onValue={setAutomatic} />
            <div class="row">
              <Changing primary={!live} onClick={toggle} disabled={!user.trim()}>
                {live ? 'Disconnect' : 'Connect'}
              </Changing>
            </div>
            {note && (
              <p class={open ? 'fine' : 'error-text'} role="alert">
                {note}
              </p>
            )}
          </form>
        </Card>
        <Send user={user.trim()} onSent={(id, at) => setSent((old) => [{ id, at, user: user.trim(), outcome: '' }, ...old].slice(0, 20))} />
      </div>
      <div class="columns two">
        <Card
          title="Arrived"
          aside={
            <span class="row">
              {unacknowledged.length > 0 && (
                <button type="button" class="button small" disabled={!open} onClick={() => acknowledge(unacknowledged.map((f) => f.id))}>
                  Acknowledge all
                </button>
              )}
              {frames.length > 0 && (
                <button type="button" class="button small" onClick={() => setFrames([])}>
                  Clear
                </button>
              )}
            </span>
          }
        >
          <span class="hidden" role="status">
            {plural(frames.length, 'message')} arrived
          </span>
          {frames.length ? (
            <ul class="frames">
              {frames.map((f, i) => (
                <li key={frames.length - i}>
                  <div class="row">
                    <Badge>{f.type}</Badge>
                    {f.attempt > 1 && <Badge tone="warn">attempt {f.attempt}</Badge>}
                    <time class="fine">{clockMillis(f.at)}</time>
                    <span class="grow" />
                    {f.acknowledged ? (
                      <Badge tone="good">acknowledged</Badge>
                    ) : (
                      <button type="button" class="button small" disabled={!open} aria-label={`Acknowledge ${f.id}`} onClick={() => acknowledge([f.id])}>
                        Acknowledge
                      </button>
                    )}
                  </div>
                  <pre tabIndex={0} aria-label="Payload">
                    {f.text}
                  </pre>
                  <code class="fine clip">{f.id}</code>
                </li>
              ))}
            </ul>
          ) : (
            <Empty title="Nothing yet">{open ? 'Send something: it arrives here.' : 'Connect first. What waits for this user arrives then, too.'}</Empty>
          )}
        </Card>
        <Card title="Sent">
          {sent.length ? (
            <ul class="frames" aria-live="polite">
              {sent.map((s) => (
                <li key={s.id} class="row">
                  <time class="fine">{clockMillis(s.at)}</time>
                  <a href={href('explain', { user: s.user, id: s.id })}>
                    <code>{s.id}</code>
                  </a>
                  <span class="grow" />
                  {s.outcome ? <Badge tone={outcomeTone(s.outcome)}>{word(s.outcome)}</Badge> : <Badge tone="info">on its way</Badge>}
                </li>
              ))}
            </ul>
          ) : (
            <Empty title="Nothing yet">What becomes of what you send is shown here.</Empty>
          )}
        </Card>
      </div>
    </>
  );
}

function Send(p: { user: string; onSent: (id: string, at: number) => void }) {
  const [type, setType] = useState('greeting');
  const [data, setData] = useState('{"text": "Hello"}');
  const [ttl, setTtl] = useState('');
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const json = isJSON(data);
  const send = async () => {
    setBusy(true);
    setFailure(undefined);
    const began = Date.now();
    try {
      const headers = { 'ce-type': type.trim() || 'message', 'Content-Type': json ? 'application/json' : 'text/plain; charset=utf-8' };
      const answer = await postRaw<{ id: string }>(`users/${encodeURIComponent(p.user)}/messages` + (ttl.trim() ? '?ttl=' + encodeURIComponent(ttl.trim()) : ''), data, headers);
      p.onSent(answer.id, began);
    } catch (error) {
      setFailure(asFailure(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card title={p.user ? `Send to ${p.user}` : 'Send'}>
      <div class="stack">
        <div class="fields">
          <TextField label="Type" value={type} onValue={setType} />
          <TextField label="Time to live" value={ttl} onValue={setTtl} placeholder="as configured" />
        </div>
        <div class="field">
          <label for="payload">Payload</label>
          <textarea
            id="payload"
            rows={4}
            spellcheck={false}
            value={data}
            aria-describedby="payload-kind"
            onInput={(e) => setData(e.currentTarget.value)}
            onKeyDown={(e) => {
              if (e.key === 'Enter' && (e.ctrlKey || e.metaKey) && p.user) void send();
            }}
          />
          <span class="fine" id="payload-kind">
            {json ? 'JSON' : 'Not JSON: sent as text'}. Ctrl+Enter sends.
          </span>
        </div>
        <div class="row">
          <Changing primary disabled={busy || !p.user} onClick={() => void send()}>
            {busy ? 'Sending…' : 'Send'}
          </Changing>
        </div>
        {failure && <Problem failure={failure} />}
      </div>
    </Card>
  );
}

function isJSON(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** For how long, and how often, the outcome of what was sent is asked for. */
const outcomePatience = 60_000;
const outcomeEvery = 2_000;

function useOutcomes(sent: Sent[], setSent: (change: (old: Sent[]) => Sent[]) => void) {
  const latest = useRef(sent);
  latest.current = sent;
  const open = sent.some((s) => !final(s.outcome));
  useEffect(() => {
    if (!open) return;
    const aborted = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      for (const s of latest.current) {
        if (final(s.outcome) || Date.now() - s.at > outcomePatience || document.hidden) continue;
        try {
          const story = await get<Story>('explain', { user: s.user, id: s.id }, aborted.signal);
          const outcome = story.messages?.find((m) => m.id === s.id)?.outcome;
          if (outcome) setSent((old) => old.map((o) => (o.id === s.id ? { ...o, outcome } : o)));
        } catch {
          // It is asked again; Explain tells what is wrong.
        }
        if (aborted.signal.aborted) return;
      }
      timer = setTimeout(ask, outcomeEvery);
    };
    timer = setTimeout(ask, 500);
    return () => {
      aborted.abort();
      clearTimeout(timer);
    };
  }, [open]);
}

function final(outcome: string): boolean {
  return /deliver|dead|expir|discard/.test(outcome);
}
