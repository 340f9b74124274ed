/**
 * The events of a connection made by `socket.io-client` itself:
 *
 * ```ts
 * const socket: Socket<ServerEvents, ClientEvents> = io("https://<host>");
 * socket.emit("subscribe", { channels: ["signals"] }, (answer) => console.log(answer));
 * socket.on("signal", (signal, { cursor }) => console.log(signal.symbol, cursor));
 * ```
 */

import type { Channel, Pong, PriceUpdate, ServerError, Signal, Subscribed } from "./messages.ts";

/** Which signals a subscription has; without a filter all. */
export interface SignalFilters {
  /** 0 to 1. */
  readonly min_confidence?: number;
  readonly directions?: readonly Signal["direction"][];
  readonly killzones?: readonly Signal["killzone"][];
  /** The setups that `reason` names. */
  readonly setups?: readonly ("mss_fvg" | "order_block" | "liquidity_sweep" | "bos" | "premium_discount")[];
  readonly sources?: readonly string[];
  readonly statuses?: readonly Signal["status"][];
}

/** The killzone clock: the channel `clock`. */
export interface KillzoneChange {
  readonly timestamp: string;
  /** The same in New York. */
  readonly new_york: string;
  /** The open window; null between two windows. */
  readonly killzone: Signal["killzone"] | null;
  readonly changes_at: string;
  readonly seconds_to_change: number;
  /** The window that begins next. */
  readonly next: { readonly killzone: Signal["killzone"]; readonly begins_at: string; readonly seconds: number };
}

/** What `subscribe` takes beside a list of channels or one channel. */
export interface SubscribeRequest extends SignalFilters {
  readonly channels?: readonly (Channel | "user" | "clock")[];
  /** Without it all symbols. */
  readonly symbols?: readonly string[];
  /** The cursor of the last signal: the missed ones come first. */
  readonly since?: string;
  /** How far back a snapshot of ended signals reaches, such as `10m`. */
  readonly replay?: string;
  /** Prices per second of each symbol, from 0.1 to 20. */
  readonly max_hz?: number;
  /** Of the channel `user`: the cursor of the last message. */
  readonly last_event_id?: string | number;
}

export type Subscription = SubscribeRequest | readonly (Channel | "user" | "clock")[] | Channel | "user" | "clock";

/** An answer, with the first error of the request if there is one: what was valid still holds. */
export type Answer<T> = T & Partial<ServerError>;

export interface Unsubscribed {
  readonly channels: readonly (Channel | "user" | "clock")[];
  readonly symbols: readonly string[] | null;
}

/** Beside a message of the channel `user`. */
export interface MessageMeta {
  readonly sequence: number;
  readonly cursor: string;
}

type UserMessage = (data: unknown, meta: MessageMeta) => void;

/** The types of messages on the channel `user`; their data is as it was published. */
export type UserEvent =
  | "trades"
  | "bots"
  | "balances"
  | "decisions"
  | "metrics"
  | "whale"
  | "alerts"
  | "system_health"
  | "wallet"
  | "ai_tasks"
  | "order_update"
  | "earnings"
  | "notification"
  | "admin_users"
  | "admin_subscribers"
  | "admin_revenue"
  | "admin_user_analytics";

/** What the server sends. */
export type ServerEvents = Record<UserEvent, UserMessage> & {
  signal: (signal: Signal, meta: { readonly cursor: string }) => void;
  price_update: (price: PriceUpdate) => void;
  killzone: (clock: KillzoneChange) => void;
  /** Only with filters: the position behind what they have left out. */
  cursor: (meta: { readonly cursor: string }) => void;
  subscribed: (answer: Subscribed & { readonly filters?: SignalFilters }) => void;
  unsubscribed: (answer: Unsubscribed) => void;
  pong: (pong: Pong) => void;
  error: (error: ServerError) => void;
};

/** What a client sends. */
export interface ClientEvents {
  subscribe: (subscription?: Subscription, acknowledge?: (answer: Answer<Subscribed>) => void) => void;
  unsubscribe: (subscription?: Subscription, acknowledge?: (answer: Answer<Unsubscribed>) => void) => void;
  ping: (ping: { readonly timestamp: unknown }, acknowledge?: (pong: Pong) => void) => void;
}
