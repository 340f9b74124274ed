/** ARIA PRO's page against the real binary: every panel's socket, its heartbeat, its reconnect, its REST. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { Panel } from "./support/aria.ts";
import { pushPrice, pushSignal, signalBody } from "./support/bodies.ts";
import { connectNative } from "./support/clients.ts";
import { CuttingProxy } from "./support/proxy.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";

/** The page's own is 30000, as is the server's; both are shortened together. */
const HEARTBEAT = Number(process.env["ARIA_HEARTBEAT"] ?? 1_000);
const PATIENCE = { timeout: 3 * HEARTBEAT + 30_000 };

/** What the mounted panels subscribe to; three say nothing. */
const PANELS: Record<string, readonly string[] | undefined> = {
  watchlist: ["ticks"],
  orders: ["ticks", "signals"],
  positions: ["orders"],
  flowMonitor: ["ticks", "signals", "orders"],
  hotSwap: ["hot_swap", "admin:hot_swap"],
  institutionalAi: undefined,
  realTimeData: undefined,
  tradingInterface: undefined,
};

/** The bodies of the seeds' `broadcast_*` calls, as written. */
const SEEDS: readonly { type: string; data: Record<string, unknown>; arrives: readonly string[] }[] = [
  { type: "tick", data: { symbol: "EURUSD", bid: 1.085, ask: 1.08503 }, arrives: ["tick"] },
  { type: "tick", data: { symbol: "AAPL", bid: 190.1, ask: 190.13, spread: 0.03 }, arrives: ["tick"] },
  { type: "signal", data: { symbol: "EURUSD", side: "buy", strength: 0.85, confidence: 87.5 }, arrives: ["signal"] },
  {
    type: "order_update",
    data: { order_id: "ORD_1704110400_1234", symbol: "EURUSD", side: "buy", status: "filled", volume: 0.1, price: 1.085 },
    arrives: ["order_update"],
  },
  {
    type: "idea",
    data: {
      symbol: "GBPUSD", type: "breakout", timeframe: "H1", confidence: 72.5, entry_price: 1.27, stop_loss: 1.265,
      take_profit: 1.28, reasoning: "SMC analysis suggests bullish momentum", timestamp: "2026-01-01T12:00:00.123456",
    },
    arrives: ["idea", "smc_idea"],
  },
  {
    type: "prepared_payload",
    data: {
      symbol: "EURUSD", side: "buy", volume: 0.1, entry_price: 1.085, stop_loss: 1.08, take_profit: 1.095,
      risk_percent: 1, risk_reward_ratio: 2, execution_ready: true,
    },
    arrives: ["prepared_payload"],
  },
  {
    type: "bar",
    data: { symbol: "EURUSD", open: 1.08, high: 1.09, low: 1.07, close: 1.085, volume: 120 },
    arrives: ["bar"],
  },
];

let server: OrionServer;

before(async () => {
  server = await startServer({ env: { ...PUSH_ONLY, ORION_HEARTBEAT__APP_PING: `${HEARTBEAT}ms` } });
});
after(() => server.end());

async function withPanels(url: string, body: (panels: Panel[]) => Promise<void>): Promise<void> {
  const panels = Object.values(PANELS).map(
    (channels) => new Panel(url, { heartbeat: HEARTBEAT, ...(channels === undefined ? {} : { channels }) }),
  );
  try {
    await body(panels);
  } finally {
    for (const panel of panels) panel.unmount();
  }
}

