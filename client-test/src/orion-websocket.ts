/**
 * The browser's WebSocket interface over Socket.IO, so that a dashboard written
 * against the native endpoint switches by one import:
 *
 * ```ts
 * import { OrionWebSocket as WebSocket } from "orion-client";
 * const ws = new WebSocket("wss://api.example.com/ws/signals");
 * ```
 *
 * **Losses stay inside.** Socket.IO reconnects, and the adapter resumes by
 * cursor. So `open` fires once, and a lost connection fires neither `close` nor
 * `error`: a dashboard that reconnects on those would open a second socket beside
 * this one, or give up after its own count of attempts and show demo data. While
 * the connection is away `readyState` stays `OPEN` (before the first success:
 * `CONNECTING`), a subscription that is sent is remembered, anything else sent is
 * dropped like a frame on a dying socket. Who wants to show the loss listens to
 * `connectionstate` and reads `connectionState`.
 *
 * **`close` fires in two cases:** with the code given to `close()` (default 1000,
 * after which the dashboard does not reconnect), and with 1008 after an `error`
 * when the server refuses the token.
 *
 * Frames have the native shape: `{"type":"signal","payload":{…},"cursor":"…"}`,
 * `{"type":"price_update","payload":{…}}`, `subscribed`, `pong` and `error` with
 * their fields at the top level. As on the native endpoint everything is sent
 * without asking: when the `open` handlers have not subscribed, both channels are.
 * Every instance begins with a snapshot; it shares nothing with an earlier one.
 */

import type { Channel, Selection } from "./messages.ts";
import { OrionAdapter, type ConnectionState, type OrionOptions } from "./orion-adapter.ts";

const ALL: Selection = { channels: ["signals", "prices"] };

/** The fields of `CloseEvent`, which Node.js 20 does not have. */
export class OrionCloseEvent extends Event {
  readonly wasClean = true;

  constructor(
    readonly code: number,
    readonly reason: string,
  ) {
    super("close");
  }
}

export class OrionWebSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

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

  readonly #adapter: OrionAdapter;
  #readyState: number = OrionWebSocket.CONNECTING;
  /** Whether the dashboard has sent a subscription of its own. */
  #asked = false;

  /** @param options What `new WebSocket(url, protocols)` has there is ignored; the adapter's options are taken. */
  constructor(url: string | URL, options?: string | string[] | OrionOptions) {
    super();
    this.url = String(url);
    const given = typeof options === "object" && !Array.isArray(options) ? options : {};
    // Subscribes to nothing by itself: the `open` handlers go first.
    this.#adapter = new OrionAdapter(this.url, { ...given, channels: [], autoConnect: false });
    this.#listen(given.channels === undefined ? ALL : { channels: given.channels, symbols: given.symbols });
    this.addEventListener("open", (event) => this.onopen?.(event));
    this.addEventListener("message", (event) => this.onmessage?.(event as MessageEvent<string>));
    this.addEventListener("error", (event) => this.onerror?.(event));
    this.addEventListener("close", (event) => this.onclose?.(event as OrionCloseEvent));
    this.#adapter.connect();
  }

  get readyState(): number {
    return this.#readyState;
  }

  /** The truth about the connection, also during a loss. */
  get connectionState(): ConnectionState {
    return this.#adapter.state;
  }

  send(data: string): void {
    if (this.#readyState === OrionWebSocket.CONNECTING) {
      throw new DOMException("Still in CONNECTING state", "InvalidStateError");
    }
    if (this.#readyState !== OrionWebSocket.OPEN) return;
    const frame = parseFrame(data);
    switch (frame?.["type"]) {
      case "subscribe":
        this.#asked = true;
        return this.#adapter.subscribe(toSelection(frame), textOrNothing(frame["since"]));
      case "unsubscribe":
        return this.#adapter.unsubscribe(toSelection(frame));
      case "ping":
        return this.#adapter.ping(frame["timestamp"]);
      default:
        return this.#adapter.sendRaw(data);
    }
  }

  close(code = 1000, reason = ""): void {
    if (code !== 1000 && (code < 3000 || code > 4999)) {
      throw new DOMException(`The close code ${code} is neither 1000 nor from 3000 to 4999`, "InvalidAccessError");
    }
    this.#end(code, reason);
  }

  #listen(initial: Selection): void {
    const adapter = this.#adapter;
    adapter.on("message", (message) => this.#deliver(message));
    adapter.on("subscribed", (answer) => this.#deliver({ type: "subscribed", ...answer }));
    adapter.on("pong", (pong) => this.#deliver({ type: "pong", ...pong }));
    adapter.on("answer", (answer) => this.#deliver(answer));
    adapter.on("error", (error) => {
      if (adapter.state === "connected") this.#deliver({ type: "error", ...error });
    });
    adapter.on("state", (state) => {
      if (state === "connected" && this.#readyState === OrionWebSocket.CONNECTING) this.#open(initial);
      this.dispatchEvent(new Event("connectionstate"));
      if (state === "refused") {
        this.dispatchEvent(new Event("error"));
        this.#end(1008, "the server refused the token");
      }
    });
  }

  #open(initial: Selection): void {
    this.#readyState = OrionWebSocket.OPEN;
    this.dispatchEvent(new Event("open"));
    if (!this.#asked && this.#readyState === OrionWebSocket.OPEN) this.#adapter.subscribe(initial);
  }

  /** Ends for good; `close` follows in a task of its own, as with the browser's class. */
  #end(code: number, reason: string): void {
    if (this.#readyState >= OrionWebSocket.CLOSING) return;
    this.#readyState = OrionWebSocket.CLOSING;
    this.#adapter.close();
    setTimeout(() => {
      this.#readyState = OrionWebSocket.CLOSED;
      this.dispatchEvent(new OrionCloseEvent(code, reason));
    });
  }

  #deliver(frame: unknown): void {
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

/** Unknown channel names are passed on: the server names them in its error. */
function toSelection(frame: Record<string, unknown>): Selection {
  const channels = listOrNothing(frame["channels"]) as Channel[] | undefined;
  return { channels: channels ?? ALL.channels, symbols: listOrNothing(frame["symbols"]) };
}

function listOrNothing(value: unknown): string[] | undefined {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.map(String) : undefined;
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
