// What every page is made of.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Failure } from './api';
import { ago, clock, parse, word } from './format';
import type { Loaded } from './live';
import { useForbidden } from './session';

export function Page(p: { title: string; lead?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren }) {
  useEffect(() => {
    document.title = p.title + ' · Pushgate';
  }, [p.title]);
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1 tabIndex={-1}>{p.title}</h1>
          {p.lead && <p class="lead">{p.lead}</p>}
        </div>
        {p.actions && <div class="actions">{p.actions}</div>}
      </header>
      {p.children}
    </div>
  );
}

export function Card(p: { title?: ComponentChildren; aside?: ComponentChildren; children: ComponentChildren; class?: string }) {
  const id = useId();
  return (
    <section class={'card ' + (p.class ?? '')} aria-labelledby={p.title ? id : undefined}>
      {p.title && (
        <div class="card-head">
          <h2 id={id}>{p.title}</h2>
          {p.aside}
        </div>
      )}
      {p.children}
    </section>
  );
}

/** Problem shows a failure: what, why, what to do; and offers to try again. */
export function Problem(p: { failure: Failure; retry?: () => void; stale?: boolean }) {
  return (
    <div class="problem" role="alert">
      <div>
        <strong>{p.failure.what}</strong>
        <p>{p.failure.hint}</p>
        <p class="fine">
          {p.failure.why}
          {p.stale && ' – what is shown below is from before.'}
        </p>
      </div>
      {p.retry && (
        <button type="button" class="button" onClick={p.retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading(p: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" />
      Loading {p.what}…
    </p>
  );
}

export function Empty(p: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{p.title}</strong>
      {p.children && <p>{p.children}</p>}
    </div>
  );
}

/** Shown is what was loaded, or why it is not there. */
export function Shown<T>(p: { of: Loaded<T>; what: string; children: (data: T) => ComponentChildren }) {
  const { data, failure, reload } = p.of;
  return (
    <>
      {failure && <Problem failure={failure} retry={reload} stale={data !== undefined} />}
      {data !== undefined ? p.children(data) : !failure && <Loading what={p.what} />}
    </>
  );
}

export type Tone = 'good' | 'warn' | 'bad' | 'info' | 'quiet';

export function Badge(p: { tone?: Tone; children: ComponentChildren; title?: string }) {
  return (
    <span class={'badge ' + (p.tone ?? 'quiet')} title={p.title}>
      {p.children}
    </span>
  );
}

const reasonTones: Record<string, Tone> = {
  invalid: 'bad',
  too_large: 'bad',
  exhausted: 'bad',
  overflow: 'warn',
  expired: 'warn',
  offline: 'info',
  slow_consumer: 'warn',
  ack_timeout: 'warn',
  unreachable: 'bad',
  write_error: 'warn',
};

export function Reason(p: { name: string }) {
  return (
    <Badge tone={reasonTones[p.name]} title={p.name}>
      {word(p.name)}
    </Badge>
  );
}

/** When is a time of day, with how long ago beside it or under the pointer. */
export function When(p: { at?: string | number; relative?: boolean }) {
  const ms = parse(p.at);
  if (Number.isNaN(ms)) return <span class="quiet">–</span>;
  const iso = new Date(ms).toISOString();
  return (
    <time dateTime={iso} title={p.relative ? iso : `${iso}, ${ago(ms)}`}>
      {p.relative ? ago(ms) : clock(ms)}
    </time>
  );
}

export interface Column<T> {
  head: string;
  cell: (row: T) => ComponentChildren;
  number?: boolean;
  wide?: boolean;
  hideHead?: boolean;
}


/** Table is a table; on a narrow screen each row is a card. The roles survive that. */
export function Table<T>(p: { caption: string; columns: Column<T>[]; rows: T[]; rowKey: (row: T) => string; marked?: (row: T) => boolean; alarming?: (row: T) => boolean }) {
  return (
    <div class="table-box">
      <table role="table">
        <caption class="hidden">{p.caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {p.columns.map((c) => (
              <th key={c.head} role="columnheader" scope="col" class={c.number ? 'number' : ''}>
                {c.hideHead ? <span class="hidden">{c.head}</span> : c.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {p.rows.map((row) => (
            <tr role="row" key={p.rowKey(row)} class={p.alarming?.(row) ? 'alarming' : p.marked?.(row) ? 'marked' : ''}>
              {p.columns.map((c) => (
                <td key={c.head} role="cell" data-label={c.hideHead ? undefined : c.head} class={(c.number ? 'number ' : '') + (c.wide ? 'wide' : '')}>
                  <div>{c.cell(row)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Field(p: { label: string; hint?: string; children: (id: string, hintId?: string) => ComponentChildren; class?: string }) {
  const id = useId();
  return (
    <div class={'field ' + (p.class ?? '')}>
      <label for={id}>{p.label}</label>
      {p.children(id, p.hint ? id + 'h' : undefined)}
      {p.hint && (
        <span class="fine" id={id + 'h'}>
          {p.hint}
        </span>
      )}
    </div>
  );
}

interface InputProps {
  label: string;
  hint?: string;
  value: string;
  onValue: (value: string) => void;
  boxClass?: string;
  type?: 'text' | 'search' | 'password' | 'number' | 'datetime-local';
  placeholder?: string;
  min?: string;
  max?: string;
  required?: boolean;
  disabled?: boolean;
  'data-first'?: boolean;
  'data-search'?: boolean;
}

export function TextField({ label, hint, value, onValue, boxClass, type, ...rest }: InputProps) {
  return (
    <Field label={label} hint={hint} class={boxClass}>
      {(id, hintId) => <input id={id} type={(type ?? 'text') as 'text'} aria-describedby={hintId} autocomplete="off" spellcheck={false} value={value} onInput={(e) => onValue(e.currentTarget.value)} {...rest} />}
    </Field>
  );
}

export function Choice(p: { label: string; value: string; onValue: (value: string) => void; options: [string, string][]; boxClass?: string }) {
  return (
    <Field label={p.label} class={p.boxClass}>
      {(id) => (
        <select id={id} value={p.value} onChange={(e) => p.onValue(e.currentTarget.value)}>
          {p.options.map(([value, text]) => (
            <option key={value} value={value} selected={value === p.value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function Check(p: { label: ComponentChildren; checked: boolean; onValue: (on: boolean) => void; disabled?: boolean; quiet?: boolean }) {
  return (
    <label class="check">
      <input type="checkbox" checked={p.checked} disabled={p.disabled} onChange={(e) => p.onValue(e.currentTarget.checked)} />
      <span class={p.quiet ? 'hidden' : ''}>{p.label}</span>
    </label>
  );
}

/** Changing is a button that changes something: it says why not where it may not. */
export function Changing(p: { onClick: () => void; children: ComponentChildren; danger?: boolean; primary?: boolean; disabled?: boolean; small?: boolean; label?: string }) {
  const forbidden = useForbidden();
  return (
    <button
      type="button"
      class={'button' + (p.primary ? ' primary' : '') + (p.danger ? ' danger' : '') + (p.small ? ' small' : '')}
      aria-label={p.label}
      aria-disabled={forbidden || p.disabled ? 'true' : undefined}
      aria-describedby={forbidden ? 'forbidden' : undefined}
      title={forbidden || undefined}
      onClick={() => forbidden || p.disabled || p.onClick()}
    >
      {p.children}
    </button>
  );
}

/** Dialog is modal: the browser keeps the focus in it, and Escape closes it. */
export function Dialog(p: { title: string; onClose: () => void; children: ComponentChildren; side?: boolean; foot?: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  const leaving = useRef(false);
  const id = useId();
  // Before anything is painted: what is typed at once goes to the dialog.
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    // Not a button: the Enter that has opened the dialog would, as a key press, close it.
    (dialog?.querySelector<HTMLElement>('[data-first]') ?? dialog?.querySelector('h2'))?.focus();
    return () => {
      leaving.current = true;
      dialog?.close(); // The focus goes back to where it was.
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={p.side ? 'side' : ''}
      aria-labelledby={id}
      onClose={(e) => {
        // Escape; a browser does not always ask first, by a cancel event.
        if (e.target === ref.current && !leaving.current) p.onClose();
      }}
      onClick={(e) => {
        if (e.target === ref.current) p.onClose(); // the backdrop
      }}
    >
      <div class="dialog-box">
        <header class="dialog-head">
          <h2 id={id} tabIndex={-1}>
            {p.title}
          </h2>
          <button type="button" class="button plain icon-only" aria-label="Close" onClick={p.onClose}>
            <Icon name="close" />
          </button>
        </header>
        <div class="dialog-body">{p.children}</div>
        {p.foot && <footer class="dialog-foot">{p.foot}</footer>}
      </div>
    </dialog>
  );
}

export function CopyButton(p: { text: string; what: string }) {
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard) return null; // Only where the page is trusted: https, loopback.
  return (
    <button
      type="button"
      class="button plain icon-only small"
      aria-label={copied ? 'Copied' : `Copy ${p.what}`}
      title={copied ? 'Copied' : `Copy ${p.what}`}
      onClick={() => {
        navigator.clipboard.writeText(p.text).then(
          () => setCopied(true),
          () => setCopied(false),
        );
      }}
    >
      <Icon name={copied ? 'check' : 'copy'} />
    </button>
  );
}

export function Facts(p: { of: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {p.of
        .filter(([, value]) => value !== undefined && value !== '' && value !== null && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

const icons: Record<string, string> = {
  overview: 'M3 12h4l3-8 4 16 3-8h4',
  nodes: 'M4 5h16v5H4zM4 14h16v5H4zM8 7.500h.01M8 16.500h.01',
  waiting: 'M12 7v5l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z',
  letters: 'M3 6h18v12H3zM3 7l9 6 9-6',
  operations: 'M5 4h14v16l-3-2-4 2-4-2-3 2zM9 9h6M9 13h4',
  explain: 'M6 5v14M6 7h5M6 12h9M6 17h7',
  playground: 'M7 5l11 7-11 7z',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 13l4 4L19 7',
  menu: 'M4 7h16M4 12h16M4 17h16',
  theme: 'M12 3v2M12 19v2M3 12h2M19 12h2M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM5.600 5.600l1.400 1.400M17 17l1.400 1.400M5.600 18.400L7 17M17 7l1.400-1.400',
  key: 'M14 10a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM13 12.500L20 19M17 16l-2 2',
  help: 'M9 9a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.200-1.500 2.400M12 17.500v.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z',
};

export function Icon(p: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={icons[p.name]} />
    </svg>
  );
}
