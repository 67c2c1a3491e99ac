// The frame around the pages: navigation, token, keyboard.
import type { ComponentType } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Session, token, tokenWanted } from './api';
import { Epoch, useGet } from './live';
import { Dialog, Icon, Loading, Problem, TextField } from './parts';
import { Route, go, href, useRoute } from './route';
import { Current } from './session';
import { toggleTheme } from './theme';
import { OverviewPage } from './pages/overview';
import { NodesPage } from './pages/nodes';
import { WaitingPage } from './pages/waiting';
import { LettersPage } from './pages/letters';
import { OperationsPage } from './pages/operations';
import { ExplainPage } from './pages/explain';
import { PlaygroundPage } from './pages/playground';

interface Entry {
  page: string;
  title: string;
  icon: string;
  key: string;
  view: ComponentType<{ route: Route }>;
}

const entries: Entry[] = [
  { page: 'overview', title: 'Overview', icon: 'overview', key: 'o', view: OverviewPage },
  { page: 'nodes', title: 'Nodes', icon: 'nodes', key: 'n', view: NodesPage },
  { page: 'waiting', title: 'Waiting', icon: 'waiting', key: 'w', view: WaitingPage },
  { page: 'dead-letters', title: 'Dead letters', icon: 'letters', key: 'd', view: LettersPage },
  { page: 'operations', title: 'Operations', icon: 'operations', key: 'a', view: OperationsPage },
  { page: 'explain', title: 'Explain', icon: 'explain', key: 'e', view: ExplainPage },
  { page: 'playground', title: 'Playground', icon: 'playground', key: 'p', view: PlaygroundPage },
];

export function App() {
  const [epoch, setEpoch] = useState(0);
  return (
    <Epoch.Provider value={epoch}>
      <Frame renew={() => setEpoch((n) => n + 1)} />
    </Epoch.Provider>
  );
}

