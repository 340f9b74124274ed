//! The settings of a provider that is described by them.

use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::parse::KEY;
use super::{Generic, header};
use crate::config::{List, Problem, ProviderRules, ProviderSettings, Secret, Settings, value};
use crate::sources::listing::{name_of, symbol_of};
use crate::sources::providers::Provider;
use crate::sources::streaming::{self, Dialect};
use crate::sources::{Launcher, OptionsError, polling};

/// Most headers, and most messages of a subscription before `{symbol}` is replaced.
const MAX_LINES: usize = 50;
/// Headers that the connection itself needs.
const OWN_HEADERS: [&str; 7] =
    ["host", "connection", "upgrade", "content-length", "transfer-encoding", "user-agent", "sec-websocket-key"];

/// A provider that is described by its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenericSettings {
    /// The address. Its scheme decides whether it is a WebSocket. Needed by the source `generic`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub url: Option<Secret>,
    /// The key, for `{key}`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub key: Option<Secret>,
    /// Headers, one a line. Default none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub headers: Option<Secret>,
    /// Messages that subscribe, one a line. Default none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub subscribe: Option<String>,
    /// A message that is sent at an interval. Default none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub keep_alive: Option<String>,
    /// The interval of `keep_alive`; 1 s to 1 h. Default 30 s.
    #[serde(with = "value::duration")]
    pub keep_alive_interval: Duration,
    /// Time between two requests; 1 s to 1 h. Default 5 s.
    #[serde(with = "value::duration")]
    pub interval: Duration,
    /// Pointer to the items. Default: the whole message.
    #[serde(deserialize_with = "value::unless_empty")]
    pub items: Option<String>,
    /// Pointer to the symbol, or `@key`. Default: there is one instrument only.
    #[serde(deserialize_with = "value::unless_empty")]
    pub symbol: Option<String>,
    /// Pointer to the bid. Default none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub bid: Option<String>,
    /// Pointer to the ask. Default none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub ask: Option<String>,
    /// Pointer to the last price. Default none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub price: Option<String>,
    /// Pointer to the time. Default: the time of arrival.
    #[serde(deserialize_with = "value::unless_empty")]
    pub time: Option<String>,
    /// Pointer to the text of an error. Default none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub error: Option<String>,
    /// Whether the prices are delayed by contract. Default no.
    #[serde(deserialize_with = "value::flag")]
    pub delayed: bool,
    /// The provider's names, or `NAME=SYMBOL`. Default none.
    pub instruments: List<String>,
}

impl Default for GenericSettings {
    fn default() -> Self {
        Self {
            url: None,
            key: None,
            headers: None,
            subscribe: None,
            keep_alive: None,
            keep_alive_interval: Duration::from_secs(30),
            interval: Duration::from_secs(5),
            items: None,
            symbol: None,
            bid: None,
            ask: None,
            price: None,
            time: None,
            error: None,
            delayed: false,
            instruments: List::default(),
        }
    }
}

impl GenericSettings {
    pub(super) fn header_lines(&self) -> impl Iterator<Item = &str> {
        lines(self.headers.as_ref().map_or("", Secret::reveal))
    }

    pub(super) fn subscribe_lines(&self) -> impl Iterator<Item = &str> {
        lines(self.subscribe.as_deref().unwrap_or_default())
    }

    /// Returns the scheme, host and port of the address.
    fn origin(&self) -> Option<(String, String)> {
        let address = self.url.as_ref()?.reveal().trim();
        // Placeholders are no part of a host, and need not be valid elsewhere.
        let plain = address.replace(['{', '}'], "");
        let uri: Uri = plain.parse().ok()?;
        let host = uri.authority().filter(|authority| !authority.host().is_empty())?;
        Some((uri.scheme_str()?.to_owned(), host.to_string()))
    }

    fn is_websocket(&self) -> bool {
        self.origin().is_some_and(|(scheme, _)| scheme.starts_with("ws"))
    }

