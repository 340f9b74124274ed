/** socket.io-client 4.x against the real binary: every transport, namespace and form of request. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pushPrice, pushSignal } from "./support/bodies.ts";
import { connectV4, ENDPOINTS, parsed, type V4 } from "./support/clients.ts";
import { PATIENCE } from "./support/inbox.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { assertCursor, assertPong, assertPrice, assertSignal, assertSubscribed } from "./support/shapes.ts";

const BOTH = ["signals", "prices"];
const TRANSPORTS: [string, ("websocket" | "polling")[]][] = [
  ["websocket", ["websocket"]],
  ["polling", ["polling"]],
  ["upgrade", ["polling", "websocket"]],
];

let server: OrionServer;
/** In the snapshot of everyone who subscribes. */
let known: string;

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  await pushPrice(server, "EURUSD");
  await pushPrice(server, "GBPUSD");
  known = await pushSignal(server);
  // The pushed prices are published with the next interval; from then on every snapshot has them.
  const watcher = await connectV4(server.url, { transports: ["websocket"] });
  watcher.socket.emit("subscribe", "prices");
  for (const symbol of ["EURUSD", "GBPUSD"]) await watcher.inbox.next("price_update", (p) => p.symbol === symbol);
  watcher.socket.close();
});
after(() => server.end());

async function withClient(options: { namespace?: string; path?: string; transports?: ("websocket" | "polling")[] }, body: (client: V4) => Promise<void>): Promise<void> {
  const { namespace = "/", transports = ["websocket"], path } = options;
  const client = await connectV4(server.url + namespace, { transports, ...(path === undefined ? {} : { path }) });
  try {
    await body(client);
  } finally {
    client.socket.close();
  }
}

for (const [transport, transports] of TRANSPORTS) {
  for (const { name, ...endpoint } of ENDPOINTS) {
    test(`${transport}, ${name}: subscribe, snapshot, live, ping, unsubscribe`, () =>
      withClient({ ...endpoint, transports }, async ({ socket, inbox, settle }) => {
        await pushPrice(server);
        await settle();
        assert.equal(inbox.all("price_update").length + inbox.all("signal").length, 0, "nothing before subscribe");

        const answer = await socket.timeout(PATIENCE).emitWithAck("subscribe", { channels: BOTH });
        inbox.push("acknowledged");
        const [event] = await inbox.next("subscribed");
        assert.deepEqual(event, answer);
        assertSubscribed(answer, { channels: BOTH, symbols: null, recovered: null });

        const order = inbox.arrivals.map((arrival) => arrival.name);
        const answered = Math.min(order.indexOf("acknowledged"), order.indexOf("subscribed"));
        const snapshot = inbox.arrivals.slice(0, answered);
        assert.ok(snapshot.some((a) => a.name === "price_update" && a.args[0].symbol === "GBPUSD"), "price in snapshot");
        assert.ok(snapshot.some((a) => a.name === "signal" && a.args[0].id === known), "signal in snapshot");
        for (const { name, args } of snapshot) {
          if (name === "price_update") assertPrice(args[0]);
          if (name === "signal") assertSignal(args[0]);
        }

        const price = await pushPrice(server);
        const [update, ...more] = await inbox.next("price_update", (p) => p.symbol === "EURUSD" && p.price === price);
        assertPrice(update);
        assert.equal(update.quality, "live");
        assert.deepEqual(more, [], "price_update has one argument");

        const id = await pushSignal(server);
        const [signal, meta] = await inbox.next("signal", (s) => s.id === id);
        assertSignal(signal);
        assert.deepEqual(Object.keys(meta), ["cursor"]);
        assertCursor(meta.cursor);

        socket.emit("ping", { timestamp: 1_765_000_000_123 });
        const [pong] = await inbox.next("pong", (p) => p.timestamp === 1_765_000_000_123);
        assertPong(pong, 1_765_000_000_123);

        socket.emit("unsubscribe", { channels: BOTH });
        await settle();
        const mark = inbox.mark;
        await withClient({}, async (control) => {
          await control.socket.timeout(PATIENCE).emitWithAck("subscribe", BOTH);
          const later = await pushPrice(server);
          const laterId = await pushSignal(server);
          await control.inbox.next("price_update", (p) => p.price === later);
          await control.inbox.next("signal", (s) => s.id === laterId);
        });
        await settle();
        assert.equal(inbox.all("price_update", mark).length, 0, "no price after unsubscribe");
        assert.equal(inbox.all("signal", mark).length, 0, "no signal after unsubscribe");
      }));
  }
}

describe("forms of subscribe", () => {
  const forms: [string, unknown[], string[]][] = [
    ["an object", [{ channels: ["prices"] }], ["prices"]],
    ["an object with keys it does not need", [{ type: "subscribe", channels: ["signals"], timestamp: "now" }], ["signals"]],
    ["an object without channels", [{}], BOTH],
    ["an array", [["signals", "prices"]], BOTH],
    ["an array of one", [["signals"]], ["signals"]],
    ["a string", ["prices"], ["prices"]],
    ["nothing", [], BOTH],
  ];
  for (const { name, ...endpoint } of ENDPOINTS) {
    for (const [form, args, channels] of forms) {
      test(`${form}, ${name}`, () =>
        withClient(endpoint, async ({ socket, inbox }) => {
          const answer = await socket.timeout(PATIENCE).emitWithAck("subscribe", ...args);
          assertSubscribed(answer, { channels, symbols: null, recovered: null });
          assert.equal(inbox.all("signal").some(([s]) => s.id === known), channels.includes("signals"));
          assert.equal(inbox.all("price_update").some(([p]) => p.symbol === "EURUSD"), channels.includes("prices"));
        }));
    }
  }

  test("without an acknowledgement the event alone answers", () =>
    withClient({}, async ({ socket, inbox }) => {
      socket.emit("subscribe");
      const [answer] = await inbox.next("subscribed");
      assertSubscribed(answer, { channels: BOTH, symbols: null, recovered: null });
    }));

  test("subscribing twice brings the snapshot once", () =>
    withClient({}, async ({ socket, inbox, settle }) => {
      await socket.timeout(PATIENCE).emitWithAck("subscribe", BOTH);
      await socket.timeout(PATIENCE).emitWithAck("subscribe", BOTH);
      await settle();
      assert.equal(inbox.all("signal").filter(([s]) => s.id === known).length, 1);
    }));
});

