//! The settings of Finnhub.

use serde::{Deserialize, Serialize};

use super::Finnhub;
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Secret, Settings, value};
use crate::sources::providers::{KeyForm, Provider, address};
use crate::sources::streaming::{self, Dialect};
use crate::sources::{Launcher, OptionsError};

/// Finnhub's WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinnhubSettings {
    /// API key. Needed by the source `finnhub`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub key: Option<Secret>,
    /// Another address, such as a proxy's. Default: Finnhub's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Symbols, such as `OANDA:EUR_USD`. Default: currency pairs, gold and two coins.
    pub instruments: List<String>,
}

impl Default for FinnhubSettings {
    fn default() -> Self {
        let pairs = ["OANDA:EUR_USD", "OANDA:GBP_USD", "OANDA:USD_JPY", "OANDA:XAU_USD"];
        let coins = ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT"];
        let instruments: Vec<String> = pairs.into_iter().chain(coins).map(str::to_owned).collect();
        Self { key: None, url: None, instruments: instruments.into() }
    }
}

impl ProviderSettings for FinnhubSettings {
    const NAME: &'static str = Finnhub::NAME;
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
        // The key is part of an address.
        if !self
            .key
            .as_ref()
            .is_some_and(|key| key.reveal().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
        {
            return Err(rules.problem("key", "has characters that no key has: only letters, digits, - and _"));
        }
        rules.check_names("instruments", &self.instruments)
    }
}

impl Provider for FinnhubSettings {
    fn address(&self) -> String {
        address(self, "wss://ws.finnhub.io")
    }

    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        let key = self.key.clone().ok_or(OptionsError::Missing("finnhub.key"))?;
        streaming::start(Finnhub { url: self.address(), key }, &self.instruments, launcher)
    }

    fn key_forms(&self) -> Vec<KeyForm> {
        super::doctor::key_forms(self)
    }
}
