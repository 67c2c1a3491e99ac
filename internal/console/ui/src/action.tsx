// What changes many things at once: first a dry run that says what would happen, then
// a confirmation, then the progress, with a way to stop it.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Failure, Operation, get, post } from './api';
import { count, plural, word } from './format';
import { asFailure } from './live';
import { href } from './route';
import { operatorName } from './session';
import { Badge, Check, Dialog, Facts, Loading, Problem, Reason, TextField, Tone } from './parts';

export type ActionKind = 'replay' | 'discard' | 'release' | 'discard_waiting';

export interface Action {
  kind: ActionKind;
  /** The choice: {filter} or {letters} or {waits}. */
  choice: Record<string, unknown>;
  /** The choice in words: "3 selected letters". */
  chosen: string;
  onDone: () => void;
}

const actions = {
  replay: { path: 'dead-letters/replay', verb: 'Replay', one: 'letter', field: 'would_replay', danger: false },
  discard: { path: 'dead-letters/discard', verb: 'Discard', one: 'letter', field: 'would_discard', danger: true },
  release: { path: 'waiting/release', verb: 'Release', one: 'message', field: 'would_release', danger: false },
  discard_waiting: { path: 'waiting/discard', verb: 'Discard', one: 'message', field: 'would_discard', danger: true },
} as const;

interface Preview {
  matched: number;
  skipped?: number | Record<string, number> | null;
  die_again?: number;
  sample?: { id?: string; user?: string; type?: string; reason?: string }[] | null;
  [would: string]: unknown;
}

const whyLeftOut: Record<string, string> = {
  expired: 'expired',
  again: 'died again after a replay for the same reason',
  handled: 'replayed or discarded already',
  hopeless: 'invalid or too large, and still is',
  discarded: 'discarded by an operator',
};

export function ActionDialog(p: { action: Action; onClose: () => void }) {
  const { kind, choice, chosen } = p.action;
  const a = actions[kind];
  const [by, setBy] = useState(operatorName.get());
  const [why, setWhy] = useState('');
  const [speed, setSpeed] = useState('100');
  const [ttl, setTtl] = useState('');
  const [expired, setExpired] = useState(false);
  const [again, setAgain] = useState(false);
  const [preview, setPreview] = useState<Preview>();
  const [failure, setFailure] = useState<Failure>();
  const [busy, setBusy] = useState(false);
  const [operation, setOperation] = useState<Operation>();
  const needsWhy = a.danger;

  const body = (dry: boolean) => ({
    ...choice,
    dry_run: dry,
    by: by.trim() || undefined,
    // A dry run is not recorded, and some want a reason for it all the same.
    why: needsWhy ? why.trim() || (dry ? 'dry run' : undefined) : undefined,
    ...(kind === 'replay' ? { rate: Number(speed) || 100, ttl: ttl.trim() || undefined, expired, again } : {}),
  });

  // The dry run goes before, and again whenever the options that decide change.
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const aborted = new AbortController();
    setPreview(undefined);
    setFailure(undefined);
    post<Preview>(a.path, body(true), aborted.signal).then(
      (answer) => aborted.signal.aborted || setPreview(answer),
      (error) => aborted.signal.aborted || setFailure(asFailure(error)),
    );
    return () => aborted.abort();
  }, [expired, again, turn]);

  const left = preview ? leftOut(preview.skipped) : [];
  const would = preview ? Number(preview[a.field] ?? preview.matched - left.reduce((sum, [, n]) => sum + n, 0)) : 0;

  const confirm = async () => {
    setBusy(true);
    setFailure(undefined);
    operatorName.set(by.trim());
    try {
      setOperation(await post<Operation>(a.path, body(false)));
    } catch (error) {
      setFailure(asFailure(error));
    } finally {
      setBusy(false);
    }
  };

  if (operation) {
    return (
      <Dialog title={`${a.verb} ${chosen}`} onClose={p.onClose}>
        <Progress first={operation} onEnd={p.action.onDone} />
      </Dialog>
    );
  }
  const missing = !by.trim() ? 'Give your name first.' : needsWhy && !why.trim() ? 'Give a reason first.' : '';
  return (
    <Dialog
      title={`${a.verb} ${chosen}`}
      onClose={p.onClose}
      foot={
        <>
          <span class="fine" role="status">
            {preview && would > 0 ? missing : ''}
          </span>
          <button type="button" class="button" onClick={p.onClose}>
            Cancel
          </button>
          <button type="submit" form="action" class={'button ' + (a.danger ? 'danger solid' : 'primary')} disabled={!preview || would === 0 || busy || !!missing}>
            {busy ? 'Starting…' : preview ? `${a.verb} ${plural(would, a.one)}` : a.verb}
          </button>
        </>
      }
    >
      <form
        id="action"
        onSubmit={(e) => {
          e.preventDefault();
          void confirm();
        }}
      >
        <div class="preview" aria-live="polite">
          {failure && <Problem failure={failure} retry={() => setTurn((n) => n + 1)} />}
          {!preview && !failure && <Loading what="what would happen" />}
          {preview && (
            <>
              <p class="verdict">
                <strong>Dry run:</strong> {count(preview.matched)} matched, <b>{count(would)}</b> would be {past(a.verb)}.
              </p>
              {left.length > 0 && (
                <ul class="left-out">
                  {left.map(([name, n]) => (
                    <li key={name}>
                      {count(n)} left out: {whyLeftOut[name] ?? word(name)}
                    </li>
                  ))}
                </ul>
              )}
              {!!preview.die_again && <p class="error-text">{count(preview.die_again)} of them are invalid or too large still, and will die again.</p>}
              {!!preview.sample?.length && (
                <details>
                  <summary>Some of them</summary>
                  <ul class="sample">
                    {preview.sample.slice(0, 10).map((s, i) => (
                      <li key={i}>
                        <code>{s.id || '–'}</code> {s.user} {s.reason && <Reason name={s.reason} />}
                      </li>
                    ))}
                  </ul>
                </details>
              )}
            </>
          )}
        </div>
        <div class="fields">
          <TextField label="Your name" hint="Recorded with the operation." value={by} onValue={setBy} required data-first />
          {needsWhy && <TextField label="Reason" hint="Recorded with the operation." value={why} onValue={setWhy} required />}
          {kind === 'replay' && (
            <>
              <TextField label="At most, a second" type="number" min="1" max="100000" value={speed} onValue={setSpeed} />
              <TextField label="Time to live" hint="For example 30m or 24h. Empty: as at first." value={ttl} onValue={setTtl} />
            </>
          )}
        </div>
        {kind === 'replay' && (
          <fieldset>
            <legend>Include</legend>
            <Check label="Expired ones" checked={expired} onValue={setExpired} />
            <Check label="Those that died again after a replay for the same reason" checked={again} onValue={setAgain} />
          </fieldset>
        )}
      </form>
    </Dialog>
  );
}

