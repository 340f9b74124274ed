//! Settings of authentication.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::domain::Delay;

use super::{ClaimPath, List, Problem, PublicKey, PublicKeyFile, PublicKeys, Secret, value};

/// Claims with a standard meaning, which cannot mark administrators.
const OWN_CLAIMS: [&str; 7] = ["sub", "user_id", "exp", "iat", "nbf", "aud", "iss"];

/// Who may write and read: shared tokens and user tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Bearer token for writing. Default unset: writing is refused.
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
    /// A second shared token for reading, whose holders get prices and signals later by `delay`. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub delayed_read_token: Option<Secret>,
    /// The delay of `delayed_read_token`, in whole seconds up to a day. Default none.
    #[serde(with = "value::duration")]
    pub delay: Duration,
    /// How much later readers without a token get prices and signals, in whole seconds up to a day. Default none.
    #[serde(with = "value::duration")]
    pub open_delay: Duration,
    /// Secret of user tokens (JSON Web Tokens, HS256), of at least 32 bytes: text, or `base64:` and base64. Default unset: no
    /// token signed with HS256 is accepted.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_secret: Option<Secret>,
    /// The previous secret, for the time of a change: tokens signed with it are still accepted. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_previous_secret: Option<Secret>,
    /// The `aud` that a user token must have. Default unset: not checked.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_audience: Option<String>,
    /// The `iss` that a user token must have. Default unset: not checked.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwt_issuer: Option<String>,
    /// Public keys of the login service, in PEM, which verify user tokens. Default unset.
    #[serde(deserialize_with = "value::parsed_unless_empty")]
    pub public_key: Option<PublicKeys>,
    /// Files with such keys. Default none.
    pub public_key_file: List<PublicKeyFile>,
    /// URL of the login service's key set (JSON Web Key Set, RFC 7517); `https`, or `http` on this machine. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub jwks_url: Option<String>,
    /// The claim of a user token that marks an administrator, see [`ClaimPath`]. Default `role`.
    #[serde(deserialize_with = "value::parsed")]
    pub admin_claim: ClaimPath,
    /// The value of that claim, alone or in a list. Default `admin`.
    #[serde(deserialize_with = "value::text")]
    pub admin_value: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            ingest_token: None,
            admin_token: None,
            read_auth: ReadAuth::default(),
            read_token: None,
            delayed_read_token: None,
            delay: Duration::ZERO,
            open_delay: Duration::ZERO,
            jwt_secret: None,
            jwt_previous_secret: None,
            jwt_audience: None,
            jwt_issuer: None,
            public_key: None,
            public_key_file: List::default(),
            jwks_url: None,
            admin_claim: ClaimPath::default(),
            admin_value: "admin".to_owned(),
        }
    }
}

impl Auth {
    /// Whether any key for user tokens is configured.
    pub fn takes_user_tokens(&self) -> bool {
        self.jwt_secret.is_some() || self.jwks_url.is_some() || self.public_keys().next().is_some()
    }

    /// Whether any token or key is configured.
    pub fn has_any(&self) -> bool {
        self.ingest_token.is_some()
            || self.admin_token.is_some()
            || self.has_shared_reader()
            || self.takes_user_tokens()
    }

    /// Whether there is a shared token for reading.
    pub fn has_shared_reader(&self) -> bool {
        self.read_token.is_some() || self.delayed_read_token.is_some()
    }

    /// Returns every public key of the settings.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        let files = self.public_key_file.iter().flat_map(PublicKeyFile::keys);
        self.public_key.iter().flat_map(PublicKeys::keys).chain(files)
    }

    /// Returns the address in `jwks_url`.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn jwks_address(&self) -> Result<Option<Uri>, Problem> {
        let Some(text) = &self.jwks_url else { return Ok(None) };
        let problem = |reason: &str| Problem::new("auth.jwks_url", reason);
        let form = "is not a valid address, such as https://login.example.com/.well-known/jwks.json";
        if text.contains('#') {
            return Err(problem("must not have a fragment: leave out everything from the # on"));
        }
        let address: Uri = text.trim().parse().map_err(|_| problem(form))?;
        let host = address.host().filter(|host| !host.is_empty()).ok_or_else(|| problem(form))?;
        if address.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(problem("must not hold a user or a password: a key set is public"));
        }
        match address.scheme_str() {
            Some("https") => Ok(Some(address)),
            Some("http") if is_loopback(host) => Ok(Some(address)),
            Some("http") => {
                Err(problem("must begin with https://: whoever is on the way could put in keys of their own"))
            }
            _ => Err(problem(form)),
        }
    }

    /// Checks the settings of delayed readers.
    pub(super) fn check_delays(&self) -> Result<(), Problem> {
        for (key, delay) in [("auth.delay", self.delay), ("auth.open_delay", self.open_delay)] {
            if delay.subsec_nanos() != 0 || delay.as_secs() > Delay::MAX_SECONDS.into() {
                return Err(Problem::new(key, "must be whole seconds, at most 24h, such as 5m"));
            }
        }
        let problem = |key: &'static str, reason: &str| Err(Problem::new(key, reason));
        match &self.delayed_read_token {
            None if !self.delay.is_zero() => {
                return problem(
                    "auth.delay",
                    "needs auth.delayed_read_token (ORION_DELAYED_READ_TOKEN), whose delay it is",
                );
            }
            Some(_) if self.delay.is_zero() => {
                return problem("auth.delayed_read_token", "needs auth.delay (ORION_DELAY), such as 5m");
            }
            Some(token) => {
                let others = [&self.read_token, &self.ingest_token, &self.admin_token];
                if others.into_iter().flatten().any(|other| other == token) {
                    return problem(
                        "auth.delayed_read_token",
                        "must differ from the other tokens, which read without a delay",
                    );
                }
            }
            None => {}
        }
        if !self.open_delay.is_zero() && self.read_auth == ReadAuth::Required {
            return problem(
                "auth.open_delay",
                "has no effect with auth.read_auth 'required', where nobody reads without a token",
            );
        }
        Ok(())
    }

    /// Checks the settings of user tokens.
    pub(super) fn check_user_tokens(&self) -> Result<(), Problem> {
        for (key, secret) in
            [("auth.jwt_secret", &self.jwt_secret), ("auth.jwt_previous_secret", &self.jwt_previous_secret)]
        {
            if secret.as_ref().is_some_and(|secret| secret.key_bytes().is_none()) {
                return Err(Problem::new(key, "begins with base64: and goes on with something that is not base64"));
            }
        }
        if OWN_CLAIMS.contains(&self.admin_claim.claim()) {
            let reason =
                "must not begin at a claim that every token has a use for: sub, user_id, exp, iat, nbf, aud, iss";
            return Err(Problem::new("auth.admin_claim", reason));
        }
        if self.admin_value.trim().is_empty() {
            return Err(Problem::new("auth.admin_value", "must not be empty; the default is 'admin'"));
        }
        self.jwks_address().map(drop)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether public streams need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAuth {
    /// Public streams need no token.
    #[default]
    Open,
    /// Public streams need a token.
    Required,
}
