import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "pushgate";
import { FakeSocket, Telling, device, open, pass, settle, work, world } from "./fakes.mjs";

const minute = 60_000;

test("where it connects, and what it says there", async (t) => {
  world(t);
  for (const [options, url] of [
    [{}, "ws://gateway/websocket/all/42"],
    [{ type: "order" }, "ws://gateway/websocket/order/42"],
    [{ url: "https://gateway/edge/" }, "wss://gateway/edge/websocket/all/42"],
    [{ url: "http://gateway:8080/?x=1#top" }, "ws://gateway:8080/websocket/all/42?x=1"],
    [{ url: new URL("wss://gateway") }, "wss://gateway/websocket/all/42"],
    [{ user: "a/b ?ü" }, "ws://gateway/websocket/all/a%2Fb%20%3F%C3%BC"],
    [{ url: "ws://gateway/websocket/order/43", user: undefined }, "ws://gateway/websocket/order/43"],
  ]) {
    const d = await device(options);
    assert.equal(FakeSocket.last.url, url);
    assert.deepEqual(FakeSocket.last.protocols, ["pushgate.v1"]);
    d.connection.close();
  }
  await device({ token: "a.b.c" });
  assert.deepEqual(FakeSocket.last.protocols, ["pushgate.v1", "bearer.a.b.c"]);
});

test("without an address, it connects to where the page is from", async (t) => {
  world(t);
  globalThis.location = new URL("https://shop.example/basket");
  t.after(() => delete globalThis.location);
  await device({ url: undefined });
  assert.equal(FakeSocket.last.url, "wss://shop.example/websocket/all/42");
});

test("what cannot work is an error at once", () => {
  const good = { url: "ws://gateway", user: "42", onMessage() {}, WebSocket: FakeSocket };
  for (const [bad, message] of [
    [{ url: "ftp://gateway" }, /must begin with ws/],
    [{ url: "gateway:8080" }, /must begin with ws/],
    [{ url: "not an address" }, /URL/],
    [{ user: undefined }, /user is missing/],
    [{ user: ".." }, /cannot be written/],
    [{ onMessage: undefined }, /onMessage/],
  ]) {
    assert.throws(() => connect({ ...good, ...bad }), message);
  }
  const native = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  delete globalThis.WebSocket;
  assert.throws(() => connect({ ...good, WebSocket: undefined }), /package ws/);
  if (native) Object.defineProperty(globalThis, "WebSocket", native);
});

test("its states are told in order", async (t) => {
  world(t);
  const d = await open();
  FakeSocket.last.end(1001, "going away");
  await pass(250);
  assert.deepEqual(d.states, [
    { name: "connecting", attempt: 1 },
    { name: "open" },
    { name: "closed", code: 1001, reason: "going away", final: false },
    { name: "waiting", delay: 250, reason: "lost" },
    { name: "connecting", attempt: 2 },
  ]);
  assert.equal(d.connection.state, d.states.at(-1));
});

test("it connects again after an end that passes, and not after others", async (t) => {
  world(t);
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 1015, 4000]) {
    const d = await open();
    FakeSocket.last.end(code);
    assert.deepEqual(d.states.at(-2), { name: "closed", code, reason: "", final: false });
    assert.equal(d.connection.state.name, "waiting");
    d.connection.close();
  }
  for (const code of [1000, 1002, 1003, 1007, 1008, 1009, 1010, 4409]) {
    const d = await open({ token: () => "t" });
    FakeSocket.last.end(code);
    assert.deepEqual(d.states.at(-1), { name: "closed", code, reason: "", final: true });
    const sockets = FakeSocket.all.length;
    await d.connection.close();
    await pass(10 * minute);
    assert.equal(FakeSocket.all.length, sockets);
  }
});

