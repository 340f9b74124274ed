//! The settings of Twelve Data.

use serde::{Deserialize, Serialize};

use super::TwelveData;
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Secret, Settings, value};
use crate::sources::providers::{KeyForm, Provider, address, names};
use crate::sources::streaming::{self, Dialect};
use crate::sources::{Launcher, OptionsError};

/// Twelve Data's WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwelveDataSettings {
    /// API key. Needed by the source `twelve_data`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub key: Option<Secret>,
    /// Another address, such as a proxy's. Default: Twelve Data's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Symbols, such as `EUR/USD`. Default: currency pairs, gold and two coins.
    pub instruments: List<String>,
}

impl Default for TwelveDataSettings {
    fn default() -> Self {
        let instruments = names(["EUR/USD", "GBP/USD", "USD/JPY", "XAU/USD", "BTC/USD", "ETH/USD"]);
        Self { key: None, url: None, instruments }
    }
}

impl ProviderSettings for TwelveDataSettings {
    const NAME: &'static str = TwelveData::NAME;
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
    const SHORT: &'static [&'static str] = &["key"];
    const SCHEMES: &'static [&'static str] = &["wss", "ws"];

    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        vec![("key", self.key.as_ref())]
    }

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn instruments(&self) -> Vec<&str> {
        self.instruments.iter().map(String::as_str).collect()
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        if !rules.is_enabled() {
            return Ok(());
        }
        rules.check_key("key", self.key.as_ref())?;
        rules.check_names("instruments", &self.instruments)
    }
}

impl Provider for TwelveDataSettings {
    fn address(&self) -> String {
        address(self, "wss://ws.twelvedata.com/v1/quotes/price")
    }

    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        let key = self.key.clone().ok_or(OptionsError::Missing("twelve_data.key"))?;
        streaming::start(TwelveData { url: self.address(), key }, &self.instruments, launcher)
    }

    fn key_forms(&self) -> Vec<KeyForm> {
        super::doctor::key_forms(self)
    }
}
