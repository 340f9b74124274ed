//! The allowed web origins.

use http::uri::Authority;
use serde::{Deserialize, Serialize};

use super::List;

/// The allowed web origins: any, some by name, or both (any may read, the named ones may also write).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "List<String>", into = "List<String>")]
pub struct AllowedOrigins {
    any: bool,
    named: Vec<String>,
}

impl AllowedOrigins {
    /// Whether every origin may read (`*`).
    pub fn any(&self) -> bool {
        self.any
    }

    /// Whether `origin`, as a browser sends it, is listed by name.
    pub fn names(&self, origin: &str) -> bool {
        self.named.iter().any(|named| named.eq_ignore_ascii_case(origin))
    }

    /// Whether `origin`, as a browser sends it, may read.
    pub fn allows(&self, origin: &str) -> bool {
        self.any || self.names(origin)
    }

    /// Returns the origins listed by name, in the form in which browsers send them.
    pub fn named(&self) -> &[String] {
        &self.named
    }
}

impl Default for AllowedOrigins {
    fn default() -> Self {
        Self { any: true, named: Vec::new() }
    }
}

impl TryFrom<List<String>> for AllowedOrigins {
    type Error = String;

    fn try_from(list: List<String>) -> Result<Self, Self::Error> {
        let (any, named): (Vec<&String>, Vec<&String>) = list.iter().partition(|entry| *entry == "*");
        let named = named.into_iter().map(|entry| origin(entry)).collect::<Result<_, _>>()?;
        Ok(Self { any: !any.is_empty(), named })
    }
}

impl From<AllowedOrigins> for List<String> {
    fn from(origins: AllowedOrigins) -> Self {
        origins.any.then(|| "*".to_owned()).into_iter().chain(origins.named).collect::<Vec<_>>().into()
    }
}

/// The origins of sandboxed pages and of pages from files, in browsers and in shells such as Cordova.
const WITHOUT_HOST: [&str; 2] = ["null", "file://"];

/// Normalises an origin to the form in which browsers send it: `scheme://host[:port]` in lower case, without the default port, or
/// an origin without a host.
fn origin(entry: &str) -> Result<String, String> {
    let wrong =
        || format!("{entry:?} is not an origin: use scheme://host, scheme://host:port, null, file://, or * for all");
    let lower = entry.to_ascii_lowercase();
    if WITHOUT_HOST.contains(&lower.as_str()) {
        return Ok(lower);
    }
    let (scheme, authority) = lower.split_once("://").ok_or_else(wrong)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let parsed: Authority = authority.parse().map_err(|_| wrong())?;
    let host_is_plain = !parsed.host().is_empty() && !authority.contains(['@', '*']);
    let port_is_number = parsed.port().is_some() == (authority.len() > parsed.host().len());
    if !(is_scheme && host_is_plain && port_is_number) {
        return Err(wrong());
    }
    match (scheme, parsed.port_u16()) {
        ("https" | "wss", Some(443)) | ("http" | "ws", Some(80)) => Ok(format!("{scheme}://{}", parsed.host())),
        _ => Ok(lower),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (entry, as_sent) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:5173", "http://[::1]:5173"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
            ("file://", "file://"),
        ] {
            assert_eq!(origin(entry).as_deref(), Ok(as_sent), "{entry}");
        }
        for entry in [
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://me@app.example.com",
            "https://*.example.com",
            "https://app.example.com:",
            "https://app.example.com:port",
            "https://app.example.com:99999",
            "ht tp://app.example.com",
            "file://page.html/",
            "nul",
        ] {
            assert!(origin(entry).is_err(), "{entry}");
        }
    }

    #[test]
    fn any_origin_can_be_combined_with_named_ones() {
        let both = AllowedOrigins::try_from(List::from(vec!["*".to_owned(), "https://a.example".to_owned()])).unwrap();
        assert!(both.any() && both.allows("https://b.example"));
        assert!(both.names("https://A.example") && !both.names("https://b.example"));
        let one = AllowedOrigins::try_from(List::from(vec!["https://a.example".to_owned()])).unwrap();
        assert!(one.allows("https://a.example") && !one.allows("https://b.example"));
    }
}
