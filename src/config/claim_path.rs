//! Where in the claims of a token something stands: the path of `auth.admin_claim`.
//!
//! | written | means |
//! |---|---|
//! | `role` | the claim `role` |
//! | `realm_access.roles` | `roles` inside the object `realm_access` |
//! | `resource_access."my.app".roles` | keys with dots stand in double quotes |
//! | `https://example.com/roles`, `urn:example:roles` | an address or a URN is one name, whatever it holds |
//! | `/app_metadata/role` | a JSON pointer (RFC 6901): `~1` is `/`, `~0` is `~` |

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most names of a path.
const MAX_DEPTH: usize = 16;

/// The path of a claim: names of objects inside each other.
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

/// Why a text is no path of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// Nothing, or nothing between two separators.
    #[error("a name is empty: write it as role, realm_access.roles, https://example.com/roles or /app_metadata/role")]
    Empty,
    /// A double quote that is not closed, or not around a whole name.
    #[error("double quotes must stand around a whole name, as in resource_access.\"my.app\".roles")]
    Quotes,
    /// More names than any token has.
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

/// Names with dots between them, some of them in double quotes.
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
    /// The claim of the token that the path begins at.
    pub fn claim(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// What stands at the path, if all of the path is there.
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.names.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }

    /// Whether `wanted` stands at the path: as a text, as a number, `true` or `false` that is written so, or as one of a list
    /// of these.
    pub fn holds(&self, claims: &Map<String, Value>, wanted: &str) -> bool {
        match self.find(claims) {
            Some(Value::Array(values)) => values.iter().any(|value| is_written(value, wanted)),
            Some(value) => is_written(value, wanted),
            None => false,
        }
    }

    /// The claim with `value` at the end of the path, for a token of our own.
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
        fn what_is_made_at_a_path_is_found_there(text in "[a-z./~\":]{1,20}", value in "\\PC{1,8}") {
            if let Ok(path) = ClaimPath::try_from(text) {
                let (claim, made) = path.claim_with(&value);
                prop_assert!(path.holds(&Map::from_iter([(claim, made)]), &value));
            }
        }
    }
}
