/**
 * The Socket.IO connection under an `OrionWebSocket`, which outlives it: a page that reconnects by itself makes a new
 * instance after a loss, and that one takes the connection over, which is reconnecting already or back.
 */

import { OrionAdapter, type ConnectionState, type OrionOptions } from "./orion-adapter.ts";

/** How long after a loss a new instance is taken for the page's own reconnect, in milliseconds. */
const REPLACED_WITHIN = 60_000;

/** The instance that a connection serves. */
export interface Owner {
  deliver(frame: unknown): void;
  changed(state: ConnectionState): void;
  /** Another instance has the connection from now on. */
  replaced(): void;
}

/** Connections that a new instance for the same address takes over, the longest waiting one first. */
const replaceable = new Map<string, Set<SharedConnection>>();

export class SharedConnection {
  readonly adapter: OrionAdapter;
  readonly #key: string;
  #owner: Owner | null;
  #expiry: ReturnType<typeof setTimeout> | undefined;

  private constructor(key: string, url: string, options: OrionOptions, owner: Owner) {
    this.#key = key;
    this.#owner = owner;
    // Subscribes to nothing by itself: the `open` handlers go first.
    this.adapter = new OrionAdapter(url, { ...options, channels: [], autoConnect: false });
    this.#listen();
  }

  /** A connection for `owner`: one that an earlier instance has lost or left unused, or a new one. */
  static take(url: string, options: OrionOptions, owner: Owner): SharedConnection {
    const key = JSON.stringify([url, options]);
    for (const connection of replaceable.get(key) ?? []) {
      connection.#keep();
      connection.#owner?.replaced();
      connection.#owner = owner;
      return connection;
    }
    return new SharedConnection(key, url, options, owner);
  }

  /** The connection was lost: the page may make a new instance, which is the same stream to it. */
  offer(milliseconds = REPLACED_WITHIN): void {
    this.#keep();
    const waiting = replaceable.get(this.#key) ?? new Set();
    replaceable.set(this.#key, waiting.add(this));
    // An outage may be long. The time counts from its end.
    if (this.adapter.state === "connected" || this.#owner === null) {
      this.#expiry = setTimeout(() => this.#expire(), milliseconds);
      // Node.js should not be kept alive by it; in a browser it is a number.
      (this.#expiry as { unref?(): void }).unref?.();
    }
  }

  /** Its owner needs it no longer. One that was never used is kept for an instance that is made at once: React's strict mode
   * mounts, leaves and mounts again. */
  release(isUnused: boolean): void {
    this.#owner = null;
    if (isUnused) this.offer(0);
    else this.#expire();
  }

  #expire(): void {
    this.#keep();
    if (this.#owner === null) this.adapter.close();
  }

  #keep(): void {
    clearTimeout(this.#expiry);
    const waiting = replaceable.get(this.#key);
    waiting?.delete(this);
    if (waiting?.size === 0) replaceable.delete(this.#key);
  }

  #listen(): void {
    const { adapter } = this;
    const deliver = (frame: unknown) => this.#owner?.deliver(frame);
    // As on the native stream: a page prints the length of an empty list of targets.
    adapter.on("message", (message) => {
      const { payload } = message;
      const isBare = "take_profits" in payload && payload.take_profits.length === 0;
      deliver(isBare ? { ...message, payload: { ...payload, take_profits: null } } : message);
    });
    adapter.on("subscribed", (answer) => deliver({ type: "subscribed", ...answer }));
    adapter.on("pong", (pong) => deliver({ type: "pong", ...pong }));
    adapter.on("answer", deliver);
    adapter.on("error", (error) => {
      if (adapter.state === "connected") deliver({ type: "error", ...error });
    });
    adapter.on("state", (state) => {
      this.#owner?.changed(state);
      // The time in which a reconnect of the page is expected begins when the connection is back.
      if (state === "connected" && replaceable.get(this.#key)?.has(this) === true) this.offer();
    });
  }
}
