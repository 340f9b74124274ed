//! Who may write, who may read, who somebody is, and from which web pages.
//!
//! Tokens are compared in constant time, and never printed or sent back. Every way in presents its token here: a header
//! of a request, the query of a handshake, or a frame. There are shared tokens, which the settings name, and user tokens
//! ([`Principal`]), which end: with them the connections that rest on them ([`UserSession`]).

mod algorithm;
mod claims;
mod error;
mod jwks;
mod jwt;
#[cfg(test)]
mod key_tests;
mod keys;
mod logins;
mod open;
mod rate;
#[cfg(test)]
mod tests;
mod wrong_tokens;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use axum::extract::Query;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};

use crate::config::{AllowedOrigins, Auth, ReadAuth, Secret};
use crate::domain::Audience;
pub use algorithm::{Algorithms, WrongAlgorithm};
pub use error::{AuthError, TokenKind};
pub use jwks::{KeySet, KeySetContent, KeySetError, MAX_KEY_SET};
use jwt::{Jwt, has_form_of_jwt};
pub use jwt::{Principal, Unverified, fits_other_encoding, mint, read_unverified};
pub use logins::UserSession;
use logins::{Logins, SWEEP_INTERVAL};
pub use open::{OpenUsers, UserAccessError};
pub use rate::{Rate, TooFast};
use wrong_tokens::WrongTokens;
pub use wrong_tokens::{TooManyWrongTokens, WrongToken};

/// A user has as many connections as one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this user has too many connections; close some")]
pub struct TooManyLogins;

/// The tokens of the settings, and those made with their secret.
#[derive(Debug)]
pub struct Tokens {
    ingest: Option<Secret>,
    admin: Option<Secret>,
    read: Option<Secret>,
    read_auth: ReadAuth,
    jwt: Option<Jwt>,
    logins: Arc<Logins>,
    /// Connections of one user at a time.
    max_logins: usize,
    pushes: Rate,
    alerts: Rate,
    guesses: WrongTokens,
    clock: fn() -> DateTime<Utc>,
}

impl Tokens {
    /// The tokens that the settings name. User tokens are judged on `clock`.
    pub fn new(auth: &Auth, clock: fn() -> DateTime<Utc>) -> Self {
        let jwt = Jwt::new(auth);
        let Auth { ingest_token, admin_token, read_auth, read_token, .. } = auth.clone();
        Self {
            ingest: ingest_token,
            admin: admin_token,
            read: read_token,
            read_auth,
            jwt,
            logins: Arc::default(),
            max_logins: usize::MAX,
            pushes: Rate::new(0, 0),
            alerts: Rate::new(0, 0),
            guesses: WrongTokens::new(0),
            clock,
        }
    }

    /// The same with at most so many connections for each user at a time; 0 for any number.
    #[must_use]
    pub fn with_most_logins(self, most: usize) -> Self {
        Self { max_logins: if most == 0 { usize::MAX } else { most }, ..self }
    }

    /// The same with at most so many pushes per second with one token, and so many at once; 0 for any number.
    #[must_use]
    pub fn with_pushes(self, per_second: u32, burst: u32) -> Self {
        Self { pushes: Rate::new(per_second, burst), alerts: Rate::new(per_second, burst), ..self }
    }

    /// The same with at most so many wrong tokens of one address in a minute; 0 for any number.
    #[must_use]
    pub fn with_most_wrong_tokens(self, per_minute: u32) -> Self {
        Self { guesses: WrongTokens::new(per_minute), ..self }
    }

    /// Notes that a wrong token came from `address`.
    ///
    /// # Errors
    /// When there were too many in this minute: the answer is to say that, and nothing of the token.
    pub fn count_wrong_token(&self, address: IpAddr) -> Result<(), TooManyWrongTokens> {
        self.guesses.count(address, Instant::now())
    }

    /// The keys that the login service publishes, where the settings name them.
    pub fn key_set(&self) -> Option<&Arc<KeySet>> {
        self.jwt.as_ref()?.key_set()
    }

    /// Waits, where a token names a published key that is not known, until the login service has been asked for it; at most
    /// once a minute, and for a few seconds. Returns at once for every other token.
    pub async fn fetch_key_of(&self, token: &str) {
        if let Some(set) = self.key_set() {
            set.fetch_key_of(token).await;
        }
    }

    /// Counts a push with the ingest token.
    ///
    /// # Errors
    /// When there were too many.
    pub fn count_push(&self) -> Result<(), TooFast> {
        self.pushes.take()
    }

    /// Counts an alert with the webhook's token.
    ///
    /// # Errors
    /// When there were too many.
    pub fn count_alert(&self) -> Result<(), TooFast> {
        self.alerts.take()
    }

    /// Whether `token` may write.
    ///
    /// # Errors
    /// [`AuthError`] when it may not.
    pub fn ingest(&self, token: Option<&str>) -> Result<(), AuthError> {
        check(self.ingest.as_ref(), "ORION_INGEST_TOKEN", token)
    }

