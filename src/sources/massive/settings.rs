//! The settings of Massive.

use serde::{Deserialize, Serialize};

use super::{Cluster, Massive, Options};
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Secret, Settings, value};
use crate::sources::providers::{KeyForm, Provider, address, names};
use crate::sources::{Launcher, OptionsError};

/// Massive's (formerly Polygon's) WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MassiveSettings {
    /// API key. Needed by the source `massive`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub key: Option<Secret>,
    /// Whether the prices of the plan are delayed. Default no.
    #[serde(deserialize_with = "value::flag")]
    pub delayed: bool,
    /// Another address, such as a proxy's. Default: Massive's own.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<String>,
    /// Currency pairs and metals. Default: the documented ones.
    pub instruments: List<String>,
    /// Cash indices, such as `I:SPX`. Default none: they are not the contracts of the same name.
    pub indices: List<String>,
}

impl Default for MassiveSettings {
    fn default() -> Self {
        Self {
            key: None,
            delayed: false,
            url: None,
            instruments: names(["C:EURUSD", "C:GBPUSD", "C:USDJPY", "C:XAUUSD"]),
            indices: names([]),
        }
    }
}

impl ProviderSettings for MassiveSettings {
    const NAME: &'static str = Cluster::Forex.source();
    const DOCUMENTATION: &'static str = include_str!("settings.toml");
    const SHORT: &'static [&'static str] = &["key", "delayed"];
    const SCHEMES: &'static [&'static str] = &["wss", "ws"];

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
        if !rules.is_enabled() {
            return Ok(());
        }
        rules.check_key("key", self.key.as_ref())?;
        if let Some(name) = self.indices.iter().find(|name| !name.starts_with("I:")) {
            return Err(rules.problem("indices", format!("{name:?} is no index of Massive's, such as I:SPX")));
        }
        if !self.indices.is_empty() {
            rules.check_names("indices", &self.indices)?;
        }
        if self.indices.is_empty() || !self.instruments.is_empty() {
            rules.check_names("instruments", &self.instruments)?;
        }
        Ok(())
    }
}

impl Provider for MassiveSettings {
    const SOURCES: &'static [&'static str] = &[Cluster::Forex.source(), Cluster::Indices.source()];

    fn address(&self) -> String {
        address(self, if self.delayed { "wss://delayed.massive.com" } else { "wss://socket.massive.com" })
    }

    /// Starts one source for each cluster that has instruments.
    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        let clusters =
            [("massive", Cluster::Forex, &self.instruments), ("massive indices", Cluster::Indices, &self.indices)];
        for (task, cluster, names) in clusters.into_iter().filter(|(.., names)| !names.is_empty()) {
            let key = self.key.clone().ok_or(OptionsError::Missing("massive.key"))?;
            let mut options = Options::new(self.address(), cluster, key);
            (options.instruments, options.delayed) = (names.to_vec(), self.delayed);
            launcher.spawn(task, Massive::new(options, &launcher.instruments, launcher.wall.clone())?);
        }
        Ok(())
    }

    fn key_forms(&self) -> Vec<KeyForm> {
        super::doctor::key_forms(self)
    }
}
