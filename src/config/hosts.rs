//! The host names that requests to the server may use.

use serde::{Deserialize, Serialize};

/// An allowed host: a name or an address, perhaps with a port; `*.example.com` matches every name below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// Lower case; without `*.` where `below` is set.
    host: String,
    /// Whether the pattern matches every name below `host`, but not `host` itself.
    below: bool,
    /// `None` for any port.
    port: Option<u16>,
}

impl HostPattern {
    /// Whether the pattern matches `authority`, as in a `Host` header or before the path of a URL.
    pub fn allows(&self, authority: &str) -> bool {
        let Some((host, port)) = split(authority) else { return false };
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let is_host = if self.below {
            host.strip_suffix(self.host.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        };
        // Clients omit the default port of the scheme.
        let is_port = match (self.port, port) {
            (None, _) => true,
            (Some(wanted), Some(port)) => wanted == port,
            (Some(wanted), None) => matches!(wanted, 80 | 443),
        };
        is_host && is_port
    }
}

/// Splits host and port; `None` when `authority` has another form.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        _ => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a host: use example.com, example.com:8443, *.example.com, 192.0.2.1 or [2001:db8::1]"
            )
        };
        let lower = text.trim().to_ascii_lowercase();
        let (below, rest) = match lower.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, lower.as_str()),
        };
        let (host, port) = split(rest).filter(|_| !rest.ends_with(':')).ok_or_else(wrong)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_valid = match is_address {
            Some(address) => !below && address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.chars().all(is_name) && !host.starts_with('.') && !host.ends_with('.') && !host.contains(".."),
        };
        if !is_valid {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), below, port })
    }
}

impl From<HostPattern> for String {
    fn from(HostPattern { host, below, port }: HostPattern) -> Self {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{host}{port}", if below { "*." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn a_host_is_a_name_with_or_without_a_port() {
        for (allowed, asked, expected) in [
            ("example.com", "example.com", true),
            ("Example.com", "EXAMPLE.com:8080", true),
            ("example.com", "example.com.", true),
            ("example.com", "a.example.com", false),
            ("example.com", "example.com.evil.example", false),
            ("example.com", "example.com@evil.example", false),
            ("example.com:8443", "example.com:8443", true),
            ("example.com:8443", "example.com", false),
            ("example.com:443", "example.com", true),
            ("example.com:443", "example.com:", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com:80", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
            ("127.0.0.1", "127.0.0.1:8080", true),
            ("[::1]", "[::1]:8080", true),
            ("[::1]:8080", "[::1]:8081", false),
            ("example.com", "", false),
            ("example.com", "example.com:x", false),
            ("[::1]", "[::1", false),
        ] {
            assert_eq!(pattern(allowed).allows(asked), expected, "{allowed} {asked}");
        }
    }

    #[test]
    fn an_invalid_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "https://example.com",
            "example.com/",
            "a b",
            "example.com:",
            "example.com:99999",
            "[::1",
            "[x]",
        ] {
            assert!(HostPattern::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        for text in ["example.com", "*.example.com:8443", "[2001:db8::1]:80"] {
            assert_eq!(String::from(pattern(text)), text);
        }
    }
}
