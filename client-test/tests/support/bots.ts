/** The bot platform's clients, as its pages run them: the event bus in its three releases, and the dashboard's own socket. */

import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { Inbox } from "./inbox.ts";
import { panels, printTime } from "./bots-panels.ts";

/** How fast a client runs; its own times are named beside. */
export interface Pace {
  /** Between two pings: 30 s (v1), 20 s (v2, v3), 5 s (dashboard). */
  readonly ping: number;
  /** Until a pong has to be here: 10 s. */
  readonly pong: number;
  /** Before the first attempt to come back, doubled with each: 1 s. */
  readonly retry: number;
  /** Before polling, when the event stream broke: 2 s. */
  readonly giveUp: number;
  /** Between two polls of trades: 5 s; the other routes are polled less often. */
  readonly poll: number;
}

export const QUICK: Pace = { ping: 200, pong: 30_000, retry: 10, giveUp: 20, poll: 50 };

type Mode = "connecting" | "ws" | "sse" | "polling" | "closed";

const ATTEMPTS = { 1: 10, 2: 5, 3: 5 } as const;

/** What the bus polls, the event that a body becomes, and how often beside trades. */
const POLLED = [
  ["/api/trades/recent?limit=50", "trades", 1],
  ["/api/bots", "bots", 2],
  ["/api/portfolio/summary", "metrics", 2],
  ["/api/wallet/balances", "balances", 3],
  ["/api/system/health", "system_health", 6],
] as const;

