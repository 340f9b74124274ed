//! Who may write and read.

use serde::{Deserialize, Serialize};

use super::{Secret, value};

/// Who may write and read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Bearer token for everything that writes. Default unset: writing is refused.
    #[serde(deserialize_with = "value::unless_empty")]
    pub ingest_token: Option<Secret>,
    /// Token of admin streams and endpoints. Default unset: they are refused.
    #[serde(deserialize_with = "value::unless_empty")]
    pub admin_token: Option<Secret>,
    /// `open`: public streams need no token; `required`: they do. Default `open`.
    #[serde(deserialize_with = "value::choice")]
    pub read_auth: ReadAuth,
    /// One shared token for reading. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub read_token: Option<Secret>,
    /// Secret of user tokens: JSON Web Tokens signed with HS256; at least 32 bytes. Default unset: private streams are
    /// refused.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_secret: Option<Secret>,
    /// The secret before: tokens signed with it are still good. For the time of a change. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_previous_secret: Option<Secret>,
    /// The `aud` that a user token must have. Default unset: not looked at.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_audience: Option<String>,
    /// The `iss` that a user token must have. Default unset: not looked at.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_issuer: Option<String>,
}

/// Whether public streams need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAuth {
    /// They do not.
    #[default]
    Open,
    /// They do.
    Required,
}
