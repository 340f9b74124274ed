//! The settings of Binance.

use serde::{Deserialize, Serialize};

use super::Binance;
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Settings, value};
use crate::sources::providers::{Provider, address, names};
use crate::sources::streaming::{self, Dialect};
use crate::sources::{Launcher, OptionsError};

/// Binance's public WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinanceSettings {
    /// The venue. Default `com`.
    #[serde(deserialize_with = "value::choice")]
    pub venue: BinanceVenue,
    /// Another address, such as a proxy's. Default: the venue's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Pairs, such as `BTCUSDT`. Default: eight coins in Tether.
    pub instruments: List<String>,
}

/// A venue of Binance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinanceVenue {
    /// binance.com.
    #[default]
    Com,
    /// binance.us.
    Us,
}

impl Default for BinanceSettings {
    fn default() -> Self {
        let coins = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT", "LTCUSDT", "BNBUSDT"];
        Self { venue: BinanceVenue::default(), url: None, instruments: names(coins) }
    }
}

impl ProviderSettings for BinanceSettings {
    const NAME: &'static str = Binance::NAME;
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
    const SHORT: &'static [&'static str] = &["venue"];
    const SCHEMES: &'static [&'static str] = &["wss", "ws"];

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn instruments(&self) -> Vec<&str> {
        self.instruments.iter().map(String::as_str).collect()
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        rules.check_instruments(&self.instruments)
    }
}

impl Provider for BinanceSettings {
    fn address(&self) -> String {
        let venue = match self.venue {
            BinanceVenue::Com => "wss://stream.binance.com:9443",
            BinanceVenue::Us => "wss://stream.binance.us:9443",
        };
        address(self, venue)
    }

    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        streaming::start(Binance { url: self.address() }, &self.instruments, launcher)
    }
}