describe("symbols", () => {
  test("narrow prices and signals", () =>
    withClient({}, async (narrow) => {
      await withClient({}, async (wide) => {
        const answer = await narrow.socket.timeout(PATIENCE).emitWithAck("subscribe", { channels: BOTH, symbols: ["GBPUSD"] });
        assertSubscribed(answer, { channels: BOTH, symbols: ["GBPUSD"], recovered: null });
        await wide.socket.timeout(PATIENCE).emitWithAck("subscribe", BOTH);
        const euro = await pushPrice(server, "EURUSD");
        const euroSignal = await pushSignal(server);
        const pound = await pushPrice(server, "GBPUSD");
        const poundSignal = await pushSignal(server, POUND);
        for (const { inbox } of [narrow, wide]) {
          await inbox.next("price_update", (p) => p.price === pound);
          await inbox.next("signal", (s) => s.id === poundSignal);
        }
        await wide.inbox.next("price_update", (p) => p.price === euro);
        await wide.inbox.next("signal", (s) => s.id === euroSignal);
        await narrow.settle();
        const symbols = [...narrow.inbox.all("price_update"), ...narrow.inbox.all("signal")].map(([value]) => value.symbol);
        assert.deepEqual([...new Set(symbols)], ["GBPUSD"]);
      });
    }));
});

const POUND = { symbol: "GBPUSD", entry_price: 1.27, stop_loss: 1.26, take_profits: [1.28, 1.29, 1.3] };

describe("what is wrong is named, what is right holds", () => {
  const cases: [string, unknown, RegExp][] = [
    ["an unknown channel", { channels: ["prices", "nonsense"] }, /nonsense/],
    ["an unknown symbol", { channels: ["prices"], symbols: ["EURUSD", "NOPE"] }, /NOPE/],
  ];
  for (const [what, request, name] of cases) {
    test(`${what}, acknowledged`, () =>
      withClient({}, async ({ socket, inbox }) => {
        const answer = await socket.timeout(PATIENCE).emitWithAck("subscribe", request);
        assert.match(JSON.stringify(answer), name);
        const [error] = await inbox.next("error");
        assert.match(error.error, name);
        assert.match(error.code, /^[a-z_]+$/);
        const price = await pushPrice(server);
        await inbox.next("price_update", (p) => p.symbol === "EURUSD" && p.price === price);
      }));

    test(`${what}, not acknowledged`, () =>
      withClient({}, async ({ socket, inbox }) => {
        socket.emit("subscribe", request);
        const [error] = await inbox.next("error");
        assert.match(error.error, name);
        const price = await pushPrice(server);
        await inbox.next("price_update", (p) => p.symbol === "EURUSD" && p.price === price);
      }));
  }
});

describe("message", () => {
  const frames: [string, (frame: object) => unknown][] = [
    ["as text", (frame) => JSON.stringify(frame)],
    ["as an object", (frame) => frame],
  ];
  for (const [how, form] of frames) {
    test(`${how}: subscribe, ping and errors are answered as message`, () =>
      withClient({}, async ({ socket, inbox, settle }) => {
        socket.send(form({ type: "subscribe", channels: BOTH, timestamp: new Date().toISOString() }));
        const [answer] = await inbox.next("message", (m) => parsed(m).type === "subscribed");
        const { type: _, ...fields } = parsed(answer);
        assertSubscribed(fields, { channels: BOTH, symbols: null, recovered: null });
        assert.ok(inbox.all("signal").some(([s]) => s.id === known), "snapshot came as events");

        socket.send(form({ type: "ping", timestamp: "t-1" }));
        const [pong] = await inbox.next("message", (m) => parsed(m).type === "pong");
        assertPong(parsed(pong), "t-1");

        socket.send(form({ type: "subscribe", channels: ["nonsense"] }));
        const [error] = await inbox.next("message", (m) => parsed(m).type === "error");
        assert.match(parsed(error).error, /nonsense/);

        socket.send(form({ type: "unsubscribe", channels: BOTH }));
        await settle();
        const mark = inbox.mark;
        await withClient({}, async (control) => {
          await control.socket.timeout(PATIENCE).emitWithAck("subscribe", "signals");
          const id = await pushSignal(server);
          await control.inbox.next("signal", (s) => s.id === id);
        });
        await settle();
        assert.equal(inbox.all("signal", mark).length, 0);
      }));
  }

  test("what cannot be understood gets an error, and the connection stays", () =>
    withClient({}, async ({ socket, inbox, settle }) => {
      socket.send("{not json");
      const [error] = await inbox.next("message");
      assert.equal(parsed(error).type, "error");
      await settle();
      assert.equal(inbox.all("disconnect").length, 0);
    }));
});
