//! orion-server feeds trading dashboards with live prices and trading signals, over Socket.IO and native WebSocket.
//!
//! # The way of the data
//!
//! ```text
//!  sources ──► pipeline ──► engine ──► store ──► hub ──► gateways
//!  (push,      (the only    (pure)     (commit   (who is  (one dialect for
//!  simulator,   writer)                 first)    there)   each dashboard)
//!  replay)
//! ```
//!
//! 1. A [source](sources) reads bytes, turns them into domain values and sends them down one bounded channel.
//! 2. The [`pipeline`] is the only writer. It owns the engine, the clock and the timers.
//! 3. The [`engine`] is pure: values in, values out. It holds the price board, the bars, the
//!    signal book, the setups of the server's own and the records of what became of signals.
//! 4. The [`store`] commits signal events to a durable log before anybody is told.
//! 5. The [`hub`] keeps what a newcomer needs and delivers.
//! 6. The [`gateways`] write it out, encoded once for each dialect and event.
//!
//! # The rooms, and who may use whom
//!
//! | room | what it holds | uses |
//! |---|---|---|
//! | [`domain`] | instruments, prices, bars, signals, killzones, time | nothing of ours |
//! | [`config`] | every setting | domain |
//! | [`telemetry`] | the log, every metric | config, domain |
//! | [`tasks`] | background work by name | nothing of ours |
//! | [`listener`] | accepting connections, and ending them | tasks, telemetry |
//! | [`auth`] | tokens, and whom they name | config, domain |
//! | [`engine`] | the rules | domain |
//! | [`store`] | the signal log and its read side | domain, telemetry |
//! | [`hub`] | what is live, and delivery | domain, telemetry |
//! | [`pipeline`] | the single writer | domain, engine, hub, store, telemetry |
//! | [`recordings`] | CSVs of every vendor as ticks or bars | domain |
//! | [`sources`] | where prices come from | config (secrets), domain, pipeline (its handle), recordings, telemetry |
//! | [`gateways`] | transports and dialects | hub, store (reading), pipeline (its handle), sources (push), auth, listener, config, domain, tasks, telemetry |
//! | [`http`] | routes, ingest, history, operations, the console | gateways (dialects), hub, store (reading), pipeline (its handle), sources (what is pushed, states), auth, config, domain, listener (the peer), telemetry |
//! | [`alerts`] | what the operator is told of, and the webhook | config (secrets), domain, sources (TLS), telemetry |
//! | [`backtest`] | recordings through the engine's rules | domain, engine, recordings |
//! | [`cli`] | the command line | auth, backtest, config, domain, recordings (what is told of them), sources (doctor), store |
//! | [`app`] | the only wiring | all |
//!
//! `tests/integration/rooms/` holds the rooms to this table, item by item.
//!
//! # Rules that hold everywhere
//!
//! - Two classes of event, no third: an *ordered* one is committed before it is acknowledged, replayable and never dropped;
//!   a newer *state* replaces an undelivered older one ([`domain::Event::class`]).
//! - Commit, then publish, then acknowledge: an HTTP 200 on a signal means that it survives `kill -9`.
//! - A signal has one life: pending, then confirmed or invalidated. Terminal is terminal ([`domain::Signal::amend`]).
//! - Lenient in, strict out: every documented spelling is taken, one documented shape leaves, always whole.
//! - Numbers print clean: a price leaves on its instrument's grid ([`domain::Instrument::round`]).
//! - Every queue has a bound, a policy when full, and a counter.
//! - Simulated, replayed, delayed and stale prices say so ([`domain::Quality`]).
//! - Never close with code 1000 from our side ([`gateways::close`]).
//! - Spans are measured on the monotonic clock, and told on the wall clock ([`domain::Now`]).
//! - Secrets reach no log, error or URL ([`config::Secret`]).

pub mod alerts;
pub mod app;
pub mod auth;
pub mod backtest;
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
pub mod gateways;
pub mod http;
pub mod hub;
pub mod listener;
pub mod pipeline;
pub mod recordings;
pub mod sources;
pub mod store;
pub mod tasks;
pub mod telemetry;
