// The client of Pushgate for browsers and Node: takes the messages of one user,
// acknowledges what was handled, drops repeats, and stays connected. What the gateway
// promises, and expects, is in docs/connecting.md.

/** A message of the user. */
export interface Message<Data = unknown> {
  /** The same each time the message is offered. */
  id: string;
  /** Business type. */
  type: string;
  /** When it was produced (RFC 3339); the same each time it is offered. */
  time: string;
  /** Above 1: it was offered before, whether or not it came here. */
  attempt: number;
  /** The payload: a JSON value, or a Uint8Array where its content type is not JSON. */
  data: Data;
}

/** How the connection is doing. */
export type State =
  /** `attempt` counts from 1 since a connection has last proved stable. */
  | { name: "connecting"; attempt: number }
  | { name: "open" }
  /**
   * A connection, or an attempt, has ended. After `final` there will be no other one;
   * otherwise `waiting` or `connecting` follows. 1006: no close frame, as when the
   * network fails or the handshake is refused; browsers do not say which.
   */
  | { name: "closed"; code: number; reason: string; final: boolean }
  /**
   * The next attempt comes after `delay` milliseconds, or sooner when the network is
   * back or the page is shown. `lost`: a connection had been open. `refused`: none came
   * about. `token`: the callback failed. `offline`: the browser says it has no network.
   */
  | { name: "waiting"; delay: number; reason: "lost" | "refused" | "token" | "offline" };

/** A token, or what gets one. */
export type Token = string | (() => string | undefined | Promise<string | undefined>);

/** What this needs of a WebSocket: the browser's, that of Node 22, or the package ws. */
export interface Socket {
  onopen: any;
  onmessage: any;
  onclose: any;
  onerror: any;
  send(text: string): void;
  close(code?: number): void;
}

export interface Options<Data = unknown> {
  /**
   * The gateway: ws(s)://host, or http(s)://, with a path in front or a query if there
   * is one. Also the whole address, /websocket/{type}/{user} included; `user` and `type`
   * do not count then. Default: the host of the page.
   */
  url?: string | URL;
  user?: string;
  /** Business type to take. Default: all. */
  type?: string;
  /**
   * A callback is asked before each connection, so that it can bring a fresh one. A
   * string that has expired (4401) is the end.
   */
  token?: Token;
  /**
   * Is called once for each message. It is acknowledged when this has returned, or what
   * it returned has resolved. When it throws or rejects, the message is not
   * acknowledged and comes again.
   */
  onMessage: (message: Message<Data>) => unknown;
  onState?: (state: State) => void;
  /**
   * What onMessage or token has thrown; `message` is the one that was being handled.
   * Default: console.error.
   */
  onError?: (error: unknown, message?: Message<Data>) => void;
  /**
   * How many messages are handled at a time. Default 1: one after another, in the order
   * in which they came.
   */
  concurrency?: number;
  /** How many ids of handled messages are remembered, to drop repeats. Default 4096. */
  remember?: number;
  /** Longest pause between two attempts, in milliseconds. Default 30000. */
  maxDelay?: number;
  /** How long a handshake may take, in milliseconds. Default 10000. */
  connectTimeout?: number;
  /**
   * How often a sign of life is sent, in milliseconds; with the package ws, how often is
   * looked for one of the gateway. Default 30000; not below 1.25 times its
   * session.ping_interval.
   */
  heartbeat?: number;
  /** Default: the global one, which Node has from 22 on. */
  WebSocket?: new (url: string, protocols: string[]) => Socket;
}

export interface Connection {
  readonly state: State;
  /**
   * Takes no more messages, waits for the handlers under way so that what they have
   * done is acknowledged, and ends the connection. Called again: does not wait any more.
   * Resolves when all is over.
   */
  close(): Promise<void>;
}

// As docs/connecting.md wants it; times in milliseconds.
const firstLimit = 500;
const longestRest = 300_000;
const stable = 5000;
// Connecting again would only be closed again: 1000 is the answer to our own, the others
// say that this client, or what it sends, is wrong, and 4409 that a newer connection has
// taken its place.
const finalCodes = [1000, 1002, 1003, 1007, 1008, 1009, 1010, 4409];
const expiredCode = 4401;
const lostCode = 1006;
// The gateway offers no more to a connection at a time (session.max_unacked).
const maxPending = 1024;
// Ids in one frame: with the longest ids, all escaped, it stays below 64 KiB.
const maxAcks = 40;
// Browsers run timers of hidden pages once a minute at least. Longer gaps are those of a
// device, or a page, that was asleep.
const longestTick = 90000;

