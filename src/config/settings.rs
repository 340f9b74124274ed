//! The settings themselves.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::domain::{InstrumentClass, Session};

/// All settings of a process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The listening side.
    pub server: Server,
    /// What is kept on disk.
    pub data: Data,
    /// Enabled sources: `simulator`, `replay`; empty (or `none`) for push only. Default `simulator`.
    pub sources: Sources,
    /// The simulator.
    pub simulator: Simulator,
    /// The replay of a recording.
    pub replay: Replay,
    /// Who may write and read.
    pub auth: Auth,
    /// Built-in instruments: `default`, `futures`. Default both.
    pub instrument_sets: InstrumentSets,
    /// More instruments, or other definitions of the built-in ones. Default none.
    pub instruments: Vec<InstrumentEntry>,
    /// How prices are published.
    pub publish: Publish,
    /// The life of signals.
    pub signals: Signals,
    /// How connections are kept alive.
    pub heartbeat: Heartbeat,
    /// Socket.IO's own timers.
    pub socketio: Socketio,
    /// What is logged.
    pub log: Log,
}

/// The listening side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on. Default `0.0.0.0`.
    pub host: std::net::IpAddr,
    /// TCP port; 0 lets the system choose. Default 8080.
    pub port: u16,
    /// Origins for CORS and WebSocket handshakes, or `*`. Default `*`.
    pub allowed_origins: CommaList,
    /// Time from SIGTERM to the end of the process. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Most connections at a time, over all transports. Default 20000.
    pub max_connections: usize,
}

/// What is kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Folder of the embedded database. Default `./data`.
    pub dir: PathBuf,
    /// How long signals and their changes are kept. Default 365 days.
    #[serde(with = "humantime_serde")]
    pub signal_retention: Duration,
    /// How long one-minute bars are kept. Default 30 days.
    #[serde(with = "humantime_serde")]
    pub bar_retention: Duration,
}

/// A source that the server runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// Invented prices and demo signals.
    Simulator,
    /// A recording.
    Replay,
}

/// A set of built-in instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstrumentSet {
    /// The seven of the ORION documents.
    Default,
    /// MNQ NQ MES ES.
    Futures,
}

/// The simulator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simulator {
    /// Same seed, same prices. Default 1.
    pub seed: u64,
    /// Time between two ticks of an instrument. Default 250 ms.
    #[serde(with = "humantime_serde")]
    pub tick_interval: Duration,
    /// Mean time between two demo signals; 0 for none. Default 12 s.
    #[serde(with = "humantime_serde")]
    pub signal_interval: Duration,
}

/// The replay of a recording.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replay {
    /// CSV of ticks `time,bid,ask` or bars `time,open,high,low,close[,volume]`. Needed by the source `replay`.
    pub file: Option<PathBuf>,
    /// Its symbol, in any spelling. Needed by the source `replay`.
    pub symbol: Option<String>,
    /// `1` as recorded, `60` sixty times as fast, `max` as fast as it can be read. Default 1.
    pub speed: ReplaySpeed,
}

/// Who may write and read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Bearer token for everything that writes. Unset: writing is refused.
    pub ingest_token: Option<Secret>,
    /// Token of admin streams and endpoints. Unset: they are refused.
    pub admin_token: Option<Secret>,
    /// `open`: public streams need no token; `required`: they do. Default `open`.
    pub read_auth: ReadAuth,
    /// One shared token for reading.
    pub read_token: Option<Secret>,
}

/// Whether public streams need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAuth {
    /// They do not.
    #[default]
    Open,
    /// They do.
    Required,
}

/// An instrument of the operator's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentEntry {
    /// Canonical name, upper case.
    pub symbol: String,
    /// Name for people. Default: the symbol.
    #[serde(default)]
    pub name: Option<String>,
    /// forex, metal, index, future, crypto or stock.
    pub class: InstrumentClass,
    /// Decimals of a price, 0–8.
    pub digits: u8,
    /// Smallest step. Default 10^-digits.
    #[serde(default)]
    pub tick_size: Option<f64>,
    /// Other spellings.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// forex, globex or always. Default by class: forex; globex for metal, index and future; always.
    #[serde(default)]
    pub session: Option<Session>,
}

/// How prices are published.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// Each symbol is published at most once per interval; 100 ms to 5 s. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

/// The life of signals.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signals {
    /// Life of a pending signal. Default 5 min.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// A newcomer is told of the signals changed within this time. Default 10 min.
    #[serde(with = "humantime_serde")]
    pub replay_window: Duration,
}

/// How connections are kept alive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Heartbeat {
    /// Time between two protocol pings on native WebSockets. Default 25 s.
    #[serde(with = "humantime_serde")]
    pub protocol_ping: Duration,
    /// A native peer silent for this long is closed. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub peer_timeout: Duration,
}

/// Socket.IO's own timers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Socketio {
    /// Time between two Engine.IO pings. Default 25 s.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// Time in which a ping has to be answered. Default 20 s.
    #[serde(with = "humantime_serde")]
    pub ping_timeout: Duration,
}

/// What is logged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Filter directives of tracing. Default `info`.
    pub filter: String,
    /// `pretty` for people, `json` for machines. Default `pretty`.
    pub format: LogFormat,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For machines.
    Json,
}
