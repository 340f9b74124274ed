/** `useSignalWebSocket` of ORION's page as its own code behaves: one label, reconnects of its own, signals by id. */

import { Inbox } from "./inbox.ts";
import type { OrionWebSocket } from "../../src/orion-websocket.ts";

/** Attempts after which the page shows invented data. */
const MOST_ATTEMPTS = 10;

export type Label = "connecting" | "connected" | "disconnected";

type Make = (url: string) => OrionWebSocket;

export class OrionPage {
  /** What the page shows beside the light. */
  label: Label = "disconnected";
  isDemo = false;
  /** `label`, `signal <id> <status>`, `subscribed` and `new` for each socket that was made, in order. */
  readonly inbox = new Inbox();
  readonly signals = new Map<string, any>();
  #ws: OrionWebSocket | null = null;
  #attempts = 0;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  /** @param second How long a second of the page's own timers takes, in milliseconds. */
  constructor(
    readonly url: string,
    private readonly make: Make,
    private readonly second = 200,
    private readonly reconnects = true,
  ) {}

  /** React's strict mode mounts, leaves, and mounts again. */
  mount(): this {
    this.connect();
    this.#disconnect();
    this.connect();
    return this;
  }

  unmount(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#disconnect();
  }

  /** Also what the link "Reconnect" does. */
  connect(): void {
    this.#show("connecting");
    this.inbox.push("new");
    const ws = this.make(this.url);
    this.#ws = ws;
    ws.onopen = () => {
      this.#show("connected");
      this.#attempts = 0;
      // Through the last one, whichever has opened.
      this.#ws?.send(JSON.stringify({ type: "subscribe", channels: ["signals", "prices"], timestamp: new Date().toISOString() }));
    };
    ws.onmessage = (event) => this.#take(JSON.parse(event.data));
    ws.onerror = () => {
      this.#show("disconnected");
      this.#schedule();
    };
    ws.onclose = (event) => {
      this.inbox.push("close", event.code, event.wasClean);
      this.#show("disconnected");
      if (event.code !== 1000) this.#schedule();
    };
  }

  /** Waits for a label to be shown from `from` on. */
  async shows(label: Label, from = 0): Promise<void> {
    await this.inbox.next("label", (shown) => shown === label, { from });
  }

  /** How often each state of each signal has come. */
  tally(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [id, status] of this.inbox.all("signal")) counts[`${id} ${status}`] = (counts[`${id} ${status}`] ?? 0) + 1;
    return counts;
  }

  #take(message: any): void {
    if (message.type === "signal" && "id" in message.payload) {
      this.signals.set(message.payload.id, message.payload);
      this.inbox.push("signal", message.payload.id, message.payload.status);
    } else {
      this.inbox.push(message.type, message);
    }
  }

  #disconnect(): void {
    this.#ws?.close();
    this.#ws = null;
  }

  #schedule(): void {
    if (!this.reconnects) return;
    if (this.#attempts >= MOST_ATTEMPTS) {
      this.isDemo = true;
      this.#show("connected");
      return;
    }
    const delay = 2 ** this.#attempts * this.second;
    this.#attempts += 1;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.connect();
    }, delay);
    this.#timers.add(timer);
  }

  #show(label: Label): void {
    this.label = label;
    this.inbox.push("label", label);
  }
}
