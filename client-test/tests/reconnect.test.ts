/** Clients whose connection is cut, and clients of a server that stops and starts again. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pushPrice, pushSignal } from "./support/bodies.ts";
import { connectNative, connectV2, connectV4 } from "./support/clients.ts";
import { Inbox } from "./support/inbox.ts";
import { picture, signalsOf, story } from "./support/picture.ts";
import { CuttingProxy } from "./support/proxy.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { OrionAdapter } from "../src/orion-adapter.ts";
import { OrionWebSocket } from "../src/orion-websocket.ts";

const BOTH = ["signals", "prices"];
const QUICK = { reconnectionDelay: 50, reconnectionDelayMax: 200 };

/** Three signals before the loss, of which two end during it and one is new. */
async function lifeBefore(server: OrionServer): Promise<string[]> {
  return [await pushSignal(server), await pushSignal(server), await pushSignal(server)];
}

async function lifeDuring(server: OrionServer, ids: string[]): Promise<void> {
  await server.patch(`/api/signals/${ids[0]}`, { status: "confirmed" });
  await server.patch(`/api/signals/${ids[1]}`, { status: "invalidated", reason: "stop_touched" });
  ids.push(await pushSignal(server));
}

const FINAL = ["confirmed", "invalidated", "pending", "pending"];

/** The seven events of both spells, each once and in order. */
const EXACT = ["0 pending", "1 pending", "2 pending", "0 confirmed", "1 invalidated", "3 pending"];

function recordAdapter(adapter: OrionAdapter): Inbox {
  const inbox = new Inbox();
  adapter.on("signal", (signal, cursor) => inbox.push("signal", signal, cursor));
  adapter.on("price_update", (price) => inbox.push("price_update", price));
  adapter.on("message", (message) => inbox.push(`message ${message.type}`, message));
  adapter.on("subscribed", (answer) => inbox.push("subscribed", answer));
  adapter.on("resync", (resync) => inbox.push("resync", resync));
  adapter.on("pong", (pong) => inbox.push("pong", pong));
  adapter.on("error", (error) => inbox.push("error", error));
  adapter.on("state", (state) => inbox.push(state));
  return inbox;
}

function recordWebSocket(ws: OrionWebSocket): Inbox {
  const inbox = new Inbox();
  ws.onopen = () => inbox.push("open");
  ws.onclose = (event) => inbox.push("close", event.code);
  ws.onerror = () => inbox.push("failed");
  ws.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    inbox.push(frame.type, frame);
  };
  ws.addEventListener("connectionstate", () => inbox.push(ws.connectionState));
  return inbox;
}