describe("/ws", () => {
  test("every panel gets everything, whatever it subscribed to, for two heartbeats and more", () =>
    withPanels(`${server.wsUrl}/ws`, async (panels) => {
      await Promise.all(panels.map((panel) => panel.inbox.next("connection")));
      const id = await pushSignal(server, { model: "LSTM" });
      const price = await pushPrice(server);
      for (const panel of panels) {
        const [welcome] = panel.inbox.all("connection")[0]!;
        assert.deepEqual(Object.keys(welcome).sort(), ["client_id", "message", "subscriptions", "timestamp", "type"]);
        assert.deepEqual(welcome.subscriptions, ["all"]);
        const [{ data: tick }] = await panel.inbox.next("tick", ({ data }) => data.bid === price);
        assert.deepEqual([tick.symbol, tick.ask, tick.spread], ["EURUSD", price, 0]);
        const [{ data: signal }] = await panel.inbox.next("signal", ({ data }) => data.id === id);
        assert.deepEqual([signal.side, signal.strength, signal.confidence, signal.model], ["buy", 0.85, 85, "LSTM"]);
        assert.deepEqual([signal.entry_price, signal.stop_loss, signal.take_profit], [1.085, 1.082, 1.088]);
        for (const name of ["idea", "smc_idea"]) {
          const [{ data: idea }] = await panel.inbox.next(name, ({ data }) => data.id === id);
          assert.deepEqual([idea.confidence, idea.reasoning, idea.timeframe], [85, "MSS+FVG setup", "M5"]);
        }
      }
      for (const panel of panels) {
        for (const name of ["ping", "pong"]) {
          await panel.inbox.next(name, () => panel.inbox.all(name).length >= 2, PATIENCE);
        }
        assert.equal(panel.connections, 1);
        assert.deepEqual(panel.inbox.all("close"), [], "nobody is put out for not answering a ping");
      }
    }));

  for (const { type, data, arrives } of SEEDS) {
    test(`broadcast_${type}(${String(data["symbol"])}) arrives as ${arrives.join(" and ")}`, () =>
      withPanels(`${server.wsUrl}/ws`, async ([panel]) => {
        // What is known already comes before the answer.
        panel!.send({ type: "ping" });
        await panel!.inbox.next("pong");
        const mark = panel!.inbox.mark;
        const answer = await server.post("/api/events", { type, data });
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
        for (const name of arrives) {
          const [frame] = await panel!.inbox.next(name, (f) => f.data.symbol === data["symbol"], { from: mark });
          assert.deepEqual(Object.keys(frame), ["type", "timestamp", "data"]);
          const { timestamp: _, ...sent } = data;
          assert.deepEqual({ ...frame.data, ...sent }, frame.data, "nothing that was sent is lost");
        }
      }));
  }

  test("a bad body is refused by name, and reaches nobody", () =>
    withPanels(`${server.wsUrl}/ws`, async ([panel]) => {
      await panel!.inbox.next("connection");
      const data = { symbol: "MSFT", side: "buy", status: "lost", volume: 1, price: 1 };
      const answer = await server.post("/api/events", { type: "order_update", data });
      assert.equal(answer.status, 400);
      assert.match(JSON.stringify(answer.body), /order_id.*status/);
      const good = { ...data, order_id: 7, status: "pending" };
      assert.equal((await server.post("/api/events", { type: "order_update", data: good })).status, 200);
      await panel!.inbox.next("order_update", (frame) => frame.data.order_id === "7");
      assert.equal(panel!.inbox.all("order_update").filter(([frame]) => frame.data.symbol === "MSFT").length, 1);
    }));

  test("after a cut it comes back by itself, and is told what is", async () => {
    const proxy = await CuttingProxy.before(server.port);
    const panel = new Panel(`ws://127.0.0.1:${proxy.port}/ws`, { heartbeat: HEARTBEAT, channels: ["ticks"] });
    try {
      await panel.inbox.next("subscription_confirmed", (frame) => frame.channels.join() === "all,ticks");
      proxy.cut();
      await panel.inbox.next("close");
      const id = await pushSignal(server);
      const mark = panel.inbox.mark;
      proxy.mend();
      await panel.inbox.next("connection", (frame) => frame.subscriptions.join() === "all", { from: mark });
      await panel.inbox.next("signal", ({ data }) => data.id === id, { from: mark });
      await panel.inbox.next("tick", () => true, { from: mark });
    } finally {
      panel.unmount();
      await proxy.end();
    }
  });

  test("cut for 3 s and 10 s, panels show each signal and order once, and the right rate", async () => {
    const own = await startServer({ env: PUSH_ONLY });
    const proxies = await Promise.all([CuttingProxy.before(own.port), CuttingProxy.before(own.port)]);
    const panels = proxies.map(
      ({ port }) => new Panel(`ws://127.0.0.1:${port}/ws`, { heartbeat: 30_000, channels: ["ticks", "signals", "orders"] }),
    );
    const order = async (id: string) => {
      const data = { order_id: id, symbol: "EURUSD", side: "buy", status: "filled", volume: 0.1, price: 1.085 };
      assert.equal((await own.post("/api/events", { type: "order_update", data })).status, 200);
    };
    const shown = (panel: Panel, id: string) => panel.inbox.next("order_update", (frame) => frame.data.order_id === id);
    try {
      await Promise.all(panels.map((panel) => panel.inbox.next("subscription_confirmed")));
      const signals = [await pushSignal(own)];
      await order("before");
      for (const panel of panels) {
        await shown(panel, "before");
        // What its library has confirmed arrives before this, and is heard before this is answered.
        const from = panel.inbox.mark;
        panel.send({ type: "ping" });
        await panel.inbox.next("pong", () => true, { from });
      }
      for (const proxy of proxies) proxy.cut();
      setTimeout(() => proxies[0]!.mend(), 3_000);
      const mended = delay(10_000).then(() => proxies[1]!.mend());
      for (const [pause, id] of [[500], [1_000, "o1"], [2_000], [2_000], [1_000, "o2"]] as [number, string?][]) {
        await delay(pause);
        if (id === undefined) signals.push(await pushSignal(own));
        else await order(id);
      }
      await mended;
      await panels[1]!.inbox.next("connection", () => panels[1]!.connections === 2);
      await order("after");
      for (const panel of panels) {
        await shown(panel, "after");
        for (const type of ["signal", "idea", "smc_idea"] as const) assert.deepEqual(panel.rows(type), signals, type);
        assert.deepEqual(panel.rows("order_update"), ["before", "o1", "o2", "after"]);
        assert.equal(panel.signalsPerMinute, 4, "as many as there were");
        assert.equal(panel.connections, 2);
      }
    } finally {
      for (const panel of panels) panel.unmount();
      for (const proxy of proxies) await proxy.end();
      await own.end();
    }
  });

  test("the end of a signal has no message here", async () => {
    const { inbox, ws } = await connectNative(`${server.wsUrl}/ws?channels=signals`);
    const id = await pushSignal(server);
    await inbox.next("signal", ({ data }) => data.id === id);
    await server.patch(`/api/signals/${id}`, { status: "confirmed" });
    const other = await pushSignal(server);
    await inbox.next("signal", ({ data }) => data.id === other);
    assert.equal(inbox.all("signal").filter(([{ data }]) => data.id === id).length, 1);
    assert.deepEqual(inbox.all("tick"), [], "only the channels of its query");
    ws.close(1000);
  });

  test("what a panel may say", async () => {
    const { inbox, ws, send } = await connectNative(`${server.wsUrl}/ws`);
    const channels = async (frame: Record<string, unknown>, answer: string) => {
      const from = inbox.mark;
      send(frame);
      return (await inbox.next(answer, () => true, { from }))[0].channels;
    };
    const subscribe = { type: "subscribe", channels: ["symbol:EURUSD", "bar"] };
    assert.deepEqual(await channels(subscribe, "subscription_confirmed"), ["all", "bar", "symbol:EURUSD"]);
    const unsubscribe = { type: "unsubscribe", channels: ["bar", "all"] };
    assert.deepEqual(await channels(unsubscribe, "subscription_updated"), ["all", "symbol:EURUSD"]);
    const set = { type: "set_subscriptions", channels: ["tick:GBPUSD"] };
    assert.deepEqual(await channels(set, "subscription_updated"), ["tick:GBPUSD"]);
    const from = inbox.mark;
    await pushPrice(server, "EURUSD");
    const price = await pushPrice(server, "GBPUSD");
    await inbox.next("tick", ({ data }) => data.symbol === "GBPUSD" && data.bid === price, { from });
    assert.ok(inbox.all("tick", from).every(([{ data }]) => data.symbol === "GBPUSD"));
    send({ type: "whoami" });
    const [identity] = await inbox.next("identity");
    assert.deepEqual(identity.subscriptions, ["tick:GBPUSD"]);
    assert.equal(identity.client_id, inbox.all("connection")[0]![0].client_id);
    send({ type: "echo", payload: { a: [1] } });
    assert.deepEqual((await inbox.next("echo"))[0].payload, { a: [1] });
    for (const [nonsense, code] of [["{", "invalid_json"], [[], "invalid_message"], [{ type: "x" }, "unknown_type"]] as const) {
      send(nonsense);
      await inbox.next("error", (frame) => frame.code === code);
    }
    send({ type: "ping" });
    await inbox.next("pong");
    ws.close(1000);
  });
});

