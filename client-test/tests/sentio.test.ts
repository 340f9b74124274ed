/** Sentio's panels against the real binary: their own frames, their ping, their endless reconnecting, their checks. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { pushPrice, pushSignal } from "./support/bodies.ts";
import { connectNative, type Native } from "./support/clients.ts";
import { ISO, openPanel } from "./support/sentio.ts";
import { PUSH_ONLY, startServer, TOKEN, type OrionServer } from "./support/server.ts";

const ADMIN = "suite-admin";
const ENDPOINTS = ["/ws/trade-signals", "/ws/market-data", "/ws/admin"];

let server: OrionServer;

before(async () => {
  server = await startServer({
    env: { ...PUSH_ONLY, ORION_ADMIN_TOKEN: ADMIN, ORION_SENTIO__UPDATE_INTERVAL: "200ms" },
  });
});
after(() => server.end());

async function publish(type: string, data: unknown, audience?: string): Promise<void> {
  const answer = await server.post("/api/events", { type, data, ...(audience === undefined ? {} : { audience }) });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

function panel(path: string, first: unknown): Promise<Native> {
  return openPanel(server.wsUrl + path, first);
}

/** The pong is answered behind everything that was sent before. */
async function settle({ send, inbox }: Native): Promise<void> {
  const mark = inbox.mark;
  send({ action: "ping" });
  await inbox.next("pong", undefined, { from: mark });
}

describe("trade signals", () => {
  const subscribe = (symbols: string[]) => ({ action: "subscribe", symbols, user_id: "user_001" });

  test("nothing comes before the first frame; the whole list after it, and after each change", async () => {
    const id = await pushSignal(server, { symbol: "GBPUSD", entry_price: 1.27, stop_loss: 1.26, take_profits: [1.28] });
    const native = await connectNative(`${server.wsUrl}/ws/trade-signals`);
    const { inbox, send, ws } = native;
    await pushSignal(server, { symbol: "XAUUSD", entry_price: 2000, stop_loss: 1990, take_profits: [2010] });
    assert.deepEqual(inbox.arrivals.map((a) => a.name), ["open"]);
    send(subscribe([]));
    const [all] = await inbox.next("trade_signals");
    assert.deepEqual(all.data.map((s: any) => s.symbol), ["GBPUSD", "XAUUSD"]);
    const { timestamp, ...gbp } = all.data[0];
    assert.deepEqual(gbp, { symbol: "GBPUSD", signal: "buy", confidence: 0.85, consensus_strength: 0.85 });
    assert.match(timestamp, ISO);
    await server.patch(`/api/signals/${id}`, { status: "invalidated" });
    const [less] = await inbox.next("trade_signals", (f) => f.data.length === 1);
    assert.equal(less.data[0].symbol, "XAUUSD");
    ws.close();
  });

  test("only what was subscribed, under the client's own spelling; unknown symbols are silent", async () => {
    const native = await panel("/ws/trade-signals", subscribe(["AAPL", "eur/usd"]));
    await settle(native);
    assert.equal(native.inbox.all("trade_signals").length, 0);
    await pushSignal(server, { symbol: "EURUSD", direction: "short", entry_price: 1.085, stop_loss: 1.09, take_profits: [1.08] });
    const [list] = await native.inbox.next("trade_signals");
    assert.deepEqual(list.data.map((s: any) => [s.symbol, s.signal]), [["EUR/USD", "sell"]]);
    native.ws.close();
  });

  test("ping, subscribe and unsubscribe with symbols; everything else is answered with an error and the socket stays", async () => {
    const native = await panel("/ws/trade-signals", subscribe(["MSFT"]));
    const { send, inbox, ws } = native;
    for (const [frame, message] of [
      [{ action: "dance" }, /^Unknown action: dance$/],
      [{ action: "subscribe", symbols: [] }, /^Unknown action: subscribe$/],
      [{}, /^Unknown action: /],
      ["{not json", /JSON/],
    ] as const) {
      const mark = inbox.mark;
      send(frame);
      const [error] = await inbox.next("error", undefined, { from: mark });
      assert.match(error.message, message);
      assert.match(error.timestamp, ISO);
    }
    await settle(native);
    assert.equal(ws.readyState, WebSocket.OPEN);
    ws.close();
  });

  test("the documents' broadcast arrives as written, and holds beside our own", async () => {
    const native = await panel("/ws/trade-signals", subscribe(["AAPL", "GOOGL", "MSFT"]));
    await settle(native);
    await publish("trade_signals", [
      { symbol: "AAPL", signal: "buy", confidence: 0.85, timestamp: "2024-10-05T10:30:00" },
      { symbol: "MSFT", signal: "hold", confidence: 0.5, timestamp: "2024-10-05T10:30:00" },
      { symbol: "TSLA", signal: "sell", confidence: 0.6, timestamp: "2024-10-05T10:30:00" },
    ]);
    const [list] = await native.inbox.next("trade_signals", (f) => f.data.length === 2);
    assert.deepEqual(list.data.map((s: any) => [s.symbol, s.signal]), [["AAPL", "buy"], ["MSFT", "hold"]]);
    assert.equal(list.data[0].timestamp, "2024-10-05T10:30:00.000Z");
    const wrong = await server.post("/api/events", { type: "trade_signals", data: [{ symbol: "A", signal: "up" }] });
    assert.equal(wrong.status, 400);
    assert.match(JSON.stringify(wrong.body), /signal/);
    native.ws.close();
  });
});