describe("a cut connection", () => {
  let server: OrionServer;
  let proxy: CuttingProxy;
  let through: string;

  before(async () => {
    server = await startServer({ env: PUSH_ONLY });
    proxy = await CuttingProxy.before(server.port);
    through = `http://127.0.0.1:${proxy.port}`;
  });
  after(async () => {
    await proxy.end();
    await server.end();
  });

  for (const transport of ["websocket", "polling"] as const) {
    test(`socket.io 4 over ${transport} subscribes again with its cursor and has the full picture`, async () => {
      const { socket, inbox } = await connectV4(through, { transports: [transport] });
      let cursor: string | undefined;
      const subscribe = () => socket.emit("subscribe", { channels: BOTH, ...(cursor === undefined ? {} : { since: cursor }) });
      socket.on("signal", (_signal, meta) => (cursor = meta.cursor));
      socket.on("connect", subscribe);
      subscribe();
      try {
        await inbox.next("subscribed");
        const ids = await lifeBefore(server);
        await inbox.next("signal", (s) => s.id === ids[2]);
        proxy.cut();
        await inbox.next("disconnect");
        await lifeDuring(server, ids);
        const mark = inbox.mark;
        proxy.mend();
        await inbox.next("subscribed", undefined, { from: mark });
        const now = picture(signalsOf(inbox));
        assert.deepEqual(ids.map((id) => now[id]), FINAL);
        const price = await pushPrice(server);
        await inbox.next("price_update", (p) => p.price === price, { from: mark });
      } finally {
        proxy.mend();
        socket.close();
      }
    });

    test(`socket.io 2 over ${transport} the same`, async () => {
      const { socket, inbox } = await connectV2(through, { transports: [transport] });
      socket.on("connect", () => socket.emit("subscribe", BOTH));
      socket.emit("subscribe", BOTH);
      try {
        await inbox.next("subscribed");
        const ids = await lifeBefore(server);
        await inbox.next("signal", (s) => s.id === ids[2]);
        proxy.cut();
        await inbox.next("disconnect");
        await lifeDuring(server, ids);
        const mark = inbox.mark;
        proxy.mend();
        await inbox.next("subscribed", undefined, { from: mark });
        const now = picture(signalsOf(inbox));
        assert.deepEqual(ids.map((id) => now[id]), FINAL);
      } finally {
        proxy.mend();
        socket.close();
      }
    });
  }

  test("a native client that comes back without a cursor has the full picture from the snapshot", async () => {
    const first = await connectNative(`ws://127.0.0.1:${proxy.port}/ws/signals`);
    await first.inbox.next("subscribed");
    const ids = await lifeBefore(server);
    await first.inbox.next("signal", (f) => f.payload.id === ids[2]);
    proxy.cut();
    await first.inbox.next("close");
    await lifeDuring(server, ids);
    proxy.mend();
    const second = await connectNative(`ws://127.0.0.1:${proxy.port}/ws/signals`);
    await second.inbox.next("subscribed");
    const now = picture(signalsOf(second.inbox));
    assert.deepEqual(ids.map((id) => now[id]), FINAL);
    second.ws.close();
  });

  test("a native client with ?since gets exactly what it missed", async () => {
    const first = await connectNative(`ws://127.0.0.1:${proxy.port}/ws/signals`);
    await first.inbox.next("subscribed");
    const ids = await lifeBefore(server);
    const [last] = await first.inbox.next("signal", (f) => f.payload.id === ids[2]);
    proxy.cut();
    await first.inbox.next("close");
    await lifeDuring(server, ids);
    proxy.mend();
    const second = await connectNative(`ws://127.0.0.1:${proxy.port}/ws/signals?since=${encodeURIComponent(last.cursor)}`);
    const [answer] = await second.inbox.next("subscribed");
    assert.equal(answer.recovered, true);
    assert.deepEqual(story(signalsOf(second.inbox), ids), EXACT.slice(3));
    assert.equal(signalsOf(second.inbox).length, 3, "nothing else");
    second.ws.close();
  });

  for (const transport of ["websocket", "polling"] as const) {
    test(`the adapter over ${transport} resumes by itself: every event once, in order`, async () => {
      const adapter = new OrionAdapter(through, { ...QUICK, transports: [transport] });
      const inbox = recordAdapter(adapter);
      try {
        const [first] = await inbox.next("subscribed");
        assert.equal(first.recovered, null);
        assert.equal(adapter.cursor, first.cursor);
        assert.equal(adapter.transport, transport);
        const ids = await lifeBefore(server);
        await inbox.next("signal", (s) => s.id === ids[2]);
        for (let round = 0; round < 3; round += 1) {
          const mark = inbox.mark;
          proxy.cut();
          await inbox.next("reconnecting", undefined, { from: mark });
          assert.equal(adapter.transport, null);
          if (round === 0) await lifeDuring(server, ids);
          proxy.mend();
          const [answer] = await inbox.next("subscribed", undefined, { from: mark });
          assert.equal(answer.recovered, true);
        }
        assert.deepEqual(story(signalsOf(inbox), ids), EXACT);
        assert.equal(inbox.all("resync").length, 0);
        assert.equal(inbox.all("message signal").length, inbox.all("signal").length);
        const price = await pushPrice(server);
        const [message] = await inbox.next("message price_update", (m) => m.payload.price === price);
        assert.deepEqual(Object.keys(message), ["type", "payload"]);
      } finally {
        proxy.mend();
        adapter.close();
      }
      assert.equal(adapter.state, "disconnected");
    });
  }

  test("the adapter cut in the middle of a replay, again and again, tells every event once, in order", async () => {
    const adapter = new OrionAdapter(through, { ...QUICK, transports: ["websocket"] });
    const inbox = recordAdapter(adapter);
    try {
      await inbox.next("subscribed");
      proxy.cut();
      await inbox.next("reconnecting");
      const ids: string[] = [];
      for (let i = 0; i < 60; i += 1) ids.push(await pushSignal(server));
      for (const allowance of [6_000, 12_000, 18_000]) {
        const mark = inbox.mark;
        proxy.mend(allowance);
        await inbox.next("connected", undefined, { from: mark });
        await inbox.next("reconnecting", undefined, { from: mark });
        assert.equal(inbox.all("subscribed", mark).length, 0, "the replay was not finished");
        proxy.cut();
      }
      const before = story(signalsOf(inbox), ids).length;
      assert.ok(before > 0 && before < ids.length, `${before} of ${ids.length} came through the cuts`);
      const mark = inbox.mark;
      proxy.mend();
      const [answer] = await inbox.next("subscribed", undefined, { from: mark });
      assert.equal(answer.recovered, true);
      assert.deepEqual(story(signalsOf(inbox), ids), ids.map((_, i) => `${i} pending`));
    } finally {
      proxy.mend();
      adapter.close();
    }
  });

  test("the adapter says when a snapshot replaced the gap", async () => {
    const ids = await lifeBefore(server);
    const adapter = new OrionAdapter(through, { ...QUICK, since: "another-log:7" });
    const inbox = recordAdapter(adapter);
    try {
      const [resync] = await inbox.next("resync");
      assert.equal(resync.cursor, adapter.cursor);
      for (const id of ids) assert.ok(resync.signals.has(id));
      assert.equal(inbox.all("subscribed")[0]?.[0].recovered, false);
    } finally {
      adapter.close();
    }
  });

  test("the adapter on /ws/signals, narrowed, then widened, then silent", async () => {
    const adapter = new OrionAdapter(`${server.wsUrl}/ws/signals`, { ...QUICK, channels: ["prices"], symbols: ["GBPUSD"] });
    const inbox = recordAdapter(adapter);
    try {
      await inbox.next("subscribed");
      await pushPrice(server, "EURUSD");
      const pound = await pushPrice(server, "GBPUSD");
      await inbox.next("price_update", (p) => p.price === pound);
      assert.ok(inbox.all("price_update").every(([p]) => p.symbol === "GBPUSD"));
      assert.equal(inbox.all("signal").length, 0);

      const mark = inbox.mark;
      adapter.subscribe({ channels: ["signals", "prices"] });
      const [answer] = await inbox.next("subscribed", undefined, { from: mark });
      assert.equal(answer.recovered, null);
      assert.ok(inbox.all("signal", mark).length > 0, "the snapshot of what is newly joined");
      const euro = await pushPrice(server, "EURUSD");
      await inbox.next("price_update", (p) => p.price === euro);

      adapter.unsubscribe({ channels: ["signals", "prices"] });
      adapter.ping("after");
      await inbox.next("pong", (p) => p.timestamp === "after");
      const silent = inbox.mark;
      await pushSignal(server);
      adapter.ping("later");
      await inbox.next("pong", (p) => p.timestamp === "later");
      assert.equal(inbox.all("signal", silent).length, 0);
    } finally {
      adapter.close();
    }
  });

  test("OrionWebSocket serves the dashboard's own code through a loss without a close, where that is wanted", async () => {
    const ws = new OrionWebSocket(`ws://127.0.0.1:${proxy.port}/ws/signals`, { ...QUICK, reportLoss: false });
    const inbox = recordWebSocket(ws);
    assert.equal(ws.readyState, OrionWebSocket.CONNECTING);
    assert.throws(() => ws.send("{}"), { name: "InvalidStateError" });
    // What the dashboard does in its onopen.
    ws.addEventListener("open", () =>
      ws.send(JSON.stringify({ type: "subscribe", channels: BOTH, timestamp: new Date().toISOString() })),
    );
    try {
      await inbox.next("open");
      assert.equal(ws.readyState, ws.OPEN);
      const [answer] = await inbox.next("subscribed");
      assert.deepEqual(Object.keys(answer).sort(), ["channels", "cursor", "protocol", "recovered", "replay", "symbols", "type"]);
      const ids = await lifeBefore(server);
      const [frame] = await inbox.next("signal", (f) => f.payload.id === ids[2]);
      assert.deepEqual(Object.keys(frame), ["type", "payload", "cursor"]);
      assert.equal(inbox.all("subscribed").length, 1, "only the dashboard's own subscription");

      const mark = inbox.mark;
      proxy.cut();
      await inbox.next("reconnecting", undefined, { from: mark });
      assert.equal(ws.readyState, OrionWebSocket.OPEN);
      await lifeDuring(server, ids);
      proxy.mend();
      const [again] = await inbox.next("subscribed", undefined, { from: mark });
      assert.equal(again.recovered, true);
      assert.deepEqual(story(signalsOf(inbox), ids), EXACT);

      ws.send(JSON.stringify({ type: "ping", timestamp: 7 }));
      const [pong] = await inbox.next("pong");
      assert.equal(pong.timestamp, 7);
      ws.send("{not json");
      const [error] = await inbox.next("error");
      assert.equal(typeof error.error, "string");

      for (const event of ["close", "failed"]) assert.equal(inbox.all(event).length, 0, event);
      assert.equal(inbox.all("open").length, 1);
      ws.close();
      assert.equal(ws.readyState, OrionWebSocket.CLOSING);
      const [code] = await inbox.next("close");
      assert.equal(code, 1000);
      assert.equal(ws.readyState, OrionWebSocket.CLOSED);
    } finally {
      proxy.mend();
      ws.close();
    }
  });

  test("OrionWebSocket sends everything to a dashboard that never subscribes", async () => {
    const ids = await lifeBefore(server);
    const ws = new OrionWebSocket(`${server.wsUrl}/ws/signals`);
    const inbox = recordWebSocket(ws);
    try {
      const [answer] = await inbox.next("subscribed");
      assert.deepEqual([...answer.channels].sort(), [...BOTH].sort());
      const now = picture(signalsOf(inbox));
      for (const id of ids) assert.equal(now[id], "pending");
    } finally {
      ws.close();
    }
  });
});