function past(verb: string): string {
  return verb === 'Replay' ? 'replayed' : verb === 'Release' ? 'released' : 'discarded';
}

function leftOut(skipped: Preview['skipped']): [string, number][] {
  if (!skipped) return [];
  if (typeof skipped === 'number') return [['skipped', skipped]];
  return Object.entries(skipped).filter(([, n]) => n > 0);
}

export const stateTones: Record<string, Tone> = { running: 'info', done: 'good', failed: 'bad', cancelled: 'warn', interrupted: 'warn' };

/** Progress follows an operation until it has ended, and can stop it. */
export function Progress(p: { first: Operation; onEnd?: () => void }) {
  const [operation, setOperation] = useState(p.first);
  const [failure, setFailure] = useState<Failure>();
  const [stopping, setStopping] = useState(false);
  const told = useRef(false);
  const running = operation.state === 'running';

  useEffect(() => {
    if (!running) {
      if (!told.current) p.onEnd?.();
      told.current = true;
      return;
    }
    const aborted = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      try {
        setOperation(await get<Operation>('operations/' + encodeURIComponent(operation.id), {}, aborted.signal));
        setFailure(undefined);
      } catch (error) {
        if (!aborted.signal.aborted) setFailure(asFailure(error));
      }
      if (!aborted.signal.aborted) timer = setTimeout(ask, 1000);
    };
    timer = setTimeout(ask, 500);
    return () => {
      aborted.abort();
      clearTimeout(timer);
    };
  }, [running, operation.id]);

  const cancel = async () => {
    setStopping(true);
    try {
      await post('operations/' + encodeURIComponent(operation.id) + '/cancel', { by: operatorName.get() || undefined });
    } catch (error) {
      setFailure(asFailure(error));
      setStopping(false);
    }
  };
  const through = operation.done + operation.skipped + operation.failed;
  // An operation over a filter learns how many match only as it goes: what it has looked at counts.
  const [part, whole] = operation.of ? [operation.scanned ?? 0, operation.of] : [through, Math.max(operation.matched, 1)];
  return (
    <div class="progress">
      <p role="status">
        <Badge tone={stateTones[operation.state]}>{operation.state}</Badge> {operation.of ? `${count(operation.matched)} matched, ${count(part)} of ${count(whole)} records read` : operation.matched ? `${count(through)} of ${count(operation.matched)}` : ''}
      </p>
      <progress aria-label="Progress" max={whole} value={operation.state === 'done' ? whole : part} />
      <Facts
        of={[
          ['Done', count(operation.done)],
          ['Left out', [count(operation.skipped), ...leftOut(operation.skipped_for).map(([name, n]) => `${count(n)} ${whyLeftOut[name] ?? word(name)}`)].join('; ')],
          ['Failed', count(operation.failed)],
          ['Operation', <a href={href('operations/' + encodeURIComponent(operation.id))}>{operation.id}</a>],
        ]}
      />
      {operation.error && <p class="error-text">{operation.error}</p>}
      {operation.state === 'interrupted' && <p>It went silent, perhaps with its node. Start it anew with the same filter: what is done already is passed over.</p>}
      {failure && <Problem failure={failure} />}
      {running && (
        <button type="button" class="button" disabled={stopping} onClick={() => void cancel()}>
          {stopping ? 'Stopping…' : 'Stop it'}
        </button>
      )}
    </div>
  );
}
