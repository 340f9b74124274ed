/** The port that some pages of ARIA PRO and Sentio have compiled in: their addresses as written, one run of each. */

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { Panel } from "./support/aria.ts";
import { pushPrice, pushSignal } from "./support/bodies.ts";
import { openPanel } from "./support/sentio.ts";
import { PUSH_ONLY, startServer } from "./support/server.ts";

const PORT = 8000;
const ADMIN = "suite-admin";
const HEARTBEAT = 1_000;

test("ARIA PRO and Sentio on port 8000: one signal and one price reach every panel", async (t) => {
  if (await isTaken()) return t.skip(`port ${PORT} is taken`);
  const server = await startServer({
    port: PORT,
    env: {
      ...PUSH_ONLY,
      ORION_ADMIN_TOKEN: ADMIN,
      ORION_DEMO_DESK: "1",
      ORION_HEARTBEAT__APP_PING: `${HEARTBEAT}ms`,
      ORION_SENTIO__UPDATE_INTERVAL: "200ms",
    },
  });
  t.after(() => server.end());
  const desk = new Panel("ws://localhost:8000/ws", { heartbeat: HEARTBEAT, channels: ["ticks", "signals"] });
  t.after(() => desk.unmount());
  await desk.inbox.next("connection");
  const documented = { action: "subscribe", symbols: ["AAPL", "GOOGL", "MSFT"], user_id: "user_001" };
  const demo = await openPanel("ws://localhost:8000/ws/trade-signals", documented);
  const named = { action: "subscribe", symbols: ["EURUSD"], user_id: "user_001" };
  const signals = await openPanel("ws://localhost:8000/ws/trade-signals", named);
  // Where it has REACT_APP_WS_URL, LivePrices takes it for a whole address.
  const prices = await openPanel("ws://localhost:8000", { action: "subscribe", symbols: ["EURUSD"] });
  const compiled = await openPanel("ws://localhost:8000/ws/market-data", { action: "subscribe", symbols: ["EURUSD"] });
  const status = await openPanel("ws://localhost:8000/ws/admin", ADMIN);
  t.after(() => [demo, signals, prices, compiled, status].forEach(({ ws }) => ws.terminate()));

  const id = await pushSignal(server);
  const price = await pushPrice(server);
  await desk.inbox.next("signal", ({ data }) => data.id === id && data.confidence === 85);
  await desk.inbox.next("tick", ({ data }) => data.bid === price && data.spread === 0);
  const [{ data: list }] = await signals.inbox.next("trade_signals");
  assert.deepEqual([list[0].symbol, list[0].signal, list[0].confidence], ["EURUSD", "buy", 0.85]);
  for (const { inbox } of [prices, compiled]) {
    await inbox.next("update", ({ data }) => data[0].price === price && data[0].ask === price);
  }
  await status.inbox.next("untyped", (frame) => frame.status.status === "running");

  // What only the demo desk makes, within its ten seconds.
  await demo.inbox.next("trade_signals", ({ data }) => data.length === 3);
  await desk.inbox.next("order_update", ({ data }) => data.simulated === true);

  signals.send({ action: "ping" });
  await signals.inbox.next("pong");
  for (const name of ["ping", "pong"]) {
    await desk.inbox.next(name, () => desk.inbox.all(name).length >= 2);
  }
  assert.equal(desk.connections, 1);
  for (const path of ["/signals/history?symbol=EURUSD", "/api/v1/dashboard/trade-signals?symbols[]=EURUSD"]) {
    const answer = await fetch(`http://localhost:8000${path}`);
    const { signals } = (await answer.json()) as { signals: { symbol: string }[] };
    assert.equal(signals[0]?.symbol, "EURUSD", path);
  }
});

/** Whether somebody answers there. */
function isTaken(): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(PORT, "localhost");
    probe.on("connect", () => (probe.destroy(), resolve(true)));
    probe.on("error", () => resolve(false));
  });
}