/** Connects as a user, and stays connected until close(), or a final end. */
export function connect<Data = unknown>(options: Options<Data>): Connection {
  const { token, onMessage, onState, concurrency = 1, remember = 4096, maxDelay = 30000, connectTimeout = 10000, heartbeat = 30000 } = options;
  const onError = options.onError || ((error: unknown) => console.error(error));
  const WebSocket = options.WebSocket || (globalThis.WebSocket as unknown as NonNullable<Options["WebSocket"]>);
  if (!WebSocket) throw new TypeError("there is no WebSocket here: pass one as the option WebSocket, such as that of the package ws");
  if (typeof onMessage != "function") throw new TypeError("onMessage must be a function");
  const address = addressOf(options);
  const page = globalThis.document as Document | undefined;

  let state: State = { name: "connecting", attempt: 1 };
  let socket: Socket | undefined; // while connecting or open
  let dials = 0; // tells an attempt, while its token is fetched, that another has begun
  let opened = 0; // when the connection was; 0 while there is none
  let attempt = 0;
  let limit = firstLimit; // of the next pause
  let rest = 0; // what the gateway wants to be left alone for before that, in milliseconds
  let timer: ReturnType<typeof setTimeout> | undefined; // of the pause, or of the handshake
  let paused = false;
  let closing = false;
  let over = false;
  let heard = 0; // when a sign of life came last
  let ticked = Date.now();

  const seen = new Set<string>(); // handled, the oldest first
  const pending = new Set<string>(); // queued, or being handled
  const queue: Message<Data>[] = [];
  let running = 0; // handlers
  let acks: string[] = [];

  let ended: () => void;
  const end = new Promise<void>((resolve) => (ended = resolve));

  // What an application's callback throws must not leave this half done.
  function call<Args extends unknown[]>(callback: ((...args: Args) => void) | undefined, ...args: Args) {
    try {
      callback?.(...args);
    } catch (error) {
      console.error(error);
    }
  }

  function become(next: State) {
    state = next;
    call(onState, next);
  }

  async function dial() {
    const mine = ++dials;
    clearTimeout(timer);
    paused = false;
    become({ name: "connecting", attempt: ++attempt });
    let secret: string | undefined;
    let opening: Socket;
    try {
      secret = typeof token == "function" ? await token() : token;
      if (mine != dials) return;
      // Browsers cannot set headers: the token is a subprotocol. One that cannot be
      // makes the constructor throw.
      opening = new WebSocket(address, secret ? ["pushgate.v1", "bearer." + secret] : ["pushgate.v1"]);
    } catch (error) {
      if (mine == dials) {
        call(onError, error);
        if (mine == dials) lose(lostCode, "no token", "token");
      }
      return;
    }
    socket = opening;
    const current = () => socket == opening;
    // A browser does not show why it was refused. The package ws does, and leaves it to
    // who asks to end the attempt.
    (opening as any).on?.("unexpected-response", (_: unknown, answer: any) => {
      if (current()) rest = Math.min(answer.headers["retry-after"] * 1000 || 0, longestRest);
      (opening as any).terminate();
    });
    timer = setTimeout(() => abandon("the handshake took too long"), connectTimeout);
    opening.onopen = () => {
      if (!current()) return;
      clearTimeout(timer);
      opened = heard = Date.now();
      // The package ws tells of the gateway's pings; a browser answers them unseen.
      (opening as any).on?.("ping", () => (heard = Date.now()));
      become({ name: "open" });
    };
    opening.onmessage = (event: { data: string }) => {
      if (!current() || closing) return;
      heard = Date.now();
      let message;
      try {
        message = decode<Data>(event.data);
      } catch (error) {
        call(onError, error);
        if (current()) abandon("the gateway sent what is no message");
        return;
      }
      take(message);
    };
    opening.onclose = (event: { code: number; reason: string }) => current() && lose(event.code, event.reason);
    opening.onerror = () => {}; // onclose follows; without it, the package ws would throw
  }

  // abandon gives up a connection that nobody has closed.
  function abandon(reason: string, atOnce?: boolean) {
    const old = socket!;
    flush();
    socket = undefined;
    old.close(1000);
    lose(lostCode, reason, undefined, atOnce);
  }

  // lose follows the end of a connection or of an attempt.
  function lose(code: number, reason: string, why?: "token", atOnce?: boolean) {
    const lasted = opened && Date.now() - opened > stable;
    const waiting = why || (opened ? "lost" : "refused");
    const now = ++dials;
    clearTimeout(timer);
    socket = undefined;
    opened = 0;
    if (lasted) {
      limit = firstLimit;
      attempt = 0;
    }
    const expired = code == expiredCode;
    const final = closing || finalCodes.includes(code) || (expired && typeof token != "function");
    if (final) return finish(code, reason);
    become({ name: "closed", code, reason, final });
    if (now != dials) return; // the application has closed
    // A new token is all that was missing - unless they never last.
    if (atOnce || (expired && lasted)) dial();
    else pause(waiting);
  }

  function pause(reason: "lost" | "refused" | "token" | "offline") {
    let delay;
    if (globalThis.navigator?.onLine === false) {
      // The event comes when this changes. Some say so wrongly, though.
      delay = maxDelay;
      reason = "offline";
    } else {
      delay = rest + Math.random() * Math.min(limit, maxDelay);
      limit = Math.min(2 * limit, maxDelay);
    }
    rest = 0;
    paused = true;
    timer = setTimeout(dial, delay);
    become({ name: "waiting", delay, reason });
  }

  function take(message: Message<Data>) {
    const { id } = message;
    if (seen.has(id)) acknowledge(id); // the gateway has not got the first one
    else if (!pending.has(id) && pending.size < maxPending) {
      pending.add(id);
      queue.push(message);
      work();
    }
  }

  function work() {
    while (running < concurrency && queue.length) handle(queue.shift()!);
  }

  async function handle(message: Message<Data>) {
    const { id } = message;
    running++;
    try {
      await onMessage(message);
      seen.add(id);
      if (seen.size > remember) seen.delete(seen.values().next().value!);
      // To whatever connection there is now: it may have been offered again there.
      acknowledge(id);
    } catch (error) {
      call(onError, error, message);
    }
    running--;
    pending.delete(id);
    if (!closing) work();
    else if (!running) goodbye();
  }

  function acknowledge(id: string) {
    if (acks.push(id) == 1) queueMicrotask(flush);
  }

  function flush() {
    const ids = acks;
    acks = [];
    // Without a connection they are lost, and the messages are offered again.
    if (opened) for (let i = 0; i < ids.length; i += maxAcks) send(ids.slice(i, i + maxAcks));
  }

  function send(ack: string[]) {
    socket!.send(JSON.stringify({ ack }));
  }

  // tick looks after a connection that fails without a word.
  function tick() {
    const now = Date.now();
    const gap = now - ticked;
    ticked = now;
    if (!opened) return;
    const watched = (socket as any).on;
    if (gap > Math.max(3 * heartbeat, longestTick) || (watched && now - heard > 2 * heartbeat)) abandon("no sign of life", true);
    // Acknowledging nothing is a sign of life: it keeps the way open, and brings an end
    // to light of which this side was not told. With ws, it would only keep the gateway
    // from pinging.
    else if (!watched) send([]);
  }

  function online() {
    limit = firstLimit;
    if (paused) dial();
    // What was open may have been so on a network that is gone.
    else if (opened) abandon("the network has changed", true);
  }

  function visible() {
    if (page!.visibilityState != "visible") return;
    if (paused) dial();
    else tick();
  }

  function goodbye() {
    if (over) return;
    const old = socket;
    flush();
    socket = undefined;
    finish(1000, "");
    old?.close(1000);
  }

  function finish(code: number, reason: string) {
    over = closing = true;
    dials++;
    opened = 0;
    paused = false;
    clearTimeout(timer);
    clearInterval(ticker);
    queue.length = 0;
    globalThis.removeEventListener?.("online", online);
    page?.removeEventListener("visibilitychange", visible);
    become({ name: "closed", code, reason, final: true });
    ended();
  }

  const ticker = setInterval(tick, heartbeat);
  globalThis.addEventListener?.("online", online);
  page?.addEventListener("visibilitychange", visible);
  // Not at once: callbacks may want what is returned here.
  queueMicrotask(() => over || (globalThis.navigator?.onLine === false ? pause("offline") : dial()));

  return {
    get state() {
      return state;
    },
    close() {
      // Without a connection, or when asked twice, nothing can be acknowledged.
      if (closing || !running || !opened) goodbye();
      closing = true;
      return end;
    },
  };
}

function addressOf({ url, user, type = "all" }: Options<any>): string {
  const address = new URL(url || "/", globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  if (!address.protocol.startsWith("ws")) throw new TypeError("url must begin with ws:, wss:, http: or https:");
  address.hash = "";
  const whole = /\/websocket\/[^/]+\/[^/]+$/;
  if (!whole.test(address.pathname)) {
    address.pathname = address.pathname.replace(/\/$/, "") + "/websocket/" + encodeURIComponent(type) + "/" + encodeURIComponent(user || "");
    // Nor can an address hold the users "." and "..": they mean the directories.
    if (!whole.test(address.pathname)) throw new TypeError("user is missing, or one that cannot be written in an address");
  }
  return address.href;
}

function decode<Data>(text: string): Message<Data> {
  const { data_base64, ...message } = JSON.parse(text);
  if (typeof message.id != "string") throw new TypeError("a message without an id");
  if (data_base64 != null) message.data = Uint8Array.from(atob(data_base64), (c) => c.charCodeAt(0));
  return message;
}
