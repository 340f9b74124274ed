/**
 * Gives a dashboard written for `{type, payload}` messages the same messages
 * over Socket.IO.
 *
 * ```ts
 * const orion = new OrionAdapter("https://api.example.com");
 * orion.on("message", (message) => dispatch(message.type, message.payload));
 * orion.on("state", (state) => showConnection(state));
 * ```
 *
 * The adapter subscribes on every connect and sends its last cursor, so that
 * after a connection loss it gets exactly the signals it missed. If the server
 * no longer has them, a snapshot replaces the gap and `resync` fires.
 */

import { io, type Socket } from "socket.io-client";
import { Emitter } from "./emitter.ts";
import type { Channel, Pong, Price, ServerError, Signal, Subscribed } from "./messages.ts";

/**
 * `connecting` until the first connection, `reconnecting` after a loss, `refused`
 * when the server rejects the token (no further attempt is made),
 * `disconnected` before `connect()` and after `close()`.
 */
export type ConnectionState = "disconnected" | "connecting" | "connected" | "reconnecting" | "refused";

/** What a client subscribes to. Without `symbols`: all symbols. */
export interface Selection {
  readonly channels: readonly Exclude<Channel, "user">[];
  readonly symbols?: readonly string[] | undefined;
}

/** The messages of a dashboard written for `{type, payload}`. */
export type Message =
  | { readonly type: "signal"; readonly payload: Signal; readonly cursor: string }
  | { readonly type: "price_update"; readonly payload: Price };

export interface OrionOptions extends Partial<Selection> {
  /** Sent in the handshake; a function is called again on every attempt. */
  readonly token?: string | (() => string | undefined) | undefined;
  /** The path of Engine.IO; `/ws/signals/` works as well as the default `/socket.io/`. */
  readonly path?: string;
  /** WebSocket first, long polling if that fails. */
  readonly transports?: ("websocket" | "polling")[];
  /** A cursor saved by an earlier page load. */
  readonly since?: string;
  /** How far back a snapshot of ended signals reaches, such as `10m`; by default the server's window. */
  readonly replay?: string | undefined;
  /** Default true. */
  readonly autoConnect?: boolean;
  readonly reconnectionDelay?: number;
  readonly reconnectionDelayMax?: number;
}

/** The content of a snapshot that replaced a gap. */
export interface Resync {
  readonly cursor: string;
  /** Ids of the signals in it. A pending signal that is not among them has ended meanwhile. */
  readonly signals: ReadonlySet<string>;
}

/** What an adapter tells its listeners. */
export interface AdapterEvents {
  message: [message: Message];
  signal: [signal: Signal, cursor: string];
  price_update: [price: Price];
  subscribed: [answer: Subscribed];
  resync: [resync: Resync];
  pong: [pong: Pong];
  /** Answers to frames given to `sendRaw`. */
  answer: [answer: unknown];
  state: [state: ConnectionState, transport: string | null];
  error: [error: ServerError];
}

/** How many signals of an unfinished replay are remembered, to detect them when the replay starts again. */
const REPLAY_MEMORY = 10_000;

/** Delay before reconnecting where Socket.IO itself does not, in milliseconds. */
const RETRY_AFTER = 2_000;

export class OrionAdapter extends Emitter<AdapterEvents> {
  readonly #socket: Socket;
  #state: ConnectionState = "disconnected";
  readonly #replay: string | undefined;
  #selection: Selection;
  #cursor: string | null;
  #everConnected = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Whether anything was subscribed on this connection. */
  #subscribed = false;
  /** Subscribe requests of this connection without an answer. */
  #unanswered = 0;
  /** Signals delivered since `#cursor` before an answer says whether they are a replay or a snapshot. */
  readonly #early = new Set<string>();
  /** Ids received between `subscribe` and its answer. */
  #arrived = new Set<string>();

