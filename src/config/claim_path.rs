//! The path to a value in the claims of a token, for `auth.admin_claim`.
//!
//! | written | means |
//! |---|---|
//! | `role` | the claim `role` |
//! | `realm_access.roles` | `roles` inside the object `realm_access` |
//! | `resource_access."my.app".roles` | keys with dots are in double quotes |
//! | `https://example.com/roles`, `urn:example:roles` | a URL or a URN is one name, with all its dots |
//! | `/app_metadata/role` | a JSON pointer (RFC 6901): `~1` is `/`, `~0` is `~` |

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most names in a path.
const MAX_DEPTH: usize = 16;

/// The path of a claim: the keys of nested objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimPath {
    text: String,
    names: Vec<String>,
}

impl Default for ClaimPath {
    fn default() -> Self {
        Self { text: "role".to_owned(), names: vec!["role".to_owned()] }
    }
}

/// Why a text is not a valid path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// The path or one of its names is empty.
    #[error("a name is empty: write it as role, realm_access.roles, https://example.com/roles or /app_metadata/role")]
    Empty,
    /// A double quote is not closed, or not around a whole name.
    #[error("double quotes must stand around a whole name, as in resource_access.\"my.app\".roles")]
    Quotes,
    /// The path has too many names.
    #[error("has more than {MAX_DEPTH} names")]
    TooDeep,
}

impl TryFrom<String> for ClaimPath {
    type Error = ClaimPathError;

    fn try_from(text: String) -> Result<Self, ClaimPathError> {
        let trimmed = text.trim();
        let is_one_name = trimmed.contains("://") || trimmed.to_ascii_lowercase().starts_with("urn:");
        let names = if is_one_name && !trimmed.contains('"') {
            vec![trimmed.to_owned()]
        } else if let Some(pointer) = trimmed.strip_prefix('/') {
            pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
        } else {
            dotted(trimmed)?
        };
        if names.iter().any(String::is_empty) {
            return Err(ClaimPathError::Empty);
        }
        if names.len() > MAX_DEPTH {
            return Err(ClaimPathError::TooDeep);
        }
        Ok(Self { text: trimmed.to_owned(), names })
    }
}

impl From<ClaimPath> for String {
    fn from(path: ClaimPath) -> Self {
        path.text
    }
}

/// Parses names separated by dots, which may be in double quotes.
fn dotted(text: &str) -> Result<Vec<String>, ClaimPathError> {
    let (mut names, mut rest) = (Vec::new(), text);
    loop {
        let after = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (name, after) = quoted.split_once('"').ok_or(ClaimPathError::Quotes)?;
                names.push(name.to_owned());
                after
            }
            None => {
                let (name, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                if name.contains('"') {
                    return Err(ClaimPathError::Quotes);
                }
                names.push(name.to_owned());
                after
            }
        };
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(names),
            None => return Err(ClaimPathError::Quotes),
        }
    }
}

impl ClaimPath {
    /// Returns the top-level claim of the path.
    pub fn claim(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Returns the value at the path, if the whole path exists.
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.names.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }

    /// Whether the value at the path is `wanted`: a text, a number or boolean with this spelling, or a list that contains one.
    pub fn holds(&self, claims: &Map<String, Value>, wanted: &str) -> bool {
        match self.find(claims) {
            Some(Value::Array(values)) => values.iter().any(|value| is_written(value, wanted)),
            Some(value) => is_written(value, wanted),
            None => false,
        }
    }

    /// Returns the top-level claim with `value` at the end of the path, for a token that we issue.
    pub fn claim_with(&self, value: &str) -> (String, Value) {
        let nested = |value, name: &String| Value::Object(Map::from_iter([(name.clone(), value)]));
        let value = self.names.iter().skip(1).rev().fold(Value::from(value), nested);
        (self.claim().to_owned(), value)
    }
}

fn is_written(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Bool(flag) => wanted == if *flag { "true" } else { "false" },
        Value::Number(number) => number.to_string() == wanted,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> ClaimPath {
        ClaimPath::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_path_is_written_in_four_ways() {
        for (text, names) in [
            ("role", &["role"][..]),
            (" role ", &["role"]),
            ("realm_access.roles", &["realm_access", "roles"]),
            ("resource_access.\"my.app\".roles", &["resource_access", "my.app", "roles"]),
            ("\"https://a.b/c\".roles", &["https://a.b/c", "roles"]),
            ("https://example.com/roles", &["https://example.com/roles"]),
            ("urn:example.com:roles", &["urn:example.com:roles"]),
            ("cognito:groups", &["cognito:groups"]),
            ("/app_metadata/role", &["app_metadata", "role"]),
            ("/a~1b/c~0d", &["a/b", "c~d"]),
        ] {
            assert_eq!(path(text).names, names, "{text}");
        }
        let refused = |text: &str| ClaimPath::try_from(text.to_owned()).unwrap_err();
        for empty in ["", " ", ".", "a.", ".a", "a..b", "/", "/a/", "a.\"\""] {
            assert_eq!(refused(empty), ClaimPathError::Empty, "{empty}");
        }
        for quotes in ["\"a", "a\"b\"", "\"a\"b", "a.\"b\"c"] {
            assert_eq!(refused(quotes), ClaimPathError::Quotes, "{quotes}");
        }
        assert_eq!(refused("a.".repeat(40).trim_end_matches('.')), ClaimPathError::TooDeep);
    }

    #[test]
    fn a_value_is_found_alone_or_in_a_list() {
        let claims = json!({
            "role": ["admin", "user"], "admin": true, "level": 3, "realm_access": {"roles": ["a", "b"]},
            "nested": {"role": {"admin": true}}, "roles": [["admin"], {"admin": 1}, null]
        });
        let holds = |text: &str, wanted: &str| path(text).holds(claims.as_object().unwrap(), wanted);
        assert!(holds("role", "admin") && holds("admin", "true") && holds("level", "3"));
        assert!(holds("realm_access.roles", "b") && holds("nested.role.admin", "true"));
        for (text, wanted) in [
            ("role", "Admin"),
            ("role", "admin,user"),
            ("roles", "admin"),
            ("nested.role", "admin"),
            ("realm_access", "b"),
            ("realm_access.roles.0", "a"),
            ("absent", "null"),
            ("roles", "null"),
        ] {
            assert!(!holds(text, wanted), "{text} {wanted}");
        }
    }

    proptest! {
        #[test]
        fn a_value_written_at_a_path_is_found(text in "[a-z./~\":]{1,20}", value in "\\PC{1,8}") {
            if let Ok(path) = ClaimPath::try_from(text) {
                let (claim, made) = path.claim_with(&value);
                prop_assert!(path.holds(&Map::from_iter([(claim, made)]), &value));
            }
        }
    }
}
