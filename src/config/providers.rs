//! Settings of the market data providers.

use http::Uri;
use serde::{Deserialize, Serialize};

use super::value;
use super::{List, Problem, Secret, Settings, SourceKind};

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

impl OandaSettings {
    /// Returns the address of the stream, without a trailing `/`.
    pub fn address(&self) -> &str {
        let own = match self.environment {
            OandaEnvironment::Practice => "https://stream-fxpractice.oanda.com",
            OandaEnvironment::Live => "https://stream-fxtrade.oanda.com",
        };
        address(self.url.as_deref(), own)
    }
}

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

impl MassiveSettings {
    /// Returns the address of the clusters, without a trailing `/`.
    pub fn address(&self) -> &str {
        address(
            self.url.as_deref(),
            if self.delayed { "wss://delayed.massive.com" } else { "wss://socket.massive.com" },
        )
    }
}

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

impl AlphaVantageSettings {
    /// Returns the address of the service, without a trailing `/`.
    pub fn address(&self) -> &str {
        address(self.url.as_deref(), "https://www.alphavantage.co")
    }
}

fn names<const N: usize>(names: [&str; N]) -> List<String> {
    names.map(str::to_owned).to_vec().into()
}

fn address<'a>(url: Option<&'a str>, own: &'a str) -> &'a str {
    url.map_or(own, |url| url.trim().trim_end_matches('/'))
}

impl Settings {
    /// Whether a source is enabled.
    pub(super) fn uses(&self, kind: SourceKind) -> bool {
        self.sources.enabled.contains(&kind)
    }

    /// Checks the settings of the enabled providers.
    pub(super) fn check_providers(&self) -> Result<(), Problem> {
        check_mask("oanda.token", self.oanda.token.as_ref())?;
        check_address("oanda.url", self.oanda.url.as_deref(), &["https", "http"])?;
        if self.uses(SourceKind::Oanda) {
            let OandaSettings { token, account, instruments, .. } = &self.oanda;
            check_key("oanda", "oanda.token", token.as_ref())?;
            match account {
                None => return Err(needed("oanda", "oanda.account")),
                Some(account) if !account.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                    return Err(Problem::new("oanda.account", "is no account id, such as 001-001-1234567-001"));
                }
                Some(_) => {}
            }
            self.check_names("oanda.instruments", instruments)?;
        }
        check_mask("massive.key", self.massive.key.as_ref())?;
        check_address("massive.url", self.massive.url.as_deref(), &["wss", "ws"])?;
        if self.uses(SourceKind::Massive) {
            let MassiveSettings { key, instruments, indices, .. } = &self.massive;
            check_key("massive", "massive.key", key.as_ref())?;
            if let Some(name) = indices.iter().find(|name| !name.starts_with("I:")) {
                let reason = format!("{name:?} is no index of Massive's, such as I:SPX");
                return Err(Problem::new("massive.indices", reason));
            }
            if !indices.is_empty() {
                self.check_names("massive.indices", indices)?;
            }
            if indices.is_empty() || !instruments.is_empty() {
                self.check_names("massive.instruments", instruments)?;
            }
        }
        check_mask("alpha_vantage.key", self.alpha_vantage.key.as_ref())?;
        check_address("alpha_vantage.url", self.alpha_vantage.url.as_deref(), &["https", "http"])?;
        if !(1..=100_000).contains(&self.alpha_vantage.daily_requests) {
            return Err(Problem::new("alpha_vantage.daily_requests", "must be 1 to 100000"));
        }
        if self.uses(SourceKind::AlphaVantage) {
            let AlphaVantageSettings { key, instruments, .. } = &self.alpha_vantage;
            check_key("alpha_vantage", "alpha_vantage.key", key.as_ref())?;
            let plain = |key: &Secret| key.reveal().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            // The key is part of a URL.
            if !key.as_ref().is_some_and(plain) {
                let reason = "has characters that no key has: only letters, digits, - and _";
                return Err(Problem::new("alpha_vantage.key", reason));
            }
            self.check_names("alpha_vantage.instruments", instruments)?;
        }
        Ok(())
    }

    /// Returns warnings about the enabled providers.
    pub(super) fn provider_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (kind, name, key, url) in [
            (SourceKind::Oanda, "oanda", self.oanda.token.is_some(), self.oanda.url.as_deref()),
            (SourceKind::Massive, "massive", self.massive.key.is_some(), self.massive.url.as_deref()),
            (
                SourceKind::AlphaVantage,
                "alpha_vantage",
                self.alpha_vantage.key.is_some(),
                self.alpha_vantage.url.as_deref(),
            ),
        ] {
            if !self.uses(kind) {
                if key {
                    warnings.push(format!("a key for {name} is set, but ORION_SOURCES does not name {name}"));
                }
                continue;
            }
            if self.uses(SourceKind::Simulator) {
                warnings.push(format!(
                    "the simulator runs beside {name}: symbols that {name} does not send stay simulated; leave simulator out \
                     of ORION_SOURCES for real prices only"
                ));
            }
            if url.is_some_and(|url| url.starts_with("http:") || url.starts_with("ws:")) {
                warnings.push(format!("{name}.url is not encrypted: the key for {name} travels readable"));
            }
        }
        warnings
    }

    fn check_names(&self, key: &'static str, names: &[String]) -> Result<(), Problem> {
        let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-:/.".contains(&b));
        if let Some(name) = names.iter().find(|name| !plain(name) || name.len() > 32) {
            return Err(Problem::new(key, format!("{name:?} is no instrument's name")));
        }
        let known = self.instruments().is_ok_and(|known| names.iter().any(|name| known.resolve(name).is_ok()));
        if known { Ok(()) } else { Err(Problem::new(key, "none of them is an instrument of this server")) }
    }
}

fn needed(source: &str, key: &str) -> Problem {
    Problem::new(key, format!("the source '{source}' needs it"))
}

fn check_key(source: &str, key: &str, secret: Option<&Secret>) -> Result<(), Problem> {
    let secret = secret.ok_or_else(|| needed(source, key))?;
    if secret.reveal().bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Problem::new(key, "has characters that no key has: white space, a line break or letters beyond ASCII"))
    }
}

pub(super) fn check_mask(key: &str, secret: Option<&Secret>) -> Result<(), Problem> {
    if secret.is_some_and(Secret::is_mask) {
        return Err(Problem::new(key, "'***' is what check-config prints for a secret, not the secret"));
    }
    Ok(())
}

/// Checks an address. The error does not repeat it, since it may contain a key.
fn check_address(key: &str, url: Option<&str>, schemes: &[&str]) -> Result<(), Problem> {
    let usable = |url: &str| {
        let uri: Uri = url.trim().parse().ok()?;
        let scheme = schemes.contains(&uri.scheme_str()?);
        (scheme && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()).then_some(())
    };
    match url {
        Some(url) if usable(url).is_none() => {
            Err(Problem::new(key, format!("is no address, such as {}://host or {0}://host:port", schemes[0])))
        }
        _ => Ok(()),
    }
}