/** `lib/realtime.js`. What its listeners get stands in the inbox under the event; what they throw is in `errors`. */
export class Bus {
  readonly inbox = new Inbox();
  readonly errors: unknown[] = [];
  /** Milliseconds that pings took. */
  readonly trips: number[] = [];
  mode: Mode = "connecting";
  opened = 0;
  lastUpdate: string | undefined;
  #ws: WebSocket | null = null;
  #attempts = 0;
  #timers = new Set<NodeJS.Timeout>();
  #pong: NodeJS.Timeout | undefined;
  #stop = new AbortController();
  #listeners = new Map<string, ((data: any) => void)[]>();

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly version: 1 | 2 | 3,
    private readonly pace: Pace = QUICK,
  ) {
    this.#connect();
  }

  close(): void {
    this.mode = "closed";
    this.#stop.abort();
    clearTimeout(this.#pong);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#ws?.close();
  }

  #later(delay: number, what: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.mode !== "closed") what();
    }, delay);
    this.#timers.add(timer);
  }

  #enter(mode: Mode): void {
    if (this.mode === "closed") return;
    this.mode = mode;
    this.inbox.push("mode", mode);
  }

  #connect(): void {
    // In the first release the parameter stands in the path.
    const mark = this.version === 1 ? "&" : "?";
    const ws = new WebSocket(`${this.url.replace(/^http/, "ws")}/api/ws${mark}token=${this.token}`);
    this.#ws = ws;
    let pings: NodeJS.Timeout | undefined;
    ws.on("open", () => {
      this.#attempts = 0;
      this.opened += 1;
      this.#enter("ws");
      const ping = () => {
        ws.send(JSON.stringify({ type: "ping", timestamp: Date.now() }));
        clearTimeout(this.#pong);
        this.#pong = setTimeout(() => {
          this.errors.push(new Error("no pong in time"));
          ws.close();
        }, this.pace.pong);
      };
      pings = setInterval(ping, this.pace.ping);
    });
    ws.on("message", (data) => this.#message(JSON.parse(String(data)), (frame) => ws.send(JSON.stringify(frame))));
    ws.on("error", () => undefined);
    ws.on("close", (code) => {
      clearInterval(pings);
      clearTimeout(this.#pong);
      this.inbox.push("close", code);
      if (this.mode === "closed") return;
      this.#attempts += 1;
      if (this.#attempts <= ATTEMPTS[this.version]) {
        this.#enter("connecting");
        this.#later(Math.min(this.pace.retry * 2 ** (this.#attempts - 1), 30 * this.pace.retry), () => this.#connect());
      } else if (this.version === 1) {
        this.#startPolling();
      } else {
        void this.#listen();
      }
    });
  }

  #message(frame: any, answer: (frame: unknown) => void): void {
    if (frame.type === "pong") {
      clearTimeout(this.#pong);
      this.trips.push(Date.now() - frame.timestamp);
      this.inbox.push("pong", frame);
      return;
    }
    if (frame.type === "ping") {
      answer({ type: "pong", timestamp: frame.timestamp });
      this.inbox.push("ping", frame);
      return;
    }
    this.lastUpdate = frame.ts;
    this.inbox.push("raw", frame);
    const { type, data, ts: _, ...rest } = frame;
    const payload = this.version === 3 && data === undefined && Object.keys(rest).length > 0 ? rest : data;
    this.#emit(type, payload);
    // In the third release a second name follows the first.
    const alias = { trade_executed: "trades", balance_updated: "balances" }[type as string];
    if (this.version === 3 && alias !== undefined) this.#emit(alias, payload);
  }

  /** Calls `listener` with what comes under a name. */
  on(name: string, listener: (data: any) => void): void {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
  }

  #emit(name: string, data: any): void {
    try {
      panels[name]?.(data);
    } catch (error) {
      this.errors.push(new Error(`the panel of ${name} cannot read ${JSON.stringify(data)}`, { cause: error }));
    }
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(data);
      } catch (error) {
        this.errors.push(error);
      }
    }
    this.inbox.push(name, data);
  }

  /** As `EventSource` with `onmessage` alone: events that have a name are not seen. */
  async #listen(): Promise<void> {
    try {
      const response = await fetch(`${this.url}/api/realtime/events?token=${this.token}`, { signal: this.#stop.signal });
      assert.equal(response.status, 200);
      assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
      this.#enter("sse");
      let text = "";
      const chunks = response.body!.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>;
      for await (const chunk of chunks) {
        const events = (text + chunk).split("\n\n");
        text = events.pop()!;
        for (const event of events) {
          const field = (name: string) =>
            event.split("\n").filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
          if (field("event").length === 0 && field("data").length > 0) {
            this.#message(JSON.parse(field("data").join("\n")), () => undefined);
          }
        }
      }
    } catch {
      // Whatever broke it, it polls.
    }
    if (this.mode !== "closed") this.#later(this.pace.giveUp, () => this.#startPolling());
  }

  #startPolling(): void {
    this.#enter("polling");
    for (const [path, name, times] of POLLED) {
      const poll = async () => {
        const headers = { authorization: `Bearer ${this.token}` };
        const answer = await fetch(this.url + path, { headers, signal: this.#stop.signal }).catch(() => null);
        if (answer?.ok) this.#emit(name, await answer.json());
        else if (answer !== null) this.inbox.push("refused", answer.status);
        this.#later(this.pace.poll * times, () => void poll());
      };
      void poll();
    }
  }
}

/** `pages/Dashboard.js`: reads the top level or `payload`, and never answers a ping. */
export class Dashboard {
  readonly inbox = new Inbox();
  readonly errors: unknown[] = [];
  /** The lamps of WebSocket and event stream. */
  lamps = "red";
  tiles: Record<string, unknown> = {};
  prices: Record<string, any> = {};
  trip: number | undefined;
  lastSeen = 0;
  #ws: WebSocket;
  #pings: NodeJS.Timeout | undefined;

  constructor(url: string, token: string, ping: number) {
    this.#ws = new WebSocket(`${url.replace(/^http/, "ws")}/api/ws?token=${token}`);
    this.#ws.on("open", () => {
      this.inbox.push("open");
      this.#pings = setInterval(() => this.#ws.send(JSON.stringify({ type: "ping", timestamp: Date.now() })), ping);
    });
    this.#ws.on("message", (data) => {
      const frame = JSON.parse(String(data));
      try {
        this.#message(frame);
      } catch (error) {
        this.errors.push(new Error(`the dashboard cannot read ${JSON.stringify(frame)}`, { cause: error }));
      }
      this.inbox.push(frame.type, frame);
    });
    this.#ws.on("error", () => undefined);
    this.#ws.on("close", (code) => {
      clearInterval(this.#pings);
      this.inbox.push("close", code);
    });
  }

  get open(): boolean {
    return this.#ws.readyState === WebSocket.OPEN;
  }

  close(): void {
    this.#ws.close();
  }

  #message(frame: any): void {
    const toasts = ["success", "info", "warning", "error"];
    switch (frame.type) {
      case "connection":
        this.lamps = frame.status === "Connected" ? "green" : "red";
        break;
      case "ping":
        this.lastSeen = frame.timestamp;
        break;
      case "pong":
        this.trip = Date.now() - frame.timestamp;
        break;
      case "metrics":
        Object.assign(this.tiles, frame.payload);
        for (const tile of Object.values(frame.payload)) assert.equal(typeof tile, "string");
        break;
      case "bot_status":
        assert.equal(typeof frame.payload.bot_id, "string");
        break;
      case "notification":
        assert.ok(toasts.includes(frame.payload.type), frame.payload.type);
        break;
      case "live_prices":
        this.#show(frame.prices);
        break;
      case "prices_update":
        this.#show(frame.data.prices);
        break;
      default:
    }
  }

  #show(prices: Record<string, any>): void {
    for (const [symbol, { price, timestamp }] of Object.entries(prices)) {
      assert.doesNotMatch(price.toFixed(2), /NaN/, symbol);
      printTime(timestamp);
    }
    Object.assign(this.prices, prices);
  }
}
