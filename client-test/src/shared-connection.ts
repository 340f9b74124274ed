/**
 * The Socket.IO connection of an `OrionWebSocket`. It outlives the instance: a page that reconnects by itself makes a new
 * instance after a loss, and the new instance takes over the connection, which is reconnecting or already back.
 */

import { OrionAdapter, type ConnectionState, type OrionOptions } from "./orion-adapter.ts";

/** How long after a loss a new instance counts as the page's own reconnect, in milliseconds. */
const REPLACED_WITHIN = 60_000;

/** The instance that a connection serves. */
export interface Owner {
  deliver(frame: unknown): void;
  changed(state: ConnectionState): void;
  /** Another instance has taken over the connection. */
  replaced(): void;
}

/** Connections that a new instance for the same address can take over, the longest waiting first. */
const replaceable = new Map<string, Set<SharedConnection>>();

export class SharedConnection {
  readonly adapter: OrionAdapter;
  readonly #key: string;
  #owner: Owner | null;
  #expiry: ReturnType<typeof setTimeout> | undefined;

  private constructor(key: string, url: string, options: OrionOptions, owner: Owner) {
    this.#key = key;
    this.#owner = owner;
    // No channels yet: the `open` handlers may subscribe first.
    this.adapter = new OrionAdapter(url, { ...options, channels: [], autoConnect: false });
    this.#listen();
  }

  /** Returns a connection for `owner`: one that an earlier instance has lost or left unused, else a new one. */
  static acquire(url: string, options: OrionOptions, owner: Owner): SharedConnection {
    const key = JSON.stringify([url, options]);
    for (const connection of replaceable.get(key) ?? []) {
      connection.#withdraw();
      connection.#owner?.replaced();
      connection.#owner = owner;
      return connection;
    }
    return new SharedConnection(key, url, options, owner);
  }

  /** Lets a new instance of the page take over this connection. */
  offer(milliseconds = REPLACED_WITHIN): void {
    this.#withdraw();
    const waiting = replaceable.get(this.#key) ?? new Set();
    replaceable.set(this.#key, waiting.add(this));
    // An outage can be long, so the time counts from its end.
    if (this.adapter.state === "connected" || this.#owner === null) {
      this.#expiry = setTimeout(() => this.#expire(), milliseconds);
      // The timer must not keep Node.js alive; in a browser it is a number.
      (this.#expiry as { unref?(): void }).unref?.();
    }
  }

  /** Releases the connection. An unused one stays available for an instance that is created immediately: React's strict mode
   * mounts, unmounts and mounts again. */
  release(isUnused: boolean): void {
    this.#owner = null;
    if (isUnused) this.offer(0);
    else this.#expire();
  }

  #expire(): void {
    this.#withdraw();
    if (this.#owner === null) this.adapter.close();
  }

  #withdraw(): void {
    clearTimeout(this.#expiry);
    const waiting = replaceable.get(this.#key);
    waiting?.delete(this);
    if (waiting?.size === 0) replaceable.delete(this.#key);
  }

  #listen(): void {
    const { adapter } = this;
    const deliver = (frame: unknown) => this.#owner?.deliver(frame);
    // As on the native stream: null instead of an empty list, because a page prints the length of the list.
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
      // The time for a reconnect by the page begins when the connection is back.
      if (state === "connected" && replaceable.get(this.#key)?.has(this) === true) this.offer();
    });
  }
}
