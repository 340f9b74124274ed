/** The life of a pushed signal, from every spelling of its body to the documented object on every kind of client. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pushSignal, signalBody } from "./support/bodies.ts";
import { connectNative, connectV2, connectV4, type Native, type V2, type V4 } from "./support/clients.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { assertSignal } from "./support/shapes.ts";

let server: OrionServer;
let v4: V4;
let v2: V2;
let native: Native;

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  v4 = await connectV4(server.url, { transports: ["websocket"] });
  v2 = await connectV2(server.url, { transports: ["polling"] });
  native = await connectNative(`${server.wsUrl}/ws/signals`);
  v4.socket.emit("subscribe", ["signals"]);
  v2.socket.emit("subscribe", ["signals"]);
  await Promise.all([v4, v2, native].map(({ inbox }) => inbox.next("subscribed")));
});
after(async () => {
  v4.socket.close();
  v2.socket.close();
  native.ws.close();
  await server.end();
});

/** The signal as each kind of client got it; they must have got the same. */
async function seenByAll(fits: (signal: any) => boolean): Promise<any> {
  const [a] = await v4.inbox.next("signal", fits);
  const [b] = await v2.inbox.next("signal", fits);
  const [frame] = await native.inbox.next("signal", (f) => fits(f.payload));
  assert.deepEqual(b, a, "v2 client");
  assert.deepEqual(frame.payload, a, "native client");
  assertSignal(a);
  return a;
}

/** How often each kind of client got it. */
async function countedByAll(fits: (signal: any) => boolean): Promise<number[]> {
  await Promise.all([v4.settle(), v2.settle(), native.settle()]);
  return [
    v4.inbox.all("signal").filter(([s]) => fits(s)).length,
    v2.inbox.all("signal").filter(([s]) => fits(s)).length,
    native.inbox.all("signal").filter(([f]) => fits(f.payload)).length,
  ];
}

const LEVELS = { entry_price: 1.085, stop_loss: 1.082, take_profits: [1.088, 1.092, 1.096] };

const EXPECTED = {
  status: "pending",
  direction: "long",
  symbol: "EURUSD",
  entry_time: "2026-09-01T10:30:00.000Z",
  ...LEVELS,
  tp_modes: ["TP1 30%", "TP2 40%", "Runner 30%"],
  reason: "MSS+FVG setup",
  confidence: 0.85,
  rr_target: 2.5,
  killzone: "london",
  price: 1.085,
  invalidation: null,
};

describe("every spelling leaves as the documented object", () => {
  const spellings: [string, Record<string, unknown>, Record<string, unknown>][] = [
    ["the seed document", {}, {}],
    ["OrionAI's push", { signal_type: "entry", entry_time: undefined, timestamp: EXPECTED.entry_time, entry_price: undefined, price: 1.085, confidence: 85, killzone: "London Open", status: undefined, dry_run: false }, {}],
    ["the backend schema", { direction: undefined, side: "LONG", status: "PENDING", confidence: 85, killzone: "LONDON", entry_time: undefined, time: EXPECTED.entry_time }, {}],
    ["short in capitals", { direction: "SHORT", stop_loss: 1.088, take_profits: [1.082, 1.079] }, { direction: "short", stop_loss: 1.088, take_profits: [1.082, 1.079] }],
    ["a time with an offset", { entry_time: "2026-09-01T12:30:00+02:00" }, {}],
    ["a broker's symbol", { symbol: "EUR/USD" }, {}],
    ["a prefixed symbol", { symbol: "OANDA:EUR_USD" }, {}],
    ["levels with float noise", { entry_price: 1.0850000000000002, take_profits: [1.088, 1.0920000000000001, 1.096] }, {}],
    ["both price and entry_price", { price: 1.085 }, {}],
    ["no tp_modes", { tp_modes: undefined }, { tp_modes: [] }],
    ["confidence of one", { confidence: 1 }, { confidence: 1 }],
    ["confidence of a hundred", { confidence: 100 }, { confidence: 1 }],
    ["killzone NY_AM", { killzone: "NY_AM" }, { killzone: "ny_am" }],
    ["killzone ny am", { killzone: "ny am" }, { killzone: "ny_am" }],
    ["killzone ASIA", { killzone: "ASIA" }, { killzone: "asia" }],
    ["killzone LUNCH", { killzone: "LUNCH" }, { killzone: "lunch" }],
    ["killzone PM", { killzone: "PM" }, { killzone: "pm" }],
    ["gold with two digits", { symbol: "GOLD", entry_price: 2650.123, stop_loss: 2645.5, take_profits: [2660] }, { symbol: "XAUUSD", entry_price: 2650.12, price: 2650.12, stop_loss: 2645.5, take_profits: [2660] }],
    ["a future on its ticks", { symbol: "MNQ", entry_price: 21000.3, stop_loss: 20990, take_profits: [21020] }, { symbol: "MNQ", entry_price: 21000.25, price: 21000.25, stop_loss: 20990, take_profits: [21020] }],
  ];
  for (const [name, changes, differences] of spellings) {
    test(name, async () => {
      const started = Date.now();
      const body = signalBody(changes);
      const answer = await server.post("/api/signals", body);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      const { message, timestamp, ...fixed } = answer.body;
      assert.deepEqual(fixed, { success: true, signal_id: body.id, status: "pending", dry_run: false, line_sent: false });
      assert.equal(typeof message, "string");
      const answered = Date.parse(timestamp);
      assert.ok(answered >= started && answered <= Date.now(), `${timestamp} is not when it was answered`);

      const signal = await seenByAll((s) => s.id === body.id);
      const { updated_at, expires_at, source, killzone_active, ...told } = signal;
      assert.deepEqual(told, { id: body.id, ...EXPECTED, ...differences });
      const accepted = Date.parse(expires_at) - 300_000;
      assert.ok(accepted >= started && accepted <= answered, "it lives for five minutes from its acceptance on");
    });
  }

  test("a missing rr_target is computed from the last target", async () => {
    const id = await pushSignal(server, { rr_target: undefined });
    const { rr_target } = await seenByAll((s) => s.id === id);
    assert.ok(Math.abs(rr_target - 11 / 3) < 0.01, String(rr_target));
  });
});

