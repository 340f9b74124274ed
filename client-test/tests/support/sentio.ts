/** Sockets as Sentio's pages open them, with the checks of what those pages do with a frame. */

import assert from "node:assert/strict";
import { WebSocket } from "ws";
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

/** One channel of the page's socket service: it closes the socket before, comes back after every close, and pings. */
export class Channel {
  readonly frames: any[] = [];
  sockets = 0;
  #ws: WebSocket | undefined;
  #ping: NodeJS.Timeout | undefined;
  #again: NodeJS.Timeout | undefined;

  constructor(
    private readonly url: string,
    private readonly initial: unknown,
    private readonly onFrame: (frame: any) => void = () => undefined,
    private readonly reconnectDelay = 50,
  ) {
    this.connect();
  }

  /** As on a mount, and on every change of a property. */
  connect(): void {
    this.#ws?.close();
    const ws = new WebSocket(this.url);
    this.#ws = ws;
    this.sockets += 1;
    ws.on("open", () => {
      ws.send(JSON.stringify(this.initial));
      clearInterval(this.#ping);
      this.#ping = setInterval(() => ws.readyState === WebSocket.OPEN && ws.send(JSON.stringify({ action: "ping" })), 100);
    });
    ws.on("message", (data) => {
      // A browser tells nobody of what comes after close().
      if (ws.readyState !== WebSocket.OPEN) return;
      const frame = JSON.parse(String(data));
      if (frame.type === "pong") return;
      this.frames.push(frame);
      this.onFrame(frame);
    });
    ws.on("error", () => undefined);
    ws.on("close", () => {
      clearInterval(this.#ping);
      if (this.#ws === ws) this.#again = setTimeout(() => this.connect(), this.reconnectDelay);
    });
  }

  /** Leaves, as a closed tab does. */
  leave(): void {
    clearTimeout(this.#again);
    clearInterval(this.#ping);
    const ws = this.#ws;
    this.#ws = undefined;
    ws?.close();
  }
}

/** What the earnings panel prints. */
export function earningsPanel(earnings: any): string[] {
  if (!earnings) return [];
  const sharing = earnings.profit_sharing;
  return [
    `$${earnings.portfolio_value?.toFixed(2)}`,
    `$${earnings.total_return?.toFixed(2)} ${earnings.total_return_pct?.toFixed(2)}%`,
    `$${earnings.daily_pnl?.toFixed(2)}`,
    `${(earnings.win_rate * 100)?.toFixed(1)}%`,
    ...(sharing?.enabled ? [`$${sharing.total_shared?.toFixed(2)} ${sharing.rate * 100}%`] : []),
  ];
}

/** The panel of live prices: a row for each symbol that it asked for, replaced by every quote. */
export class LivePricesPanel {
  readonly rows = new Map<string, string[]>();
  readonly ws: WebSocket;

  constructor(url: string, symbols: readonly string[]) {
    this.ws = new WebSocket(`${url}/ws/market-data`);
    this.ws.on("open", () => this.ws.send(JSON.stringify({ action: "subscribe", symbols })));
    this.ws.on("message", (data) => {
      const frame = JSON.parse(String(data));
      if (frame.type !== "quotes" && frame.type !== "update") return;
      for (const quote of frame.data) this.rows.set(quote.symbol, printQuote(quote));
    });
  }
}

/** What a row prints; `--` is an empty cell. */
function printQuote(quote: any): string[] {
  const change =
    quote.change !== undefined && quote.change_pct !== undefined
      ? `${quote.change.toFixed(2)} (${quote.change_pct.toFixed(2)}%)`
      : "--";
  return [
    `$${quote.price.toFixed(2)}`,
    change,
    quote.high ? `$${quote.high.toFixed(2)}` : "--",
    quote.low ? `$${quote.low.toFixed(2)}` : "--",
    quote.volume ? quote.volume.toLocaleString() : "--",
  ];
}

export interface NotificationRow {
  readonly id: number;
  readonly message: string;
}

/** The notifications panel: the page gives each row the time of its arrival for an id, and keeps the last 50. */
export class NotificationsPanel {
  rows: readonly NotificationRow[] = [];
  /** Every row that it ever had, oldest first. */
  readonly arrived: NotificationRow[] = [];
  readonly channel: Channel;

  constructor(url: string, user: string) {
    this.channel = new Channel(`${url}/ws/notifications`, { action: "subscribe", user_id: user }, (frame) => {
      const row = { ...frame.data, timestamp: frame.timestamp, id: Date.now() };
      this.arrived.push(row);
      this.rows = [row, ...this.rows].slice(0, 50);
    });
  }

  /** Rows that React cannot tell apart from others: they stay on the screen, and repeat. */
  get doubled(): number {
    return this.arrived.length - new Set(this.arrived.map((row) => row.id)).size;
  }
}
