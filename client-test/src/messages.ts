/**
 * The messages of orion-server, and the answers of its routes. Made by `generate.mjs` from `/openapi.json` and
 * `/asyncapi.json`: do not edit.
 *
 * Field names are the server's wire names. Everything is `readonly`: a message describes what happened and is never edited.
 */

/** The token with which the admin page goes on. */
export interface AdminLogin {
  readonly token: string;
}

/** The answer to an alert. */
export type AlertAnswer = {
  readonly success: boolean;
  readonly signal_id: string;
  readonly status: SignalStatus;
  readonly timestamp: string;
  /** Names of the fields that had no effect. */
  readonly ignored?: readonly string[];
  readonly kind: "signal";
} | {
  readonly success: boolean;
  readonly symbol: string;
  readonly delayed: boolean;
  readonly timestamp: string;
  /** Why it counts as a price although it looks like a signal. */
  readonly message?: string;
  readonly kind: "price";
} | {
  readonly success: boolean;
  readonly duplicate: boolean;
  /** The result of the first one: the id of the signal, or the symbol of the price. */
  readonly of: string;
  /** When the first one was received. */
  readonly received_at: string;
  readonly timestamp: string;
  readonly kind: "duplicate";
} | {
  readonly success: boolean;
  readonly message: string;
  readonly timestamp: string;
  readonly kind: "ignored";
} | {
  readonly success: boolean;
  readonly timestamp: string;
  readonly kind: "queued";
};

/** The three states of a signal, without details. */
export type SignalStatus = "pending" | "confirmed" | "invalidated";

/** An answer, with further information for the sender. */
export type AnsweredPricesAnswer = ({
  readonly success: boolean;
  readonly message: string;
  readonly symbol: string;
  readonly price: number;
  readonly timestamp: string;
} | {
  readonly success: boolean;
  readonly message: string;
  readonly accepted: number;
}) & ({
  /** How a text was interpreted; absent for JSON. */
  readonly read_as?: Readonly<Record<string, unknown>>;
  /** Names of the fields, or the lines of a text, that had no effect. */
  readonly ignored?: readonly string[];
});

/** An answer, with further information for the sender. */
export interface AnsweredSignalAnswer {
  readonly success: boolean;
  readonly message: string;
  readonly signal_id: string;
  readonly status: SignalStatus;
  readonly dry_run: boolean;
  /** Whether a message about the signal goes to LINE: LINE is set up and takes messages, and the rules of `notify.line` take this signal in this state. It is sent from the log after this answer, at least once. */
  readonly line_sent: boolean;
  readonly timestamp: string;
  /** How a text was interpreted; absent for JSON. */
  readonly read_as?: Readonly<Record<string, unknown>>;
  /** Names of the fields, or the lines of a text, that had no effect. */
  readonly ignored?: readonly string[];
}

/** What a mapping did to the score of a signal. */
export interface AppliedCalibration {
  /** The version of the mapping. */
  readonly version: string;
  /** The model score that it was given; `confidence` is what became of it. */
  readonly score: number;
}

