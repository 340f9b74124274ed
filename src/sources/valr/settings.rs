//! The settings of VALR.

use serde::{Deserialize, Serialize};

use super::Valr;
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Settings, value};
use crate::sources::providers::{Provider, address, names};
use crate::sources::streaming::{self, Dialect};
use crate::sources::{Launcher, OptionsError};

/// VALR's trade WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValrSettings {
    /// Another address, such as a proxy's. Default: VALR's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Pairs, such as `BTCZAR`. Default: six coins in rand.
    pub instruments: List<String>,
}

impl Default for ValrSettings {
    fn default() -> Self {
        let coins = ["BTCZAR", "ETHZAR", "XRPZAR", "SOLZAR", "USDTZAR", "USDCZAR"];
        Self { url: None, instruments: names(coins) }
    }
}

impl ProviderSettings for ValrSettings {
    const NAME: &'static str = Valr::NAME;
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
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

impl Provider for ValrSettings {
    fn address(&self) -> String {
        address(self, "wss://api.valr.com/ws/trade")
    }

    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        streaming::start(Valr { url: self.address() }, &self.instruments, launcher)
    }
}
