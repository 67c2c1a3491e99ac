// The admin API, as far as the console uses it. Addresses are relative, so that the
// console also works behind a proxy that adds a prefix.

export interface Session {
  node: string;
  version: string;
  role: 'operator' | 'reader';
  gateway: boolean;
  routing: string;
  order: string;
}

export interface Point {
  t: string | number;
  sessions: number;
  delivered_per_s: number;
  requests_per_s: number;
  dead_per_s: number;
  waiting: number;
  p50: number;
  p99: number;
}

export interface Overview {
  at: string;
  interval_seconds: number;
  nodes: { alive: number; silent: number };
  now: {
    sessions: number;
    users: number;
    delivered_per_s: number;
    requests_per_s: number;
    dead_per_s: number;
    waiting: number;
    in_flight: number;
    p50: number;
    p99: number;
    oldest_wait?: string | number;
  };
  series: Point[];
}

export interface Reading {
  partition: number;
  position: number;
  end: number;
  lag_messages?: number;
  lag_seconds?: number;
  stalled?: string;
}

export interface Held {
  partition: number;
  in_flight?: number;
  waiting?: number;
  lag_messages?: number;
  lag_seconds?: number;
  oldest_wait?: string;
  stalled?: string;
}

export interface Node {
  node: string;
  at: string;
  version: string;
  started: string;
  roles: string[] | null;
  gateway?: string;
  admin?: string;
  routing: string;
  order: string;
  stopping?: boolean;
  ready: boolean;
  checks?: Record<string, string> | null;
  details?: Record<string, string> | null;
  sessions: number;
  users: number;
  counters?: Record<string, unknown>;
  latency?: { p50: number; p99: number; count: number };
  cpu: number;
  rss: number;
  reading?: Reading[] | null;
  custody?: Held[] | null;
  state: 'alive' | 'silent' | 'stopped';
  since?: string;
  last_report?: string;
  shared_id?: boolean;
}

export interface Nodes {
  nodes: Node[] | null;
  uncustodied: number[] | null;
  warnings?: string[] | null;
}

export interface Letter {
  partition: number;
  offset: number;
  id: string;
  user: string;
  type: string;
  reason: string;
  error: string;
  died_at: string;
  attempt: number;
  failures: number;
  replays: number;
  again: boolean;
  state: 'open' | 'replayed' | 'discarded';
  size: number;
  preview: string;
}

export interface WholeLetter extends Letter, Payload {
  headers: { key: string; value: string }[] | null;
  origin?: { topic: string; partition: number; offset: number };
  first_seen?: string;
  expires?: string;
  node?: string;
  operation?: string;
}

export interface Payload {
  data?: unknown;
  data_base64?: string;
  text?: string;
}

export interface Letters {
  letters: Letter[] | null;
  next?: string;
  complete: boolean;
  scanned: number;
  home_only?: boolean;
}

export interface Operation {
  id: string;
  kind: string;
  by: string;
  filter: Record<string, string> | null;
  why?: string;
  state: 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';
  began: string;
  updated: string;
  ended?: string;
  matched: number;
  done: number;
  skipped: number;
  failed: number;
  skipped_for?: Record<string, number>;
  error?: string;
  scanned?: number;
  of?: number;
}

export interface Wait extends Payload {
  user: string;
  id: string;
  type: string;
  reason: string;
  partition: number;
  origin: number;
  attempt: number;
  failures: number;
  first_seen: string;
  since: string;
  due: string;
  expires?: string;
  size: number;
}

export interface Waits {
  waits: Wait[] | null;
  next?: string;
  complete: boolean;
}

export interface WaitingSummary {
  total: number;
  by_reason: Record<string, number> | null;
  oldest?: string;
  next_due?: string;
  by_partition?: Record<string, number> | number[] | null;
}

export interface StoryEvent {
  time?: string;
  kind: string;
  where?: string | { topic?: string; partition?: number; offset?: number; node?: string };
  text: string;
}

export interface MessageStory {
  id: string;
  user?: string;
  type: string;
  outcome: string;
  events: StoryEvent[] | null;
}

