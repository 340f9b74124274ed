//! The root of the settings, and the smaller groups; larger groups have their own files.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, duration};
use super::{
    Alerts, Auth, ClusterSettings, CostSettings, DemoSettings, InstrumentEntry, InstrumentSet, Limits, List,
    LogSettings, NotifySettings, PriceSettings, Providers, RecordSettings, ReplaySettings, ServerSettings,
    SetupSettings, SimulatorSettings, SourceSettings, TradingviewSettings,
};
use crate::domain::LevelLimits;

const DAY: Duration = Duration::from_hours(24);

/// All settings of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Built-in instruments: `default`, `futures`, `crypto`. Default the first two.
    pub instrument_sets: List<InstrumentSet>,
    /// The listening side.
    pub server: ServerSettings,
    /// Limits of what one client may send.
    pub limits: Limits,
    /// What is kept on disk.
    pub data: DataSettings,
    /// The signed checkpoints of the log.
    pub record: RecordSettings,
    /// The sources that run by themselves.
    pub sources: SourceSettings,
    /// The simulator.
    pub simulator: SimulatorSettings,
    /// The replay of a recording.
    pub replay: ReplaySettings,
    /// TradingView's alert webhook.
    pub tradingview: TradingviewSettings,
    /// The providers of market data, each in a table of its own. They are read apart, because their types are declared
    /// beside their code.
    #[serde(flatten, skip_deserializing)]
    pub providers: Providers,
    /// The demo desk.
    pub demo: DemoSettings,
    /// The interface for agents.
    pub mcp: McpSettings,
    /// Authentication.
    pub auth: Auth,
    /// The quality of prices, and the failover between sources.
    pub prices: PriceSettings,
    /// How prices are published.
    pub publish: PublishSettings,
    /// The life of signals.
    pub signals: SignalSettings,
    /// The server's own setups.
    pub setups: SetupSettings,
    /// The costs of positions in the records of signals.
    pub costs: CostSettings,
    /// How connections are kept alive.
    pub heartbeat: HeartbeatSettings,
    /// Socket.IO's own timers.
    pub socketio: SocketioSettings,
    /// ORION's native stream.
    pub orion: OrionSettings,
    /// ARIA's streams.
    pub aria: AriaSettings,
    /// Sentio's streams.
    pub sentio: SentioSettings,
    /// Alerts to the operator.
    pub alerts: Alerts,
    /// Notices about signals, to where people are.
    pub notify: NotifySettings,
    /// A cluster of several nodes.
    pub cluster: ClusterSettings,
    /// The log.
    pub log: LogSettings,
    /// More instruments, or other definitions of the built-in ones. Default none.
    pub instruments: Vec<InstrumentEntry>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instrument_sets: vec![InstrumentSet::Default, InstrumentSet::Futures].into(),
            server: ServerSettings::default(),
            limits: Limits::default(),
            data: DataSettings::default(),
            record: RecordSettings::default(),
            sources: SourceSettings::default(),
            simulator: SimulatorSettings::default(),
            replay: ReplaySettings::default(),
            tradingview: TradingviewSettings::default(),
            providers: Providers::default(),
            demo: DemoSettings::default(),
            mcp: McpSettings::default(),
            auth: Auth::default(),
            prices: PriceSettings::default(),
            publish: PublishSettings::default(),
            signals: SignalSettings::default(),
            setups: SetupSettings::default(),
            costs: CostSettings::default(),
            heartbeat: HeartbeatSettings::default(),
            socketio: SocketioSettings::default(),
            orion: OrionSettings::default(),
            aria: AriaSettings::default(),
            sentio: SentioSettings::default(),
            alerts: Alerts::default(),
            notify: NotifySettings::default(),
            cluster: ClusterSettings::default(),
            log: LogSettings::default(),
            instruments: Vec::new(),
        }
    }
}

/// What is kept on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// Folder of the embedded database. Default `./data`.
    #[serde(deserialize_with = "value::text")]
    pub dir: PathBuf,
    /// How long signals and their changes are kept. Default 365 days.
    #[serde(with = "duration")]
    pub signal_retention: Duration,
    /// How long one-minute bars are kept. Default 30 days.
    #[serde(with = "duration")]
    pub bar_retention: Duration,
    /// How long the ticks that made bars are kept, so that a day's signals can be computed again; 0s for none, else 1d to 31d.
    /// Default 7 days.
    #[serde(with = "duration")]
    pub tick_retention: Duration,
    /// Ordered messages (trades, notifications, ...) that are kept for each absent user; 1 to 1000. Default 50.
    #[serde(deserialize_with = "value::whole")]
    pub messages_per_user: u32,
    /// How long messages are kept. Default 30 days.
    #[serde(with = "duration")]
    pub message_retention: Duration,
    /// Messages that are kept for all users together; beyond it the oldest are removed; at least 1000. Default 1000000.
    #[serde(deserialize_with = "value::whole")]
    pub max_messages: u64,
    /// With less free space than this, in MiB, or less than a tenth of a small disk, `/ready` reports the disk as nearly full; 0
    /// for never. Default 256.
    #[serde(deserialize_with = "value::whole")]
    pub low_space_mib: u64,
    /// Whether a backup is made before the database is upgraded for a new release; the last two are kept. Default true.
    #[serde(deserialize_with = "value::flag")]
    pub upgrade_backup: bool,
}