describe("market data", () => {
  for (const path of ["/ws/market-data", "/"]) {
    test(`quotes at once and updates at regular times, at ${path}`, async () => {
      const watcher = await connectNative(`${server.wsUrl}/ws/signals`);
      const price = await pushPrice(server, "GBPUSD");
      await watcher.inbox.next("price_update", (f) => f.payload.price === price);
      watcher.ws.close();

      const native = await panel(path, { action: "subscribe", symbols: ["AAPL", "gbpusd"] });
      const [quotes] = await native.inbox.next("quotes");
      assert.deepEqual(quotes.data.map((q: any) => [q.symbol, q.price, q.bid, q.ask]), [["GBPUSD", price, price, price]]);
      const [first] = await native.inbox.next("update");
      assert.equal(first.data.length, 1);
      const next = await pushPrice(server, "GBPUSD");
      await native.inbox.next("update", (f) => f.data[0].price === next);
      native.send({ action: "unsubscribe", symbols: ["GBPUSD"] });
      await settle(native);
      const mark = native.inbox.mark;
      // Another one still gets them meanwhile.
      const other = await panel(path, { action: "subscribe", symbols: ["GBPUSD"] });
      await other.inbox.next("update", () => other.inbox.all("update").length >= 3);
      await settle(native);
      assert.equal(native.inbox.all("update", mark).length, 0);
      native.ws.close();
      other.ws.close();
    });
  }

  test("the plain page on / is still the console", async () => {
    const page = await fetch(`${server.url}/`);
    assert.match(page.headers.get("content-type") ?? "", /text\/html/);
  });
});

describe("admin", () => {
  test("messages after the JSON form, the server's state after the bare token, and never the one on the other", async () => {
    const messages = await panel("/ws/admin", { action: "subscribe", admin_token: ADMIN });
    await settle(messages);
    const raw = await panel("/ws/admin", ADMIN);
    const [status] = await raw.inbox.next("untyped");
    assert.deepEqual(Object.keys(status), ["status", "logs"]);
    assert.equal(status.status.status, "running");
    assert.ok(status.status.memory > 0 && status.status.cpu >= 0 && status.status.active_users >= 2);
    await publish("admin_users", { total_users: 150, active_subscriptions: 120, monthly_revenue: 15000 }, "admin");
    const [users] = await messages.inbox.next("admin_users");
    assert.deepEqual(users.data, { users: [], total_users: 150, active_subscriptions: 120, monthly_revenue: 15000 });
    await publish("admin_revenue", { monthly_recurring_revenue: 100, revenue_by_tier: { pro: 100 } }, "admin");
    await messages.inbox.next("admin_revenue");
    const late = await panel("/ws/admin", { action: "subscribe", admin_token: ADMIN });
    await late.inbox.next("admin_users");
    await late.inbox.next("admin_revenue");
    late.ws.close();
    const mark = raw.inbox.mark;
    await raw.inbox.next("untyped", undefined, { from: mark });
    messages.send({ action: "subscribe", admin_token: ADMIN });
    const [error] = await messages.inbox.next("error");
    assert.equal(error.message, "Unknown action: subscribe");
    assert.equal(messages.inbox.all("untyped").length, 0);
    assert.ok(raw.inbox.arrivals.every((a) => ["open", "untyped"].includes(a.name)));
    messages.ws.close();
    raw.ws.close();
  });

  for (const [first, code, reason] of [
    [{ action: "subscribe", admin_token: "wrong" }, 1008, "Invalid admin token"],
    [{ action: "subscribe" }, 1008, "Invalid admin token"],
    [TOKEN, 4003, "Invalid admin token"],
    [" ", 4001, "No admin token"],
  ] as const) {
    test(`${JSON.stringify(first)} is closed with ${code}`, async () => {
      const { inbox, send } = await connectNative(`${server.wsUrl}/ws/admin`);
      send(first);
      assert.deepEqual(await inbox.next("close"), [code, reason]);
    });
  }
});

