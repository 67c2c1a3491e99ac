// A browser that the tests hold in their hands: sockets, page, network and time.
import { mock } from "node:test";
import { connect } from "pushgate";

/** Sockets in the order in which they were made. */
export class FakeSocket {
  static all = [];
  static get last() {
    return FakeSocket.all.at(-1);
  }
  sent = [];
  closed = undefined; // the code this side closed with
  constructor(url, protocols) {
    if (protocols.some((name) => /[ =/]/.test(name))) throw new SyntaxError("no subprotocol: " + protocols);
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
  }
  send(text) {
    this.sent.push(...JSON.parse(text).ack);
    this.frames = (this.frames || 0) + 1;
  }
  close(code) {
    this.closed = code ?? 1005;
  }
  open() {
    this.onopen?.({});
  }
  message(id, more = {}) {
    this.onmessage?.({ data: JSON.stringify({ id, type: "t", time: "2030-01-02T15:04:05Z", attempt: 1, data: 1, ...more }) });
  }
  end(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }
}

/** One that tells more than a browser's: as that of the package ws. */
export class Telling extends FakeSocket {
  heard = {};
  on(name, listener) {
    this.heard[name] = listener;
  }
}

/** Lets promises and microtasks come to rest. */
export async function settle() {
  for (let i = 0; i < 20; i++) await null;
}

/** Time passes. */
export async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

/** Sets the world up for one test. Math.random() is 0.5: pauses are half of their limit. */
export function world(test) {
  FakeSocket.all = [];
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_000_000 });
  const random = mock.method(Math, "random", () => 0.5);
  const target = new EventTarget();
  const page = new EventTarget();
  page.visibilityState = "visible";
  const navigator = { onLine: true };
  const put = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  put("navigator", navigator);
  put("document", page);
  put("addEventListener", target.addEventListener.bind(target));
  put("removeEventListener", target.removeEventListener.bind(target));
  test.after(() => {
    mock.timers.reset();
    random.mock.restore();
    for (const name of ["document", "addEventListener", "removeEventListener", "navigator"]) delete globalThis[name];
    if (before) Object.defineProperty(globalThis, "navigator", before);
  });
  return {
    offline() {
      navigator.onLine = false;
      target.dispatchEvent(new Event("offline"));
    },
    online() {
      navigator.onLine = true;
      target.dispatchEvent(new Event("online"));
    },
    hide() {
      page.visibilityState = "hidden";
      page.dispatchEvent(new Event("visibilitychange"));
    },
    show() {
      page.visibilityState = "visible";
      page.dispatchEvent(new Event("visibilitychange"));
    },
    /** The device sleeps: time passes, and no timer runs. */
    sleep(milliseconds) {
      mock.timers.setTime(Date.now() + milliseconds);
    },
  };
}

/** A device of user 42, and what it has seen. */
export async function device(options = {}) {
  const d = { handled: [], states: [], errors: [] };
  d.connection = connect({
    url: "ws://gateway",
    user: "42",
    WebSocket: FakeSocket,
    onMessage: (message) => void d.handled.push(message.id),
    onState: (state) => d.states.push(state),
    onError: (error, message) => d.errors.push(message ? `${message.id}: ${error.message}` : error.message),
    ...options,
  });
  await settle();
  return d;
}

/** One that is connected. */
export async function open(options) {
  const d = await device(options);
  FakeSocket.last.open();
  await settle();
  return d;
}

/** A handler's work, to be finished by hand. */
export function work() {
  const under = new Map();
  return {
    started: [],
    onMessage(message) {
      this.started.push(message.id);
      return new Promise((resolve, reject) => under.set(message.id, { resolve, reject }));
    },
    async done(id) {
      under.get(id).resolve();
      await settle();
    },
    async failed(id) {
      under.get(id).reject(new Error("disk full"));
      await settle();
    },
  };
}