describe("one life", () => {
  test("pending, confirmed, and the history tells it", async () => {
    const id = await pushSignal(server);
    const answer = await server.patch(`/api/signals/${id}`, { status: "confirmed" });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const confirmed = await seenByAll((s) => s.id === id && s.status === "confirmed");
    const pending = await seenByAll((s) => s.id === id && s.status === "pending");
    const { status: _s, updated_at: _u, ...rest } = confirmed;
    const { status: _p, updated_at: _v, ...before } = pending;
    assert.deepEqual(rest, before, "everything else is unchanged and whole");

    const { status, body } = await server.get(`/api/signals/${id}`);
    assert.equal(status, 200);
    assert.deepEqual(body.signal, confirmed);
    assert.deepEqual(body.history.map((entry: any) => entry.status), ["pending", "confirmed"]);
    for (const entry of body.history) assert.deepEqual(Object.keys(entry).sort(), ["at", "cursor", "reason", "source", "status"]);
  });

  test("invalidated with a reason", async () => {
    const id = await pushSignal(server);
    await server.patch(`/api/signals/${id}`, { status: "invalidated", reason: "stop_touched" });
    const signal = await seenByAll((s) => s.id === id && s.status === "invalidated");
    assert.equal(signal.invalidation, "stop_touched");
    assert.equal(signal.reason, EXPECTED.reason, "the setup stays");
  });

  test("invalidated by hand without a reason", async () => {
    const id = await pushSignal(server);
    await server.patch(`/api/signals/${id}`, { status: "invalidated" });
    const signal = await seenByAll((s) => s.id === id && s.status === "invalidated");
    assert.equal(signal.invalidation, "manual");
  });

  test("a known id needs only id and status, and the same push again is silent", async () => {
    const body = signalBody();
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await server.post("/api/signals", body)).status, 200);
    }
    for (let round = 0; round < 2; round += 1) {
      assert.equal((await server.post("/api/signals", { id: body.id, status: "CONFIRMED" })).status, 200);
    }
    const signal = await seenByAll((s) => s.id === body.id && s.status === "confirmed");
    assert.deepEqual(signal.take_profits, LEVELS.take_profits);
    assert.deepEqual(await countedByAll((s) => s.id === body.id), [2, 2, 2]);
  });

  test("a pending one is replaced whole and keeps its deadline", async () => {
    const body = signalBody();
    await server.post("/api/signals", body);
    const first = await seenByAll((s) => s.id === body.id);
    await server.post("/api/signals", { ...body, stop_loss: 1.081 });
    const second = await seenByAll((s) => s.id === body.id && s.stop_loss === 1.081);
    assert.equal(second.expires_at, first.expires_at);
  });

  test("a new id may arrive already ended: one event", async () => {
    const id = await pushSignal(server, { status: "confirmed" });
    await seenByAll((s) => s.id === id && s.status === "confirmed");
    assert.deepEqual(await countedByAll((s) => s.id === id), [1, 1, 1]);
  });

  test("an ended one is not ended otherwise", async () => {
    const id = await pushSignal(server, { status: "confirmed" });
    for (const answer of [
      await server.patch(`/api/signals/${id}`, { status: "invalidated" }),
      await server.post("/api/signals", { id, status: "invalidated" }),
    ]) {
      assert.equal(answer.status, 409);
      assert.match(answer.body.code, /^[a-z_]+$/);
      assert.equal(typeof answer.body.error, "string");
    }
    assert.deepEqual(await countedByAll((s) => s.id === id), [1, 1, 1]);
  });

  test("dry_run publishes nothing", async () => {
    const body = signalBody({ dry_run: true });
    const answer = await server.post("/api/signals", body);
    assert.equal(answer.status, 200);
    assert.equal(answer.body.dry_run, true);
    assert.deepEqual(await countedByAll((s) => s.id === body.id), [0, 0, 0]);
    assert.equal((await server.get(`/api/signals/${body.id}`)).status, 404);
  });
});

