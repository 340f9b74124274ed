//! Authentication: verifies tokens, and checks the origins of web pages.
//!
//! Tokens are compared in constant time, and never printed or sent back. They arrive in a header of a request, in the query of
//! a handshake or in a frame, and all of them are verified here. Shared tokens come from the settings. User tokens name a
//! [`Principal`] and expire; a connection that was opened with one ([`UserSession`]) ends together with its token.

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
use crate::domain::{Audience, Delay};
pub use algorithm::{Algorithms, WrongAlgorithm};
pub use error::{AuthError, TokenKind};
pub use jwks::{KeySet, KeySetContent, KeySetError, MAX_KEY_SET};
use jwt::{Jwt, has_form_of_jwt};
pub use jwt::{Principal, Unverified, fits_other_encoding, mint, mint_delayed, read_unverified};
pub use logins::UserSession;
use logins::{Logins, SWEEP_INTERVAL};
pub use open::{OpenUsers, UserAccessError};
pub use rate::{RateLimit, TooFast};
use wrong_tokens::WrongTokens;
pub use wrong_tokens::{TooManyWrongTokens, WrongToken};

/// The user has reached the limit of connections per user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this user has too many connections; close some")]
pub struct TooManyLogins;

/// Verifies shared tokens and user tokens, for readers without a delay or with a given one. Cheap to clone: everything that
/// is counted, is counted together.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// How late the readers are that it accepts. A reader who must be later is refused.
    delay: Delay,
    delayed_read: Option<(Secret, Delay)>,
    open_delay: Delay,
    ingest: Option<Secret>,
    admin: Option<Secret>,
    read: Option<Secret>,
    read_auth: ReadAuth,
    jwt: Option<Arc<Jwt>>,
    logins: Arc<Logins>,
    /// Maximum of connections per user.
    max_logins: usize,
    pushes: Arc<RateLimit>,
    alerts: Arc<RateLimit>,
    wrong_token_counts: Arc<WrongTokens>,
    clock: fn() -> DateTime<Utc>,
}

impl Tokens {
    /// Builds the verifier from the settings. `clock` decides whether a user token has expired.
    pub fn new(auth: &Auth, clock: fn() -> DateTime<Utc>) -> Self {
        let jwt = Jwt::new(auth).map(Arc::new);
        let Auth { ingest_token, admin_token, read_auth, read_token, delayed_read_token, delay, open_delay, .. } =
            auth.clone();
        Self {
            delay: Delay::NONE,
            delayed_read: delayed_read_token.map(|token| (token, Delay::of(delay))),
            open_delay: Delay::of(open_delay),
            ingest: ingest_token,
            admin: admin_token,
            read: read_token,
            read_auth,
            jwt,
            logins: Arc::default(),
            max_logins: usize::MAX,
            pushes: Arc::new(RateLimit::new(0, 0)),
            alerts: Arc::new(RateLimit::new(0, 0)),
            wrong_token_counts: Arc::new(WrongTokens::new(0)),
            clock,
        }
    }

    /// Sets the maximum of connections per user; 0 for no limit.
    #[must_use]
    pub fn with_max_logins(self, most: usize) -> Self {
        Self { max_logins: if most == 0 { usize::MAX } else { most }, ..self }
    }

    /// Sets the limits of pushes per second and at once with one token; 0 for no limit.
    #[must_use]
    pub fn with_pushes(self, per_second: u32, burst: u32) -> Self {
        let limit = || Arc::new(RateLimit::new(per_second, burst));
        Self { pushes: limit(), alerts: limit(), ..self }
    }

    /// Sets the maximum of wrong tokens per address and minute; 0 for no limit.
    #[must_use]
    pub fn with_max_wrong_tokens(self, per_minute: u32) -> Self {
        Self { wrong_token_counts: Arc::new(WrongTokens::new(per_minute)), ..self }
    }

    /// Returns the verifier for what is read with `delay`.
    #[must_use]
    pub fn for_delay(&self, delay: Delay) -> Self {
        Self { delay, ..self.clone() }
    }

