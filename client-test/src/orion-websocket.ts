/**
 * The browser's WebSocket interface over Socket.IO, so that a dashboard written
 * against the native endpoint switches by one import:
 *
 * ```ts
 * import { OrionWebSocket as WebSocket } from "orion-client";
 * const ws = new WebSocket("wss://api.example.com/ws/signals");
 * ```
 *
 * **A connection loss is reported, and recovered internally.** When the connection is lost,
 * `close` fires with 1006; Socket.IO reconnects by itself, and `open` fires again,
 * on the same instance, when it is back. A page that reconnects on `close` makes a
 * new instance instead: it takes over the same connection, is `CONNECTING` until
 * that is back, and the previous instance fires no more events. Either way the
 * page has one connection and one stream: missed signals are resumed by cursor, each
 * once. (A new instance for the same address counts as such a reconnect during the
 * loss and for a minute after it. Otherwise each instance has its own connection.)
 * `error` does not fire on a loss, so that a page that reconnects on both events
 * does so once; and a failed attempt does not end an instance, so that no page
 * gives up and shows demo data.
 *
 * **Silent mode**: `OrionWebSocket.reportLoss = false` before the first instance
 * (or `{ reportLoss: false }` as the second argument) fires neither event on a loss.
 * `readyState` stays `OPEN`, and `connectionState` with its event `connectionstate`
 * shows the real state.
 *
 * **`close` fires in two further cases:** with the code given to `close()` (default
 * 1000, after which the dashboard does not reconnect), and with 1008 after an `error`
 * when the server rejects the token.
 *
 * Frames have the native shape: `{"type":"signal","payload":{…},"cursor":"…"}`,
 * `{"type":"price_update","payload":{…}}`, `subscribed`, `pong` and `error` with
 * their fields at the top level. As on the native endpoint, a subscription is
 * optional: if the `open` handlers have not subscribed, both channels are subscribed.
 * The snapshot holds the pending signals and those that ended within the last minute,
 * because a dashboard sounds an alarm for each confirmed one (`replay` extends it).
 */

import type { ConnectionState, OrionOptions, Selection } from "./orion-adapter.ts";
import { SharedConnection } from "./shared-connection.ts";

const ALL: Selection = { channels: ["signals", "prices"] };

export interface OrionWebSocketOptions extends OrionOptions {
  /** Whether a loss fires `close` and `open`. Default: `OrionWebSocket.reportLoss`. */
  readonly reportLoss?: boolean;
}

/** The fields of `CloseEvent`, which Node.js 20 does not have. */
export class OrionCloseEvent extends Event {
  constructor(
    readonly code: number,
    readonly reason: string,
    readonly wasClean: boolean,
  ) {
    super("close");
  }
}

