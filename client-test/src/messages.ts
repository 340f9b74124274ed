/**
 * The messages between orion-server and a dashboard, as types.
 *
 * Field names are the server's wire names. Everything is `readonly`: a message
 * describes what happened and is never edited.
 */

export type Channel = "signals" | "prices";

export type SignalStatus = "pending" | "confirmed" | "invalidated";

/** The quality of a price. Only `live` is a current market price. */
export type Quality = "live" | "delayed" | "stale" | "closed" | "simulated" | "replayed";

export interface Signal {
  readonly id: string;
  readonly status: SignalStatus;
  readonly direction: "long" | "short";
  readonly symbol: string;
  readonly entry_time: string;
  readonly entry_price: number | null;
  readonly stop_loss: number | null;
  readonly take_profits: readonly number[];
  /** One label per take profit, e.g. `TP1 30%`; may be empty. */
  readonly tp_modes: readonly string[];
  readonly reason: string;
  /** 0 to 1. */
  readonly confidence: number;
  readonly rr_target: number;
  readonly killzone: "asia" | "london" | "ny_am" | "lunch" | "pm";
  /** False when `killzone` is the previous window, because none is active. */
  readonly killzone_active: boolean;
  /** Same as `entry_price`, for older readers. */
  readonly price: number | null;
  readonly updated_at: string;
  /** When the server invalidates the signal if it is still pending. */
  readonly expires_at: string;
  /** Why it was invalidated (`timeout`, `stop_touched`, `manual` …), else null. */
  readonly invalidation: string | null;
  readonly source: string;
}

export interface PriceUpdate {
  readonly symbol: string;
  readonly price: number;
  /** When the price was observed, not when it was sent. */
  readonly timestamp: string;
  readonly change: number;
  /** In percent: 0.02 is 0.02 %. */
  readonly change_percent: number;
  readonly volume?: number;
  readonly bid?: number;
  readonly ask?: number;
  readonly quality: Quality;
  readonly source: string;
}

/** What a client subscribes to. Without `symbols`: all symbols. */
export interface Selection {
  readonly channels: readonly Channel[];
  readonly symbols?: readonly string[] | undefined;
}

/** The server's answer to `subscribe`, sent after the snapshot or the replay. */
export interface Subscribed {
  readonly channels: readonly Channel[];
  /** Null for all symbols. */
  readonly symbols: readonly string[] | null;
  /** Symbols without an active source; absent when all have one. */
  readonly unfed?: readonly string[];
  /** The position at which live events begin. */
  readonly cursor: string;
  /** True: exactly the missed events were sent. False: a snapshot replaced the gap. Null: the request did not resume. */
  readonly recovered: boolean | null;
  /** Version of the interface. */
  readonly protocol: number;
  /** How far back the snapshot of ended signals reaches, if the request named it. */
  readonly replay?: string;
}

export interface Pong {
  readonly timestamp: unknown;
  readonly server_time: string;
}

export interface ServerError {
  readonly error: string;
  readonly code: string;
  readonly details?: unknown;
}

/** The messages of a dashboard written for `{type, payload}`. */
export type Message =
  | { readonly type: "signal"; readonly payload: Signal; readonly cursor: string }
  | { readonly type: "price_update"; readonly payload: PriceUpdate };

/** One state of a signal, as in `GET /api/signals/{id}`. */
export interface HistoryEntry {
  readonly status: SignalStatus;
  readonly at: string;
  readonly reason: string | null;
  readonly source: string;
  readonly cursor: string;
}

/** A rate with its 95 % interval. */
export interface Rate {
  readonly rate: number;
  readonly low: number;
  readonly high: number;
}

/** Statistics of confirmed signals whose trade has ended; results in multiples of the risk (R). */
export interface Stats {
  readonly signals: number;
  readonly trades: number;
  readonly few: boolean;
  /** Trades that were open while the server was down. */
  readonly with_gap: number;
  readonly classes: Readonly<Record<string, number>>;
  readonly win_rate: Rate | null;
  readonly first_target_rate: Rate | null;
  readonly expectancy_r: number | null;
  readonly total_r: number;
  readonly profit_factor: number | null;
  readonly max_drawdown_r: number;
  readonly mean_mfe: number | null;
  readonly mean_mae: number | null;
  readonly brier: number | null;
}

