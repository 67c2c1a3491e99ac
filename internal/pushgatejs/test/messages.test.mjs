import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSocket, device, open, settle, work, world } from "./fakes.mjs";

test("a message is handed over, and acknowledged once it was handled", async (t) => {
  world(t);
  const w = work();
  await open({ onMessage: (m) => w.onMessage(m) });
  FakeSocket.last.message("a");
  await settle();
  assert.deepEqual(w.started, ["a"]);
  assert.deepEqual(FakeSocket.last.sent, []);
  await w.done("a");
  assert.deepEqual(FakeSocket.last.sent, ["a"]);
});

test("a message has its fields, and bytes where its payload is not JSON", async (t) => {
  world(t);
  const messages = [];
  await open({ onMessage: (m) => void messages.push(m) });
  FakeSocket.last.message("a", { data: { order: 991 } });
  FakeSocket.last.message("b", { data: undefined, data_base64: "/wBo", attempt: 2 });
  FakeSocket.last.message("c", { data: null });
  FakeSocket.last.message("d", { data: undefined, data_base64: "" });
  await settle();
  const common = { type: "t", time: "2030-01-02T15:04:05Z", attempt: 1 };
  assert.deepEqual(messages, [
    { id: "a", ...common, data: { order: 991 } },
    { id: "b", ...common, attempt: 2, data: new Uint8Array([255, 0, 104]) },
    { id: "c", ...common, data: null },
    { id: "d", ...common, data: new Uint8Array() },
  ]);
});

test("what a handler throws or rejects with is told, and the message is not acknowledged and handled again", async (t) => {
  world(t);
  const handled = [];
  const bad = [
    () => {
      throw new Error("disk full");
    },
    () => Promise.reject(new Error("quota")),
    () => {},
  ];
  const d = await open({ onMessage: (m) => (handled.push(m.id), bad.shift()()) });
  for (let i = 0; i < 4; i++) {
    FakeSocket.last.message("a");
    await settle();
  }
  assert.deepEqual(d.errors, ["a: disk full", "a: quota"]);
  assert.deepEqual(handled, ["a", "a", "a"]);
  assert.deepEqual(FakeSocket.last.sent, ["a", "a"], "handled once, acknowledged again");
});

test("a repeat is acknowledged again and not handled again, also on another connection", async (t) => {
  const w = world(t);
  const d = await open();
  FakeSocket.last.message("a");
  await settle();
  FakeSocket.last.message("a");
  await settle();
  FakeSocket.last.end();
  w.online();
  await settle();
  assert.deepEqual(d.handled, ["a"]);
  assert.deepEqual(FakeSocket.all[0].sent, ["a", "a"]);
  FakeSocket.last.open();
  FakeSocket.last.message("a");
  await settle();
  assert.equal(FakeSocket.all.length, 2);
  assert.deepEqual(d.handled, ["a"]);
  assert.deepEqual(FakeSocket.last.sent, ["a"]);
});

test("only the ids handled last are remembered", async (t) => {
  world(t);
  const d = await open({ remember: 2 });
  for (const id of ["a", "b", "c", "b", "a"]) {
    FakeSocket.last.message(id);
    await settle();
  }
  assert.deepEqual(d.handled, ["a", "b", "c", "a"]);
});

test("what comes again while it is handled is handled once, and acknowledged to the connection there is then", async (t) => {
  const w = world(t);
  const handler = work();
  await open({ onMessage: (m) => handler.onMessage(m) });
  FakeSocket.last.message("a");
  FakeSocket.last.message("a");
  FakeSocket.last.end();
  w.offline();
  w.online();
  await settle();
  FakeSocket.last.open();
  FakeSocket.last.message("a");
  await handler.done("a");
  assert.deepEqual(handler.started, ["a"]);
  assert.deepEqual(FakeSocket.all.map((s) => s.sent), [[], ["a"]]);
});

test("an acknowledgement for which there is no connection is not kept: the message is offered again", async (t) => {
  const w = world(t);
  const handler = work();
  await open({ onMessage: (m) => handler.onMessage(m) });
  FakeSocket.last.message("a");
  FakeSocket.last.end();
  await handler.done("a");
  w.online();
  await settle();
  FakeSocket.last.open();
  await settle();
  assert.deepEqual(FakeSocket.last.sent, []);
  FakeSocket.last.message("a");
  await settle();
  assert.deepEqual(FakeSocket.last.sent, ["a"]);
  assert.deepEqual(handler.started, ["a"]);
});