describe("over HTTP", () => {
  test("trade signals in both spellings of the query", async () => {
    await pushSignal(server, { symbol: "USDJPY", entry_price: 150, stop_loss: 149, take_profits: [151] });
    for (const query of ["symbols[]=USDJPY&symbols[]=AAPLX", "symbols=USDJPY,AAPLX", "symbols%5B%5D=usdjpy"]) {
      const { status, body } = await server.get(`/api/v1/dashboard/trade-signals?${query}`);
      assert.equal(status, 200);
      assert.deepEqual([body.count, body.signals[0].symbol, body.signals[0].signal], [1, "USDJPY", "buy"]);
      assert.match(body.timestamp, ISO);
    }
    const { body } = await server.get("/api/v1/dashboard/trade-signals?symbols=NOBODY");
    assert.deepEqual([body.signals, body.count], [[], 0]);
  });

  test("quotes and history, empty in the right shape for what is unknown", async () => {
    const price = await pushPrice(server, "GBPUSD");
    const native = await panel("/ws/market-data", { action: "subscribe", symbols: ["GBPUSD"] });
    await native.inbox.next("update", (f) => f.data[0].price === price);
    native.ws.close();
    const { body: one } = await server.get("/api/v1/market/quote/gbpusd");
    assert.deepEqual([one.status, one.quote.symbol, one.quote.price], ["success", "GBPUSD", price]);
    const { body: none } = await server.get("/api/v1/market/quote/AAPL");
    assert.deepEqual(none, { status: "success", quote: null });
    const { body: many } = await server.get("/api/v1/market/quotes?symbols=GBPUSD,AAPL");
    assert.deepEqual([Object.keys(many.quotes), many.count, many.quotes.GBPUSD.price], [["GBPUSD"], 1, price]);
    for (const path of ["AAPL?timeframe=1day", "GBPUSD?timeframe=7weeks", "GBPUSD?timeframe=1min&end_date=2000-01-01"]) {
      const { status, body } = await server.get(`/api/v1/market/history/${path}`);
      assert.deepEqual([status, body.status, body.data, body.count], [200, "success", [], 0], path);
    }
  });
});

test("a panel that loses its connection comes back every time and gets the whole list at once", async () => {
  await pushSignal(server, { symbol: "US30", entry_price: 35000, stop_loss: 34900, take_profits: [35100] });
  for (let round = 0; round < 3; round += 1) {
    const native = await panel("/ws/trade-signals", { action: "subscribe", symbols: ["US30"], user_id: "anonymous" });
    const [list] = await native.inbox.next("trade_signals");
    assert.equal(list.data[0].symbol, "US30");
    native.ws.terminate();
  }
});

test("sockets that come and go leave nothing behind", async () => {
  const firsts: Record<string, unknown> = {
    "/ws/trade-signals": { action: "subscribe", symbols: ["AAPL", "GOOGL", "MSFT"], user_id: "user_001" },
    "/ws/market-data": { action: "subscribe", symbols: ["GBPUSD"] },
    "/ws/admin": { action: "subscribe", admin_token: ADMIN },
  };
  for (let round = 0; round < 3; round += 1) {
    const sockets = Array.from({ length: 100 }, async (_, index) => {
      const path = ENDPOINTS[index % ENDPOINTS.length]!;
      const ws = new WebSocket(server.wsUrl + path);
      await once(ws, "open");
      ws.send(JSON.stringify(firsts[path]));
      // Some leave politely and some do not, and some before they are served.
      if (index % 2 === 0) ws.terminate();
      else ws.close();
      await once(ws, "close");
    });
    await Promise.all(sockets);
  }
  const open = async () => {
    const { body } = await server.get("/metrics");
    const lines = String(body).split("\n").filter((line) => line.startsWith("orion_connections{"));
    const ours = lines.filter((line) => ENDPOINTS.some((path) => line.includes(`endpoint="${path}"`)));
    return ours.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  };
  // The last ones may still be leaving: the server is asked until it has seen that, with a bound.
  for (let attempt = 0; attempt < 600 && (await open()) > 0; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await open(), 0);
});
