//! orion-server feeds trading dashboards with live prices and trading signals, over Socket.IO and native WebSocket.
//!
//! # Data flow
//!
//! ```text
//!  sources (fetched) ─┬─► pipeline ──► engine ──► store ──► hub ──► transport + dashboards
//!  ingest (pushed)   ─┘   (the only    (pure)     (commit   (fan-   (transports, and one
//!                          writer)                 first)    out)    folder for each dashboard)
//! ```
//!
//! 1. A [source](sources) fetches bytes, parses them into domain values and sends them through one bounded channel.
//!    [`ingest`] does the same with what is pushed by HTTP, WebSocket, webhook or Expert Advisor.
//! 2. The [`pipeline`] is the only writer. It owns the engine, the clock and the timers.
//! 3. The [`engine`] is pure: values in, values out. It contains the price board, the bars, the signal book, the server's own
//!    setups and the outcomes of signals.
//! 4. The [`store`] commits signal events to a durable log before they are published.
//! 5. The [`hub`] keeps the snapshot for new clients, and delivers events.
//! 6. A [dashboard](dashboards) turns an event into its frames, once per wire format, and [`transport`] delivers them.
//!
//! # The rooms and their dependencies
//!
//! | room | content | uses |
//! |---|---|---|
//! | [`domain`] | instruments, prices, bars, signals, killzones, time | no other room |
//! | [`config`] | how settings are layered, read and checked | domain |
//! | [`telemetry`] | the log, the metrics, readiness, the states of the sources | config, domain |
//! | [`tasks`] | named background tasks | no other room |
//! | [`listener`] | accepts, limits and ends connections | tasks, telemetry |
//! | [`auth`] | tokens, those that the server stores, and their users | config, domain |
//! | [`engine`] | the rules for prices, bars and signals | domain |
//! | [`store`] | the signal log, the Merkle tree over it, and its read side | domain, telemetry |
//! | [`hub`] | the live state, and its delivery | domain, telemetry |
//! | [`ticks`] | the ticks that made bars, kept on disk for some days | domain, telemetry |
//! | [`pipeline`] | the single writer | domain, engine, hub, store (its seam for writing), telemetry, ticks (the keeper) |
//! | [`cluster`] | several nodes that share one log | config (its settings), domain, hub, pipeline (its handle), store (the copy), tasks, telemetry |
//! | [`record`] | signed checkpoints of the log: the key, the notes, witnesses, publishing | config (its settings, secrets), store (the head of the tree) |
//! | [`recordings`] | reads CSVs of many vendors as ticks or bars | domain |
//! | [`ingest`] | pushed signals, prices and events, alerts of TradingView, posts of Expert Advisors | domain, pipeline (its handle), telemetry |
//! | [`sources`] | the sources of prices and signals that the server fetches or simulates; each provider with its settings | config (declaring settings), domain, pipeline (its handle), recordings, tasks, telemetry |
//! | [`transport`] | the transports, and readers with a delay | hub, store (reading), pipeline (its handle), ingest, auth, listener, config, domain, tasks, telemetry |
//! | [`dashboards`] | one folder for each dashboard: its wire formats, streams and routes, and their description | transport (what a stream is given), http (what a route is given), hub, store (reading), pipeline (its handle), ingest, auth, config, domain, listener (the peer), telemetry |
//! | [`http`] | routes, the descriptions of routes and streams, ingest, history, the public stream, operations, the console, the interface for agents | transport (messages, descriptions, server-sent events, long polling), engine (its detectors), hub, store (reading), pipeline (its handle), ingest, auth, cluster (its state), config, domain, listener (the peer), notify (its states, LINE), record (its checkpoints), telemetry |
//! | [`alerts`] | alerts to the operator, and their webhook | config (secrets), domain, sources (TLS), telemetry |
//! | [`notify`] | notices about signals to Telegram, LINE, Discord, Slack, ntfy, e-mail and a webhook | alerts (its client and signer), config, domain, hub (its seam for delivery), pipeline (its handle), sources (TLS, texts), store (reading), telemetry, transport (the signal's object) |
//! | [`backtest`] | runs recordings through the engine's rules; calibrates the scores of recorded outcomes; compares live signals with a backtest over the kept ticks | domain, engine, recordings |
//! | [`cli`] | the command line | auth, backtest, cluster (its commands), config, domain, notify (its test), record (its checkpoints), recordings (their summary), sources (the list of providers), store, ticks (reading) |
//! | [`app`] | builds and connects the rooms | all |
//!
//! `tests/integration/rooms/` checks these dependencies, item by item.
//!
//! # Rules that hold everywhere
//!
//! - There are two classes of events: an *ordered* event is committed before it is acknowledged, can be replayed and is never
//!   dropped; a newer *state* replaces an older one that is not delivered yet ([`domain::Event::class`]).
//! - Commit, then publish, then acknowledge: an HTTP 200 on a signal means that it survives `kill -9`.
//! - A signal is pending, then confirmed or invalidated. The final states never change ([`domain::Signal::amend`]).
//! - Input is lenient, output is strict: every documented spelling is accepted, and one documented shape is sent, always complete.
//! - Prices are sent rounded to the grid of their instrument ([`domain::Instrument::round`]).
//! - Every queue has a bound, a policy for when it is full, and a counter.
//! - Simulated, replayed, delayed and stale prices are marked as such ([`domain::Quality`]).
//! - The server never closes a WebSocket with code 1000 ([`transport::close`]).
//! - Durations are measured on the monotonic clock; times that are sent come from the wall clock ([`domain::Now`]).
//! - A dashboard is named only in its folder, and in the one list in [`app`].
//! - Secrets never appear in a log, an error or a URL ([`config::Secret`]).

pub mod alerts;
pub mod app;
pub mod auth;
pub mod backtest;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod dashboards;
pub mod domain;
pub mod engine;
pub mod http;
pub mod hub;
pub mod ingest;
pub mod listener;
pub mod notify;
pub mod pipeline;
pub mod record;
pub mod recordings;
pub mod sources;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod ticks;
pub mod transport;
