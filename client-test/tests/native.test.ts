/** Plain WebSocket (`ws`) against the real binary: `/ws/signals` and `/api/websocket`. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { pushPrice, pushSignal, signalBody } from "./support/bodies.ts";
import { connectNative, type Native } from "./support/clients.ts";
import { Inbox } from "./support/inbox.ts";
import { PUSH_ONLY, startServer, TOKEN, type OrionServer } from "./support/server.ts";
import { assertCursor, assertPong, assertPrice, assertSignal, assertSubscribed } from "./support/shapes.ts";

const BOTH = ["signals", "prices"];

let server: OrionServer;
let known: string;

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  known = await pushSignal(server);
  const watcher = await connectNative(`${server.wsUrl}/ws/signals`);
  await pushPrice(server);
  await watcher.inbox.next("price_update");
  watcher.ws.close();
});
after(() => server.end());

async function withNative(path: string, body: (client: Native) => Promise<void>): Promise<void> {
  const client = await connectNative(server.wsUrl + path);
  try {
    await body(client);
  } finally {
    client.ws.close();
  }
}

describe("/ws/signals", () => {
  for (const path of ["/ws/signals", "/ws/signals/"]) {
    test(`everything comes without asking, at ${path}`, () =>
      withNative(path, async ({ inbox }) => {
        const [answer] = await inbox.next("subscribed");
        const { type: _, ...fields } = answer;
        assertSubscribed(fields, { channels: BOTH, symbols: null, recovered: null });
        const before = inbox.arrivals.slice(0, inbox.arrivals.findIndex((a) => a.name === "subscribed"));
        assert.ok(before.some((a) => a.name === "signal" && a.args[0].payload.id === known), "signal in snapshot");
        assert.ok(before.some((a) => a.name === "price_update"), "price in snapshot");

        const price = await pushPrice(server);
        const [update] = await inbox.next("price_update", (f) => f.payload.price === price);
        assert.deepEqual(Object.keys(update), ["type", "payload"]);
        assertPrice(update.payload);

        const id = await pushSignal(server);
        const [signal] = await inbox.next("signal", (f) => f.payload.id === id);
        assert.deepEqual(Object.keys(signal).sort(), ["cursor", "payload", "type"]);
        assertSignal(signal.payload);
        assertCursor(signal.cursor);
      }));
  }

  test("the seed's own snippet works as written", async () => {
    const received = new Inbox();
    const url = `${server.wsUrl}/ws/signals`;
    const console = { log: (_text: string, type: string, payload: unknown) => received.push(type, payload) };
    // From here on: docs of the dashboard, section "Testing", but for the address.
    const ws = new WebSocket(url);

    ws.onopen = () => {
      ws.send(JSON.stringify({
        type: 'subscribe',
        channels: ['signals', 'prices'],
        timestamp: new Date().toISOString()
      }));
    };

    ws.onmessage = (event) => {
      const data = JSON.parse(event.data as string);
      console.log('Received:', data.type, data.payload);
    };
    // End of the snippet.
    try {
      const [signal] = await received.next("signal", (s) => s.id === known);
      assertSignal(signal);
      const price = await pushPrice(server);
      const [update] = await received.next("price_update", (p) => p.price === price);
      assertPrice(update);
      assert.equal(received.all("signal").filter(([s]) => s.id === known).length, 1, "its subscribe repeats nothing");
    } finally {
      ws.close();
    }
  });

  test("a subscribe frame sets exactly what it names", () =>
    withNative("/ws/signals", async ({ inbox, send, settle }) => {
      await inbox.next("subscribed");
      const mark = inbox.mark;
      send({ type: "subscribe", channels: ["prices"], symbols: ["EURUSD"] });
      const [answer] = await inbox.next("subscribed", undefined, { from: mark });
      const { type: _, ...fields } = answer;
      assertSubscribed(fields, { channels: ["prices"], symbols: ["EURUSD"], recovered: null });
      const after = inbox.mark;
      await pushSignal(server);
      await pushPrice(server, "GBPUSD");
      const price = await pushPrice(server, "EURUSD");
      await inbox.next("price_update", (f) => f.payload.price === price);
      await settle();
      assert.equal(inbox.all("signal", after).length, 0);
      assert.ok(inbox.all("price_update", after).every(([f]) => f.payload.symbol === "EURUSD"));
    }));

  for (const timestamp of [1_765_000_000_123, "2026-09-01T10:30:00.000Z"]) {
    test(`ping is answered with its own timestamp, ${typeof timestamp}`, () =>
      withNative("/ws/signals", async ({ inbox, send }) => {
        send({ type: "ping", timestamp });
        const [pong] = await inbox.next("pong");
        assertPong(pong, timestamp);
      }));
  }

  for (const frame of ["{not json", "[]", '"text"', "{}", '{"type":"nonsense"}', '{"type":"subscribe","channels":["nonsense"]}']) {
    test(`a frame that cannot be understood is answered, and the connection stays: ${frame}`, () =>
      withNative("/ws/signals", async ({ ws, inbox, send, settle }) => {
        send(frame);
        const [error] = await inbox.next("error");
        assert.ok(typeof error.error === "string" && error.error !== "");
        assert.match(error.code, /^[a-z_]+$/);
        await settle();
        assert.equal(ws.readyState, WebSocket.OPEN);
      }));
  }
});

describe("/api/websocket", () => {
  test("a pusher is answered like over HTTP, and what it pushed goes out", () =>
    withNative("/ws/signals", (watcher) =>
      withNative("/api/websocket", async (pusher) => {
        const answered = (predicate: (frame: any) => boolean) => pusher.inbox.next("untyped", predicate);
        pusher.send({ type: "auth", token: TOKEN });
        const body = signalBody();
        pusher.send({ type: "signal", data: body });
        const [answer] = await answered((f) => f.signal_id === body.id);
        assert.equal(answer.success, true);
        assert.equal(answer.status, "pending");
        assert.equal(answer.dry_run, false);
        const [signal] = await watcher.inbox.next("signal", (f) => f.payload.id === body.id);
        assertSignal(signal.payload);

        pusher.send({ type: "price_update", data: { symbol: "EUR/USD", price: 1.08612 } });
        const [taken] = await answered((f) => f.symbol === "EURUSD");
        assert.equal(taken.success, true);
        assert.equal(taken.price, 1.08612);
        const [update] = await watcher.inbox.next("price_update", (f) => f.payload.price === 1.08612);
        assertPrice(update.payload);
      }),
    ));

  test("a wrong body is answered with its faults, and the connection stays", () =>
    withNative("/api/websocket", async ({ inbox, send, settle }) => {
      send({ type: "auth", token: TOKEN });
      send({ type: "signal", data: { id: "x" } });
      const [answer] = await inbox.next("untyped", (f) => typeof f.error === "string");
      assert.match(JSON.stringify(answer), /symbol/);
      assert.match(JSON.stringify(answer), /direction/);
      await settle();
    }));

  test("a wrong token ends with 1008", () =>
    withNative("/api/websocket", async ({ inbox, send }) => {
      send({ type: "auth", token: "wrong" });
      const [code] = await inbox.next("close");
      assert.equal(code, 1008);
    }));

  test("without a token nothing is taken", () =>
    withNative("/api/websocket", async ({ inbox, send }) => {
      const body = signalBody();
      send({ type: "signal", data: body });
      // An error frame or a close with 1008: either way it is not stored.
      await Promise.any([
        inbox.next("error"),
        inbox.next("untyped", (f) => typeof f.error === "string"),
        inbox.next("close", (code) => code === 1008),
      ]);
      assert.equal((await server.get(`/api/signals/${body.id}`)).status, 404);
    }));
});