function Frame(p: { renew: () => void }) {
  const route = useRoute();
  const session = useGet<Session>('session', {}, 30_000);
  const [asks, setAsks] = useState(false);
  const [helps, setHelps] = useState(false);
  const [menu, setMenu] = useState(false);
  const main = useRef<HTMLElement>(null);

  useEffect(() => {
    const wanted = () => setAsks(true);
    tokenWanted.addEventListener('wanted', wanted);
    return () => tokenWanted.removeEventListener('wanted', wanted);
  }, []);
  useKeyboard({ help: () => setHelps(true), renew: p.renew });

  // Another page: its heading is where reading goes on.
  const first = useRef(true);
  useEffect(() => {
    setMenu(false);
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
  }, [route.page]);

  const entry = entries.find((e) => e.page === route.page);
  const View = entry?.view;
  const s = session.data;
  return (
    <Current.Provider value={s}>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault(); // The address is the page's.
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href={href('overview')}>
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="8" />
            <path class="posts" d="M8 8v16M24 8v16" />
            <path d="M12 16h8m-3.500-4 4 4-4 4" />
          </svg>
          Pushgate
        </a>
        <button type="button" class="button plain icon-only menu-button" aria-expanded={menu} aria-controls="nav" aria-label="Menu" onClick={() => setMenu(!menu)}>
          <Icon name="menu" />
        </button>
        <nav id="nav" class={menu ? 'open' : ''} aria-label="Pages">
          <ul>
            {entries.map((e) => (
              <li key={e.page}>
                <a href={href(e.page)} aria-current={e.page === route.page ? 'page' : undefined}>
                  <Icon name={e.icon} />
                  {e.title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="bar-foot">
          {s && (
            <p class="who">
              <span title="The node that answers">{s.node}</span>
              <span class="fine">
                {s.version} · {s.role === 'reader' ? 'read only' : 'operator'}
              </span>
            </p>
          )}
          <div class="bar-buttons">
            <button type="button" class="button plain icon-only" aria-label="Light or dark" title="Light or dark (t)" onClick={toggleTheme}>
              <Icon name="theme" />
            </button>
            <button type="button" class="button plain icon-only" aria-label="Token" title="Token" onClick={() => setAsks(true)}>
              <Icon name="key" />
            </button>
            <button type="button" class="button plain icon-only" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick={() => setHelps(true)}>
              <Icon name="help" />
            </button>
          </div>
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {s?.role === 'reader' && (
          <p class="note" id="forbidden">
            You may look, but not change anything: this is the reader’s token. What changes something takes the operator’s (admin.token).
          </p>
        )}
        {session.failure && session.failure.status !== 401 && <Problem failure={session.failure} retry={p.renew} stale={!!s} />}
        {!s && !session.failure && <Loading what="the session" />}
        {!s && session.failure?.status === 401 && (
          <div class="empty">
            <strong>The token is needed</strong>
            <p>The admin API of this node asks for a token.</p>
            <button type="button" class="button primary" onClick={() => setAsks(true)}>
              Give the token
            </button>
          </div>
        )}
        {s &&
          (View ? (
            <View route={route} />
          ) : (
            <div class="empty">
              <h1>There is no such page</h1>
              <p>
                <a href={href('overview')}>Go to the overview</a>
              </p>
            </div>
          ))}
      </main>
      {asks && (
        <TokenDialog
          refused={session.failure?.status === 401 && !!token.get()}
          onClose={() => setAsks(false)}
          onToken={(value) => {
            token.set(value);
            setAsks(false);
            p.renew();
          }}
        />
      )}
      {helps && <HelpDialog onClose={() => setHelps(false)} />}
    </Current.Provider>
  );
}

function TokenDialog(p: { refused: boolean; onClose: () => void; onToken: (token: string) => void }) {
  const [value, setValue] = useState('');
  return (
    <Dialog
      title="Token"
      onClose={p.onClose}
      foot={
        <>
          {token.get() && (
            <button type="button" class="button" onClick={() => p.onToken('')}>
              Forget it
            </button>
          )}
          <button type="submit" form="token" class="button primary" disabled={!value.trim()}>
            Use it
          </button>
        </>
      }
    >
      <form
        id="token"
        onSubmit={(e) => {
          e.preventDefault();
          if (value.trim()) p.onToken(value.trim());
        }}
      >
        {p.refused && (
          <p class="error-text" role="alert">
            The node does not accept this token. Check that it is the one of this node’s configuration.
          </p>
        )}
        <TextField
          label="Token of the admin API"
          hint="admin.token of the node’s configuration, or admin.read_token to look only. It is kept until this tab is closed."
          type="password"
          value={value}
          onValue={setValue}
          data-first
        />
      </form>
    </Dialog>
  );
}

function HelpDialog(p: { onClose: () => void }) {
  const rows: [string[], string][] = [
    ...entries.map((e): [string[], string] => [['g', e.key], e.title]),
    [['/'], 'Search on this page'],
    [['j'], 'Next row'],
    [['k'], 'Previous row'],
    [['x'], 'Select the row'],
    [['Enter'], 'Open the row'],
    [['r'], 'Load anew'],
    [['t'], 'Light or dark'],
    [['Esc'], 'Close'],
    [['?'], 'This list'],
  ];
  return (
    <Dialog title="Keyboard shortcuts" onClose={p.onClose}>
      <dl class="keys">
        {rows.map(([keys, does]) => (
          <div key={does}>
            <dt>
              {keys.map((k) => (
                <kbd key={k}>{k}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

/** After "g", for so many milliseconds, the next key names a page. */
const chordPatience = 1500;

function useKeyboard(p: { help: () => void; renew: () => void }) {
  const latest = useRef(p);
  latest.current = p;
  useEffect(() => {
    let chord = 0;
    const pressed = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || isTyping(e.target) || document.querySelector('dialog[open]')) return;
      const began = chord;
      chord = 0;
      if (began && e.timeStamp - began < chordPatience) {
        const entry = entries.find((x) => x.key === e.key);
        if (entry) {
          e.preventDefault();
          go(entry.page);
          return;
        }
      }
      const does: Record<string, () => void> = {
        g: () => (chord = e.timeStamp),
        '/': () => {
          const search = document.querySelector<HTMLInputElement>('[data-search]');
          search?.focus();
          search?.select();
        },
        '?': () => latest.current.help(),
        r: () => latest.current.renew(),
        t: toggleTheme,
        j: () => moveRow(1),
        k: () => moveRow(-1),
        x: () => document.activeElement?.closest('tr')?.querySelector<HTMLInputElement>('input[type=checkbox]')?.click(),
      };
      const act = does[e.key];
      if (!act) return;
      e.preventDefault();
      act();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input:not([type=checkbox]), textarea, select, [contenteditable]');
}

function moveRow(step: number) {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step));
  rows[next].focus();
}