impl DataSettings {
    /// Returns the free space in bytes below which the disk is nearly full.
    pub fn low_space(&self) -> u64 {
        self.low_space_mib.saturating_mul(1 << 20)
    }
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            dir: "./data".into(),
            signal_retention: 365 * DAY,
            bar_retention: 30 * DAY,
            tick_retention: 7 * DAY,
            messages_per_user: 50,
            message_retention: 30 * DAY,
            max_messages: 1_000_000,
            low_space_mib: 256,
            upgrade_backup: true,
        }
    }
}

/// The interface for agents, by the Model Context Protocol.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct McpSettings {
    /// Whether `POST /mcp` is there. Default off.
    #[serde(deserialize_with = "value::flag")]
    pub enabled: bool,
}

/// How prices are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishSettings {
    /// Each symbol is published at most once per interval; 100 ms to 5 s. Default 1 s.
    #[serde(with = "duration")]
    pub interval: Duration,
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1) }
    }
}

/// The life of signals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignalSettings {
    /// Life of a pending signal; 1 s to 24 h. Default 5 min.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// A new client receives the signals that changed within this time; at most 24 h. Default 10 min.
    #[serde(with = "duration")]
    pub replay_window: Duration,
    /// Whether prices also confirm and invalidate pushed signals, by the rules of the server's own setups. Default off: the pusher
    /// or the deadline ends a signal.
    #[serde(deserialize_with = "value::flag")]
    pub confirm_pushed_by_price: bool,
    /// Largest distance of a stop from the entry, in percent; 1 to 100. A target may be twice as far, or ten times as far for
    /// crypto-currencies and shares. Default 20.
    pub max_stop_distance_percent: f64,
}

impl Default for SignalSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(5),
            replay_window: Duration::from_mins(10),
            confirm_pushed_by_price: false,
            max_stop_distance_percent: LevelLimits::default().max_stop_percent,
        }
    }
}

impl SignalSettings {
    /// Returns how far the levels of a signal may be from its entry.
    pub fn level_limits(&self) -> LevelLimits {
        LevelLimits { max_stop_percent: self.max_stop_distance_percent }
    }
}

/// How connections are kept alive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeartbeatSettings {
    /// Time between two protocol pings on native WebSockets. Default 25 s.
    #[serde(with = "duration")]
    pub protocol_ping: Duration,
    /// A native peer silent for this long is closed; longer than `protocol_ping`. Default 60 s.
    #[serde(with = "duration")]
    pub peer_timeout: Duration,
    /// Time between two `ping` messages to dashboards whose protocol has them; they need no answer. Default 30 s.
    #[serde(with = "duration")]
    pub app_ping: Duration,
}

impl Default for HeartbeatSettings {
    fn default() -> Self {
        Self {
            protocol_ping: Duration::from_secs(25),
            peer_timeout: Duration::from_mins(1),
            app_ping: Duration::from_secs(30),
        }
    }
}

/// Socket.IO's own timers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketioSettings {
    /// Time between two Engine.IO pings. Default 25 s.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// Time in which a ping has to be answered. Default 20 s.
    #[serde(with = "duration")]
    pub ping_timeout: Duration,
}

impl Default for SocketioSettings {
    fn default() -> Self {
        Self { ping_interval: Duration::from_secs(25), ping_timeout: Duration::from_secs(20) }
    }
}

/// Settings of ORION's native stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrionSettings {
    /// Signals confirmed longer ago than this are left out of the first snapshot of a client without a cursor, because a page
    /// sounds an alarm for every confirmed signal that is new to it; at most 24 h. Default 1 min.
    #[serde(with = "duration")]
    pub alarm_window: Duration,
}

impl Default for OrionSettings {
    fn default() -> Self {
        Self { alarm_window: Duration::from_mins(1) }
    }
}

/// Settings of ARIA's streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AriaSettings {
    /// A new client receives the signals, ideas and orders of this time; 1 s to 10 min. The page reconnects every 3.1 s after an
    /// interruption, so that 15 s cover one of 10 s. Default 15 s.
    #[serde(with = "duration")]
    pub catch_up: Duration,
}

impl Default for AriaSettings {
    fn default() -> Self {
        Self { catch_up: Duration::from_secs(15) }
    }
}

/// Settings of Sentio's streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentioSettings {
    /// Time between two `update`s of a market-data stream; 100 ms to 1 min. Default 5 s.
    #[serde(with = "duration")]
    pub update_interval: Duration,
    /// Whether a `user_id` without a token opens the streams of that user. Default no.
    pub trust_user_id: bool,
}

impl Settings {
    /// Whether a user id alone opens the user's streams.
    pub fn trusts_user_ids(&self) -> bool {
        self.sentio.trust_user_id
    }
}

impl Default for SentioSettings {
    fn default() -> Self {
        Self { update_interval: Duration::from_secs(5), trust_user_id: false }
    }
}
