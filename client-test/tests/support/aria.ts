/** Sockets as ARIA PRO's page opens them: one for each panel, with the heartbeat and the reconnect of its hook. */

import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { Inbox } from "./inbox.ts";

/** After the mount, before the first connection. */
const MOUNT_DELAY = 100;
/** Constant: the back-off in its documents is never taken. */
const RECONNECT_DELAY = 3_100;

export interface PanelOptions {
  /** What the panel sends on its mount, and never again. */
  readonly channels?: readonly string[];
  /** Time between two pings; the page's own is 30 s. */
  readonly heartbeat: number;
}

/** What `useWebSocket` does, and what the panels do with its messages. Frames stand in the inbox under their type. */
export class Panel {
  readonly inbox = new Inbox();
  connections = 0;
  /** Like the flow monitor's: when each signal came, whatever it was. */
  readonly #signals: number[] = [];
  #mounted = true;
  #ws: WebSocket | null = null;
  #queue: unknown[] = [];
  #ping: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly url: string,
    private readonly options: PanelOptions,
  ) {
    if (options.channels !== undefined) this.send({ type: "subscribe", channels: options.channels });
    this.#timer = setTimeout(() => this.#connect(), MOUNT_DELAY);
  }

  /** What is said before the socket is open waits for it. */
  send(frame: unknown): void {
    if (this.#ws?.readyState === WebSocket.OPEN) this.#ws.send(JSON.stringify(frame));
    else this.#queue.push(frame);
  }

  /** "Signals/min". */
  get signalsPerMinute(): number {
    return this.#signals.filter((at) => Date.now() - at < 60_000).length;
  }

  /** What its list shows, a row for each arrival: the panels look at no id. */
  rows(type: "signal" | "idea" | "smc_idea" | "order_update"): string[] {
    return this.inbox.all(type).map(([frame]) => frame.data.id ?? frame.data.order_id);
  }

  unmount(): void {
    this.#mounted = false;
    clearTimeout(this.#timer);
    clearInterval(this.#ping);
    this.#ws?.close(1000);
  }

  #connect(): void {
    const ws = new WebSocket(this.url);
    this.#ws = ws;
    ws.on("open", () => {
      this.connections += 1;
      this.inbox.push("open");
      this.#ping = setInterval(() => this.send({ type: "ping" }), this.options.heartbeat);
      for (const frame of this.#queue.splice(0)) this.send(frame);
    });
    ws.on("message", (data, isBinary) => {
      assert.ok(!isBinary, "frames are text");
      const frame = JSON.parse(String(data));
      render(frame);
      if (frame.type === "signal") this.#signals.push(Date.now());
      this.inbox.push(frame.type, frame);
    });
    ws.on("error", () => this.inbox.push("error"));
    ws.on("close", (code) => {
      this.inbox.push("close", code);
      clearInterval(this.#ping);
      if (this.#mounted && code !== 1000) this.#timer = setTimeout(() => this.#connect(), RECONNECT_DELAY);
    });
  }
}

/** What the panels do without looking: throws where the page would turn white, fails where it would print nonsense. */
function render({ type, timestamp, data }: any): void {
  printTime(timestamp);
  switch (type) {
    case "tick":
      for (const price of [data.bid, data.ask, data.spread]) printPrice(price);
      printTime(data.timestamp);
      break;
    case "signal":
      assert.match(data.side.toUpperCase(), /^(BUY|SELL)$/);
      assert.ok(data.strength >= 0 && data.strength <= 1, `strength ${data.strength}`);
      assert.ok(data.confidence >= 0 && data.confidence <= 100, `confidence ${data.confidence}`);
      printTime(data.timestamp);
      break;
    case "order_update":
      assert.match(data.status.toLowerCase(), /^(filled|pending|cancelled|partial_fill)$/);
      data.status.toUpperCase();
      assert.match(data.side.toUpperCase(), /^(BUY|SELL)$/);
      printPrice(data.price);
      assert.equal(typeof data.order_id.slice(-8), "string");
      assert.equal(typeof data.volume, "number");
      printTime(data.timestamp);
      break;
    case "idea":
    case "smc_idea":
      assert.equal(typeof data.symbol, "string");
      data.confidence?.toFixed(1);
      printTime(data.timestamp);
      break;
    default:
  }
}

function printPrice(price: any): void {
  assert.doesNotMatch(price.toFixed(5), /NaN/);
  assert.ok(String(price).length <= 12, `prints as ${price}`);
}

function printTime(time: string | number): void {
  assert.notEqual(String(new Date(time)), "Invalid Date", `time ${time}`);
}
