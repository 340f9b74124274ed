//! The settings of OANDA.

use serde::{Deserialize, Serialize};

use super::{Oanda, Options};
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Secret, Settings, value};
use crate::sources::providers::{KeyForm, Provider, address, names};
use crate::sources::{Launcher, OptionsError};

/// OANDA's v20 pricing stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OandaSettings {
    /// Personal access token. Needed by the source `oanda`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub token: Option<Secret>,
    /// Account, such as `001-001-1234567-001`. Needed by the source `oanda`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub account: Option<String>,
    /// The environment of the account. Default `practice`.
    #[serde(deserialize_with = "value::choice")]
    pub environment: OandaEnvironment,
    /// Another address of the stream, such as a proxy's. Default: OANDA's own, by environment.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// The subscribed instruments, by OANDA's names. Default: the seven documented ones.
    pub instruments: List<String>,
}

/// The environment of an OANDA account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OandaEnvironment {
    /// A practice account.
    #[default]
    Practice,
    /// A live account.
    Live,
}

impl Default for OandaSettings {
    fn default() -> Self {
        Self {
            token: None,
            account: None,
            environment: OandaEnvironment::default(),
            url: None,
            instruments: names(["EUR_USD", "GBP_USD", "USD_JPY", "XAU_USD", "US30_USD", "NAS100_USD", "SPX500_USD"]),
        }
    }
}

impl ProviderSettings for OandaSettings {
    const NAME: &'static str = Oanda::NAME;
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
    const SHORT: &'static [&'static str] = &["token", "account", "environment"];
    const SCHEMES: &'static [&'static str] = &["https", "http"];

    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        vec![("token", self.token.as_ref())]
    }

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn instruments(&self) -> &[String] {
        &self.instruments
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        if !rules.is_enabled() {
            return Ok(());
        }
        rules.check_key("token", self.token.as_ref())?;
        let account = self.account.as_ref().ok_or_else(|| rules.missing("account"))?;
        if !account.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(rules.problem("account", "is no account id, such as 001-001-1234567-001"));
        }
        rules.check_names("instruments", &self.instruments)
    }
}

impl Provider for OandaSettings {
    fn address(&self) -> String {
        let own = match self.environment {
            OandaEnvironment::Practice => "https://stream-fxpractice.oanda.com",
            OandaEnvironment::Live => "https://stream-fxtrade.oanda.com",
        };
        address(self, own)
    }

    fn start(&self, settings: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        let options = Options {
            url: self.address(),
            token: self.token.clone().ok_or(OptionsError::Missing("oanda.token"))?,
            account: self.account.clone().ok_or(OptionsError::Missing("oanda.account"))?,
            instruments: self.instruments.to_vec(),
            silence: Options::SILENCE,
        };
        let prices = &settings.prices;
        let source = Oanda::new(options, &launcher.instruments, launcher.wall.clone())?;
        launcher.spawn(Self::NAME, source.with_mute_after(prices.switch_after, prices.stale_after_quiet));
        Ok(())
    }

    fn key_forms(&self) -> Vec<KeyForm> {
        super::doctor::key_forms(self)
    }
}
