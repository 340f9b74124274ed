/** Sentio's personal panels against the real binary: their own frames, their churn of sockets, their absence. */

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { connectNative } from "./support/clients.ts";
import { PATIENCE } from "./support/inbox.ts";
import { Channel, earningsPanel, ISO, LivePricesPanel, NotificationsPanel, openPanel } from "./support/sentio.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { mint, SECRET } from "./support/tokens.ts";

/** As the documents write them. */
const EARNINGS = {
  portfolio_value: 100000.0,
  total_return: 5000.0,
  total_return_pct: 5.0,
  daily_pnl: 250.0,
  total_trades: 42,
  win_rate: 0.65,
  profit_sharing: { total_shared: 100.5, rate: 0.2, enabled: true },
};

const subscribe = (user_id: string) => ({ action: "subscribe", user_id });

async function publish(server: OrionServer, type: string, user: string, data: unknown): Promise<void> {
  const answer = await server.post("/api/events", { type, user, data });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

async function notify(server: OrionServer, user: string, message: string): Promise<void> {
  await publish(server, "notification", user, { type: "success", title: "Trade Executed", message });
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await pause(10);
  }
}

const told = (channel: Channel): string[] => channel.frames.map((frame) => frame.data.message);

describe("where a bare user_id is enough", () => {
  let server: OrionServer;

  before(async () => {
    server = await startServer({ env: { ...PUSH_ONLY, ORION_SENTIO_TRUST_USER_ID: "1" } });
  });
  after(() => server.end());

  test("the earnings panel shows the current ones at once and each new one", async () => {
    await publish(server, "earnings", "user_001", EARNINGS);
    const shown: string[][] = [];
    const panel = new Channel(`${server.wsUrl}/ws/earnings`, subscribe("user_001"), (frame) => {
      assert.equal(frame.type, "earnings");
      assert.match(frame.timestamp, ISO);
      shown.push(earningsPanel(frame.data));
    });
    await until("the current earnings", () => shown.length === 1);
    assert.deepEqual(shown[0], ["$100000.00", "$5000.00 5.00%", "$250.00", "65.0%", "$100.50 20%"]);
    await publish(server, "earnings", "user_002", { ...EARNINGS, portfolio_value: 1 });
    await publish(server, "earnings", "user_001", { ...EARNINGS, portfolio_value: 100001 });
    await until("the new earnings", () => shown.length === 2);
    assert.equal(shown[1]![0], "$100001.00");
    panel.leave();
    const { status, body } = await server.get("/api/v1/dashboard/earnings?user_id=user_001");
    assert.equal(status, 200);
    assert.equal(earningsPanel(body)[0], "$100001.00");
    assert.deepEqual(earningsPanel((await server.get("/api/v1/dashboard/earnings?user_id=user_009")).body), []);
  });

  test("the earnings panel prints no NaN where a number was not published", async () => {
    await publish(server, "earnings", "user_003", { portfolio_value: 100, profit_sharing: { enabled: true } });
    const { body } = await server.get("/api/v1/dashboard/earnings?user_id=user_003");
    assert.deepEqual(earningsPanel(body), ["$100.00", "$0.00 0.00%", "$0.00", "0.0%", "$0.00 0%"]);
  });

  test("a panel that changes its socket all the time gets every notification once, in order", async () => {
    const panel = new Channel(`${server.wsUrl}/ws/notifications`, subscribe("churn"), () => undefined, 5);
    const count = 200;
    let published = 0;
    const publishing = (async () => {
      while (published < count) {
        // However slow the panel is, it is never behind by more than is kept for it.
        await until("the panel follows", () => published - panel.frames.length < 40);
        await notify(server, "churn", String(published));
        published += 1;
      }
    })();
    for (let round = 0; published < count; round += 1) {
      const { length } = panel.frames;
      await pause(5 + Math.random() * 25);
      // On a machine so slow that nothing would come in time it stays for something now and then.
      if (round % 4 === 0) await until("something comes", () => panel.frames.length > length || published === count);
      panel.connect();
    }
    await publishing;
    // Whatever came twice would have come before it.
    await notify(server, "churn", "last");
    await until("all of them", () => told(panel).includes("last"));
    panel.leave();
    assert.deepEqual(told(panel), [...Array.from({ length: count }, (_, number) => String(number)), "last"]);
    assert.ok(panel.sockets > 5, `${panel.sockets} sockets`);
  });

  test("no two rows of the notifications panel have one key", async () => {
    // A machine that stops for longer than the spacing makes frames arrive together, whatever the server does: of three
    // rounds one has to be clean. Without spacing none is, by far.
    const doubled: number[] = [];
    for (let round = 0; round < 3 && !doubled.includes(0); round += 1) {
      const user = `rows_${round}`;
      const batch = (word: string, count: number) => ({
        events: Array.from({ length: count }, (_, number) => ({
          type: "notification",
          user,
          data: { type: "info", message: `${word} ${number}` },
        })),
      });
      const publishAll = async (body: object) => assert.equal((await server.post("/api/events", body)).status, 200);
      await publishAll(batch("missed", 50));
      const panel = new NotificationsPanel(server.wsUrl, user);
      await until("what was missed", () => panel.arrived.length >= 50);
      await publishAll(batch("burst", 100));
      await until("the burst", () => panel.arrived.length >= 150);
      panel.channel.leave();
      const messages = [...batch("missed", 50).events, ...batch("burst", 100).events].map(({ data }) => data.message);
      assert.deepEqual(panel.arrived.map((row) => row.message), messages);
      assert.deepEqual(panel.rows.map((row) => row.message), messages.slice(-50).reverse());
      doubled.push(panel.doubled);
    }
    assert.ok(doubled.includes(0), `rows with the key of another: ${doubled}`);
  });

  test("the dashboard's raw socket says nothing and gets one whole object after each change", async () => {
    const { ws, inbox } = await connectNative(`${server.wsUrl}/ws/user/raw_001`);
    await inbox.next("untyped");
    await publish(server, "earnings", "raw_001", EARNINGS);
    await notify(server, "raw_001", "done");
    const [data] = await inbox.next("untyped", (d) => d.notifications.length === 1 && d.portfolio.portfolio_value);
    assert.deepEqual(Object.keys(data), ["portfolio", "performance", "notifications", "trades", "portfolioStocks"]);
    assert.equal(data.trades?.length || 0, 0);
    assert.deepEqual(data.portfolioStocks?.map((stock: any) => stock.symbol), []);
    assert.equal(data.performance.win_rate, 0.65);
    ws.close();
  });
});

