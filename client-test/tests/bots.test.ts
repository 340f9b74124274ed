/** The bot platform's clients against the real binary: the event bus in its three releases, the dashboard, the fallbacks. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { pushPrice, pushSignal } from "./support/bodies.ts";
import { decision, whales } from "./support/bots-panels.ts";
import { Bus, Dashboard, QUICK } from "./support/bots.ts";
import { DOCUMENTED } from "./support/bots-documented.ts";
import { PATIENCE } from "./support/inbox.ts";
import { RefusingProxy } from "./support/refusing.ts";
import { binary, PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { mint, SECRET } from "./support/tokens.ts";

const KINDS = ["trades", "bots", "balances", "decisions", "metrics", "whale", "alerts", "system_health", "wallet", "ai_tasks"];
/** Silent peers go within seconds, so that whoever stays has answered what has to be answered. */
const HEARTBEAT = {
  ORION_HEARTBEAT__APP_PING: "1s",
  ORION_HEARTBEAT__PROTOCOL_PING: "1s",
  ORION_HEARTBEAT__PEER_TIMEOUT: "6s",
};

async function publish(server: OrionServer, type: string, data: unknown, user: string): Promise<void> {
  const answer = await server.post("/api/events", { type, data, user });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

/** A trade that nobody has seen. */
let trades = 0;
async function trade(server: OrionServer, user: string): Promise<string> {
  const id = `trade-${(trades += 1)}`;
  await publish(server, "trades", { ...DOCUMENTED["trades"], id }, user);
  return id;
}

async function read(server: OrionServer, path: string, token: string): Promise<any> {
  const answer = await fetch(server.url + path, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

// Side by side: what takes time is that the desk says everything in turn.
describe("with the demo desk", { concurrency: true }, () => {
  let server: OrionServer;
  let token: string;

  before(async () => {
    server = await startServer({
      env: { ...HEARTBEAT, ORION_DEMO_DESK: "1", ORION_JWT_SECRET: SECRET, ORION_SIMULATOR__SIGNAL_INTERVAL: "1s" },
    });
    const args = ["token", "--user", "demo", "--ttl", "1h"];
    const { stdout } = await promisify(execFile)(binary(), args, { env: { ORION_JWT_SECRET: SECRET } });
    token = stdout.trim();
  });
  after(() => server.end());

  for (const version of [1, 2, 3] as const) {
    test(`release ${version} of the bus gets every type, pongs in time, and no panel breaks`, async () => {
      const bus = new Bus(server.url, token, version);
      for (const kind of KINDS) await bus.inbox.next(kind);
      await bus.inbox.next("decisions", (data) => data.bot_id === "orion");
      const pings = () => bus.inbox.all("ping").length;
      for (const from = pings(); pings() < from + 2; ) await bus.inbox.next("ping", undefined, { from: bus.inbox.mark });
      assert.ok(bus.trips.length > 0 && bus.trips.every((trip) => trip >= 0 && trip < PATIENCE), String(bus.trips));
      assert.match(bus.lastUpdate ?? "", /^\d{4}-.*Z$/);
      assert.deepEqual([bus.errors, bus.opened, bus.mode], [[], 1, "ws"]);
      bus.close();
    });
  }

  test("the dashboard, which never answers a ping, stays, and its lamps, tiles and prices show", async () => {
    // Its own ping every five seconds: nothing but the protocol's pongs keeps it here.
    const dashboard = new Dashboard(server.url, token, 5_000);
    for (const kind of ["connection", "live_prices", "prices_update", "metrics", "pong"]) {
      await dashboard.inbox.next(kind);
    }
    while (dashboard.inbox.all("ping").length < 6) {
      await dashboard.inbox.next("ping", undefined, { from: dashboard.inbox.mark });
    }
    const { lamps, tiles, trip, prices } = dashboard;
    assert.deepEqual([lamps, dashboard.errors, dashboard.open], ["green", [], true]);
    assert.deepEqual(Object.keys(tiles).sort(), ["activeBots", "exposure", "riskLevel", "totalProfit"]);
    assert.ok(trip !== undefined && trip < PATIENCE && Object.keys(prices).length >= 7);
    assert.ok(Math.abs(Date.now() - dashboard.lastSeen) < PATIENCE, "the number of a ping is the time");
    dashboard.close();
  });

  test("what the pages ask on loading", async () => {
    const { user_id, role } = await read(server, "/api/auth/me", token);
    assert.deepEqual([user_id, role], ["demo", "user"]);
    const bus = new Bus(server.url, token, 3);
    for (const kind of ["trades", "decisions", "whale", "bots", "balances"]) {
      await bus.inbox.next(kind);
    }
    bus.close();
    const { success, count, decisions } = await read(server, "/api/advanced/decisions/recent?limit=100", token);
    assert.ok(success === true && count === decisions.length && count > 0);
    decisions.forEach(decision);
    const summary = await read(server, "/api/advanced/whale/summary", token);
    whales(summary);
    assert.ok(Object.keys(summary.exchanges).length > 0 && Array.isArray(summary.signals));
    assert.ok((await read(server, "/api/bots", token)).length > 0);
    const prices = await read(server, "/api/prices/live", token);
    for (const { price } of Object.values<any>(prices)) price.toFixed(2);
    const { equity, net_pnl, win_rate } = await read(server, "/api/portfolio/summary", token);
    for (const number of [equity, net_pnl, win_rate]) assert.equal(typeof number, "number");
  });
});

describe("with what is pushed", () => {
  let server: OrionServer;
  const token = mint("user_001");

  before(async () => {
    server = await startServer({ env: { ...PUSH_ONLY, ...HEARTBEAT, ORION_JWT_SECRET: SECRET } });
  });
  after(() => server.end());

  test("the documents' examples arrive as written, and where the pages differ as the pages read them", async () => {
    const buses = ([1, 2, 3] as const).map((version) => new Bus(server.url, token, version));
    const dashboard = new Dashboard(server.url, token, 200);
    await Promise.all([...buses, dashboard].map(({ inbox }) => inbox.next("connection")));
    const differs: Record<string, object> = {
      trades: { exchange: "luno", profit_loss: null, is_profitable: null, bot_name: "bot_abc" },
      bots: { exchange: "luno", current_capital: 5000, total_profit: 150.5 },
      decisions: {
        reasoning: ["Strong bullish momentum, RSI oversold"],
        regime_state: { regime: "trending_up", confidence: null },
        market_data: { price: 850000, volume_24h: 125000000, rsi: 35, macd: "bullish", volume: 125000000 },
        stop_loss: 825000,
        take_profit: 875000,
      },
      whale: {
        exchanges: { binance: { BTC: { inflow: 150.5, outflow: 0, net_flow: 150.5 } } },
        summary: { BTC: { total_inflow: 150.5, total_outflow: 0, net_flow: 150.5 } },
      },
    };
    for (const [kind, data] of Object.entries(DOCUMENTED)) {
      await publish(server, kind, data, "user_001");
      for (const { inbox } of buses) {
        const [arrived] = await inbox.next(kind, (it) => kind !== "system_health" || it.redis === "connected");
        const { last_update, ...known } = arrived;
        if (kind !== "system_health") assert.deepEqual(known, { ...data, ...differs[kind] });
        else for (const name of ["redis", "exchange_connections", "last_trade"]) assert.deepEqual(known[name], data[name]);
      }
      const [frame] = await dashboard.inbox.next(kind, (it) => kind !== "system_health" || it.data.redis === "connected");
      assert.match(frame.ts, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    assert.deepEqual(dashboard.tiles, { totalProfit: "R1250.50", activeBots: "5", exposure: "45.00%", riskLevel: "moderate" });
    assert.deepEqual([...buses, dashboard].flatMap(({ errors }) => errors), []);
    [...buses, dashboard].forEach((client) => client.close());
  });

  test("our signals and prices are in the same stream", async () => {
    const bus = new Bus(server.url, token, 3);
    await bus.inbox.next("connection");
    const id = await pushSignal(server);
    const [made] = await bus.inbox.next("decisions", (data) => data.id === id);
    assert.deepEqual([made.bot_id, made.platform, made.decision], ["orion", "orion", "buy"]);
    const price = await pushPrice(server, "GBPUSD");
    // The third release hands the fields of a message without data to its listeners.
    await bus.inbox.next("live_prices", (rest) => rest.prices.GBPUSD?.price === price);
    await bus.inbox.next("prices_update", (data) => data.prices.GBPUSD?.price === price);
    assert.deepEqual(bus.errors, []);
    bus.close();
  });

  for (const [version, modes] of [[1, ["polling"]], [2, ["sse", "polling"]], [3, ["sse", "polling"]]] as const) {
    test(`release ${version} where no WebSocket opens: ${modes.join(", then ")}, and data all the time`, async () => {
      const user = `fallback-${version}`;
      const proxy = await RefusingProxy.before(server.port);
      const bus = new Bus(proxy.url, mint(user), version);
      const shows = async () => {
        const id = await trade(server, user);
        const has = (data: any) => data.id === id || data.trades?.some((one: any) => one.id === id);
        await bus.inbox.next("trades", has);
      };
      await bus.inbox.next("mode", (mode) => mode === "ws");
      await bus.inbox.next("connection");
      await shows();
      proxy.refuseUpgrades = true;
      proxy.cut();
      for (const mode of modes) {
        if (mode === "polling" && version > 1) proxy.refuseEvents();
        await bus.inbox.next("mode", (entered) => entered === mode);
        await shows();
        const mark = bus.inbox.mark;
        await publish(server, "bots", { ...DOCUMENTED["bots"], name: mode }, user);
        await bus.inbox.next("bots", (data) => [data].flat().some((bot: any) => bot.name === mode), { from: mark });
      }
      for (const kind of ["balances", "metrics", "system_health"]) {
        await bus.inbox.next(kind, undefined, { from: bus.inbox.mark });
      }
      assert.equal(proxy.refusedUpgrades, version === 1 ? 10 : 5);
      assert.deepEqual([bus.mode, bus.errors, bus.inbox.all("refused")], ["polling", [], []]);
      bus.close();
      await proxy.end();
    });
  }

  test("a stream that was refused is not asked for again: polling at once", async () => {
    const proxy = await RefusingProxy.before(server.port);
    proxy.refuseUpgrades = true;
    proxy.refuseEvents();
    const bus = new Bus(proxy.url, mint("fallback"), 3, { ...QUICK, retry: 1 });
    const id = await trade(server, "fallback");
    await bus.inbox.next("trades", (data) => data.trades.some((one: any) => one.id === id));
    assert.deepEqual([bus.mode, proxy.refusedEvents, bus.errors], ["polling", 1, []]);
    bus.close();
    await proxy.end();
  });

  test("two users and an administrator: each bus shows its own", async () => {
    const users = { ann: mint("ann"), bob: mint("bob"), boss: mint("boss", { admin: true }) };
    const buses = Object.entries(users).map(([user, token]) => [user, new Bus(server.url, token, 3)] as const);
    for (const [, bus] of buses) await bus.inbox.next("connection");
    const all = "for everybody";
    for (const user of Object.keys(users)) await publish(server, "alerts", { ...DOCUMENTED["alerts"], title: user }, user);
    await server.post("/api/events", { type: "alerts", audience: "admin", data: { ...DOCUMENTED["alerts"], title: "admins" } });
    await server.post("/api/events", { type: "alerts", data: { ...DOCUMENTED["alerts"], title: all } });
    for (const [user, bus] of buses) {
      await bus.inbox.next("alerts", (data) => data.title === all);
      const titles = bus.inbox.all("alerts").map(([data]) => data.title);
      assert.deepEqual(titles, user === "boss" ? ["boss", "admins", all] : [user, all]);
      bus.close();
    }
  });

  test("a token that has ended: told, closed, and refused in every way until the login", async () => {
    // Within what is allowed for clocks that differ, and for four more seconds.
    const short = mint("ann", { ttl: -1 });
    const dashboard = new Dashboard(server.url, short, 200);
    await dashboard.inbox.next("open");
    const bus = new Bus(server.url, short, 3);
    const [told] = await dashboard.inbox.next("connection", (frame) => frame.status !== "Connected");
    assert.deepEqual([told.data.status, told.data.code], ["disconnected", "TOKEN_EXPIRED"]);
    assert.deepEqual((await dashboard.inbox.next("close"))[0], 1008);
    assert.equal(dashboard.lamps, "red");
    await bus.inbox.next("mode", (mode) => mode === "polling");
    await bus.inbox.next("refused", (status) => status === 401);
    assert.equal(bus.inbox.all("mode").some(([mode]) => mode === "sse"), false);
    const me = await fetch(`${server.url}/api/auth/me`, { headers: { authorization: `Bearer ${short}` } });
    assert.equal(me.status, 401);
    bus.close();
  });

  for (const [fault, token] of [
    ["forged", mint("ann", { secret: "another secret, of more than 32 bytes too" })],
    ["none", ""],
  ] as const) {
    test(`a token that is ${fault} opens nothing, and what is public goes on`, async () => {
      const bus = new Bus(server.url, token, 2, { ...QUICK, retry: 1 });
      await bus.inbox.next("mode", (mode) => mode === "polling");
      await bus.inbox.next("refused", (status) => status === 401);
      await bus.inbox.next("system_health");
      assert.deepEqual([bus.opened, bus.inbox.all("connection"), bus.inbox.all("trades")], [0, [], []]);
      bus.close();
    });
  }

  test("the server's own log has no token in it", () => {
    assert.ok(!server.log.includes(token) && !server.log.includes(token.split(".")[2]!) && !server.log.includes(SECRET));
  });
});

test("a restart: the bus comes back by itself, and with the states as they are", async () => {
  const env = { ...PUSH_ONLY, ORION_JWT_SECRET: SECRET, ORION_DRAIN_TIMEOUT: "2s" };
  const server = await startServer({ env });
  const bus = new Bus(server.url, mint("ann"), 3, { ...QUICK, retry: 200 });
  await bus.inbox.next("connection");
  await publish(server, "bots", { ...DOCUMENTED["bots"], name: "before" }, "ann");
  await bus.inbox.next("bots");
  await server.stop();
  await bus.inbox.next("connection", (data) => data.status === "disconnected" && data.code === "RESTARTING");
  assert.deepEqual((await bus.inbox.next("close"))[0], 1012);
  const mark = bus.inbox.mark;
  const again = await startServer({ env, port: server.port, dataDir: server.dataDir });
  await bus.inbox.next("bots", (bot) => bot.name === "before", { from: mark });
  assert.deepEqual([bus.opened, bus.errors], [2, []]);
  bus.close();
  await again.end();
});