test("messages are handled one after another, in the order in which they came", async (t) => {
  world(t);
  const w = work();
  await open({ onMessage: (m) => w.onMessage(m) });
  for (const id of ["a", "b", "c"]) FakeSocket.last.message(id);
  await settle();
  assert.deepEqual(w.started, ["a"]);
  await w.failed("a");
  assert.deepEqual(w.started, ["a", "b"], "one that fails does not hold up the next ones");
  await w.done("b");
  await w.done("c");
  assert.deepEqual(w.started, ["a", "b", "c"]);
  assert.deepEqual(FakeSocket.last.sent, ["b", "c"]);
});

test("several at a time where that is asked for", async (t) => {
  world(t);
  const w = work();
  await open({ concurrency: 2, onMessage: (m) => w.onMessage(m) });
  for (const id of ["a", "b", "c"]) FakeSocket.last.message(id);
  await settle();
  assert.deepEqual(w.started, ["a", "b"]);
  await w.done("b");
  assert.deepEqual(w.started, ["a", "b", "c"]);
  assert.deepEqual(FakeSocket.last.sent, ["b"]);
});

test("what has to be acknowledged at the same moment goes in one frame, in frames the gateway takes", async (t) => {
  world(t);
  const d = await open({ concurrency: 1000 });
  const long = (i) => String(i).padStart(256, "\u0001");
  for (let i = 0; i < 100; i++) FakeSocket.last.message(long(i));
  await settle();
  assert.equal(d.handled.length, 100);
  assert.equal(FakeSocket.last.sent.length, 100);
  assert.equal(FakeSocket.last.frames, 3);
  assert.ok(40 * JSON.stringify(long(0)).length < 65_000);
});

test("what waits to be handled is bounded", async (t) => {
  world(t);
  const w = work();
  await open({ onMessage: (m) => w.onMessage(m) });
  for (let i = 0; i < 3000; i++) FakeSocket.last.message(`m${i}`);
  for (let i = 0; i < 1024; i++) await w.done(`m${i}`);
  assert.equal(w.started.length, 1024);
  assert.equal(FakeSocket.last.sent.length, 1024, "the others are offered again");
});

test("what is no message ends the connection, and another one is made", async (t) => {
  world(t);
  for (const bad of ["good morning", "{}", "null", '{"id":"a","data_base64":"%"}']) {
    const d = await open();
    FakeSocket.last.onmessage({ data: bad });
    assert.equal(FakeSocket.last.closed, 1000, bad);
    assert.equal(d.errors.length, 1);
    assert.deepEqual(d.handled, []);
    assert.equal(d.connection.state.name, "waiting");
    d.connection.close();
  }
});

test("where nobody asks for errors they are on the console, and what callbacks throw does no harm", async (t) => {
  world(t);
  const console = t.mock.method(globalThis.console, "error", () => {});
  const d = await open({
    onError: undefined,
    onMessage: () => {
      throw new Error("disk full");
    },
    onState: () => {
      throw new Error("no such element");
    },
  });
  FakeSocket.last.message("a");
  await settle();
  assert.deepEqual(
    console.mock.calls.map((call) => call.arguments[0].message),
    ["no such element", "no such element", "disk full"],
  );
  assert.equal(d.connection.state.name, "open");
});

test("close waits for the handlers under way, and acknowledges what they have done", async (t) => {
  world(t);
  const w = work();
  const d = await open({ onMessage: (m) => w.onMessage(m) });
  FakeSocket.last.message("a");
  FakeSocket.last.message("b");
  let ended = false;
  d.connection.close().then(() => (ended = true));
  FakeSocket.last.message("c");
  await settle();
  assert.equal(ended, false);
  assert.equal(FakeSocket.last.closed, undefined);
  await w.done("a");
  assert.equal(ended, true);
  assert.deepEqual(FakeSocket.last.sent, ["a"]);
  assert.equal(FakeSocket.last.closed, 1000);
  assert.deepEqual(w.started, ["a"], "what had not been begun comes again to the next connection");
  assert.deepEqual(d.states.at(-1), { name: "closed", code: 1000, reason: "", final: true });
});

test("closed twice, it waits for no handler", async (t) => {
  world(t);
  const w = work();
  const d = await open({ onMessage: (m) => w.onMessage(m) });
  FakeSocket.last.message("a");
  d.connection.close();
  await d.connection.close();
  assert.equal(FakeSocket.last.closed, 1000);
  await w.done("a");
  assert.deepEqual(FakeSocket.last.sent, []);
  assert.equal(d.states.filter((s) => s.name == "closed").length, 1);
});

test("without a connection there is nothing to wait for", async (t) => {
  world(t);
  const w = work();
  const d = await open({ onMessage: (m) => w.onMessage(m) });
  FakeSocket.last.message("a");
  FakeSocket.last.end();
  await d.connection.close();
  assert.equal(d.connection.state.final, true);
  await w.done("a");
  const e = await device();
  await e.connection.close();
  assert.equal(FakeSocket.last.closed, 1000, "one that is connecting is closed, too");
});