test("who was away gets what was published meanwhile, also when the server was stopped or killed", async () => {
  let server = await startServer({ env: { ...PUSH_ONLY, ORION_SENTIO_TRUST_USER_ID: "1" } });
  const { port, dataDir } = server;
  const env = { ...PUSH_ONLY, ORION_SENTIO_TRUST_USER_ID: "1" };
  const panel = new Channel(`${server.wsUrl}/ws/notifications`, subscribe("user_001"));
  await notify(server, "user_001", "1");
  await until("the first", () => panel.frames.length === 1);
  panel.leave();
  for (const message of ["2", "3"]) await notify(server, "user_001", message);
  await server.stop();
  server = await startServer({ env, port, dataDir });
  await notify(server, "user_001", "4");
  panel.connect();
  await until("what was missed", () => panel.frames.length === 4);
  // The server goes while the panel looks, and the panel comes back by itself.
  await server.stop();
  server = await startServer({ env, port, dataDir });
  await notify(server, "user_001", "5");
  await until("the last", () => panel.frames.length >= 5);
  panel.leave();
  assert.deepEqual(told(panel), ["1", "2", "3", "4", "5"]);
  await server.end();
});

describe("where it is not", () => {
  let server: OrionServer;

  before(async () => {
    server = await startServer({ env: { ...PUSH_ONLY, ORION_JWT_SECRET: SECRET, ORION_DEMO_DESK: "1" } });
    await publish(server, "earnings", "user_001", EARNINGS);
    await notify(server, "user_001", "private");
  });
  after(() => server.end());

  for (const path of ["/ws/earnings", "/ws/notifications"]) {
    test(`${path}: an error on an open socket, nothing else, and a token in a later frame helps`, async () => {
      const native = await openPanel(server.wsUrl + path, subscribe("user_001"));
      const [error] = await native.inbox.next("error");
      assert.equal(error.message, "token required");
      native.send({ action: "subscribe", user_id: "user_001", token: mint("user_002") });
      await native.inbox.next("error", (frame) => frame.message !== "token required");
      native.send({ action: "ping" });
      await native.inbox.next("pong");
      assert.deepEqual(new Set(native.inbox.arrivals.map((a) => a.name)), new Set(["open", "error", "pong"]));
      native.send({ action: "subscribe", user_id: "user_001", token: mint("user_001") });
      await native.inbox.next(path === "/ws/earnings" ? "earnings" : "notification");
      native.ws.close();
    });

    test(`${path}: a bad token in a frame closes with 1008, and is not repeated`, async () => {
      const bad = mint("user_001", { secret: "another secret of more than 32 bytes" });
      const native = await openPanel(server.wsUrl + path, { ...subscribe("user_001"), token: bad });
      assert.deepEqual(await native.inbox.next("close"), [1008, "invalid token"]);
      assert.ok(!JSON.stringify(native.inbox.arrivals).includes(bad));
    });
  }

  test("the raw socket is told so, and stays", async () => {
    const { ws, inbox } = await connectNative(`${server.wsUrl}/ws/user/user_001`);
    const [error] = await inbox.next("error");
    assert.equal(error.message, "token required");
    assert.ok(!("portfolio" in error));
    ws.close();
    const mine = await connectNative(`${server.wsUrl}/ws/user/user_001?token=${mint("user_001")}`);
    await mine.inbox.next("untyped", (data) => data.portfolio.portfolio_value === 100000);
    mine.ws.close();
  });

  test("the demo desk's user needs no token", async () => {
    const native = await openPanel(`${server.wsUrl}/ws/notifications`, subscribe("demo"));
    const [frame] = await native.inbox.next("notification");
    assert.equal(frame.data.simulated, true);
    native.ws.close();
  });

  test("the panel of live prices fills every cell with what the demo desk quotes", async () => {
    const symbols = ["AAPL", "GOOGL", "MSFT", "TSLA", "BTC-ZAR"];
    const panel = new LivePricesPanel(server.wsUrl, symbols);
    await until("a row for each symbol", () => panel.rows.size === symbols.length);
    for (const [symbol, cells] of panel.rows) {
      assert.ok(!cells.includes("--") && !cells.join(" ").includes("NaN"), `${symbol}: ${cells}`);
    }
    panel.ws.close();
  });

  test("the administrators' requests", async () => {
    await server.post("/api/events", { type: "admin_users", data: { total_users: 150 } });
    const ask = async (headers: Record<string, string>) => {
      const answer = await fetch(`${server.url}/api/v1/admin/users`, { headers });
      return [answer.status, await answer.json()] as [number, any];
    };
    const [status, users] = await ask({ authorization: `Bearer ${mint("boss", { admin: true })}` });
    assert.deepEqual([status, users.users], [200, []]);
    assert.equal(users.total_users, 150);
    for (const [headers, expected] of [
      [{}, 401],
      [{ "X-Admin-Token": "admin-token" }, 401],
      [{ authorization: `Bearer ${mint("user_001")}` }, 403],
    ] as [Record<string, string>, number][]) {
      const [status, body] = await ask(headers);
      assert.equal(status, expected);
      assert.equal(typeof body.detail, "string");
    }
  });
});