test("pauses grow from half a second to their bound, and are spread down to nothing", async (t) => {
  world(t);
  const d = await device();
  const waits = () => d.states.filter((s) => s.name == "waiting").map((s) => s.delay);
  for (let i = 0; i < 9; i++) {
    FakeSocket.last.end();
    await pass(15_000);
  }
  assert.deepEqual(waits(), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  assert.ok(d.states.every((s) => s.name != "waiting" || s.reason == "refused"));
  t.mock.method(Math, "random", () => 0);
  FakeSocket.last.end();
  assert.equal(waits().at(-1), 0);
});

test("a gateway that says when to come back is not asked sooner, where that can be seen", async (t) => {
  world(t);
  const d = await device({ WebSocket: Telling, maxDelay: 10 });
  const refuse = (after) => {
    const refused = FakeSocket.last;
    refused.terminate = () => refused.end();
    refused.heard["unexpected-response"]({}, { headers: { "retry-after": after } });
    return d.connection.state.delay;
  };
  for (const [after, delay] of [["7", 7005], ["9999", 300_005], ["soon", 5], [undefined, 5]]) {
    assert.equal(refuse(after), delay);
    await pass(delay - 1);
    assert.equal(d.connection.state.name, "waiting");
    await pass(1);
    assert.equal(d.connection.state.name, "connecting");
  }
  refuse("7");
  await pass(7005);
  FakeSocket.last.end();
  assert.equal(d.connection.state.delay, 5, "for one pause only");
});

test("a bound below the first pause is kept, too", async (t) => {
  world(t);
  const d = await device({ maxDelay: 10 });
  FakeSocket.last.end();
  assert.equal(d.connection.state.delay, 5);
});

test("pauses begin anew only once a connection has proved stable", async (t) => {
  world(t);
  const d = await open();
  const after = async (life) => {
    await pass(life);
    FakeSocket.last.end();
    const { delay } = d.connection.state;
    await pass(delay);
    FakeSocket.last.open();
    return delay;
  };
  assert.equal(await after(0), 250);
  assert.equal(await after(5000), 500);
  assert.equal(await after(1), 1000);
  assert.equal(await after(5001), 250);
  assert.equal(d.states.findLast((s) => s.name == "connecting").attempt, 1);
});

test("a handshake that takes too long is given up", async (t) => {
  world(t);
  const d = await device();
  await pass(9999);
  assert.equal(d.connection.state.name, "connecting");
  await pass(1);
  assert.equal(FakeSocket.last.closed, 1000);
  assert.equal(d.connection.state.name, "waiting");
  FakeSocket.all[0].open(); // too late
  assert.equal(d.connection.state.name, "waiting");
});

test("what an old connection still says is not listened to", async (t) => {
  const w = world(t);
  const d = await open();
  const old = FakeSocket.last;
  w.online();
  await settle();
  old.message("a");
  old.end(4409);
  await settle();
  assert.deepEqual(d.handled, []);
  assert.equal(d.connection.state.name, "connecting");
});

test("the token is fetched for each connection", async (t) => {
  world(t);
  let n = 0;
  const d = await open({ token: async () => `t${++n}` });
  FakeSocket.last.end();
  await pass(250);
  assert.deepEqual(FakeSocket.all.map((s) => s.protocols[1]), ["bearer.t1", "bearer.t2"]);
  d.connection.close();
});

test("a token that has expired is replaced at once, unless none of them lasts", async (t) => {
  world(t);
  let n = 0;
  const d = await open({ token: () => `t${++n}` });
  await pass(5001);
  FakeSocket.last.end(4401, "the token has expired");
  await settle();
  assert.equal(FakeSocket.all.length, 2);
  assert.equal(FakeSocket.last.protocols[1], "bearer.t2");
  FakeSocket.last.open();
  FakeSocket.last.end(4401);
  await settle();
  assert.deepEqual(d.connection.state, { name: "waiting", delay: 250, reason: "lost" });
});

test("a token that is no callback and has expired is the end", async (t) => {
  world(t);
  const d = await open({ token: "t" });
  await pass(minute);
  FakeSocket.last.end(4401, "the token has expired");
  assert.deepEqual(d.connection.state, { name: "closed", code: 4401, reason: "the token has expired", final: true });
});

test("a token that cannot be had is told, and asked for again later", async (t) => {
  world(t);
  const tokens = [
    () => Promise.reject(new Error("login failed")),
    () => {
      throw new Error("no network");
    },
    () => "no token",
    () => "t",
  ];
  const d = await device({ token: () => tokens.shift()() });
  assert.deepEqual(d.connection.state, { name: "waiting", delay: 250, reason: "token" });
  await pass(250);
  await pass(500);
  assert.deepEqual(d.errors, ["login failed", "no network", "no subprotocol: pushgate.v1,bearer.no token"]);
  await pass(1000);
  FakeSocket.last.open();
  assert.equal(d.connection.state.name, "open");
});

test("closed while its token is fetched, it does not connect", async (t) => {
  world(t);
  const w = work();
  const d = await device({ token: () => w.onMessage({ id: "token" }) });
  d.connection.close();
  await w.done("token");
  assert.equal(FakeSocket.all.length, 0);
  const e = await device({ token: () => w.onMessage({ id: "token" }) });
  e.connection.close();
  await w.failed("token");
  assert.deepEqual(e.errors, []);
});

test("closed by its own callbacks, it stays closed", async (t) => {
  world(t);
  for (const name of ["connecting", "closed", "waiting"]) {
    const connection = connect({
      url: "ws://gateway",
      user: "42",
      WebSocket: FakeSocket,
      onMessage() {},
      onState: (state) => state.name == name && connection.close(),
    });
    await settle();
    FakeSocket.last?.end();
    await settle();
    const sockets = FakeSocket.all.length;
    await pass(10 * minute);
    assert.equal(connection.state.final, true, name);
    assert.equal(FakeSocket.all.length, sockets, name);
  }
});

test("closed before it began, it never connects", async (t) => {
  world(t);
  const connection = connect({ url: "ws://gateway", user: "42", WebSocket: FakeSocket, onMessage() {} });
  await connection.close();
  await pass(minute);
  assert.equal(FakeSocket.all.length, 0);
});

test("no attempts are made while there is no network, and one as soon as there is", async (t) => {
  const w = world(t);
  w.offline();
  const d = await device();
  assert.deepEqual(d.connection.state, { name: "waiting", delay: 30_000, reason: "offline" });
  assert.equal(FakeSocket.all.length, 0);
  await pass(29_999);
  w.online();
  await settle();
  FakeSocket.last.open();
  w.offline();
  FakeSocket.last.end();
  assert.equal(d.connection.state.reason, "offline");
  w.online();
  await settle();
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.end();
  assert.equal(d.connection.state.delay, 250, "being offline has made no pause longer");
});

test("a browser that is wrong about its network connects all the same, if rarely", async (t) => {
  const w = world(t);
  w.offline();
  const d = await device();
  await pass(30_000);
  FakeSocket.last.end();
  await pass(30_000);
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.open();
  assert.equal(d.connection.state.name, "open");
});

test("a connection from before the network was gone is replaced when it is back", async (t) => {
  const w = world(t);
  const d = await open();
  FakeSocket.last.message("a");
  await settle();
  w.offline();
  assert.equal(d.connection.state.name, "open");
  w.online();
  await settle();
  assert.deepEqual(FakeSocket.all.map((s) => s.closed), [1000, undefined]);
  assert.deepEqual(d.states.slice(-2).map((s) => s.name), ["closed", "connecting"]);
});

test("a page that is shown again does not wait any longer", async (t) => {
  const w = world(t);
  await open();
  w.hide();
  FakeSocket.last.end();
  w.show();
  await settle();
  assert.equal(FakeSocket.all.length, 2);
  w.show();
  await settle();
  assert.equal(FakeSocket.all.length, 2, "while it is connecting there is nothing to do");
});

test("signs of life are sent, so that a dead connection comes to light", async (t) => {
  const w = world(t);
  await open();
  for (let i = 0; i < 4; i++) await pass(30_000);
  assert.equal(FakeSocket.last.frames, 4);
  assert.deepEqual(FakeSocket.last.sent, [], "they acknowledge nothing");
  w.hide();
  w.show();
  assert.equal(FakeSocket.last.frames, 5, "also at once when the page is shown again");
  assert.equal(FakeSocket.all.length, 1);
});

test("a connection that was open when the device slept is replaced", async (t) => {
  const w = world(t);
  await open();
  w.sleep(90_001);
  w.show();
  await settle();
  assert.deepEqual(FakeSocket.all.map((s) => s.closed), [1000, undefined], "as the page is shown");
  FakeSocket.last.open();
  w.sleep(8 * 60 * minute);
  await pass(30_000);
  assert.deepEqual(FakeSocket.all.map((s) => s.closed), [1000, 1000, undefined], "or by the clock, where it was visible all along");
  assert.equal(FakeSocket.last.frames, undefined);
});

test("timers that browsers throttle in hidden pages are no sleep", async (t) => {
  const w = world(t);
  await open({ heartbeat: 10_000 });
  w.hide();
  for (let i = 0; i < 5; i++) {
    w.sleep(60_000);
    await pass(10_000);
  }
  w.show();
  await settle();
  assert.equal(FakeSocket.all.length, 1);
});

test("where pings can be seen, a gateway that is silent for two heartbeats is given up", async (t) => {
  world(t);
  const d = await open({ WebSocket: Telling, heartbeat: 30_000 });
  for (let i = 0; i < 5; i++) {
    await pass(30_000);
    FakeSocket.last.heard.ping();
  }
  await pass(60_000);
  assert.equal(FakeSocket.last.frames, undefined, "a sign of life of its own would keep the gateway from pinging");
  assert.equal(FakeSocket.all.length, 1);
  FakeSocket.last.message("a");
  await pass(60_000);
  assert.equal(FakeSocket.all.length, 1);
  await pass(30_000);
  assert.deepEqual(FakeSocket.all.map((s) => s.closed), [1000, undefined]);
  assert.deepEqual(d.states.at(-2), { name: "closed", code: 1006, reason: "no sign of life", final: false });
});

test("after the end nothing is left that could run", async (t) => {
  const w = world(t);
  const d = await open();
  await d.connection.close();
  d.states.length = 0;
  w.offline();
  w.online();
  w.hide();
  w.show();
  await pass(10 * minute);
  assert.deepEqual(d.states, []);
  assert.equal(FakeSocket.all.length, 1);
});