    /// Whether `token` may administer: the shared one, or an administrator's own, who is then named.
    ///
    /// # Errors
    /// [`AuthError`] when it may not.
    pub fn admin(&self, token: Option<&str>) -> Result<Option<Principal>, AuthError> {
        let shared = check(self.admin.as_ref(), "ORION_ADMIN_TOKEN", token);
        match (shared, &self.jwt) {
            (Ok(()), _) => Ok(None),
            (Err(AuthError::NotSet(_) | AuthError::Wrong), Some(_)) if token.is_some_and(has_form_of_jwt) => {
                match self.user(token) {
                    Ok(identity) if identity.admin => Ok(Some(identity)),
                    Ok(_) => Err(AuthError::Wrong),
                    Err(error) => Err(error),
                }
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Whom a user token names.
    ///
    /// # Errors
    /// [`AuthError`] when it names nobody.
    pub fn user(&self, token: Option<&str>) -> Result<Principal, AuthError> {
        let jwt = self.jwt.as_ref().ok_or(AuthError::NotSet("ORION_JWT_SECRET"))?;
        let now = (self.clock)();
        let identity = jwt.identity(token.ok_or(AuthError::Missing)?, now).and_then(|identity| {
            self.logins.presented(&identity, now);
            self.logins.judge(&identity, now).map(|()| identity)
        });
        // Nothing of the token itself: whoever reads the log must not be able to present it.
        identity.inspect_err(|error| tracing::debug!(code = error.code(), reason = %error, "a user token was refused"))
    }

    /// Whether `token` may read what is public: any, or none, unless the settings require one. A user token names its
    /// user; where user tokens are in use, one that is good for nothing is refused even where none is needed.
    ///
    /// # Errors
    /// [`AuthError`] when it may not.
    pub fn reader(&self, token: Option<&str>) -> Result<Option<Principal>, AuthError> {
        let required = self.read_auth == ReadAuth::Required;
        let Some(presented) = token else {
            return match (required, &self.jwt) {
                (false, _) => Ok(None),
                (true, Some(_)) => Err(AuthError::Missing),
                (true, None) => check(self.read.as_ref(), "ORION_READ_TOKEN", None).map(|()| None),
            };
        };
        let matches = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.matches(presented));
        if matches(&self.read) || (!required && (matches(&self.ingest) || matches(&self.admin))) {
            return Ok(None);
        }
        match &self.jwt {
            // What has not even the form of a user token was meant to be the shared one.
            Some(_) if self.read.is_none() || has_form_of_jwt(presented) => self.user(token).map(Some),
            Some(_) => Err(AuthError::Wrong),
            None if required => check(self.read.as_ref(), "ORION_READ_TOKEN", token).map(|()| None),
            None => Ok(None),
        }
    }

    /// Whom a token names where nobody needs one to come in: one that is presented has to be good all the same.
    ///
    /// # Errors
    /// [`AuthError`] when it is not.
    pub fn visitor(&self, token: Option<&str>) -> Result<Option<Principal>, AuthError> {
        token.map_or(Ok(None), |token| self.reader(Some(token)))
    }

    /// Whether the token that a connection rests on is still good.
    ///
    /// # Errors
    /// [`AuthError::Expired`] or [`AuthError::Revoked`] when it is not.
    pub fn still_good(&self, login: &UserSession) -> Result<(), AuthError> {
        self.logins.judge(login.identity(), (self.clock)())
    }

    /// Notes a connection that rests on a user token.
    ///
    /// # Errors
    /// When its user has too many already.
    pub fn login(&self, identity: Principal) -> Result<UserSession, TooManyLogins> {
        UserSession::new(self.logins.clone(), identity, self.max_logins)
    }

    /// How many connections rest on a user token.
    pub fn logged_in(&self) -> usize {
        self.logins.count()
    }

    /// Calls back the tokens of `user` that were made before `not_before`, and ends the connections that rest on them.
    pub fn revoke(&self, user: &Arc<str>, not_before: DateTime<Utc>) {
        self.logins.revoke(user, not_before);
        self.logins.sweep((self.clock)());
    }

    /// Before when a token must have been made to be revoked now: now, or a little later where an issuer's clock is ahead of ours.
    pub fn revocation_time(&self) -> DateTime<Utc> {
        self.logins.latest_issue((self.clock)())
    }

    /// Ends connections whose tokens have expired, until `stop`.
    pub async fn keep_watch(self: Arc<Self>, stop: CancellationToken) {
        let watch = async {
            loop {
                sleep(SWEEP_INTERVAL).await;
                self.logins.sweep((self.clock)());
            }
        };
        stop.run_until_cancelled(watch).await;
    }
}

fn check(secret: Option<&Secret>, setting: &'static str, token: Option<&str>) -> Result<(), AuthError> {
    let secret = secret.ok_or(AuthError::NotSet(setting))?;
    let token = token.ok_or(AuthError::Missing)?;
    if secret.matches(token) { Ok(()) } else { Err(AuthError::Wrong) }
}

/// The token of an `Authorization: Bearer` header, if there is such a header.
///
/// # Errors
/// [`AuthError::Malformed`] when the header says something else.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| AuthError::Malformed)?;
    let (scheme, token) = value.trim().split_once(' ').ok_or(AuthError::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(AuthError::Malformed) }
}

/// The token of a handshake: the bearer header, else `?token=`, which is there because browsers cannot set headers on a
/// WebSocket. Plain requests use [`bearer`]: a token does not belong into a URL.
///
/// # Errors
/// [`AuthError::Malformed`] when the header is no bearer token.
pub fn handshake_token(headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, AuthError> {
    if let Some(token) = bearer(headers)? {
        return Ok(Some(token.to_owned()));
    }
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
    Ok(query.into_iter().find_map(|(name, value)| (name == "token" && !value.is_empty()).then_some(value)))
}

/// Whether somebody can have this id.
fn is_user_id(text: &str) -> bool {
    (1..=Audience::MAX_USER).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Whether a WebSocket handshake may come from the page it comes from: a listed origin, the server's own page, or no page
/// at all (programs send no `Origin`).
pub fn origin_allowed(origins: &AllowedOrigins, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return origins.any() };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let same =
        origin.split_once("://").zip(host).is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host));
    same || origins.allows(origin)
}
