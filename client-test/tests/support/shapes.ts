/** The documented objects, checked key by key. */

import assert from "node:assert/strict";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const QUALITIES = ["live", "delayed", "stale", "closed", "simulated", "replayed"];

const PRICE_KEYS = ["symbol", "price", "timestamp", "change", "change_percent", "quality", "source"];
const PRICE_OPTIONAL = ["volume", "bid", "ask"];

const SIGNAL_KEYS = [
  "id", "status", "direction", "symbol", "entry_time", "entry_price", "stop_loss", "take_profits", "tp_modes",
  "reason", "confidence", "rr_target", "killzone", "killzone_active", "price", "updated_at", "expires_at",
  "invalidation", "source",
];

const DIGITS: Record<string, number> = {
  EURUSD: 5, GBPUSD: 5, USDJPY: 3, XAUUSD: 2, US30: 1, NAS100: 1, SPX500: 1, MNQ: 2, NQ: 2, MES: 2, ES: 2,
};

export function assertPrice(value: any): void {
  const keys = Object.keys(value);
  assert.deepEqual(keys.filter((key) => !PRICE_OPTIONAL.includes(key)).sort(), [...PRICE_KEYS].sort());
  assert.ok(value.symbol in DIGITS, `unknown symbol ${value.symbol}`);
  for (const key of ["price", "bid", "ask"]) {
    if (key in value) assertOnGrid(value.symbol, value[key]);
  }
  for (const key of ["change", "change_percent"]) assert.ok(Number.isFinite(value[key]), `${key}: ${value[key]}`);
  if ("volume" in value) assert.equal(typeof value.volume, "number");
  assert.match(value.timestamp, ISO);
  assert.ok(QUALITIES.includes(value.quality), `quality ${value.quality}`);
  assert.ok(typeof value.source === "string" && value.source !== "");
}

export function assertSignal(value: any): void {
  assert.deepEqual(Object.keys(value).sort(), [...SIGNAL_KEYS].sort());
  assert.ok(typeof value.id === "string" && value.id !== "");
  assert.ok(["pending", "confirmed", "invalidated"].includes(value.status), `status ${value.status}`);
  assert.ok(["long", "short"].includes(value.direction), `direction ${value.direction}`);
  assert.ok(value.symbol in DIGITS, `unknown symbol ${value.symbol}`);
  for (const key of ["entry_time", "updated_at", "expires_at"]) assert.match(value[key], ISO);
  for (const key of ["entry_price", "stop_loss"]) if (value[key] !== null) assertOnGrid(value.symbol, value[key]);
  assert.equal(value.price, value.entry_price);
  assert.ok(Array.isArray(value.take_profits));
  for (const level of value.take_profits) assertOnGrid(value.symbol, level);
  assert.ok(Array.isArray(value.tp_modes) && value.tp_modes.every((mode: unknown) => typeof mode === "string"));
  assert.equal(typeof value.reason, "string");
  assert.ok(value.confidence >= 0 && value.confidence <= 1, `confidence ${value.confidence}`);
  assert.ok(Number.isFinite(value.rr_target), `rr_target ${value.rr_target}`);
  assert.ok(["asia", "london", "ny_am", "lunch", "pm"].includes(value.killzone), `killzone ${value.killzone}`);
  assert.equal(typeof value.killzone_active, "boolean");
  if (value.status === "invalidated") assert.equal(typeof value.invalidation, "string");
  else assert.equal(value.invalidation, null);
  assert.ok(typeof value.source === "string" && value.source !== "");
}

export function assertSubscribed(value: any, expected: { channels: string[]; symbols: string[] | null; recovered: boolean | null }): void {
  assert.deepEqual(Object.keys(value).sort(), ["channels", "cursor", "protocol", "recovered", "symbols"]);
  assert.equal(value.protocol, 1);
  assert.deepEqual([...value.channels].sort(), [...expected.channels].sort());
  assert.deepEqual(value.symbols, expected.symbols);
  assert.equal(value.recovered, expected.recovered);
  assertCursor(value.cursor);
}

export function assertCursor(value: unknown): void {
  assert.match(String(value), /^[^:]+:\d+$/);
}

export function assertPong(value: any, timestamp: unknown): void {
  assert.deepEqual(value.timestamp, timestamp);
  assert.match(value.server_time, ISO);
}

/** No more digits than the instrument has: 1.0852000000000002 fails. */
function assertOnGrid(symbol: string, value: unknown): void {
  assert.equal(typeof value, "number");
  assert.equal(Number((value as number).toFixed(DIGITS[symbol])), value, `${symbol} prints as ${String(value)}`);
}