describe("refusals", () => {
  for (const [name, token] of [["no token", null], ["a wrong token", "wrong"]] as const) {
    test(`${name}: 401`, async () => {
      const id = await pushSignal(server);
      for (const { status, body } of [
        await server.post("/api/signals", signalBody(), token),
        await server.post("/api/prices", { symbol: "EURUSD", price: 1.09 }, token),
        await server.patch(`/api/signals/${id}`, { status: "confirmed" }, token),
      ]) {
        assert.equal(status, 401);
        assert.equal(typeof body.error, "string");
        assert.match(body.code, /^[a-z_]+$/);
      }
    });
  }

  test("every bad field is named at once", async () => {
    const wrong = { direction: "sideways", status: "maybe", confidence: "high", stop_loss: "low", take_profits: "many", entry_time: "soon" };
    const { status, body } = await server.post("/api/signals", signalBody(wrong));
    assert.equal(status, 400);
    const fields = JSON.stringify(body.details.fields);
    for (const field of Object.keys(wrong)) assert.ok(fields.includes(`"${field}"`), `${field} in ${fields}`);
  });

  test("missing fields are named", async () => {
    const { status, body } = await server.post("/api/signals", {});
    assert.equal(status, 400);
    const fields = JSON.stringify(body.details.fields);
    for (const field of ["id", "symbol", "direction"]) assert.ok(fields.includes(`"${field}"`), `${field} in ${fields}`);
  });

  test("an unknown symbol alone is 422", async () => {
    assert.equal((await server.post("/api/signals", signalBody({ symbol: "NOPE" }))).status, 422);
    assert.equal((await server.post("/api/prices", { symbol: "NOPE", price: 1 })).status, 422);
  });

  test("an unknown signal is 404", async () => {
    assert.equal((await server.get("/api/signals/nobody")).status, 404);
    assert.equal((await server.patch("/api/signals/nobody", { status: "confirmed" })).status, 404);
  });
});

test("the list pages to its end, newest first, each signal once", async () => {
  const ids: string[] = [];
  for (let i = 0; i < 5; i += 1) ids.push(await pushSignal(server, { symbol: "USDJPY", entry_price: 150, stop_loss: 149, take_profits: [152] }));
  const seen: string[] = [];
  let before: string | null = null;
  do {
    const query: string = before === null ? "" : `&before=${encodeURIComponent(before)}`;
    const { body } = await server.get(`/api/signals?symbol=USDJPY&limit=2${query}`);
    assert.ok(body.signals.length <= 2);
    for (const signal of body.signals) assertSignal(signal);
    seen.push(...body.signals.map((signal: any) => signal.id));
    before = body.next;
  } while (before !== null && seen.length < 50);
  assert.deepEqual(seen, ids.reverse());
});

test("with ORION_SIGNAL_TTL=2s a pending signal ends by timeout, two seconds after its start, once", async () => {
  const quick = await startServer({ env: { ...PUSH_ONLY, ORION_SIGNAL_TTL: "2s" } });
  const client = await connectNative(`${quick.wsUrl}/ws/signals`);
  try {
    await client.inbox.next("subscribed");
    const id = await pushSignal(quick);
    const [{ payload: pending }] = await client.inbox.next("signal", (f) => f.payload.id === id);
    const [ended] = await client.inbox.next("signal", (f) => f.payload.id === id && f.payload.status === "invalidated");
    assertSignal(ended.payload);
    assert.equal(ended.payload.invalidation, "timeout");
    assert.equal(Date.parse(ended.payload.updated_at) - Date.parse(pending.updated_at), 2_000);
    // A second signal's whole life later the first has still ended only once.
    const next = await pushSignal(quick);
    await client.inbox.next("signal", (f) => f.payload.id === next && f.payload.status === "invalidated");
    const states = client.inbox.all("signal").filter(([f]) => f.payload.id === id).map(([f]) => f.payload.status);
    assert.deepEqual(states, ["pending", "invalidated"]);
    assert.equal((await quick.patch(`/api/signals/${id}`, { status: "confirmed" })).status, 409);
  } finally {
    client.ws.close();
    await quick.end();
  }
});