export interface Story {
  user: string;
  messages: MessageStory[] | null;
  gaps: string[] | null;
}

export interface Group {
  name: string;
  node: string;
  state: string;
  members: number;
  lag: number;
  last_seen?: string;
  gone: boolean;
  why?: string;
}

/** Failure says what did not work, why, and what to do about it. */
export class Failure extends Error {
  constructor(
    readonly what: string,
    readonly why: string,
    readonly hint: string,
    readonly status: number,
  ) {
    super(what);
  }

  get unreachable(): boolean {
    return this.status === 0;
  }
}

const tokenKey = 'pushgate-token';
let held = '';
try {
  held = sessionStorage.getItem(tokenKey) ?? '';
} catch {
  // Storage may be forbidden: the token lasts as long as the page.
}

export const token = {
  get: (): string => held,
  set(value: string): void {
    held = value;
    try {
      if (value) sessionStorage.setItem(tokenKey, value);
      else sessionStorage.removeItem(tokenKey);
    } catch {
      // As above.
    }
  },
};

/** Told when the API asks for a token, or refuses the one it was given. */
export const tokenWanted = new EventTarget();

export type Query = Record<string, string | number | boolean | undefined>;

export function query(q: Query): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(q)) if (value !== undefined && value !== '') params.set(key, String(value));
  const text = params.toString();
  return text && '?' + text;
}

/** get reads path below /v1. It throws a Failure. */
export function get<T>(path: string, q: Query = {}, signal?: AbortSignal): Promise<T> {
  return call<T>('GET', path + query(q), undefined, {}, signal);
}

/** post changes something. It throws a Failure. */
export function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return call<T>('POST', path, JSON.stringify(body), {}, signal);
}

export function postRaw<T>(path: string, body: string, headers: Record<string, string>): Promise<T> {
  return call<T>('POST', path, body, headers);
}

async function call<T>(method: string, path: string, body?: string, extra: Record<string, string> = {}, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json', ...extra };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (held) headers.Authorization = 'Bearer ' + held;
  const what = `${method} /v1/${path.split('?')[0]}`;
  let response: Response;
  try {
    const limit = AbortSignal.timeout(30_000);
    response = await fetch('v1/' + path, {
      method,
      headers,
      body,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      cache: 'no-store',
      credentials: 'same-origin',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const slow = error instanceof DOMException && error.name === 'TimeoutError';
    throw new Failure(
      slow ? 'The node took too long to answer' : 'The node does not answer',
      `${what}: ${slow ? 'nothing came within 30 seconds' : 'no connection'}`,
      'Check that the node runs and that this machine reaches its admin listener (admin.listen), then try again.',
      0,
    );
  }
  const text = await response.text();
  let answer: unknown;
  try {
    answer = text ? JSON.parse(text) : undefined;
  } catch {
    answer = undefined;
  }
  if (response.ok) {
    if (answer === undefined && text) {
      throw new Failure('The answer is not JSON', what, 'Something between here and the node may answer in its place: a proxy, a login page.', response.status);
    }
    return answer as T;
  }
  if (response.status === 401) tokenWanted.dispatchEvent(new Event('wanted'));
  const told = (answer ?? {}) as { error?: string; hint?: string };
  throw new Failure(
    told.error || text.trim().slice(0, 300) || `The node answered ${response.status}`,
    `${what} answered ${response.status} ${response.statusText}`.trim(),
    told.hint || hints[response.status] || 'Try again; if it goes on, the log of the node says more.',
    response.status,
  );
}

const hints: Record<number, string> = {
  401: 'Give the token of the admin API.',
  403: 'Use the operator’s token (admin.token); the reader’s may look only.',
  404: 'It may be gone meanwhile, or this version of the node does not have it.',
  409: 'Something else is at work on the same; wait until it has ended.',
  501: 'Open the console of a node that can.',
  503: 'The node is starting, stopping, or has lost its broker. See Nodes.',
};

export interface Pruned {
  dry_run: boolean;
  deleted: Group[] | null;
  kept: Group[] | null;
  failed: Group[] | null;
  operation?: string;
}
