//! The settings of Kraken.

use serde::{Deserialize, Serialize};

use super::Kraken;
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Settings, value};
use crate::sources::providers::{Provider, address, names};
use crate::sources::streaming::{Dialect, StreamSource};
use crate::sources::{Launcher, OptionsError};

/// Kraken's public WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KrakenSettings {
    /// Another address, such as a proxy's. Default: Kraken's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Pairs, such as `BTC/USD`. Default: seven coins in dollars.
    pub instruments: List<String>,
}

impl Default for KrakenSettings {
    fn default() -> Self {
        let coins = ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "ADA/USD", "DOGE/USD", "LTC/USD"];
        Self { url: None, instruments: names(coins) }
    }
}

impl ProviderSettings for KrakenSettings {
    const NAME: &'static str = Kraken::NAME;
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
    const SCHEMES: &'static [&'static str] = &["wss", "ws"];

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn instruments(&self) -> &[String] {
        &self.instruments
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        rules.check_instruments(&self.instruments)
    }
}

impl Provider for KrakenSettings {
    fn address(&self) -> String {
        address(self, "wss://ws.kraken.com/v2")
    }

    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        let kraken = Kraken { url: self.address() };
        launcher.spawn(
            Self::NAME,
            StreamSource::new(kraken, &self.instruments, &launcher.instruments, launcher.wall.clone())?,
        );
        Ok(())
    }
}
