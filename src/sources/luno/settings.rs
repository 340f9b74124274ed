//! The settings of Luno.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Luno;
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Settings, value};
use crate::sources::polling;
use crate::sources::providers::{Provider, address, names};
use crate::sources::streaming::Dialect;
use crate::sources::{Launcher, OptionsError};

/// Luno's public tickers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LunoSettings {
    /// Another base address, such as a proxy's. Default: Luno's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Time between two requests; 1 s to 1 h. Default 2 s.
    #[serde(with = "value::duration")]
    pub interval: Duration,
    /// Pairs, such as `XBTZAR`. Default: six coins in rand.
    pub instruments: List<String>,
}

impl Default for LunoSettings {
    fn default() -> Self {
        let coins = ["XBTZAR", "ETHZAR", "XRPZAR", "SOLZAR", "LTCZAR", "USDTZAR"];
        Self { url: None, interval: Duration::from_secs(2), instruments: names(coins) }
    }
}

impl ProviderSettings for LunoSettings {
    const NAME: &'static str = Luno::NAME;
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
    const SCHEMES: &'static [&'static str] = &["https", "http"];

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn instruments(&self) -> Vec<&str> {
        self.instruments.iter().map(String::as_str).collect()
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        rules.check_interval("interval", self.interval)?;
        rules.check_instruments(&self.instruments)
    }
}

impl Provider for LunoSettings {
    fn address(&self) -> String {
        address(self, "https://api.luno.com")
    }

    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        polling::start(Luno { url: self.address() }, &self.instruments, self.interval, launcher)
    }
}