test("where reading needs a token, it comes by query or header, and none is 401", async () => {
  const closed = await startServer({ env: { ...PUSH_ONLY, ORION_READ_AUTH: "required", ORION_READ_TOKEN: "out" } });
  try {
    const attempt = (query: string, headers: Record<string, string>) =>
      new Promise<number>((resolve) => {
        const ws = new WebSocket(`${closed.wsUrl}/ws${query}`, { headers });
        ws.on("open", () => (ws.close(1000), resolve(101)));
        ws.on("unexpected-response", (_request, response) => (response.resume(), resolve(response.statusCode ?? 0)));
        ws.on("error", () => undefined);
      });
    assert.equal(await attempt("?token=out", {}), 101);
    assert.equal(await attempt("", { authorization: "Bearer out" }), 101);
    assert.equal(await attempt("", { "x-aria-token": "out" }), 101);
    assert.equal(await attempt("", {}), 401);
    assert.equal(await attempt("?token=no", {}), 401);
    assert.equal(await attempt("", { "x-aria-token": "no" }), 401);
  } finally {
    await closed.end();
  }
});

test("/monitoring/ws/performance tells the server's own state, and answers the page's ping", async () => {
  const page = new Panel(`${server.wsUrl}/monitoring/ws/performance`, { heartbeat: HEARTBEAT });
  try {
    const [{ metrics }] = await page.inbox.next("system_metrics");
    assert.ok(metrics.system.memory.rss_mb > 1 && metrics.system.threads > 0 && metrics.system.open_files > 0);
    assert.deepEqual([metrics.models_tracked, metrics.total_inferences], [0, 0]);
    await page.inbox.next("pong", () => true, PATIENCE);
    assert.deepEqual(page.inbox.all("tick"), []);
  } finally {
    page.unmount();
  }
});

