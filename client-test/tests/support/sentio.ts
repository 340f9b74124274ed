/** Sockets as Sentio's pages open them, with the checks of what those pages do with a frame. */

import assert from "node:assert/strict";
import { connectNative, type Native } from "./clients.ts";

export const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A panel: it subscribes when it is open, pings, and checks each frame as its page would crash on it. */
export async function openPanel(url: string, first: unknown): Promise<Native> {
  const native = await connectNative(url);
  native.ws.on("message", (data) => assertReadable(JSON.parse(String(data))));
  native.send(first);
  return native;
}

/** What the pages do with a frame without looking first. */
function assertReadable(frame: any): void {
  if (frame.type === undefined) {
    frame.logs.map((line: string) => line);
    assert.equal(typeof frame.status, "object");
    return;
  }
  frame.type.startsWith("admin_");
  assert.match(frame.timestamp, ISO);
  if (frame.type === "trade_signals") {
    assert.ok(frame.data.length > 0);
    for (const signal of frame.data) {
      signal.signal.toUpperCase();
      assert.ok(!Number.isNaN(Number((signal.confidence * 100).toFixed(1))), "confidence");
      assert.match(signal.timestamp, ISO);
    }
  }
  if (frame.type === "quotes" || frame.type === "update") {
    for (const quote of frame.data) {
      quote.price.toFixed(2);
      if (quote.change !== undefined && quote.change_pct !== undefined) {
        quote.change.toFixed(2);
        quote.change_pct.toFixed(2);
      }
      for (const name of ["high", "low"]) if (quote[name]) quote[name].toFixed(2);
      assert.ok(typeof quote.bid === "number" && typeof quote.ask === "number");
    }
  }
  if (frame.type === "admin_revenue") {
    frame.data.monthly_recurring_revenue?.toFixed(2);
    for (const amount of Object.values<any>(frame.data.revenue_by_tier ?? {})) amount.toFixed(2);
  }
}
