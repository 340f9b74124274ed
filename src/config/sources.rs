//! Settings of the sources.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, duration};
use super::{List, Problem, Secret};
use crate::domain::{BarLabel, ColumnNames, PriceSide, RecordingOptions, Spread, Timezone};

/// The enabled sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSettings {
    /// `simulator`, `replay`, or names of providers; empty (or `none`) for push only. Default `simulator`.
    pub enabled: List<String>,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self { enabled: vec![Self::SIMULATOR.to_owned()].into() }
    }
}

impl SourceSettings {
    /// The source of invented prices and demo signals.
    pub const SIMULATOR: &'static str = "simulator";
    /// The source that replays a recording.
    pub const REPLAY: &'static str = "replay";

    /// Returns whether a source is enabled.
    pub fn runs(&self, name: &str) -> bool {
        self.enabled.iter().any(|enabled| enabled == name)
    }

    /// Checks that every enabled source exists.
    pub(super) fn check<'a>(&self, providers: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
        let known: Vec<&str> = [Self::SIMULATOR, Self::REPLAY].into_iter().chain(providers).collect();
        match self.enabled.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let reason = format!("unknown value `{name}`, expected one of `{}`", known.join("`, `"));
                Err(Problem::new("sources.enabled", reason))
            }
            None => Ok(()),
        }
    }
}

/// The simulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorSettings {
    /// Same seed, same prices. Default 1.
    #[serde(deserialize_with = "value::whole")]
    pub seed: u64,
    /// Time between two ticks of an instrument; 10 ms to 5 s. Default 250 ms.
    #[serde(with = "duration")]
    pub tick_interval: Duration,
    /// Mean time between two demo signals; 0 for none. Default 12 s.
    #[serde(with = "duration")]
    pub signal_interval: Duration,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self { seed: 1, tick_interval: Duration::from_millis(250), signal_interval: Duration::from_secs(12) }
    }
}

/// TradingView's alert webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TradingviewSettings {
    /// The last part of the webhook's path, 16 to 128 letters, digits, `-` and `_`. Default unset: there is no webhook.
    #[serde(deserialize_with = "value::unless_empty")]
    pub webhook_token: Option<Secret>,
    /// Addresses that may call the webhook; none for any. Behind a proxy it needs `server.trusted_proxies`. Default none.
    pub addresses: List<IpAddr>,
    /// An equal alert without `id` and time within this time is a repetition; later it is a new event; 1 s to 24 h. Default 1 min.
    #[serde(with = "duration")]
    pub repeat_window: Duration,
}

impl Default for TradingviewSettings {
    fn default() -> Self {
        Self { webhook_token: None, addresses: List::default(), repeat_window: Duration::from_mins(1) }
    }
}

/// The demo desk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoSettings {
    /// Whether a simulated desk publishes orders, trades, balances, … for dashboards under development. Default off.
    #[serde(deserialize_with = "value::flag")]
    pub desk: bool,
    /// The user ids for which the desk publishes. Default `demo`.
    pub users: List<String>,
}

impl Default for DemoSettings {
    fn default() -> Self {
        Self { desk: false, users: vec!["demo".to_owned()].into() }
    }
}

/// The replay of a recording.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplaySettings {
    /// CSV of ticks or bars as vendors write them (`docs/recordings.md`). Needed by the source `replay`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub file: Option<PathBuf>,
    /// Its symbol, in any spelling. Needed by the source `replay`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub symbol: Option<String>,
    /// `1` as recorded, `60` sixty times as fast, `max` as fast as it can be read. Default 1.
    pub speed: ReplaySpeed,
    /// Time zone of times without one: an IANA name, an offset, or `broker`. Default unset: from the layout.
    #[serde(deserialize_with = "value::parsed_unless_empty")]
    pub timezone: Option<Timezone>,
    /// The side of recordings with a single price: `bid`, `ask` or `mid`. Default unset: from the layout.
    #[serde(deserialize_with = "value::parsed_unless_empty")]
    pub price: Option<PriceSide>,
    /// Spread of recordings with a single price: points (`13`), a difference of prices (`0.00013`), or `column`. Default unset: the
    /// column of the file, or an assumed spread where the side is known.
    #[serde(deserialize_with = "value::parsed_unless_empty")]
    pub spread: Option<Spread>,
    /// Whether the time of a bar is its `start` or its `end`. Default unset: from the layout.
    #[serde(deserialize_with = "value::parsed_unless_empty")]
    pub bar_label: Option<BarLabel>,
    /// The columns to use: `time=Datum,close=#5`. Default unset: from the header or the layout.
    #[serde(deserialize_with = "value::parsed_unless_empty")]
    pub columns: Option<ColumnNames>,
}

impl ReplaySettings {
    /// Returns the options for reading the file.
    pub fn reading(&self) -> RecordingOptions {
        RecordingOptions {
            timezone: self.timezone,
            price: self.price,
            spread: self.spread,
            bar_label: self.bar_label,
            columns: self.columns.clone().unwrap_or_default(),
        }
    }
}

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReplaySpeed {
    /// This multiple of the recorded speed; positive and finite.
    Times(f64),
    /// As fast as it can be read.
    Max,
}

impl Default for ReplaySpeed {
    fn default() -> Self {
        Self::Times(1.0)
    }
}

impl FromStr for ReplaySpeed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "max" => Ok(Self::Max),
            // Within these bounds, every waiting time is representable.
            number => match number.parse() {
                Ok(times) if (0.001..=1_000_000.0).contains(&times) => Ok(Self::Times(times)),
                _ => Err("must be a factor from 0.001 to 1000000, such as 1 or 60, or 'max'"),
            },
        }
    }
}

impl TryFrom<String> for ReplaySpeed {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ReplaySpeed> for String {
    fn from(speed: ReplaySpeed) -> Self {
        speed.to_string()
    }
}

impl fmt::Display for ReplaySpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}"),
            Self::Max => f.write_str("max"),
        }
    }
}