  /** @param url A server (`https://host`) or a namespace (`wss://host/ws/signals`); without it the page's own origin. */
  constructor(url?: string, options: OrionOptions = {}) {
    super();
    this.#selection = { channels: options.channels ?? ["signals", "prices"], symbols: options.symbols };
    this.#cursor = options.since ?? null;
    this.#replay = options.replay;
    const { token } = options;
    const settings = {
      path: options.path ?? "/socket.io/",
      transports: options.transports ?? ["websocket", "polling"],
      tryAllTransports: true,
      forceNew: true,
      autoConnect: false,
      reconnectionDelay: options.reconnectionDelay ?? 500,
      reconnectionDelayMax: options.reconnectionDelayMax ?? 5_000,
      auth: (give: (credentials: object) => void) => {
        const value = typeof token === "function" ? token() : token;
        give(value === undefined ? {} : { token: value });
      },
    };
    this.#socket = url === undefined ? io(settings) : io(url, settings);
    this.#listen();
    if (options.autoConnect !== false) this.connect();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Name of the current transport; null while disconnected. */
  get transport(): string | null {
    return this.#socket.connected ? this.#socket.io.engine.transport.name : null;
  }

  /** The position at which the next subscription resumes. Null until the first answer. */
  get cursor(): string | null {
    return this.#cursor;
  }

  /** Whether any channel is selected, also while disconnected. */
  get hasSelected(): boolean {
    return this.#selection.channels.length > 0;
  }

  connect(): void {
    if (this.#socket.active) return;
    this.#setState(this.#everConnected ? "reconnecting" : "connecting");
    this.#socket.connect();
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#socket.disconnect();
    this.#setState("disconnected");
  }

  /**
   * Replaces the subscription. A changed selection starts with its own snapshot,
   * or with `since` with the signals after that cursor. The same selection
   * resumes after a connection loss.
   */
  subscribe(selection: Selection, since?: string): void {
    const before = this.#selection;
    const changed = !sameSelection(before, selection);
    this.#selection = selection;
    if (since !== undefined) this.#cursor = since;
    else if (changed) this.#cursor = null;
    if (!this.#socket.connected) return;
    if (changed && before.channels.length > 0) this.#socket.emit("unsubscribe", toRequest(before));
    this.#request(since ?? (this.#subscribed ? null : this.#cursor));
  }

  unsubscribe(selection: Selection): void {
    const left = this.#selection.channels.filter((channel) => !selection.channels.includes(channel));
    this.#selection = { ...this.#selection, channels: left };
    if (this.#socket.connected) this.#socket.emit("unsubscribe", toRequest(selection));
  }

  /** Requests a `pong` with the same `timestamp` and the server's time. */
  ping(timestamp: unknown = Date.now()): void {
    if (this.#socket.connected) this.#socket.emit("ping", { timestamp });
  }

  /** Sends a frame unchanged. The server's answer fires an `answer` event. */
  sendRaw(frame: unknown): void {
    if (this.#socket.connected) this.#socket.emit("message", frame);
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("connect", () => this.#connected());
    socket.on("disconnect", (reason) => this.#lost(reason));
    socket.on("connect_error", (error) => this.#failed(error));
    socket.on("signal", (signal: Signal, meta: { cursor: string }) => this.#signal(signal, meta.cursor));
    socket.on("price_update", (price: Price) => {
      this.emit("price_update", price);
      this.emit("message", { type: "price_update", payload: price });
    });
    socket.on("subscribed", (answer: Subscribed) => this.#answered(answer));
    socket.on("pong", (pong: Pong) => this.emit("pong", pong));
    socket.on("message", (answer: unknown) => this.emit("answer", answer));
    socket.on("error", (error: ServerError) => this.emit("error", error));
  }

  #connected(): void {
    this.#everConnected = true;
    this.#unanswered = 0;
    this.#subscribed = false;
    const { engine } = this.#socket.io;
    engine.once("upgrade", () => this.#setState(this.#state));
    this.#setState("connected");
    // A listener for `connected` may have subscribed already.
    if (this.#selection.channels.length > 0 && this.#unanswered === 0) this.#request(this.#cursor);
  }

  #lost(reason: string): void {
    if (reason === "io client disconnect") return;
    this.#setState("reconnecting");
    if (!this.#socket.active) this.#retryLater();
  }

  #failed(error: Error & { data?: Partial<ServerError> }): void {
    this.emit("error", { error: error.message, code: error.data?.code ?? "connect_failed" });
    if (this.#socket.active) return;
    // A namespace is missing only while a server starts or stops; any other rejection is about the token.
    if (error.message === "Invalid namespace") this.#retryLater();
    else this.#setState("refused");
  }

  #retryLater(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.connect(), RETRY_AFTER * (0.5 + Math.random()));
  }

  #request(since: string | null): void {
    this.#unanswered += 1;
    this.#subscribed = true;
    this.#arrived = new Set();
    const replay = this.#replay === undefined ? {} : { replay: this.#replay };
    this.#socket.emit("subscribe", { ...toRequest(this.#selection), ...(since === null ? replay : { since }) });
  }

  #signal(signal: Signal, cursor: string): void {
    if (this.#unanswered === 0) {
      this.#cursor = cursor;
    } else {
      // The answer will say whether this is a replay or a snapshot. Until then the cursor stays, so that
      // after a loss the same replay starts again, and `#early` filters out what was delivered.
      this.#arrived.add(signal.id);
      const key = `${cursor} ${signal.id}`;
      if (this.#early.has(key)) return;
      if (this.#early.size === REPLAY_MEMORY) {
        this.#early.clear();
        this.#cursor = cursor;
      }
      this.#early.add(key);
    }
    this.emit("signal", signal, cursor);
    this.emit("message", { type: "signal", payload: signal, cursor });
  }

  #answered(answer: Subscribed): void {
    this.#unanswered = Math.max(0, this.#unanswered - 1);
    if (this.#unanswered === 0) {
      this.#cursor = answer.cursor;
      this.#early.clear();
    }
    this.emit("subscribed", answer);
    if (answer.recovered === false) this.emit("resync", { cursor: answer.cursor, signals: this.#arrived });
  }

  #setState(state: ConnectionState): void {
    this.#state = state;
    this.emit("state", state, this.transport);
  }
}

function toRequest({ channels, symbols }: Selection): object {
  return symbols === undefined ? { channels } : { channels, symbols };
}

function sameSelection(a: Selection, b: Selection): boolean {
  const key = ({ channels, symbols }: Selection) =>
    JSON.stringify([[...channels].sort(), symbols === undefined ? null : [...symbols].sort()]);
  return key(a) === key(b);
}