/** `GET /api/stats` */
export interface TrackRecord {
  /** Confirmed signals whose trade is open. */
  readonly open: number;
  readonly all: Stats;
  readonly symbol: Readonly<Record<string, Stats>>;
  readonly setup: Readonly<Record<string, Stats>>;
  readonly killzone: Readonly<Record<string, Stats>>;
  readonly source: Readonly<Record<string, Stats>>;
  readonly confidence: Readonly<Record<string, Stats>>;
}

export interface SignalHistory {
  readonly signal: Signal;
  readonly history: readonly HistoryEntry[];
}

export interface SignalPage {
  readonly signals: readonly Signal[];
  readonly cursor: string;
  /** Pass as `before` to get the next older page; null on the last one. */
  readonly next: string | null;
}

/** One source, as in `GET /api/sources`. Durations are in milliseconds. */
export interface SourceStatus {
  readonly name: string;
  readonly state: string;
  /** Time until the next connection attempt. */
  readonly retry_in: number | null;
  readonly last_tick_age: number | null;
  readonly ticks_per_minute: number;
  /** Ticks rejected since the start. */
  readonly rejected: number;
  /** The provider's request quota. */
  readonly budget: { readonly used: number; readonly limit: number; readonly resets_at: string } | null;
  readonly symbols: readonly {
    readonly symbol: string;
    /** Whether the source is active for the symbol; else it is on standby. */
    readonly in_force: boolean;
    readonly last_tick_age: number;
    /** Difference from the active source, in percent. */
    readonly apart: number | null;
    readonly diverged: boolean;
  }[];
}

export interface Instrument {
  readonly symbol: string;
  readonly name: string;
  readonly class: "forex" | "metal" | "index" | "future";
  readonly digits: number;
  readonly tick_size: number;
  readonly aliases: readonly string[];
}

/** The answer of `GET /api/admin/overview`. Durations are in milliseconds. */
export interface Overview {
  timestamp: string;
  version: string;
  uptime_seconds: number;
  parts: Record<string, { status: "ok" | "degraded"; reason?: string }>;
  alerts: { alert: string; raised: number }[];
  connections: { transport: string; endpoint: string; open: number }[];
  presence: { transport: string; clients: number; prices: number; signals: number; messages: number }[];
  /** Queue fields are null where nothing is queued: requests, and Socket.IO over long polling, which keeps its queue inside its library. */
  slowest: {
    endpoint: string;
    /** Id of the client's connection in the log; null when the connection only serves requests. */
    connection: string | null;
    connected_ms: number;
    blocked_ms: number | null;
    longest_ms: number;
    behind_ms: number | null;
    ordered: number | null;
    states: number | null;
    /** Prices and other states that a newer one has replaced, since the connection was opened. */
    conflated: number | null;
  }[];
  slow_clients_cut: { transport: string; count: number }[];
  sources: SourceStatus[];
  queues: { queue: string; depth: number }[];
  log: { position: string; events: number; bytes: number; pending: number; disk_free_bytes: number };
  process: { resident_bytes: number; open_files: number; cpu_ratio: number };
  /** Only on a node of a cluster. */
  cluster?: { node: string; state: string; term: number; writer: string; stream_seq: number; lag: number; unready: string | null };
  logins: number;
  refused: { reason: string; count: number }[];
  /** Repeated alerts and batches, which were ignored. */
  duplicates: { kind: string; source: string; count: number }[];
  rejects: { at: string; kind: string; reason: string; times: number }[];
}

/** `GET /api/admin/cluster`; without nodes and stream while the log cannot be asked, and outside of a cluster. */
export interface ClusterReport {
  /** What the node that was asked knows. */
  node: Overview["cluster"] | null;
  nodes?: {
    node: string;
    version: string;
    state: string;
    /** Why, when the log cannot be read or is damaged. */
    reason?: string;
    term: number;
    writer: string;
    stream_seq: number;
    stream_end: number;
    has_left: boolean;
    /** How far its clock is ahead of the asked node's, in milliseconds, at most. */
    clock_offset: number;
  }[];
  stream?: {
    epoch: string;
    first: number;
    last: number;
    bytes: number;
    replicas: number;
    leader: string | null;
    /** The other NATS servers, each with whether it is up to date. */
    followers: [string, boolean][];
    server: string;
  };
  error?: string;
}