/** A bar. */
export interface Bar {
  readonly time: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

/** The supported lengths of bars. */
export type BarInterval = "1m" | "5m" | "15m" | "1h";

export interface Bars {
  readonly symbol: string;
  readonly interval: BarInterval;
  readonly bars: readonly Bar[];
}

/** Statistics of all outcomes, and by group. */
export interface Breakdown {
  /** All outcomes. */
  readonly all: Stats;
  /** By instrument. */
  readonly symbol: Readonly<Record<string, Stats>>;
  /** By setup; `other` when the reason names none. */
  readonly setup: Readonly<Record<string, Stats>>;
  /** By window of the trading day. */
  readonly killzone: Readonly<Record<string, Stats>>;
  /** By sender. */
  readonly source: Readonly<Record<string, Stats>>;
  /** By model score in tenths: `0.7` is 0.7 up to 0.8; `0.9` includes 1. */
  readonly confidence: Readonly<Record<string, Stats>>;
}

/** Statistics of some outcomes. */
export interface Stats {
  /** Confirmed signals whose record has ended. */
  readonly signals: number;
  /** Those with a position that was measured to its end. All further statistics are of these. */
  readonly trades: number;
  /** Whether there are fewer than 30 trades. */
  readonly few: boolean;
  /** Trades whose record has a gap in which the server was down. */
  readonly with_gap: number;
  /** The number of records by how they ended. */
  readonly classes: Readonly<Record<string, number>>;
  readonly win_rate: RateEstimate | null;
  readonly first_target_rate: RateEstimate | null;
  /** The mean result. */
  readonly expectancy_r: number | null;
  /** The sum of all results. */
  readonly total_r: number;
  /** The sum of the wins divided by the sum of the losses; `None` without losses. */
  readonly profit_factor: number | null;
  /** The maximum fall of the running sum below its previous maximum, in the order in which the records ended; at least 0. */
  readonly max_drawdown_r: number;
  /** The mean of the best prices. */
  readonly mean_mfe: number | null;
  /** The mean of the worst prices. */
  readonly mean_mae: number | null;
  /** The mean squared error of the model score against "first target before the stop". A constant score of 0.5 has 0.25. */
  readonly brier: number | null;
  /** The results after slippage and commission, of the trades that have them; absent when none has. */
  readonly net?: NetStats;
}

/** A rate with its confidence interval (Wilson, 95 %). */
export interface RateEstimate {
  /** The observed rate. */
  readonly rate: number;
  /** Lower bound. */
  readonly low: number;
  /** Upper bound. */
  readonly high: number;
}

/** Statistics of results after slippage and commission. */
export interface NetStats {
  /** The trades with such a result. */
  readonly trades: number;
  readonly win_rate: RateEstimate | null;
  /** The mean result. */
  readonly expectancy_r: number;
  /** The sum of all results. */
  readonly total_r: number;
  /** The sum of the wins divided by the sum of the losses; `None` without losses. */
  readonly profit_factor: number | null;
  /** The maximum fall of the running sum below its previous maximum; at least 0. */
  readonly max_drawdown_r: number;
}

export interface Budget {
  readonly used: number;
  readonly limit: number;
  readonly resets_at: string;
}

/** A setting with another value than the one that was in force. */
export interface ChangedSetting {
  /** The value that was read; `***` for a secret, null for none. */
  readonly new: unknown;
  /** The value that was in force. */
  readonly old: unknown;
  /** Its name, such as `limits.replays`; `instruments.BTCUSD` for an instrument. */
  readonly setting: string;
}

/** A cluster; without `nodes` and `stream` while the log cannot be asked, and outside of a cluster. */
export interface Cluster {
  /** What this node knows: its state, term, writer, and how far it is behind; null outside of a cluster. */
  readonly node: Readonly<Record<string, unknown>> | null;
  /** The nodes that have answered. */
  readonly nodes?: readonly Readonly<Record<string, unknown>>[];
  /** The stream that has the log. */
  readonly stream?: Readonly<Record<string, unknown>>;
  /** Why the log could not be asked. */
  readonly error?: string;
}

/** A new token. */
export interface CreatedToken {
  /** The secret. It is not stored, and cannot be shown again. */
  readonly secret: string;
  readonly token: StoredToken;
}

/** A stored token, without its secret. */
export interface StoredToken {
  readonly created_at: string;
  /** How late its holder gets prices and signals, in seconds. */
  readonly delay: number;
  readonly expires_at: string | null;
  readonly kind: StoredKind;
  /** Written at most once a minute; after a crash it may be older. */
  readonly last_used_at: string | null;
  readonly name: string;
  readonly user: string | null;
}

/** What a stored token is for. */
export type StoredKind = "ingest" | "read" | "user";

/** A fair value gap or an order block. */
export interface Detection {
  readonly kind: ZoneKind;
  /** `long` if the market rose from it. */
  readonly direction: Direction;
  readonly top: number;
  readonly bottom: number;
  /** When its bar opened. */
  readonly begins_at: string;
  /** The close of the bar that revealed it. */
  readonly known_at: string;
  /** The close of the first bar that returned to it. */
  readonly touched_at: string | null;
  /** The close of the bar that ended it: that traded through a gap, or closed beyond a block. */
  readonly ended_at: string | null;
}

/** The kind of a zone. */
export type ZoneKind = "fair_value_gap" | "order_block";

/** The direction of a signal. */
export type Direction = "long" | "short";

export interface Detections {
  readonly symbol: string;
  readonly interval: BarInterval;
  readonly from: string;
  /** Nothing after this time is known to the answer. */
  readonly to: string;
  /** How many bars that closed between `from` and `to` the detectors have read, beside up to 200 before. */
  readonly bars: number;
  /** Whether simulated prices are among them. */
  readonly simulated: boolean;
  /** The number of bars on each side of a swing. */
  readonly swing: number;
  /** Those that were known between `from` and `to`, or were still open, in the order in which they became known. */
  readonly detections: readonly Detection[];
  /** The levels of the last day and of the last killzones that had ended at `to`. */
  readonly levels: readonly SessionLevel[];
}

/** The highest and the lowest price of a day or a killzone that has ended. */
export interface SessionLevel {
  /** `previous_day`, which begins and ends at 17:00 in New York, or the killzone. */
  readonly name: string;
  readonly high: number;
  readonly low: number;
}

/** What differs. */
export type DifferenceKind = "only_live" | "only_recomputed" | "content" | "end";

/** Why a live signal and its recomputation differ. */
export type DifferenceReason = "late_tick" | "failover" | "restart" | "lost_ticks" | "gap" | "unexplained";

/** The end of a signal. */
export interface EndRequest {
  /** `confirmed` or `invalidated`. */
  readonly status: SignalStatus;
  /** Why it is invalidated: `manual` if absent. */
  readonly reason?: string | null;
  /** Only validate: nothing is published. */
  readonly dry_run?: boolean | null;
}

/** How a position is entered after the confirmation of its signal. */
export type EntryOrder = "market" | "limit";

/** The body of every JSON error. */
export interface ErrorBody {
  /** A sentence for people. */
  readonly error: string;
  /** The error code for programs. */
  readonly code: ErrorCode;
  /** Further details, such as `fields`: each invalid field with its fault. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export type ErrorCode = "bad_request" | "invalid_json" | "validation_failed" | "invalid_host" | "unsupported_protocol" | "unauthorized" | "token_expired" | "token_revoked" | "token_malformed" | "token_too_long" | "token_wrong_algorithm" | "token_wrong_signature" | "token_invalid_claim" | "token_wrong_audience" | "token_wrong_issuer" | "token_not_yet_valid" | "forbidden" | "delayed_token" | "origin_not_allowed" | "not_found" | "signal_not_found" | "method_not_allowed" | "request_timeout" | "signal_terminal" | "source_replaced" | "payload_too_large" | "unsupported_media_type" | "host_not_allowed" | "unknown_symbol" | "invalid_settings" | "rate_limited" | "too_many_wrong_tokens" | "too_many_connections" | "internal" | "not_configured" | "not_delivered" | "not_stored" | "overloaded" | "replaying" | "draining" | "too_many_delays" | "channel_full" | "unavailable" | "token_keys_unavailable";

/** A message: without `user` and `audience` it goes to all subscribers of its type. */
export interface EventRequest {
  /** The type, which says what `data` must have. */
  readonly type: string;
  /** An object, or for `trade_signals` a list. */
  readonly data: unknown;
  /** Only this user gets it. */
  readonly user?: string | null;
  /** `all`, `user` or `admin`. */
  readonly audience?: string | null;
}

/** The answer to published events. */
export type EventsAnswer = {
  readonly success: boolean;
  readonly message: string;
  readonly type: string;
  readonly timestamp: string;
} | {
  readonly success: boolean;
  readonly message: string;
  readonly accepted: number;
};

/** A message, or up to 1,000 of them. */
export type EventsRequest = EventRequest | {
  readonly events: readonly EventRequest[];
};

/** The kind of feed of a price. It limits the quality that the price can have. */
export type Feed = "live" | "delayed" | "indicative" | "simulated" | "replayed";

export interface Health {
  /** Version of the interface. */
  readonly protocol: number;
  readonly status: string;
  readonly timestamp: string;
  readonly uptime_seconds: number;
  /** Version of the server. */
  readonly version: string;
}

export interface Instrument {
  readonly symbol: string;
  readonly name: string;
  readonly class: InstrumentClass;
  readonly digits: number;
  readonly tick_size: number;
  readonly aliases: readonly string[];
}

/** The market of an instrument. */
export type InstrumentClass = "forex" | "metal" | "index" | "future" | "crypto" | "stock";

export interface Instruments {
  readonly instruments: readonly Instrument[];
}

/** A window of the trading day. */
export type Killzone = "asia" | "london" | "ny_am" | "lunch" | "pm";

/** The killzone clock. Windows are in the wall-clock time of New York. */
export interface KillzoneClock {
  readonly timestamp: string;
  /** The same in New York, with its offset from UTC. */
  readonly new_york: string;
  readonly killzone: Killzone | null;
  /** When that changes: the open window ends, or the next one begins. */
  readonly changes_at: string;
  readonly seconds_to_change: number;
  /** The window that begins next. */
  readonly next: NextKillzone;
  readonly killzones: readonly KillzoneWindow[];
  /** The windows between `from` and `to`, oldest first; only if the query names both. */
  readonly windows?: readonly OpenKillzone[];
  /** Whether the clocks of New York and London are now not the usual five hours apart. */
  readonly clocks_differ: boolean;
  /** The times, up to two years ahead, in which they are not. */
  readonly weeks_apart: readonly TimeSpan[];
  readonly markets: readonly MarketHours[];
}

/** The window that begins next. */
export interface NextKillzone {
  readonly killzone: Killzone;
  readonly begins_at: string;
  readonly seconds: number;
}

/** A window: half-open, by New York's wall clock. */
export interface KillzoneWindow {
  readonly killzone: Killzone;
  readonly begins: string;
  /** `24:00` is midnight. */
  readonly ends: string;
}

/** A window on a day. */
export interface OpenKillzone {
  readonly killzone: Killzone;
  readonly from: string;
  readonly to: string;
}

export interface TimeSpan {
  readonly from: string;
  readonly to: string;
}

/** The hours of an instrument's market. */
export interface MarketHours {
  readonly symbol: string;
  readonly session: Session;
  /** The weekly hours by New York's wall clock, without holidays. */
  readonly hours: string;
  readonly is_open: boolean;
  /** When it opens or closes next, holidays included; null if it never closes. */
  readonly changes_at: string | null;
}

/** The weekly timetable of an instrument. */
export type Session = "forex" | "globex" | "always";

export interface LineAnswer {
  /** Whether the signal was only validated. */
  readonly dry_run: boolean;
  readonly message: string;
  readonly success: boolean;
  readonly timestamp: string;
}

/** A signal for LINE. */
export interface LineRequest {
  readonly signal?: SignalRequest | null;
  /** Only validate the signal: nothing is sent. */
  readonly dry_run?: boolean | null;
}

/** A signal. `id` and `status` are enough to end a known one; a new one needs `symbol` and `direction`. */
export interface SignalRequest {
  /** Yours; the same id is the same signal. Without one the server makes one. */
  readonly id?: string | null;
  readonly status?: SignalStatus | null;
  /** Instrument, in any spelling. */
  readonly symbol?: string | null;
  readonly direction?: Direction | null;
  /** ISO 8601 or a Unix epoch; now if absent. */
  readonly entry_time?: string | null;
  readonly entry_price?: number | null;
  readonly stop_loss?: number | null;
  readonly take_profits?: readonly number[] | null;
  /** What becomes of the position at each target. */
  readonly tp_modes?: readonly string[] | null;
  readonly reason?: string | null;
  /** 0 to 1, or 1 to 100 in percent. */
  readonly confidence?: number | null;
  readonly rr_target?: number | null;
  readonly killzone?: Killzone | null;
  readonly model?: string | null;
  /** With the status `invalidated`: the reason. */
  readonly invalidation?: string | null;
  /** Only validate: nothing is published. */
  readonly dry_run?: boolean | null;
}

export interface LogConsistency {
  /** The number of leaves of the earlier tree. */
  readonly from: number;
  /** The number of leaves of the later tree. */
  readonly to: number;
  /** The hashes of the proof, base64. */
  readonly hashes: readonly string[];
}

/** The result of a position after its costs, in R. */
export interface NetResult {
  /** `r` less slippage and commission. */
  readonly r: number;
  /** The slippage of all fills at the market. */
  readonly slippage_r: number;
  /** The commission of the whole position. */
  readonly commission_r: number;
}

/** The body of a request for a token. */
export interface NewToken {
  /** How late its holder gets prices and signals, in whole seconds up to a day: a number, or a duration such as `15m`. */
  readonly delay?: number | null;
  /** When it expires: ISO 8601 or a Unix epoch. Without it the token does not expire. */
  readonly expires_at?: string | null;
  readonly kind: StoredKind;
  /** Different from the names of all other stored tokens. Without it the server chooses one. */
  readonly name?: string | null;
  /** The user's id, for tokens of the kind `user`. */
  readonly user?: string | null;
}

/** How a signal's record ended. */
export type OutcomeClass = "targets" | "stop" | "ambiguous" | "expired" | "not_filled" | "interrupted" | "unmeasured";

export interface Outcomes {
  /** The feeds whose records are counted. */
  readonly feeds: readonly Feed[];
  /** How many records the query selects. */
  readonly total: number;
  /** When the first of them was confirmed. */
  readonly observed_since: string | null;
  /** The last ones, in the order in which they ended. */
  readonly outcomes: readonly TradeOutcome[];
}

/** The record of one confirmed signal. `r` is `Σ share·dir·(exit − fill)/|entry − stop|`, where the fill is the first price after the confirmation and the levels are those that the signal was confirmed with; a gap through the stop exits at the first price beyond. `mfe` and `mae` are the best and the worst price of the position in the same unit (`mae` ≤ 0). A long is filled on the ask and leaves on the bid, a short the other way round; costs beyond the spread are only in `net`. */
export interface TradeOutcome {
  /** The signal. */
  readonly signal: string;
  /** What it traded. */
  readonly symbol: string;
  /** The direction. */
  readonly direction: Direction;
  readonly setup: SetupKind | null;
  /** The window of the trading day. */
  readonly killzone: Killzone;
  /** The source of the signal. */
  readonly source: string;
  /** Its model score, 0–1; with `calibration`, what a mapping made of it. */
  readonly confidence: number;
  /** The mapping that was applied to the model score; absent without one. */
  readonly calibration?: AppliedCalibration;
  readonly feed: Feed | null;
  /** Its entry. */
  readonly entry: number | null;
  /** Its stop. */
  readonly stop: number | null;
  /** The price at which the position was entered: the first one after the confirmation. */
  readonly fill: number | null;
  /** When the signal was confirmed, which is when the record begins. */
  readonly confirmed_at: string;
  /** When the record ended. */
  readonly closed_at: string;
  /** How the record ended. */
  readonly class: OutcomeClass;
  /** The number of reached targets. */
  readonly targets_hit: number;
  /** The number of targets. */
  readonly targets: number;
  /** The result in R; 0 without a position. */
  readonly r: number;
  /** The best price in R. */
  readonly mfe: number;
  /** The worst price in R. */
  readonly mae: number;
  /** The seconds, rounded up, for which the server was down during the record; 0 when there was no gap. */
  readonly gap_seconds?: number;
  /** How the position was entered; absent for `market`. */
  readonly order?: EntryOrder;
  /** The result after slippage and commission; absent without a position, and where the settings have neither. */
  readonly net?: NetResult;
}

/** The kinds of setups. */
export type SetupKind = "mss_fvg" | "order_block" | "liquidity_sweep" | "bos" | "premium_discount";

/** The state of the server; the lists are those of the metrics with the same names. */
export interface Overview {
  readonly alerts: readonly OverviewAlert[];
  /** What this node knows of its cluster, if it belongs to one. */
  readonly cluster?: OverviewNode;
  readonly connections: readonly OverviewConnections[];
  readonly duplicates: readonly OverviewDuplicates[];
  readonly log: OverviewLog;
  readonly logins: number;
  /** The receivers of notices: whether they take messages, and since when a step waits. */
  readonly notices: readonly OverviewNotices[];
  readonly parts: Readonly<Record<string, Part>>;
  readonly presence: readonly OverviewPresence[];
  readonly process: OverviewProcess;
  readonly queues: readonly OverviewQueue[];
  readonly refused: readonly OverviewRefused[];
  readonly rejects: readonly OverviewReject[];
  readonly slow_clients_cut: readonly OverviewCut[];
  readonly slowest: readonly OverviewSlow[];
  readonly sources: readonly Source[];
  readonly timestamp: string;
  readonly uptime_seconds: number;
  readonly version: string;
}

/** Whether an alert is raised: 1, else 0. */
export interface OverviewAlert {
  readonly alert: string;
  readonly raised: number;
}

/** What this node knows of its cluster. */
export interface OverviewNode {
  readonly node: string;
  readonly state: string;
  readonly term: number;
  /** The writer of the term; empty before the first one. */
  readonly writer: string;
  /** The last message of the stream that this node has applied and published. */
  readonly stream_seq: number;
  /** The last message of the stream that this node has heard of. */
  readonly stream_end: number;
  readonly lag: number;
  /** Why the node does not serve. */
  readonly unready: string | null;
}

/** The open connections of a transport to an endpoint. */
export interface OverviewConnections {
  readonly endpoint: string;
  /** The former name of `endpoint`. */
  readonly namespace: string;
  readonly transport: string;
  readonly open: number;
}

/** Repeated alerts or batches of a source, which were ignored. */
export interface OverviewDuplicates {
  readonly kind: string;
  readonly source: string;
  readonly count: number;
}

/** The log. */
export interface OverviewLog {
  /** The cursor of the last event. */
  readonly position: string;
  readonly events: number;
  readonly bytes: number;
  /** Pending signals. */
  readonly pending: number;
  readonly disk_free_bytes: number;
}

/** A receiver of notices. */
export interface OverviewNotices {
  /** Telegram, LINE, and so on. */
  readonly channel: string;
  /** How many times in a row it did not take a message. */
  readonly failures: number;
  /** Why it does not take messages; null while it does. */
  readonly problem: string | null;
  /** Since when a step waits; null while none does. */
  readonly waiting_since: string | null;
  /** When it took the last message; null before the first one. */
  readonly sent_at: string | null;
}

/** The condition of a part of the server. */
export interface Part {
  readonly reason?: string;
  /** `ok` or `degraded`. */
  readonly status: string;
}

/** The clients of a transport, and how many of them get what. */
export interface OverviewPresence {
  readonly transport: string;
  readonly clients: number;
  readonly prices: number;
  readonly signals: number;
  readonly messages: number;
  readonly clock: number;
  readonly presence: number;
}

/** What the process uses. */
export interface OverviewProcess {
  readonly resident_bytes: number;
  readonly open_files: number;
  /** Its share of all processors, 0 to 1. */
  readonly cpu_ratio: number;
}

/** What waits in a queue. */
export interface OverviewQueue {
  readonly queue: string;
  readonly depth: number;
}

/** Refused requests and connections. */
export interface OverviewRefused {
  readonly reason: string;
  readonly count: number;
}

/** A rejected push, connection or request, with its repetitions. */
export interface OverviewReject {
  readonly at: string;
  readonly kind: string;
  readonly reason: string;
  readonly times: number;
}

/** Clients that were disconnected because they were too slow. */
export interface OverviewCut {
  readonly transport: string;
  readonly count: number;
}

/** A connection whose peer reads slowly. What is queued is null where nothing is: requests, and Socket.IO over long polling, which keeps its queue inside its library. */
export interface OverviewSlow {
  readonly endpoint: string;
  /** Id of the client's connection in the log; null when the connection only serves requests. */
  readonly connection: string | null;
  readonly connected_ms: number;
  readonly blocked_ms: number | null;
  readonly longest_ms: number;
  readonly behind_ms: number | null;
  readonly ordered: number | null;
  readonly states: number | null;
  /** Prices and other states that a newer one has replaced, since the connection was opened. */
  readonly conflated: number | null;
}

/** One source. Durations are in milliseconds. */
export interface Source {
  readonly name: string;
  readonly state: string;
  /** Time until the next connection attempt. */
  readonly retry_in: number | null;
  /** Time since its last tick. */
  readonly last_tick_age: number | null;
  readonly ticks_per_minute: number;
  /** Ticks rejected since the start. */
  readonly rejected: number;
  readonly budget: Budget | null;
  readonly symbols: readonly SourceSymbol[];
}

export interface SourceSymbol {
  readonly symbol: string;
  /** Whether the symbol's prices come from this source; else the source is on standby. */
  readonly in_force: boolean;
  readonly last_tick_age: number;
  /** Difference from the active source, in percent. */
  readonly apart: number | null;
  /** Whether the difference has been too large for too long. */
  readonly diverged: boolean;
}

/** The position size for the query's `risk` in its `currency` (US dollars by default). */
export interface Position {
  /** The distance from entry to stop in pips. */
  readonly stop_pips: number;
  /** The value of a pip of one lot in the account's currency. */
  readonly pip_value_per_lot: number;
  /** The exact size in units of the instrument. */
  readonly units: number;
  /** The size in lots, rounded down to a tradable step. */
  readonly lots: number;
  /** The loss of `lots` at the stop in the account's currency, without costs. */
  readonly risk: number;
  readonly currency: string;
}

/** The size of a position that loses a given amount at its stop. */
export interface PositionSize {
  /** The distance from entry to stop in pips. */
  readonly stop_pips: number;
  /** The value of a pip of one lot in the account's currency. */
  readonly pip_value_per_lot: number;
  /** The exact size in units of the instrument. */
  readonly units: number;
  /** The size in lots, rounded down to a tradable step. */
  readonly lots: number;
  /** The loss of `lots` at the stop in the account's currency, without costs. */
  readonly risk: number;
}

/** The answer to a post. */
export type PostAnswer = TicksAnswer | AnsweredSignalAnswer;

/** The answer to a batch of ticks. It acknowledges the whole batch, including rejected ticks. */
export interface TicksAnswer {
  readonly success: boolean;
  readonly message: string;
  readonly seq: number;
  readonly accepted: number;
  /** Whether the batch was received before, because its acknowledgement was lost. */
  readonly duplicate: boolean;
  readonly rejected: readonly RefusedTick[];
  readonly timestamp: string;
}

/** A rejected tick. Sending it again would not help. */
export interface RefusedTick {
  /** Its index in the batch. */
  readonly index: number;
  /** The symbol as it was sent. */
  readonly symbol: string;
  /** `unknown_symbol`, `invalid`, `duplicate`, `out_of_order`, or why the engine rejects it, such as `jump`. */
  readonly code: string;
  /** The explanation for people. */
  readonly reason: string;
}

/** How many clients are watching. In a cluster each node counts its own. */
export interface Presence {
  readonly timestamp: string;
  /** The clients of the node that sends this. */
  readonly this_node: PresenceCounts;
}

/** How many clients are connected, and how many of them get what. A client may get several kinds of data. */
export interface PresenceCounts {
  /** All clients, over every transport. */
  readonly clients: number;
  /** Clients that get prices, of some symbols at least. */
  readonly prices: number;
  /** Clients that get signals, of some symbols at least. */
  readonly signals: number;
  /** Clients that get published messages: the channel `user`, and the dashboards' own streams. */
  readonly messages: number;
  /** Clients with the channel `clock`. */
  readonly clock: number;
  /** Clients with the channel `presence`. */
  readonly presence: number;
}

/** Who is watching, on the node that answers. */
export interface PresenceOfUsers {
  /** The clients of the node that answers. */
  readonly this_node: PresenceCounts;
  readonly timestamp: string;
  /** The users with a client here, by name; the first 1,000 of them. */
  readonly users: readonly UserPresence[];
  /** How many users have a client here. */
  readonly users_total: number;
}

/** The clients whose token names this user. */
export interface UserPresence {
  /** All clients, over every transport. */
  readonly clients: number;
  /** Clients that get prices, of some symbols at least. */
  readonly prices: number;
  /** Clients that get signals, of some symbols at least. */
  readonly signals: number;
  /** Clients that get published messages: the channel `user`, and the dashboards' own streams. */
  readonly messages: number;
  /** Clients with the channel `clock`. */
  readonly clock: number;
  /** Clients with the channel `presence`. */
  readonly presence: number;
  readonly user: string;
}

/** A price. */
export interface Price {
  readonly symbol: string;
  /** The middle of bid and ask, or the last price where they are missing. */
  readonly price: number;
  /** When the price was observed. */
  readonly timestamp: string;
  /** Relative to the previously published price. */
  readonly change: number;
  /** In percent: 0.02 is 0.02 %. */
  readonly change_percent: number;
  readonly volume?: number;
  readonly bid?: number;
  readonly ask?: number;
  readonly quality: Quality;
  readonly source: string;
}

/** The reliability of a published price. */
export type Quality = "live" | "delayed" | "stale" | "closed" | "simulated" | "replayed";

/** A price: `price`, or `bid` and `ask`. */
export interface PriceRequest {
  /** Instrument, in any spelling. */
  readonly symbol: string;
  readonly price?: number | null;
  readonly bid?: number | null;
  readonly ask?: number | null;
  readonly volume?: number | null;
  /** ISO 8601 or a Unix epoch; now if absent. */
  readonly timestamp?: string | null;
}

export interface Prices {
  readonly prices: readonly Price[];
}

/** A price, or up to 1,000 of them. */
export type PricesRequest = PriceRequest | {
  readonly prices: readonly PriceRequest[];
};

export interface ProvenLeaf {
  /** The number of the leaf, from 0. */
  readonly index: number;
  /** The data of the leaf: JSON, to be hashed as it is. */
  readonly data: string;
  /** SHA-256 of a zero byte and the data, base64. */
  readonly hash: string;
  /** The hashes beside the way from the leaf to the root, base64. */
  readonly path: readonly string[];
}

export interface Readiness {
  readonly parts: Readonly<Record<string, Part>>;
  /** Why the server is degraded. */
  readonly reasons: readonly string[];
  /** `ok` or `degraded`. */
  readonly status: string;
}

/** The comparison of a day's live signals with a backtest over the ticks that were kept of it. */
export interface Recomputation {
  readonly computed_at: string;
  /** The number of differences by reason, every reason included; also of those that are not listed. */
  readonly counts: Readonly<Record<string, number>>;
  /** The day, UTC. */
  readonly day: string;
  /** In order of time. */
  readonly differences: readonly SignalDifference[];
  /** The number of signals that were published live. */
  readonly live: number;
  /** Why the day, or a part of it, could not be recomputed. */
  readonly problem: string | null;
  /** The number of signals that the backtest has. */
  readonly recomputed: number;
  /** The number of kept ticks of the day. */
  readonly ticks: number;
}

/** A signal that only one side has, or that the two sides have differently. */
export interface SignalDifference {
  /** The reason as a sentence, with its times. */
  readonly detail: string;
  /** `only_live` and `only_recomputed`: the other side does not have the signal; `content`: the direction, a level or the confidence differs; `end`: how the signal ended. */
  readonly kind: DifferenceKind;
  readonly live: RecomputedSignal | null;
  /** `late_tick`: ticks arrived in another minute than the one in which they were observed, or after the deadline of the signal; `failover`: the prices changed to another source; `restart`: the server started anew, or another node took over; `lost_ticks`: ticks could not be kept; `gap`: there were no prices for a time; `unexplained`: none of these. */
  readonly reason: DifferenceReason;
  readonly recomputed: RecomputedSignal | null;
  /** The id of the signal. */
  readonly signal: string;
  readonly symbol: string;
}

/** What is compared of a signal. */
export interface RecomputedSignal {
  /** 0 to 1. */
  readonly confidence: number;
  readonly direction: Direction;
  /** When it was confirmed or invalidated. */
  readonly ended_at: string | null;
  readonly entry_price: number | null;
  /** Why it was invalidated: `timeout`, `stop_touched` and others. */
  readonly invalidation: string | null;
  readonly published_at: string;
  /** `pending` if it had not ended when the comparison did. */
  readonly status: SignalStatus;
  readonly stop_loss: number | null;
  readonly take_profits: readonly number[];
}

/** The comparisons of the last days. */
export interface Recomputations {
  /** The last day first; at most 31. */
  readonly days: readonly Recomputation[];
  /** Whether ticks are kept, so that days can be compared: `data.tick_retention` is not 0. */
  readonly enabled: boolean;
  /** How long ticks are kept, in seconds: `data.tick_retention`. */
  readonly retention_seconds: number;
}

/** What a reload has changed. */
export interface ReloadReport {
  /** The settings that are in force now; with `dry_run` those that would be. */
  readonly applied: readonly ChangedSetting[];
  /** Whether the settings were only compared. */
  readonly dry_run: boolean;
  /** The settings that will be in force after a restart. */
  readonly needs_restart: readonly ChangedSetting[];
  /** Whether all settings are the ones in force. */
  readonly unchanged: boolean;
  /** What is probably not as intended, as at a start. */
  readonly warnings: readonly string[];
}

/** The body of a revocation. */
export interface Revocation {
  /** The user's id. */
  readonly user: string;
  /** Tokens issued before this time become invalid: ISO 8601 or a Unix epoch, not in the future. */
  readonly not_before?: string | null;
}

export interface Revoked {
  readonly message: string;
  readonly not_before: string;
  readonly success: boolean;
  readonly timestamp: string;
  readonly user: string;
}

export interface RevokedToken {
  readonly name: string;
  readonly success: boolean;
}

/** The answer of JSON-RPC 2.0: `result`, or `error`. */
export interface RpcAnswer {
  readonly jsonrpc: string;
  readonly id?: unknown;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: Readonly<Record<string, unknown>>;
}

/** A message of JSON-RPC 2.0. */
export interface RpcMessage {
  /** `2.0`. */
  readonly jsonrpc: string;
  /** A number or text, repeated in the answer; absent in a notification. */
  readonly id?: unknown;
  /** `initialize`, `tools/list`, `tools/call`, … */
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>> | null;
}

/** An error of this server, or of JSON-RPC 2.0. */
export type RpcRefusal = ErrorBody | RpcAnswer;

/** A complete signal. */
export interface Signal {
  readonly id: string;
  readonly status: SignalStatus;
  readonly direction: Direction;
  readonly symbol: string;
  readonly entry_time: string;
  readonly entry_price: number | null;
  readonly stop_loss: number | null;
  readonly take_profits: readonly number[];
  /** One label for each target, such as `TP1 30%`; may be empty. */
  readonly tp_modes: readonly string[];
  readonly reason: string;
  /** 0 to 1. */
  readonly confidence: number;
  readonly rr_target: number;
  readonly killzone: Killzone;
  /** False if `killzone` is the previous window, because none is active. */
  readonly killzone_active: boolean;
  /** The same as `entry_price`, for older clients. */
  readonly price: number | null;
  /** Time of the last change. */
  readonly updated_at: string;
  /** When the server ends the signal if it is still pending. */
  readonly expires_at: string;
  /** Why it was invalidated: `timeout`, `stop_touched`, `manual` and others. */
  readonly invalidation: string | null;
  readonly source: string;
  /** The mapping that made `confidence` of the model score, if the operator applies one. */
  readonly calibration?: AppliedCalibration;
}

export interface SignalLife {
  readonly signal: Signal;
  readonly history: readonly SignalStateChange[];
  /** The outcome of the trade, once it is known. */
  readonly outcome?: TradeOutcome;
  readonly position?: Position;
}

export interface SignalStateChange {
  readonly status: SignalStatus;
  readonly at: string;
  readonly reason: string | null;
  readonly source: string;
  readonly cursor: string;
}

/** The proof that a signal is in the log. */
export interface SignalProof {
  /** The checkpoint that the paths lead to: a signed note, with the size and the root of the tree. */
  readonly checkpoint: string;
  /** A leaf for each change of the signal, and one for its outcome, oldest first. */
  readonly leaves: readonly ProvenLeaf[];
}

export interface Signals {
  readonly signals: readonly Signal[];
  /** The log's position before the page was read: a client that resumes from it misses nothing. */
  readonly cursor: string;
  readonly next: string | null;
  /** With `wait`: the position of each of the signals. */
  readonly cursors?: readonly string[];
  /** With `wait` and `since`: whether they are all changes after the cursor; if not, they are the current signals. */
  readonly recovered?: boolean;
}

export interface Sources {
  readonly sources: readonly Source[];
  readonly timestamp: string;
}

/** The start page's steps. */
export interface Start {
  /** When the first dashboard connected; the console itself does not count. */
  readonly dashboard_at: string | null;
  /** Whether the console begins with the start page: the server is new, and not all steps are done. */
  readonly is_new: boolean;
  /** When the first real price came: neither simulated nor replayed. */
  readonly price_at: string | null;
  /** When the first push was accepted. */
  readonly push_at: string | null;
}

export interface Statistics {
  /** All outcomes. */
  readonly all: Stats;
  /** By instrument. */
  readonly symbol: Readonly<Record<string, Stats>>;
  /** By setup; `other` when the reason names none. */
  readonly setup: Readonly<Record<string, Stats>>;
  /** By window of the trading day. */
  readonly killzone: Readonly<Record<string, Stats>>;
  /** By sender. */
  readonly source: Readonly<Record<string, Stats>>;
  /** By model score in tenths: `0.7` is 0.7 up to 0.8; `0.9` includes 1. */
  readonly confidence: Readonly<Record<string, Stats>>;
  /** The feeds whose records are counted. */
  readonly feeds: readonly Feed[];
  readonly note: string;
  /** Confirmed signals of this symbol and source whose record has not ended. */
  readonly open: number;
}

/** All tokens. */
export interface StoredTokens {
  /** The environment variables of the shared tokens that the settings have; they are changed there. */
  readonly settings: readonly string[];
  /** The stored tokens, by name. */
  readonly tokens: readonly StoredToken[];
}

/** A tick of an Expert Advisor. */
export interface TickRequest {
  /** The broker's name of the symbol. */
  readonly s: string;
  /** Bid. */
  readonly b: number;
  /** Ask. */
  readonly a: number;
  /** Digits. */
  readonly d?: number | null;
  /** Time of the broker's clock, in milliseconds. */
  readonly t: number;
}

/** The changes since the last batch of an Expert Advisor; without ticks a keep-alive. A signal has `type` `signal` and the fields of a pushed signal. */
export interface TicksRequest {
  /** Version of the format: 1. */
  readonly v: number;
  /** `ticks` or `signal`. */
  readonly type: string;
  /** `mt5` or `mt4`. */
  readonly src: string;
  readonly seq?: number | null;
  /** Offset of the broker's clock from UTC, in seconds. */
  readonly utc_off?: number | null;
  readonly connected?: boolean | null;
  readonly ticks?: readonly TickRequest[] | null;
}

/** The body of a revocation. */
export interface TokenName {
  /** The name of the token. */
  readonly name: string;
}

export interface Unready {
  /** The part that is missing. */
  readonly part?: string;
  /** Why it is missing. */
  readonly reasons?: readonly string[];
  /** `starting`, `draining`, or `unavailable` when a part is missing. */
  readonly status: string;
}

/** The killzone clock, in the wall-clock time of New York. */
export interface KillzoneChange {
  readonly timestamp: string;
  /** The same in New York, with its offset from UTC. */
  readonly new_york: string;
  readonly killzone: Killzone | null;
  /** When that changes: the open window ends, or the next one begins. */
  readonly changes_at: string;
  readonly seconds_to_change: number;
  /** The window that begins next. */
  readonly next: NextKillzone;
}

/** A complete signal. */
export interface OrionSignal {
  readonly id: string;
  readonly status: SignalStatus;
  readonly direction: Direction;
  readonly symbol: string;
  readonly entry_time: string;
  readonly entry_price: number | null;
  readonly stop_loss: number | null;
  readonly take_profits: readonly number[] | null;
  /** One label for each target, such as `TP1 30%`; may be empty. */
  readonly tp_modes: readonly string[];
  readonly reason: string;
  /** 0 to 1. */
  readonly confidence: number;
  readonly rr_target: number;
  readonly killzone: Killzone;
  /** False if `killzone` is the previous window, because none is active. */
  readonly killzone_active: boolean;
  /** The same as `entry_price`, for older clients. */
  readonly price: number | null;
  /** Time of the last change. */
  readonly updated_at: string;
  /** When the server ends the signal if it is still pending. */
  readonly expires_at: string;
  /** Why it was invalidated: `timeout`, `stop_touched`, `manual` and others. */
  readonly invalidation: string | null;
  readonly source: string;
  /** The mapping that made `confidence` of the model score, if the operator applies one. */
  readonly calibration?: AppliedCalibration;
}

/** A channel. `user`: the messages for one user, only over Socket.IO. */
export type Channel = "signals" | "prices" | "clock" | "presence" | "user";

/** Which signals a client wants. A filter that is not set admits every signal. It judges each event by the signal as it is in that event, and nothing else: a signal that no longer matches is not announced. */
export interface SignalFilter {
  /** The smallest confidence, 0 to 1. */
  readonly min_confidence?: number | null;
  /** The directions. */
  readonly directions?: readonly Direction[];
  /** The windows of the trading day. */
  readonly killzones?: readonly Killzone[];
  /** The setups, as the signal's `reason` names them. */
  readonly setups?: readonly SetupKind[];
  /** The sources. */
  readonly sources?: readonly string[];
  /** The states. */
  readonly statuses?: readonly SignalStatus[];
}

/** The cursor of a published message, or its sequence number. */
export type MessageNumber = string | number;

/** Emitted beside a message. */
export interface MessageMeta {
  /** Sequence number of the message. */
  readonly sequence: number;
  /** Cursor that resumes after the message. */
  readonly cursor: string;
}

/** The revenue. */
export interface SentioRevenue {
  readonly monthly_recurring_revenue: number;
  readonly revenue_by_tier?: Readonly<Record<string, number>> | null;
  readonly subscribers_by_tier?: Readonly<Record<string, number>> | null;
}

/** All subscribers. */
export interface SentioSubscribers {
  readonly subscribers: readonly SentioSubscriber[];
}

/** A subscriber. */
export interface SentioSubscriber {
  readonly user_id: string;
  readonly tier?: string | null;
  readonly status?: string | null;
  readonly start_date?: string | null;
  readonly features: SentioFeatures;
}

/** What a subscription includes. */
export interface SentioFeatures {
  readonly max_concurrent_trades?: number | null;
  readonly max_strategies?: number | null;
  readonly day_trading?: boolean | null;
  readonly api_access?: boolean | null;
}

/** The numbers of users. */
export interface SentioUserAnalytics {
  readonly total_users: number;
  readonly by_status?: Readonly<Record<string, number>> | null;
  readonly by_tier?: Readonly<Record<string, number>> | null;
}

/** All users, or their totals with an empty list. */
export interface SentioUsers {
  readonly users: readonly SentioUser[];
  readonly total_users?: number | null;
  readonly active_subscriptions?: number | null;
  readonly monthly_revenue?: number | null;
}

/** A user. */
export interface SentioUser {
  readonly user_id: string;
  readonly tier?: string | null;
  readonly status?: string | null;
  readonly start_date?: string | null;
  readonly profit_sharing_balance: number;
  readonly total_profits_shared: number;
}

/** A task of the platform's AI. */
export interface BotsTask {
  readonly task_id: string;
  readonly task_type: string;
  readonly status: BotsTaskStatus;
  readonly progress?: number | null;
  readonly result?: unknown;
  readonly error?: string | null;
  readonly started_at?: string | null;
  readonly completed_at?: string | null;
}

export type BotsTaskStatus = "queued" | "running" | "completed" | "failed";

/** An alert. */
export interface BotsAlert {
  readonly id: string;
  readonly severity: BotsSeverity;
  readonly category?: string | null;
  readonly title?: string | null;
  readonly message: string;
  readonly bot_id?: string | null;
  readonly platform?: string | null;
  readonly action_required?: boolean | null;
  readonly timestamp: string;
}

export type BotsSeverity = "info" | "warning" | "error" | "critical";

/** The balances on one platform; on the platform `all` the sum. */
export interface BotsBalances {
  readonly platform: string;
  /** By asset. */
  readonly balances: Readonly<Record<string, BotsBalance>>;
  readonly total_value_zar?: number | null;
}

export interface BotsBalance {
  readonly free: number;
  readonly locked: number;
  readonly total?: number | null;
}

/** A bot, in both spellings. */
export interface BotsBot {
  readonly id: string;
  readonly name?: string | null;
  readonly platform?: string | null;
  /** The same as `platform`. */
  readonly exchange?: string | null;
  readonly symbol?: string | null;
  readonly status: BotsBotStatus;
  readonly trading_mode?: BotsTradingMode | null;
  readonly risk_mode?: BotsRiskMode | null;
  readonly capital?: number | null;
  /** The same as `capital`. */
  readonly current_capital?: number | null;
  readonly pnl?: number | null;
  /** The same as `pnl`. */
  readonly total_profit?: number | null;
  readonly trades_count?: number | null;
  readonly win_rate?: number | null;
  readonly last_trade?: string | null;
}

export type BotsBotStatus = "running" | "stopped" | "paused" | "error";

export type BotsTradingMode = "paper" | "live";

export type BotsRiskMode = "conservative" | "moderate" | "aggressive";

/** A position in the log: emitted to Socket.IO clients beside a signal, and as a message of its own to clients whose filters have left out the signals before it. */
export interface SignalMeta {
  /** Cursor of the position. */
  readonly cursor: string;
}

/** A decision of a bot; of the bot `orion` a new signal of this server. */
export interface BotsDecision {
  readonly id: string;
  readonly bot_id?: string | null;
  readonly symbol: string;
  readonly platform?: string | null;
  readonly decision: BotsDecisionWord;
  readonly confidence: number;
  readonly reasoning: readonly string[];
  readonly market_data?: Readonly<Record<string, unknown>> | null;
  /** `regime` and `confidence`. */
  readonly regime_state?: Readonly<Record<string, unknown>> | null;
  readonly component_scores?: Readonly<Record<string, number>> | null;
  readonly sizing?: Readonly<Record<string, unknown>> | null;
  readonly position_size_multiplier?: number | null;
  /** `stop_loss` and `take_profit`. */
  readonly stops?: Readonly<Record<string, unknown>> | null;
  readonly stop_loss?: number | null;
  readonly take_profit?: number | null;
  readonly timestamp: string;
}

export type BotsDecisionWord = "buy" | "sell" | "hold";

/** A user's earnings. Absent numbers are 0. */
export interface SentioEarnings {
  readonly user_id?: string | null;
  readonly portfolio_value: number;
  readonly total_return: number;
  readonly total_return_pct: number;
  readonly daily_pnl: number;
  readonly total_trades: number;
  readonly win_rate: number;
  readonly profit_sharing: SentioProfitSharing;
  readonly timestamp: string;
}

/** A user's share of the profits. */
export interface SentioProfitSharing {
  readonly total_shared: number;
  readonly rate: number;
  readonly enabled?: boolean | null;
}

/** An error: a client's message could not be handled. */
export interface ServerError {
  /** A sentence for a person. */
  readonly error: string;
  /** A code for a program. */
  readonly code: string;
}

/** The numbers of the user's platform. */
export interface BotsMetrics {
  readonly total_pnl?: number | null;
  readonly total_pnl_percent?: number | null;
  readonly active_bots?: number | null;
  readonly total_bots?: number | null;
  readonly total_trades?: number | null;
  readonly win_rate?: number | null;
  readonly exposure?: number | null;
  readonly risk_level?: string | null;
  readonly uptime_seconds?: number | null;
  readonly trades_per_hour?: number | null;
}

/** A notification. */
export interface SentioNotification {
  readonly type: SentioNotificationKind;
  readonly title?: string | null;
  readonly message: string;
  readonly timestamp?: string | null;
}

/** The kind of a notification. */
export type SentioNotificationKind = "success" | "warning" | "error" | "info";

/** The state of an order. */
export interface AriaOrder {
  readonly order_id: string;
  readonly symbol: string;
  readonly side: AriaSide;
  readonly status: AriaOrderStatus;
  /** In lots. */
  readonly volume: number;
  readonly price: number;
  readonly timestamp: string;
}

/** A side of a trade. */
export type AriaSide = "buy" | "sell";

/** The status of an order. */
export type AriaOrderStatus = "filled" | "pending" | "cancelled" | "partial_fill";

/** The answer to `ping`. */
export interface Pong {
  /** The client's own time, unchanged. */
  readonly timestamp?: unknown;
  /** The server's time. */
  readonly server_time: string;
}

/** The answer to `subscribe`. */
export interface Subscribed {
  /** Requested channels that exist. */
  readonly channels: readonly Channel[];
  /** Symbols to which they are narrowed; null for all. */
  readonly symbols: readonly string[] | null;
  /** Those of the symbols that no source feeds now; absent when there are none. */
  readonly unfed?: readonly string[];
  /** Cursor after which live events begin. */
  readonly cursor: string;
  /** Whether the gap since the presented cursors was filled; null when none was presented. */
  readonly recovered: boolean | null;
  /** Version of the interface. */
  readonly protocol: number;
  /** How far back the snapshot of ended signals reaches, if the client asked for it. */
  readonly replay?: string;
  /** Limit on the prices per second of each symbol, if the client asked for one. */
  readonly max_hz?: number;
  /** The filters of the signals; absent when there are none. */
  readonly filters?: SignalFilter;
  /** With the channel `user`: number of the last published message, after which live messages begin. */
  readonly last_event_id?: number;
}

/** The state of the platform; in the server's frames together with that of this server. */
export interface BotsHealth {
  readonly status?: string | null;
  /** In seconds. */
  readonly uptime?: number | null;
  readonly cpu_percent?: number | null;
  readonly memory_percent?: number | null;
  readonly disk_percent?: number | null;
  readonly database?: string | null;
  readonly redis?: string | null;
  /** By exchange. */
  readonly exchange_connections?: Readonly<Record<string, string>> | null;
  readonly last_trade?: string | null;
  readonly error_rate?: number | null;
  readonly timestamp?: string | null;
}

/** A trade, in both spellings. */
export interface BotsTrade {
  readonly id: string;
  readonly bot_id?: string | null;
  /** That of the trade, else of the bot with its `bot_id`, else that id. */
  readonly bot_name?: string | null;
  readonly platform: string;
  /** The same as `platform`. */
  readonly exchange: string;
  readonly symbol: string;
  readonly side: BotsSide;
  readonly quantity: number;
  readonly price: number;
  readonly total?: number | null;
  readonly fee?: number | null;
  readonly status: BotsTradeStatus;
  readonly pnl?: number | null;
  /** The same as `pnl`. */
  readonly profit_loss?: number | null;
  readonly is_profitable?: boolean | null;
  readonly new_capital?: number | null;
  readonly total_profit?: number | null;
  readonly timestamp: string;
}

export type BotsSide = "buy" | "sell";

export type BotsTradeStatus = "pending" | "filled" | "cancelled" | "failed";

/** The answer to `unsubscribe`. */
export interface Unsubscribed {
  /** Named channels that exist. */
  readonly channels: readonly Channel[];
  /** Named symbols; null for all. */
  readonly symbols: readonly string[] | null;
}

/** What happened in a wallet. */
export interface BotsWalletEvent {
  readonly event: string;
  readonly platform?: string | null;
  readonly asset?: string | null;
  readonly amount?: number | null;
  readonly address?: string | null;
  readonly txid?: string | null;
  readonly confirmations?: number | null;
  readonly status?: string | null;
}

/** A movement of a large holder, with the sums up to it; or published sums alone. */
export interface BotsWhale {
  readonly coin?: string | null;
  readonly platform?: string | null;
  /** `inflow` or `outflow`. */
  readonly flow_type?: string | null;
  readonly amount?: number | null;
  readonly value_usd?: number | null;
  readonly timestamp?: string | null;
  readonly signal?: string | null;
  /** By exchange and coin: `inflow`, `outflow`, `net_flow`. */
  readonly exchanges?: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, number>>>>>> | null;
  /** By coin: `total_inflow`, `total_outflow`, `net_flow`. */
  readonly summary?: Readonly<Record<string, Readonly<Record<string, number>>>> | null;
  readonly last_update?: string | null;
}

/** Asks whether the connection is alive. */
export interface PingRequest {
  /** Returned unchanged. */
  readonly timestamp?: unknown;
}

/** What to subscribe to over Socket.IO: an object, a list of channels, one channel, or nothing for signals and prices. */
export type Subscription = SubscribeRequest | readonly Channel[] | Channel;

/** What to subscribe to. */
export interface SubscribeRequest {
  /** `signals` and `prices` if absent. */
  readonly channels?: readonly Channel[] | null;
  /** All symbols if absent. */
  readonly symbols?: readonly string[] | null;
  /** The cursor of the last frame that had one: the signals that were missed since then come first. */
  readonly since?: string | null;
  /** How far back the snapshot of ended signals reaches, such as `10m`. */
  readonly replay?: string | null;
  /** Maximum number of prices per second of each symbol. */
  readonly max_hz?: number | null;
  readonly last_event_id?: MessageNumber | null;
  /** Only signals of at least this confidence. */
  readonly min_confidence?: number | null;
  /** Only signals of these directions. */
  readonly directions?: readonly Direction[] | null;
  /** Only signals of these windows. */
  readonly killzones?: readonly Killzone[] | null;
  /** Only signals whose `reason` names one of these setups. */
  readonly setups?: readonly SetupKind[] | null;
  /** Only signals of these sources. */
  readonly sources?: readonly string[] | null;
  /** Only signals in these states. */
  readonly statuses?: readonly SignalStatus[] | null;
}

/** What to unsubscribe from over Socket.IO, in the same forms. */
export type Unsubscription = UnsubscribeRequest | readonly Channel[] | Channel;

/** What to unsubscribe from. */
export interface UnsubscribeRequest {
  /** `signals` and `prices` if absent. */
  readonly channels?: readonly Channel[] | null;
  /** All symbols if absent. */
  readonly symbols?: readonly string[] | null;
}

/** What the server sends on the native stream of signals and prices, beside the answers to pushes. */
export type OrionFrame =
  /** With filters: the position behind what they have left out. */
  | {
      readonly cursor: string;
      readonly type: "cursor";
    }
  /** A frame, or a part of it, was invalid; the connection stays open. */
  | {
      /** A sentence for a person. */
      readonly error: string;
      /** A code for a program. */
      readonly code: string;
      readonly type: "error";
    }
  /** The killzone clock: after `subscribe` with the channel `clock`, and at each change. */
  | {
      readonly payload: KillzoneChange;
      readonly type: "killzone";
    }
  /** The answer to `ping`. */
  | {
      /** The client's own time, unchanged. */
      readonly timestamp?: unknown;
      /** The server's time. */
      readonly server_time: string;
      readonly type: "pong";
    }
  /** How many clients are watching: after `subscribe` with the channel `presence`, and at each change, once a second at most. */
  | {
      readonly payload: Presence;
      readonly type: "presence";
    }
  /** A new price. */
  | {
      readonly payload: Price;
      readonly type: "price_update";
    }
  /** A signal is new or has changed. */
  | {
      readonly payload: OrionSignal;
      /** The position of the event in the log. */
      readonly cursor: string;
      readonly type: "signal";
    }
  /** The answer to `subscribe`, after the snapshot. */
  | {
      /** Requested channels that exist. */
      readonly channels: readonly Channel[];
      /** Symbols to which they are narrowed; null for all. */
      readonly symbols: readonly string[] | null;
      /** Those of the symbols that no source feeds now; absent when there are none. */
      readonly unfed?: readonly string[];
      /** Cursor after which live events begin. */
      readonly cursor: string;
      /** Whether the gap since the presented cursors was filled; null when none was presented. */
      readonly recovered: boolean | null;
      /** Version of the interface. */
      readonly protocol: number;
      /** How far back the snapshot of ended signals reaches, if the client asked for it. */
      readonly replay?: string;
      /** Limit on the prices per second of each symbol, if the client asked for one. */
      readonly max_hz?: number;
      /** The filters of the signals; absent when there are none. */
      readonly filters?: SignalFilter;
      /** With the channel `user`: number of the last published message, after which live messages begin. */
      readonly last_event_id?: number;
      readonly type: "subscribed";
    }
  /** The answer to `unsubscribe`. */
  | {
      /** Named channels that exist. */
      readonly channels: readonly Channel[];
      /** Named symbols; null for all. */
      readonly symbols: readonly string[] | null;
      readonly type: "unsubscribed";
    };

/** What a client of that stream sends. */
export type OrionCommand =
  /** Presents the token for writing, if the handshake had none. */
  | {
      readonly token: string;
      readonly type: "auth";
    }
  /** Publishes a message, or a batch. */
  | {
      readonly data: EventsRequest;
      readonly type: "event";
    }
  /** Asks whether the connection is alive. */
  | {
      /** Returned unchanged. */
      readonly timestamp?: unknown;
      readonly type: "ping";
    }
  /** Pushes a price, or a batch. */
  | {
      readonly data: PricesRequest;
      readonly type: "price_update";
    }
  /** Pushes a signal. */
  | {
      readonly data: SignalRequest;
      readonly type: "signal";
    }
  /** Subscribes to channels, in place of the previous subscription. */
  | {
      /** `signals` and `prices` if absent. */
      readonly channels?: readonly Channel[] | null;
      /** All symbols if absent. */
      readonly symbols?: readonly string[] | null;
      /** The cursor of the last frame that had one: the signals that were missed since then come first. */
      readonly since?: string | null;
      /** How far back the snapshot of ended signals reaches, such as `10m`. */
      readonly replay?: string | null;
      /** Maximum number of prices per second of each symbol. */
      readonly max_hz?: number | null;
      readonly last_event_id?: MessageNumber | null;
      /** Only signals of at least this confidence. */
      readonly min_confidence?: number | null;
      /** Only signals of these directions. */
      readonly directions?: readonly Direction[] | null;
      /** Only signals of these windows. */
      readonly killzones?: readonly Killzone[] | null;
      /** Only signals whose `reason` names one of these setups. */
      readonly setups?: readonly SetupKind[] | null;
      /** Only signals of these sources. */
      readonly sources?: readonly string[] | null;
      /** Only signals in these states. */
      readonly statuses?: readonly SignalStatus[] | null;
      readonly type: "subscribe";
    }
  /** Unsubscribes from channels. */
  | {
      /** `signals` and `prices` if absent. */
      readonly channels?: readonly Channel[] | null;
      /** All symbols if absent. */
      readonly symbols?: readonly string[] | null;
      readonly type: "unsubscribe";
    };

/**
 * What the server sends to a connection made by `socket.io-client` itself:
 *
 * ```ts
 * const socket: Socket<ServerEvents, ClientEvents> = io("https://<host>");
 * socket.emit("subscribe", { channels: ["signals"] }, (answer) => console.log(answer));
 * socket.on("signal", (signal, { cursor }) => console.log(signal.symbol, cursor));
 * ```
 */
export interface ServerEvents {
  /** A message of the channel `user`, as it was published. */
  admin_revenue: (data: SentioRevenue, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  admin_subscribers: (data: SentioSubscribers, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  admin_user_analytics: (data: SentioUserAnalytics, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  admin_users: (data: SentioUsers, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  ai_tasks: (data: BotsTask, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  alerts: (data: BotsAlert, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  balances: (data: BotsBalances, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  bots: (data: BotsBot, meta: MessageMeta) => void;
  /** With filters: the position behind what they have left out. */
  cursor: (data: SignalMeta) => void;
  /** A message of the channel `user`, as it was published. */
  decisions: (data: BotsDecision, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  earnings: (data: SentioEarnings, meta: MessageMeta) => void;
  /** A command, or a part of it, was invalid. */
  error: (data: ServerError) => void;
  /** The killzone clock, of the channel `clock`: now, and at each change. */
  killzone: (data: KillzoneChange) => void;
  /** A message of the channel `user`, as it was published. */
  metrics: (data: BotsMetrics, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  notification: (data: SentioNotification, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  order_update: (data: AriaOrder, meta: MessageMeta) => void;
  /** The answer to `ping`. */
  pong: (data: Pong) => void;
  /** How many clients are watching, of the channel `presence`: now, and at each change, once a second at most. */
  presence: (data: Presence) => void;
  /** A new price. */
  price_update: (data: Price) => void;
  /** A signal is new or has changed. */
  signal: (data: Signal, meta: SignalMeta) => void;
  /** The answer to `subscribe`, after the snapshot. */
  subscribed: (data: Subscribed) => void;
  /** A message of the channel `user`, as it was published. */
  system_health: (data: BotsHealth, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  trades: (data: BotsTrade, meta: MessageMeta) => void;
  /** The answer to `unsubscribe`. */
  unsubscribed: (data: Unsubscribed) => void;
  /** A message of the channel `user`, as it was published. */
  wallet: (data: BotsWalletEvent, meta: MessageMeta) => void;
  /** A message of the channel `user`, as it was published. */
  whale: (data: BotsWhale, meta: MessageMeta) => void;
}

/** An answer, with the first error of the request if there is one: what was valid still holds. */
export type Answer<T> = T & Partial<ServerError>;

/** What a client sends. The answer is also an event. */
export interface ClientEvents {
  /** Asks whether the connection is alive. */
  ping: (data?: PingRequest, acknowledge?: (answer: Pong) => void) => void;
  /** Subscribes to channels. */
  subscribe: (data?: Subscription, acknowledge?: (answer: Answer<Subscribed>) => void) => void;
  /** Unsubscribes from channels. */
  unsubscribe: (data?: Unsubscription, acknowledge?: (answer: Answer<Unsubscribed>) => void) => void;
}