    /// Returns how late somebody with this token has to read. For a token that is not valid, it is the delay of those
    /// who have none.
    pub fn delay_of(&self, token: Option<&str>) -> Delay {
        let Some(presented) = token else { return self.open_delay };
        let matches = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.matches(presented));
        if matches(&self.read) || matches(&self.ingest) || matches(&self.admin) {
            return Delay::NONE;
        }
        if let Some((_, delay)) = self.delayed_read.as_ref().filter(|(secret, _)| secret.matches(presented)) {
            return *delay;
        }
        let jwt = self.jwt.as_ref().filter(|_| has_form_of_jwt(presented));
        jwt.and_then(|jwt| jwt.identity(presented, (self.clock)()).ok()).map_or(self.open_delay, |user| user.delay)
    }

    /// Whether any reader may be delayed.
    pub fn may_delay(&self) -> bool {
        self.jwt.is_some() || self.delayed_read.is_some() || !self.open_delay.is_none()
    }

    /// Refuses a reader who has to read later than this verifier's delay.
    fn not_later(&self, delay: Delay) -> Result<(), AuthError> {
        if delay <= self.delay { Ok(()) } else { Err(AuthError::Delayed(delay)) }
    }

    /// Counts a wrong token from `address`.
    ///
    /// # Errors
    /// When the address has reached its limit in this minute: the response has to say so instead of what is wrong with the token.
    pub fn count_wrong_token(&self, address: IpAddr) -> Result<(), TooManyWrongTokens> {
        self.wrong_token_counts.count(address, Instant::now())
    }

    /// Returns the key set of the login service, if `auth.jwks_url` is set.
    pub fn key_set(&self) -> Option<&Arc<KeySet>> {
        self.jwt.as_ref()?.key_set()
    }

    /// Waits until the key set was fetched again when `token` names an unknown key; at most one fetch a minute and for a few
    /// seconds. Returns at once for every other token.
    pub async fn fetch_key_of(&self, token: &str) {
        if let Some(set) = self.key_set() {
            set.fetch_key_of(token).await;
        }
    }

    /// Counts a push with the ingest token.
    ///
    /// # Errors
    /// When the limit of pushes is reached.
    pub fn count_push(&self) -> Result<(), TooFast> {
        self.pushes.take()
    }

    /// Counts an alert with the webhook's token.
    ///
    /// # Errors
    /// When the limit of pushes is reached.
    pub fn count_alert(&self) -> Result<(), TooFast> {
        self.alerts.take()
    }

    /// Verifies a token for writing.
    ///
    /// # Errors
    /// [`AuthError`] when the token may not write.
    pub fn ingest(&self, token: Option<&str>) -> Result<(), AuthError> {
        check(self.ingest.as_ref(), "ORION_INGEST_TOKEN", token)
    }

    /// Verifies a token for administration: the shared one, or an administrator's user token, whose principal is returned.
    ///
    /// # Errors
    /// [`AuthError`] when the token may not administer.
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

    /// Verifies a user token and returns its principal.
    ///
    /// # Errors
    /// [`AuthError`] when the token is not valid.
    pub fn user(&self, token: Option<&str>) -> Result<Principal, AuthError> {
        let jwt = self.jwt.as_ref().ok_or(AuthError::NotSet("ORION_JWT_SECRET"))?;
        let now = (self.clock)();
        let identity = jwt.identity(token.ok_or(AuthError::Missing)?, now).and_then(|identity| {
            self.logins.record_clock_lead(&identity, now);
            self.logins.check(&identity, now)?;
            self.not_later(identity.delay).map(|()| identity)
        });
        // The token itself is not logged: a reader of the log could use it.
        identity.inspect_err(|error| tracing::debug!(code = %error.code(), reason = %error, "a user token was refused"))
    }

    /// Verifies a token for reading public data, and returns the principal of a user token. Without `auth.read_auth` =
    /// `required`, no token is needed; but where user tokens are enabled, an invalid one is refused all the same.
    ///
    /// # Errors
    /// [`AuthError`] when the token may not read.
    pub fn reader(&self, token: Option<&str>) -> Result<Option<Principal>, AuthError> {
        let required = self.read_auth == ReadAuth::Required;
        let Some(presented) = token else {
            return match (required, &self.jwt) {
                (false, _) => self.not_later(self.open_delay).map(|()| None),
                (true, Some(_)) => Err(AuthError::Missing),
                (true, None) => check(self.shared_reader(), "ORION_READ_TOKEN", None).map(|()| None),
            };
        };
        let matches = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.matches(presented));
        if matches(&self.read) || (!required && (matches(&self.ingest) || matches(&self.admin))) {
            return Ok(None);
        }
        if let Some((_, delay)) = self.delayed_read.as_ref().filter(|(secret, _)| secret.matches(presented)) {
            return self.not_later(*delay).map(|()| None);
        }
        match &self.jwt {
            // A token that is not a JWT was meant to be the shared one.
            Some(_) if self.shared_reader().is_none() || has_form_of_jwt(presented) => self.user(token).map(Some),
            Some(_) => Err(AuthError::Wrong),
            None if required => check(self.shared_reader(), "ORION_READ_TOKEN", token).map(|()| None),
            None => self.not_later(self.open_delay).map(|()| None),
        }
    }

    /// Verifies a token for reading that is presented on purpose: unlike [`reader`](Self::reader), it refuses a token that is
    /// none of this server also where reading needs none.
    ///
    /// # Errors
    /// [`AuthError`] when the token may not read.
    pub fn known_reader(&self, token: Option<&str>) -> Result<(), AuthError> {
        let principal = self.reader(token)?;
        let is_shared = |token: &str| {
            let delayed = self.delayed_read.as_ref().map(|(secret, _)| secret);
            let secrets = [self.read.as_ref(), self.ingest.as_ref(), self.admin.as_ref(), delayed];
            secrets.into_iter().flatten().any(|secret| secret.matches(token))
        };
        match token {
            Some(token) if principal.is_none() && !is_shared(token) => Err(AuthError::Wrong),
            _ => Ok(()),
        }
    }

    /// Returns a shared token for reading, if there is one.
    fn shared_reader(&self) -> Option<&Secret> {
        self.read.as_ref().or(self.delayed_read.as_ref().map(|(secret, _)| secret))
    }

    /// Verifies the token of an endpoint that never requires one: a token that is presented has to be valid all the same.
    ///
    /// # Errors
    /// [`AuthError`] when the token is not valid.
    pub fn visitor(&self, token: Option<&str>) -> Result<Option<Principal>, AuthError> {
        token.map_or(Ok(None), |token| self.reader(Some(token)))
    }

    /// Checks whether the token of a session is still valid.
    ///
    /// # Errors
    /// [`AuthError::Expired`] or [`AuthError::Revoked`] when it is no longer valid.
    pub fn still_good(&self, login: &UserSession) -> Result<(), AuthError> {
        self.logins.check(login.identity(), (self.clock)())
    }

    /// Registers a connection that was opened with a user token.
    ///
    /// # Errors
    /// When the user has reached the limit of connections.
    pub fn login(&self, identity: Principal) -> Result<UserSession, TooManyLogins> {
        UserSession::new(self.logins.clone(), identity, self.max_logins)
    }

    /// Returns the number of open connections with a user token.
    pub fn logged_in(&self) -> usize {
        self.logins.count()
    }

    /// Revokes the tokens of `user` that were issued before `not_before`, and ends their connections.
    pub fn revoke(&self, user: &Arc<str>, not_before: DateTime<Utc>) {
        self.logins.revoke(user, not_before);
        self.logins.sweep((self.clock)());
    }

    /// Returns the `not_before` that revokes all tokens issued so far: now, or slightly later when an issuer's clock is ahead.
    pub fn revocation_time(&self) -> DateTime<Utc> {
        self.logins.latest_issue((self.clock)())
    }

    /// Periodically ends connections whose tokens have expired, until `stop`.
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

