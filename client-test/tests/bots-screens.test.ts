/** The bot platform's pages as their users see them: every trade once, with its bot and its profit, also over a cut and a restart. */

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { Bus, QUICK } from "./support/bots.ts";
import { DashboardPage, LiveTradesPanel, platformPanel, WhaleFlowHeatmap } from "./support/bots-screens.ts";
import { CuttingProxy } from "./support/proxy.ts";
import { RefusingProxy } from "./support/refusing.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { mint, SECRET } from "./support/tokens.ts";

const RELEASES = [1, 2, 3] as const;
/** Slow enough that a cut can be mended before the page gives up. */
const PACE = { ...QUICK, retry: 200 };
const BOT = { id: "b1", name: "BTC Scalper", platform: "luno", symbol: "BTC-ZAR", status: "running", trading_mode: "paper",
  capital: 5000, pnl: 150.5, trades_count: 42, win_rate: 0.68 };

async function publish(server: OrionServer, type: string, data: unknown, user?: string): Promise<void> {
  const answer = await server.post("/api/events", { type, data, user });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

function trade(id: string, more: object = {}): object {
  return { id, bot_id: "b1", platform: "luno", symbol: "BTC-ZAR", side: "sell", quantity: 0.001, price: 850000, fee: 2.55,
    status: "filled", pnl: 12.5, ...more };
}

/** Publishes trades, and something behind them by which a page knows that it has all. */
async function trades(server: OrionServer, user: string, ...ids: string[]): Promise<void> {
  for (const id of ids) await publish(server, "trades", trade(id), user);
}

let marks = 0;
async function until(server: OrionServer, user: string, ...inboxes: Bus["inbox"][]): Promise<void> {
  const id = `mark-${(marks += 1)}`;
  await publish(server, "alerts", { id, severity: "info", message: "x" }, user);
  const is = (it: any) => (it.data ?? it).id === id;
  await Promise.all(inboxes.map((inbox) => inbox.next("alerts", is)));
}

/** Waits until the server knows that all so far has arrived: what a page says is read in order, and a ping of its own is answered. */
async function confirmed(...inboxes: Bus["inbox"][]): Promise<void> {
  const sent = Date.now();
  await Promise.all(inboxes.map((inbox) => inbox.next("pong", ({ timestamp }) => timestamp > sent)));
}

describe("the bot platform's screens", { concurrency: true }, () => {
  let server: OrionServer;

  before(async () => {
    server = await startServer({ env: { ...PUSH_ONLY, ORION_JWT_SECRET: SECRET } });
  });
  after(() => server.end());

  test("the dashboard shows each trade with its bot and its profit", async () => {
    const [user, token] = ["shows", mint("shows")];
    await publish(server, "bots", BOT, user);
    await publish(server, "metrics", { total_pnl: 150.5, active_bots: 5, total_bots: 8, exposure: 0.45, risk_level: "moderate" }, user);
    await trades(server, user, "t1");
    const page = new DashboardPage(server.url, token);
    await page.inbox.next("open");
    await page.load();
    assert.deepEqual(page.feed, ["BTC Scalper • BTC-ZAR • LUNO • WIN R12.50"]);
    assert.deepEqual([page.platform("luno"), page.platform("valr")], ["ACTIVE 1 100.0% R12.50", "NO DATA"]);
    assert.deepEqual(page.botCards, ["BTC Scalper LUNO R150.50 R5000.00 42"]);
    assert.deepEqual(page.metrics, { totalProfit: "R150.50", activeBots: "5 / 8", exposure: "45.0%", riskLevel: "moderate" });
    assert.deepEqual(platformPanel(page.bots), ["BTC Scalper BTC-ZAR running paper 5000.00 150.50 42 68.0%"]);

    // Live, in the other spelling, of another exchange, and lost.
    await publish(server, "bots", { ...BOT, pnl: 140.5, trades_count: 43 }, user);
    const { platform: _, pnl: __, ...rest } = trade("t2") as any;
    await publish(server, "trades", { ...rest, exchange: "valr", profit_loss: -10, bot_name: "VALR bot" }, user);
    await page.inbox.next("trade_executed", (frame) => frame.trade.id === "t2");
    assert.deepEqual(page.feed[0], "VALR bot • BTC-ZAR • VALR • LOSS R-10.00");
    assert.deepEqual([page.rows, page.platform("valr")], [["t2", "t1"], "ACTIVE 1 0.0% R-10.00"]);
    assert.deepEqual(page.botCards, ["BTC Scalper LUNO R140.50 R5000.00 43"]);
    await page.inbox.next("metrics loaded", undefined, { from: page.inbox.mark - 1 });
    assert.deepEqual(page.errors, []);
    page.close();
  });

  test("a dashboard that never says anything gets its trades too", async () => {
    const page = new DashboardPage(server.url, mint("silent"), { ping: 60_000, retry: 100 });
    await page.inbox.next("connection");
    await trades(server, "silent", "t1");
    await page.inbox.next("trade_executed", (frame) => frame.trade.id === "t1");
    await trades(server, "silent", "t2");
    await page.inbox.next("trade_executed", (frame) => frame.trade.id === "t2");
    assert.deepEqual(page.rows, ["t2", "t1"]);
    page.close();
  });

  for (const release of RELEASES) {
    test(`release ${release} of the bus shows a trade once, live and after each of three cuts`, async () => {
      const user = `cuts-${release}`;
      const proxy = await CuttingProxy.before(server.port);
      const bus = new Bus(`http://127.0.0.1:${proxy.port}`, mint(user), release, PACE);
      const panel = new LiveTradesPanel(bus);
      await bus.inbox.next("connection");
      const expected: string[] = [];
      for (const round of ["a", "b", "c"]) {
        await trades(server, user, `${round}-live`);
        await bus.inbox.next("trades", (it) => it.id === `${round}-live`);
        await confirmed(bus.inbox);
        const mark = bus.inbox.mark;
        proxy.cut();
        await bus.inbox.next("close", undefined, { from: mark });
        await trades(server, user, `${round}-1`, `${round}-2`);
        await publish(server, "bots", { ...BOT, name: round }, user);
        proxy.mend();
        await bus.inbox.next("bots", (bot) => bot.name === round, { from: mark });
        await until(server, user, bus.inbox);
        expected.unshift(`${round}-2`, `${round}-1`, `${round}-live`);
        assert.deepEqual(panel.rows, expected);
      }
      assert.deepEqual([bus.errors, bus.opened], [[], 4]);
      for (const { exchange, profit_loss } of panel.trades) assert.deepEqual([exchange, profit_loss], ["luno", 12.5]);
      bus.close();
      await proxy.end();
    });
  }

  test("a page with bus and dashboard, cut at the same time: each of both shows every trade once", async () => {
    const [user, token] = ["both", mint("both")];
    const proxy = await CuttingProxy.before(server.port);
    const url = `http://127.0.0.1:${proxy.port}`;
    const bus = new Bus(url, token, 3, PACE);
    const page = new DashboardPage(url, token, { ping: 100, retry: 500 }, server.url);
    const panel = new LiveTradesPanel(bus);
    await Promise.all([bus.inbox.next("connection"), page.inbox.next("connection")]);
    await trades(server, user, "t1");
    await page.inbox.next("trade_executed");
    await until(server, user, bus.inbox, page.inbox);
    await confirmed(bus.inbox, page.inbox);
    const from = page.inbox.mark;
    proxy.cut();
    await Promise.all([bus, page].map(({ inbox }) => inbox.next("close")));
    await trades(server, user, "t2", "t3");
    proxy.mend();
    await page.inbox.next("trade_executed", (frame) => frame.trade.id === "t3", { from });
    await trades(server, user, "t4");
    await page.inbox.next("trade_executed", (frame) => frame.trade.id === "t4", { from });
    await until(server, user, bus.inbox, page.inbox);
    assert.deepEqual([panel.rows, page.rows], [["t4", "t3", "t2", "t1"], ["t4", "t3", "t2", "t1"]]);
    assert.equal(page.inbox.all("trade_executed").length, 4, "each came once");
    assert.deepEqual([bus.errors, page.errors], [[], []]);
    [bus, page].forEach((client) => client.close());
    await proxy.end();
  });

  test("two tabs, one of them cut: it gets the rest, and the other nothing twice", async () => {
    const [user, token] = ["tabs", mint("tabs")];
    const proxy = await CuttingProxy.before(server.port);
    const [away, there] = [new Bus(`http://127.0.0.1:${proxy.port}`, token, 3, PACE), new Bus(server.url, token, 3, PACE)];
    const panels = [away, there].map((bus) => new LiveTradesPanel(bus));
    await Promise.all([away, there].map(({ inbox }) => inbox.next("connection")));
    await trades(server, user, "t1");
    await until(server, user, away.inbox, there.inbox);
    await confirmed(away.inbox);
    proxy.cut();
    await away.inbox.next("close");
    await trades(server, user, "t2");
    await until(server, user, there.inbox);
    proxy.mend();
    await away.inbox.next("trades", (it) => it.id === "t2");
    // A third tab is new: it asks for what was.
    const opened = new Bus(server.url, token, 3, PACE);
    const panel = new LiveTradesPanel(opened);
    await opened.inbox.next("connection");
    await panel.load(server.url, token);
    await trades(server, user, "t3");
    await until(server, user, away.inbox, there.inbox, opened.inbox);
    for (const { rows } of [...panels, panel]) assert.deepEqual(rows, ["t3", "t2", "t1"]);
    [away, there, opened].forEach((bus) => bus.close());
    await proxy.end();
  });

  test("a page that is loaded anew shows nothing twice", async () => {
    const [user, token] = ["anew", mint("anew")];
    const first = new Bus(server.url, token, 3, PACE);
    await first.inbox.next("connection");
    // The browser crashes: no goodbye.
    const proxy = await CuttingProxy.before(server.port);
    const crashed = new Bus(`http://127.0.0.1:${proxy.port}`, token, 3, PACE);
    await crashed.inbox.next("connection");
    await trades(server, user, "t1");
    await until(server, user, first.inbox, crashed.inbox);
    crashed.close();
    await proxy.end();
    await trades(server, user, "t2");
    await until(server, user, first.inbox);
    // Within 250 ms of a connection the server takes this request for that connection's: no user loads a page again so soon.
    await delay(300);
    const me = await fetch(`${server.url}/api/auth/me`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(me.status, 200);
    const again = new Bus(server.url, token, 3, PACE);
    const panel = new LiveTradesPanel(again);
    await panel.load(server.url, token);
    await again.inbox.next("connection");
    await trades(server, user, "t3");
    await until(server, user, again.inbox);
    assert.deepEqual(panel.rows, ["t3", "t2", "t1"]);
    [first, again].forEach((bus) => bus.close());
  });

  test("a bus that falls back to the event stream gets what it missed, once", async () => {
    const [user, token] = ["events", mint("events")];
    const proxy = await RefusingProxy.before(server.port);
    const bus = new Bus(proxy.url, token, 3, { ...QUICK, retry: 20 });
    const panel = new LiveTradesPanel(bus);
    await bus.inbox.next("connection");
    await trades(server, user, "t1");
    await until(server, user, bus.inbox);
    await confirmed(bus.inbox);
    proxy.refuseUpgrades = true;
    proxy.cut();
    await bus.inbox.next("close");
    await trades(server, user, "t2");
    await bus.inbox.next("mode", (mode) => mode === "sse");
    await trades(server, user, "t3");
    await until(server, user, bus.inbox);
    assert.deepEqual([panel.rows, bus.errors], [["t3", "t2", "t1"], []]);
    bus.close();
    await proxy.end();
  });

  test("the whale panel of both releases shows what came in, went out and is left", async () => {
    const [user, token] = ["whale", mint("whale")];
    const bus = new Bus(server.url, token, 3, PACE);
    const [asks, told] = [new WhaleFlowHeatmap(), new WhaleFlowHeatmap(bus)];
    await bus.inbox.next("connection");
    await asks.load(server.url, token);
    assert.deepEqual([asks.error, asks.show("BTC")], [null, { totals: ["0", "0", "0"], cards: {} }]);
    const flow = (flow_type: string, amount: number) => ({ coin: "BTC", platform: "binance", flow_type, amount });
    await publish(server, "whale", flow("inflow", 150.5), user);
    await publish(server, "whale", flow("outflow", 200), user);
    await until(server, user, bus.inbox);
    const shown = { totals: ["150.50", "200.00", "-49.50"], cards: { binance: ["+150.50", "-200.00", "-49.50"] } };
    await asks.load(server.url, token);
    assert.deepEqual([asks.show("BTC"), told.show("BTC")], [shown, shown]);
    // Sums that a back end publishes come without what follows from them.
    await publish(server, "whale", { exchanges: { luno: { BTC: { inflow: 5, outflow: 1 } } } }, user);
    await until(server, user, bus.inbox);
    await asks.load(server.url, token);
    const sums = { totals: ["5.00", "1.00", "4.00"], cards: { luno: ["+5.00", "-1.00", "+4.00"] } };
    assert.deepEqual([asks.show("BTC"), told.show("BTC")], [sums, sums]);
    bus.close();
  });
});

for (const [how, end] of [["a stop", "stop"], ["a kill", "kill"]] as const) {
  test(`over ${how} and a start each screen shows every trade once`, async () => {
    const env = { ...PUSH_ONLY, ORION_JWT_SECRET: SECRET, ORION_DRAIN_TIMEOUT: "2s" };
    const [user, token] = ["ann", mint("ann")];
    const server = await startServer({ env });
    const proxy = await CuttingProxy.before(server.port);
    const url = `http://127.0.0.1:${proxy.port}`;
    const bus = new Bus(url, token, 1, PACE);
    const page = new DashboardPage(url, token, { ping: 100, retry: 2_000 }, server.url);
    const panel = new LiveTradesPanel(bus);
    await Promise.all([bus.inbox.next("connection"), page.inbox.next("connection")]);
    await trades(server, user, "t1");
    await page.inbox.next("trade_executed");
    await until(server, user, bus.inbox, page.inbox);
    // What has reached them is in the log half a second later.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    proxy.cut();
    await Promise.all([bus, page].map(({ inbox }) => inbox.next("close")));
    await trades(server, user, "t2");
    await server[end]();
    const again = await startServer({ env, port: server.port, dataDir: server.dataDir });
    await trades(again, user, "t3");
    proxy.mend();
    const from = page.inbox.mark;
    await page.inbox.next("trade_executed", (frame) => frame.trade.id === "t3", { from });
    await until(again, user, bus.inbox, page.inbox);
    assert.deepEqual([panel.rows, page.rows], [["t3", "t2", "t1"], ["t3", "t2", "t1"]]);
    [bus, page].forEach((client) => client.close());
    await proxy.end();
    await again.end();
  });
}