export class OrionWebSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

  /** Whether instances report a loss, unless their options say otherwise. */
  static reportLoss = true;

  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;

  readonly url: string;
  readonly protocol = "";
  readonly extensions = "";
  readonly bufferedAmount = 0;
  binaryType: BinaryType = "blob";

  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent<string>) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  onclose: ((event: OrionCloseEvent) => void) | null = null;

  readonly #connection: SharedConnection;
  readonly #initial: Selection;
  readonly #reportsLoss: boolean;
  #readyState: number = OrionWebSocket.CONNECTING;
  /** Closed by a loss: opens again with the connection, unless another instance has taken it over. */
  #isLost = false;
  /** Closed permanently: by the page, by a rejected token, or by another instance. */
  #hasEnded = false;
  /** Frames received on a connection that was taken over, before `open` fires in the next task. */
  #early: unknown[] = [];

  /** @param options The adapter's options. The `protocols` of `new WebSocket(url, protocols)` are ignored. */
  constructor(url: string | URL, options?: string | string[] | OrionWebSocketOptions) {
    super();
    this.url = String(url);
    const { reportLoss, ...given } = typeof options === "object" && !Array.isArray(options) ? options : {};
    this.#reportsLoss = reportLoss ?? OrionWebSocket.reportLoss;
    this.#initial = given.channels === undefined ? ALL : { channels: given.channels, symbols: given.symbols };
    this.addEventListener("open", (event) => this.onopen?.(event));
    this.addEventListener("message", (event) => this.onmessage?.(event as MessageEvent<string>));
    this.addEventListener("error", (event) => this.onerror?.(event));
    this.addEventListener("close", (event) => this.onclose?.(event as OrionCloseEvent));
    this.#connection = SharedConnection.acquire(this.url, { replay: "1m", ...given }, {
      deliver: (frame) => this.#deliver(frame),
      changed: (state) => this.#changed(state),
      replaced: () => this.#replaced(),
    });
    const { adapter } = this.#connection;
    if (adapter.state === "connected") setTimeout(() => this.#open());
    else adapter.connect();
  }

  get readyState(): number {
    return this.#readyState;
  }

  /** The real state of the connection, also during a loss. */
  get connectionState(): ConnectionState {
    return this.#hasEnded ? "disconnected" : this.#connection.adapter.state;
  }

  send(data: string): void {
    if (this.#readyState === OrionWebSocket.CONNECTING) {
      throw new DOMException("Still in CONNECTING state", "InvalidStateError");
    }
    if (this.#readyState !== OrionWebSocket.OPEN) return;
    const { adapter } = this.#connection;
    const frame = parseFrame(data);
    switch (frame?.["type"]) {
      case "subscribe":
        return adapter.subscribe(toSelection(frame), textOrNothing(frame["since"]));
      case "unsubscribe":
        return adapter.unsubscribe(toSelection(frame));
      case "ping":
        return adapter.ping(frame["timestamp"]);
      default:
        return adapter.sendRaw(data);
    }
  }

  close(code = 1000, reason = ""): void {
    if (code !== 1000 && (code < 3000 || code > 4999)) {
      throw new DOMException(`The close code ${code} is neither 1000 nor from 3000 to 4999`, "InvalidAccessError");
    }
    this.#end(code, reason);
  }

  #changed(state: ConnectionState): void {
    if (state === "connected") this.#open();
    this.dispatchEvent(new Event("connectionstate"));
    if (state === "reconnecting") this.#lose();
    if (state === "refused") {
      if (!this.#isLost) this.dispatchEvent(new Event("error"));
      this.#end(1008, "the server refused the token");
    }
  }

  #open(): void {
    const opens = this.#readyState === OrionWebSocket.CONNECTING || this.#isLost;
    const { adapter } = this.#connection;
    if (!opens || this.#hasEnded || adapter.state !== "connected") return;
    this.#isLost = false;
    this.#readyState = OrionWebSocket.OPEN;
    this.dispatchEvent(new Event("open"));
    // After a loss the adapter resumes its subscription by itself.
    if (!adapter.hasSelected && this.#readyState === OrionWebSocket.OPEN) adapter.subscribe(this.#initial);
    for (const frame of this.#early.splice(0)) this.#deliver(frame);
  }

  #lose(): void {
    if (!this.#reportsLoss || this.#readyState !== OrionWebSocket.OPEN) return;
    this.#readyState = OrionWebSocket.CLOSED;
    this.#isLost = true;
    this.#connection.offer();
    this.dispatchEvent(new OrionCloseEvent(1006, "", false));
  }

  #replaced(): void {
    this.#hasEnded = true;
    this.#readyState = OrionWebSocket.CLOSED;
  }

  /** Closes permanently; `close` fires in a separate task, as with the browser's class. */
  #end(code: number, reason: string): void {
    if (this.#hasEnded) return;
    const wasUnused = this.#readyState === OrionWebSocket.CONNECTING && !this.#connection.adapter.hasSelected;
    this.#hasEnded = true;
    this.#connection.release(wasUnused && code !== 1008);
    if (this.#isLost) return; // `close` has fired already.
    this.#readyState = OrionWebSocket.CLOSING;
    setTimeout(() => {
      this.#readyState = OrionWebSocket.CLOSED;
      this.dispatchEvent(new OrionCloseEvent(code, reason, true));
    });
  }

  #deliver(frame: unknown): void {
    if (this.#readyState === OrionWebSocket.CONNECTING) this.#early.push(frame);
    if (this.#readyState !== OrionWebSocket.OPEN) return;
    const data = typeof frame === "string" ? frame : JSON.stringify(frame);
    this.dispatchEvent(new MessageEvent("message", { data }));
  }
}

function parseFrame(data: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Keeps unknown channel names: the server names them in its error. */
function toSelection(frame: Record<string, unknown>): Selection {
  const channels = listOrNothing(frame["channels"]) as Selection["channels"] | undefined;
  return { channels: channels ?? ALL.channels, symbols: listOrNothing(frame["symbols"]) };
}

function listOrNothing(value: unknown): string[] | undefined {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.map(String) : undefined;
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
