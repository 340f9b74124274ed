//! The settings of Alpha Vantage.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AlphaVantage, Options};
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Secret, Settings, value};
use crate::sources::providers::{KeyForm, Provider, address, names};
use crate::sources::{Launcher, OptionsError};

/// Alpha Vantage's REST service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlphaVantageSettings {
    /// API key. Needed by the source `alpha_vantage`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub key: Option<Secret>,
    /// Requests per day; 1 to 100,000. Default 25.
    #[serde(deserialize_with = "value::whole")]
    pub daily_requests: u32,
    /// Another address, such as a proxy's. Default: Alpha Vantage's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Pairs. Default: the documented ones.
    pub instruments: List<String>,
}

impl Default for AlphaVantageSettings {
    fn default() -> Self {
        Self { key: None, daily_requests: 25, url: None, instruments: names(["EURUSD", "GBPUSD", "USDJPY", "XAUUSD"]) }
    }
}

impl ProviderSettings for AlphaVantageSettings {
    const NAME: &'static str = AlphaVantage::NAME;
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
    const SHORT: &'static [&'static str] = &["key"];
    const SCHEMES: &'static [&'static str] = &["https", "http"];

    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        vec![("key", self.key.as_ref())]
    }

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn instruments(&self) -> &[String] {
        &self.instruments
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        if !(1..=100_000).contains(&self.daily_requests) {
            return Err(rules.problem("daily_requests", "must be 1 to 100000"));
        }
        if !rules.is_enabled() {
            return Ok(());
        }
        rules.check_key("key", self.key.as_ref())?;
        // The key is part of a URL.
        if !self.key.as_ref().is_some_and(|key| AlphaVantage::is_key(key.reveal())) {
            return Err(rules.problem("key", "has characters that no key has: only letters, digits, - and _"));
        }
        rules.check_names("instruments", &self.instruments)
    }
}

impl Provider for AlphaVantageSettings {
    const IS_LAST_RESORT: bool = true;

    fn address(&self) -> String {
        address(self, "https://www.alphavantage.co")
    }

    fn start(&self, settings: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        let options = Options {
            url: self.address(),
            key: self.key.clone().ok_or(OptionsError::Missing("alpha_vantage.key"))?,
            instruments: self.instruments.to_vec(),
            daily: self.daily_requests,
            file: settings.data.dir.join(Options::FILE),
            // A plan with more calls a day has more calls a minute.
            gap: (Duration::from_hours(24) / self.daily_requests).clamp(Duration::from_secs(1), Options::GAP),
            pause: Options::PAUSE,
            response_timeout: Options::RESPONSE_TIMEOUT,
        };
        launcher.spawn(Self::NAME, AlphaVantage::new(options, &launcher.instruments, launcher.wall.clone())?);
        Ok(())
    }

    fn key_forms(&self) -> Vec<KeyForm> {
        super::doctor::key_forms(self)
    }
}