test("SIGTERM: native clients see 1012, Socket.IO clients lose the transport and come back by themselves", async () => {
  const first = await startServer({ env: PUSH_ONLY });
  const native = await connectNative(`${first.wsUrl}/ws/signals`);
  const clients = [
    await connectV4(first.url, { transports: ["websocket"] }),
    await connectV4(`${first.url}/ws/signals`, { transports: ["polling"] }),
    await connectV2(first.url, { transports: ["websocket"] }),
    await connectV2(`${first.url}/ws/signals`, { transports: ["polling"] }),
  ];
  const adapter = new OrionAdapter(first.url, QUICK);
  const adapted = recordAdapter(adapter);
  const ids = await lifeBefore(first);
  await adapted.next("signal", (s) => s.id === ids[2]);
  let second: OrionServer | undefined;
  try {
    await first.stop();
    const [code] = await native.inbox.next("close");
    assert.equal(code, 1012);
    for (const { inbox } of clients) {
      const [reason] = await inbox.next("disconnect");
      assert.ok(["transport close", "transport error"].includes(reason), reason);
    }
    const marks = clients.map(({ inbox }) => inbox.mark);
    const mark = adapted.mark;
    second = await startServer({ env: PUSH_ONLY, port: first.port, dataDir: first.dataDir });
    for (const [i, { inbox }] of clients.entries()) {
      await inbox.next("connect", undefined, { from: marks[i] ?? 0 });
    }
    await adapted.next("subscribed", undefined, { from: mark });
    const id = await pushSignal(second);
    await adapted.next("signal", (s) => s.id === id);
  } finally {
    for (const { socket } of clients) socket.close();
    adapter.close();
    native.ws.close();
    await (second ?? first).end();
  }
});
