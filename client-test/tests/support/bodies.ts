/** Bodies that the suites push, unique by id so that one server serves a whole suite. */

import { randomUUID } from "node:crypto";
import type { OrionServer } from "./server.ts";

/** A signal as the seed documents write it. */
export function signalBody(changes: Record<string, unknown> = {}): Record<string, unknown> & { id: string } {
  return {
    id: `suite-${randomUUID()}`,
    status: "pending",
    direction: "long",
    symbol: "EURUSD",
    entry_time: "2026-09-01T10:30:00.000Z",
    entry_price: 1.085,
    stop_loss: 1.082,
    take_profits: [1.088, 1.092, 1.096],
    tp_modes: ["TP1 30%", "TP2 40%", "Runner 30%"],
    reason: "MSS+FVG setup",
    confidence: 0.85,
    rr_target: 2.5,
    killzone: "london",
    ...changes,
  } as Record<string, unknown> & { id: string };
}

let step = 0;

/** Pushes a price that is new and returns it; away from every stop of `signalBody`. */
export async function pushPrice(server: OrionServer, symbol = "EURUSD"): Promise<number> {
  step += 1;
  const base = symbol === "GBPUSD" ? 1.27 : 1.0855;
  const price = Number((base + (step % 400) / 100_000).toFixed(5));
  const answer = await server.post("/api/prices", { symbol, price });
  if (answer.status !== 200) throw new Error(`price refused: ${JSON.stringify(answer.body)}`);
  return price;
}

export async function pushSignal(server: OrionServer, changes: Record<string, unknown> = {}): Promise<string> {
  const body = signalBody(changes);
  const answer = await server.post("/api/signals", body);
  if (answer.status !== 200) throw new Error(`signal refused: ${JSON.stringify(answer.body)}`);
  return body.id;
}