describe("the REST around it", () => {
  const page = { origin: "http://localhost:5173" };

  test("is readable with credentials from the page's own origin", async () => {
    for (const path of ["/trading/positions", "/trading/account-info", "/monitoring/metrics"]) {
      const answer = await fetch(server.url + path, { headers: page });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("access-control-allow-origin"), page.origin);
      assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
    }
  });

  test("tells the history, the load, and nothing that nobody knows", async () => {
    const body = signalBody({ symbol: "USDJPY", entry_price: 150, stop_loss: 149, take_profits: [152] });
    assert.equal((await server.post("/api/signals", body)).status, 200);
    const { signals } = (await server.get("/signals/history?symbol=USDJPY&limit=50")).body;
    assert.equal(signals[0].id, body.id);
    assert.equal(typeof signals[0].timestamp, "number");
    assert.deepEqual((await server.get("/signals/history?symbol=BTCUSD&limit=50")).body, { signals: [] });
    assert.deepEqual((await server.get("/trading/positions")).body, { positions: [], count: 0 });
    // The page prints these without asking whether they are there, and waits for ever on null.
    const risk = (await server.get("/trading/risk-metrics")).body;
    for (const name of ["var_95", "sharpe_ratio", "win_rate"]) assert.equal(risk[name].toFixed(2), "0.00", name);
    // `result.ok && result.data` is shown; `!result.ok` is an error.
    for (const path of ["trading-heatmap", "equity-curve"]) {
      const { ok, data } = (await server.get(`/api/analytics/${path}?days=30&symbol=E`)).body;
      assert.deepEqual([ok, data], [true, []], path);
    }
    const performance = (await server.get("/api/analytics/performance-metrics?days=30")).body;
    assert.deepEqual([performance.ok, performance.data], [true, null]);
    const { system } = (await server.get("/monitoring/performance/metrics")).body;
    const used = 100 - (system.system.memory.available_percent || 100);
    assert.ok(String(used).length <= 4, `memory prints as ${used} %`);
  });
});