/// Returns the token of the `Authorization: Bearer` header, if the header is present.
///
/// # Errors
/// [`AuthError::Malformed`] when the header is not a bearer token.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| AuthError::Malformed)?;
    let (scheme, token) = value.trim().split_once(' ').ok_or(AuthError::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(AuthError::Malformed) }
}

/// Returns the token of a handshake: from the bearer header, else from `?token=`, since browsers cannot set headers on a
/// WebSocket. Plain requests use [`bearer`], because a token does not belong in a URL.
///
/// # Errors
/// [`AuthError::Malformed`] when the header is not a bearer token.
pub fn handshake_token(headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, AuthError> {
    if let Some(token) = bearer(headers)? {
        return Ok(Some(token.to_owned()));
    }
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
    Ok(query.into_iter().find_map(|(name, value)| (name == "token" && !value.is_empty()).then_some(value)))
}

/// Whether `text` is a valid user id.
fn is_user_id(text: &str) -> bool {
    (1..=Audience::MAX_USER).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Whether the origin of a WebSocket handshake is allowed: a listed origin, the server's own, or none (programs send no
/// `Origin`).
pub fn origin_allowed(origins: &AllowedOrigins, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return origins.any() };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let same =
        origin.split_once("://").zip(host).is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host));
    same || origins.allows(origin)
}