    fn check_request(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        let url = self.url.as_ref().ok_or_else(|| rules.missing("url"))?.reveal();
        if !self
            .origin()
            .is_some_and(|(scheme, host)| ["wss", "ws", "https", "http"].contains(&&*scheme) && !host.contains('@'))
        {
            return Err(
                rules.problem("url", "is no address, such as wss://host/path or https://host/path?symbols={symbols}")
            );
        }
        if let Some(key) = &self.key {
            rules.check_key("key", Some(key))?;
            let fits = key.reveal().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
            if url.contains("{key}") && !fits {
                return Err(rules.problem(
                    "key",
                    "has characters that do not fit into an address: send it in a header or a message",
                ));
            }
        }
        let texts = [
            Some(url),
            self.headers.as_ref().map(Secret::reveal),
            self.subscribe.as_deref(),
            self.keep_alive.as_deref(),
        ];
        if self.key.is_none() && texts.into_iter().flatten().any(|text| text.contains("{key}")) {
            return Err(rules.problem("key", "is missing: a setting has {key}"));
        }
        let is_header = |line: &str| header(line).is_some_and(|(name, _)| !OWN_HEADERS.contains(&name.as_str()));
        if self.header_lines().count() > MAX_LINES || !self.header_lines().all(is_header) {
            return Err(rules.problem("headers", format!("must be up to {MAX_LINES} lines such as Authorization: Bearer {{key}}, without the headers of the connection itself")));
        }
        if self.subscribe_lines().count() > MAX_LINES {
            return Err(rules.problem("subscribe", format!("must be up to {MAX_LINES} lines")));
        }
        if !self.is_websocket() && (self.subscribe.is_some() || self.keep_alive.is_some()) {
            return Err(rules.problem("subscribe", "messages are for wss:// and ws:// only"));
        }
        Ok(())
    }

    fn check_places(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        let symbol = self.symbol.as_ref().filter(|symbol| *symbol != KEY);
        let places = [
            ("items", self.items.as_ref()),
            ("symbol", symbol),
            ("bid", self.bid.as_ref()),
            ("ask", self.ask.as_ref()),
            ("price", self.price.as_ref()),
            ("time", self.time.as_ref()),
            ("error", self.error.as_ref()),
        ];
        for (key, place) in places {
            if place.is_some_and(|place| !is_pointer(place)) {
                return Err(rules.problem(key, "is no JSON pointer, such as /data/0/price (RFC 6901)"));
            }
        }
        if self.price.is_none() && (self.bid.is_none() || self.ask.is_none()) {
            return Err(rules.problem("price", "is missing: name the place of the price, or of bid and ask"));
        }
        if self.symbol.is_none() && self.instruments.len() > 1 {
            return Err(
                rules.problem("symbol", "is missing: with more than one instrument an item must say which it is about")
            );
        }
        Ok(())
    }

    fn check_instruments(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        let fits = |b: u8| b.is_ascii_graphic() && !b"\"\\{}&#".contains(&b);
        if let Some(name) = self
            .instruments
            .iter()
            .map(|name| name_of(name))
            .find(|name| name.is_empty() || name.len() > 64 || !name.bytes().all(fits))
        {
            return Err(rules.problem("instruments", format!("{name:?} is no instrument's name")));
        }
        let symbols: Vec<String> = self.instruments.iter().map(|name| symbol_of(name).to_owned()).collect();
        rules.check_names("instruments", &symbols)
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Whether a text is a JSON pointer to a part of a document.
fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.starts_with('/') && text.len() <= 256 && escapes
}

/// The settings of the Nth such provider, each in a table of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenericTable<const N: usize>(pub GenericSettings);

impl<const N: usize> ProviderSettings for GenericTable<N> {
    const NAME: &'static str = Generic::<N>::NAME;
    const DOCUMENTATION: &'static str = [include_str!("settings.toml"), include_str!("settings_2.toml")][N];
    const SHORT: &'static [&'static str] = if N == 0 { &["key", "delayed"] } else { &[] };
    const SCHEMES: &'static [&'static str] = &["wss", "ws", "https", "http"];

    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        let Self(own) = self;
        vec![("url", own.url.as_ref()), ("key", own.key.as_ref()), ("headers", own.headers.as_ref())]
    }

    /// The address can have a key, and is checked apart.
    fn url(&self) -> Option<&str> {
        None
    }

    fn instruments(&self) -> Vec<&str> {
        self.0.instruments.iter().map(|name| symbol_of(name)).collect()
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        rules.check_interval("keep_alive_interval", self.0.keep_alive_interval)?;
        rules.check_interval("interval", self.0.interval)?;
        if !rules.is_enabled() {
            return Ok(());
        }
        self.0.check_request(rules)?;
        self.0.check_places(rules)?;
        self.0.check_instruments(rules)
    }
}

impl<const N: usize> Provider for GenericTable<N> {
    /// Without path and query, in which a key can be.
    fn address(&self) -> String {
        self.0.origin().map(|(scheme, host)| format!("{scheme}://{host}")).unwrap_or_default()
    }

    fn start(&self, _: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        let (generic, own) = (Generic::<N>(self.0.clone()), &self.0);
        if own.is_websocket() {
            streaming::start(generic, &own.instruments, launcher)
        } else {
            polling::start(generic, &own.instruments, own.interval, launcher)
        }
    }
}
