//! The path below which a proxy serves the server.

use serde::{Deserialize, Serialize};

/// The most bytes of a base path.
const MAX_BYTES: usize = 128;

/// The first segments of the server's own addresses: a base path that begins so would hide them.
const OWN: [&str; 16] = [
    "api",
    "asyncapi.json",
    "docs",
    "health",
    "licenses",
    "log",
    "mcp",
    "metrics",
    "monitoring",
    "openapi.json",
    "parts",
    "ready",
    "signals",
    "socket.io",
    "trading",
    "ws",
];

/// The path of the server behind its proxy, such as `/feed`; empty when it has a host of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BasePath(String);

impl BasePath {
    /// Returns the path without a slash at its end; empty for none. An address of the server is appended to it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what follows the base path in `path`: an address of the server, or nothing where `path` is the base path itself.
    /// `None` outside of it, and without a base path.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.0.as_str()).filter(|_| !self.0.is_empty())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl TryFrom<String> for BasePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = text.trim().trim_end_matches('/');
        if path.is_empty() {
            return Ok(Self::default());
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let is_segment = |part: &str| !part.is_empty() && part.chars().all(is_plain) && !part.chars().all(|c| c == '.');
        let segments = path.strip_prefix('/').filter(|rest| path.len() <= MAX_BYTES && rest.split('/').all(is_segment));
        let Some(segments) = segments else {
            return Err(format!(
                "{text:?} is not a path: use /feed or /live/feed (letters, digits, - . _ ~; at most {MAX_BYTES} \
                 bytes; not a whole URL)"
            ));
        };
        let first = segments.split('/').next().unwrap_or_default();
        if OWN.contains(&first) {
            return Err(format!("{text:?} begins as the server's own addresses do (/{first}): choose another path"));
        }
        Ok(Self(path.to_owned()))
    }
}

impl From<BasePath> for String {
    fn from(BasePath(path): BasePath) -> Self {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Result<BasePath, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_base_path_has_one_spelling() {
        for (text, expected) in [
            ("", ""),
            ("/", ""),
            ("/orion", "/orion"),
            (" /orion/ ", "/orion"),
            ("/feeds/orion-2.x", "/feeds/orion-2.x"),
            ("/apis", "/apis"),
        ] {
            assert_eq!(base(text).unwrap().as_str(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_invalid_base_path_is_refused() {
        let long = format!("/{}", "x".repeat(MAX_BYTES));
        for text in ["orion", "//orion", "/a//b", "/..", "/a/../b", "/a b", "/a?b", "/a%2fb", "https://a/orion", &long]
        {
            assert!(base(text).unwrap_err().contains("is not a path"), "{text:?}");
        }
        for text in ["/api", "/api/orion", "/ws/", "/docs"] {
            assert!(base(text).unwrap_err().contains("the server's own addresses"), "{text:?}");
        }
    }

    #[test]
    fn only_paths_below_are_stripped() {
        let orion = base("/orion").unwrap();
        for (path, expected) in [
            ("/orion", Some("")),
            ("/orion/", Some("/")),
            ("/orion/ws/signals", Some("/ws/signals")),
            ("/orion/orion/x", Some("/orion/x")),
            ("/orionx", None),
            ("/ws/signals", None),
            ("/", None),
        ] {
            assert_eq!(orion.strip(path), expected, "{path}");
        }
        assert_eq!(BasePath::default().strip("/ws"), None);
    }
}
