/** A server whose log has bars of a recording, so that a suite has a past to look at. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { PUSH_ONLY, startServer, type OrionServer } from "./server.ts";

/** When the recording begins: a Wednesday, in winter, at the open of London's killzone. */
export const BEGIN = Date.parse("2026-01-14T07:00:00Z");
/** Its length. */
export const MINUTES = 600;
const MINUTE = 60_000;

/** The bar of a minute: a quiet wave, with a jump that leaves a gap at minute 240. */
export function minute(index: number): { open: number; high: number; low: number; close: number } {
  const level = (at: number) => 1.085 + 0.001 * Math.sin(at / 40) + (at > 240 ? 0.002 : 0);
  const [open, close] = [level(index), level(index + 1)];
  return { open, close, high: Math.max(open, close) + 0.0001, low: Math.min(open, close) - 0.0001 };
}

/** A random walk in which the server's own setups find a signal: pending at 14:31, confirmed at 14:32, stopped at 14:39. */
export function walk(): typeof minute {
  let state = 5;
  let price = 1.085;
  const bars = Array.from({ length: MINUTES }, () => {
    const prices = [price];
    for (let step = 0; step < 8; step++) {
      state = (state * 48_271) % 2_147_483_647;
      price = Number((price + (state / 2_147_483_647 - 0.5) * 0.0003).toFixed(5));
      prices.push(price);
    }
    return { open: prices[0]!, close: price, high: Math.max(...prices), low: Math.min(...prices) };
  });
  return (index) => bars[index]!;
}

/** Replays the recording, or `bar` from `begin` on, into a new log, then starts a server on it that takes pushes. */
export async function serverWithBars(env: Record<string, string> = {}, bar = minute, begin = BEGIN): Promise<OrionServer> {
  const folder = mkdtempSync(join(tmpdir(), "orion-bars-"));
  const file = join(folder, "bars.csv");
  const line = (_: unknown, index: number) => {
    const { open, high, low, close } = bar(index);
    const time = new Date(begin + index * MINUTE).toISOString().slice(0, 19);
    return [time, ...[open, high, low, close].map((price) => price.toFixed(5)), 1].join(",");
  };
  writeFileSync(file, ["time,open,high,low,close,volume", ...Array.from({ length: MINUTES }, line), ""].join("\n"));
  const replay = { ORION_SOURCES: "replay", ORION_REPLAY_FILE: file, ORION_REPLAY_SYMBOL: "EURUSD", ORION_REPLAY_SPEED: "max" };
  const first = await startServer({ env: replay });
  // The last minute is closed by the end of the recording, and stored a moment later.
  for (let tries = 0; ; tries++) {
    const { body } = await first.get("/api/bars?symbol=EURUSD&limit=1000");
    if (body.bars.length >= MINUTES - 1) break;
    if (tries > 600) throw new Error(`only ${body.bars.length} bars were stored\n${first.log}`);
    await pause(100);
  }
  await first.stop();
  rmSync(folder, { recursive: true, force: true });
  return startServer({ port: first.port, dataDir: first.dataDir, env: { ...PUSH_ONLY, ...env } });
}
