//! Authentication: verifies tokens, and checks the origins of web pages.
//!
//! Tokens are compared in constant time, and never printed or sent back. They arrive in a header of a request, in the query of
//! a handshake or in a frame, and all of them are verified here. Shared tokens come from the settings, stored ones
//! ([`StoredTokens`]) from the data directory. User tokens name a [`Principal`] and expire. A connection that was opened with a
//! user's token or a stored one ([`UserSession`]) ends together with its token.

mod algorithm;
mod claims;
mod error;
mod first;
mod jwks;
mod jwt;
#[cfg(test)]
mod key_tests;
mod keys;
mod logins;
mod open;
mod rate;
mod requests;
mod stored;
#[cfg(test)]
mod tests;
mod wrong_tokens;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Auth, Live, ReadAuth, Secret};
use crate::domain::{Audience, Delay};
pub use algorithm::{Algorithms, WrongAlgorithm};
use claims::DELAY;
pub use error::{AuthError, TokenKind};
pub use first::{AdminTokenFile, OneTimeCode};
pub use jwks::{KeySet, KeySetContent, KeySetError, MAX_KEY_SET};
use jwt::{Jwt, has_form_of_jwt};
pub use jwt::{Principal, Unverified, fits_other_encoding, mint, mint_delayed, read_unverified};
pub use logins::{Holder, UserSession};
use logins::{Logins, SWEEP_INTERVAL};
pub use open::{OpenUsers, UserAccessError};
pub use rate::{RateLimit, TooFast};
pub use requests::{bearer, handshake_token, origin_allowed};
pub use stored::{StoredKind, StoredToken, StoredTokenError, StoredTokens, TokenRequest};
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
    /// Whether that is the one of the first start.
    has_first_admin: bool,
    read: Option<Secret>,
    read_auth: ReadAuth,
    jwt: Option<Arc<Jwt>>,
    logins: Arc<Logins>,
    /// Maximum of connections per user; 0 for no limit.
    max_logins: Arc<AtomicUsize>,
    pushes: Live<RateLimit>,
    alerts: Live<RateLimit>,
    wrong_token_counts: Arc<WrongTokens>,
    stored: Arc<StoredTokens>,
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
            has_first_admin: false,
            read: read_token,
            read_auth,
            jwt,
            logins: Arc::default(),
            max_logins: Arc::default(),
            pushes: Live::new(RateLimit::new(0, 0)),
            alerts: Live::new(RateLimit::new(0, 0)),
            wrong_token_counts: Arc::new(WrongTokens::new(0)),
            stored: Arc::default(),
            clock,
        }
    }

    /// Sets the maximum of connections per user, from the next one on; 0 for no limit.
    pub fn set_max_logins(&self, most: usize) {
        self.max_logins.store(most, Ordering::Relaxed);
    }

    /// Sets the limits of pushes per second and at once with one token; 0 for no limit.
    pub fn set_pushes(&self, per_second: u32, burst: u32) {
        for limit in [&self.pushes, &self.alerts] {
            limit.set(RateLimit::new(per_second, burst));
        }
    }

    /// Sets the maximum of wrong tokens per address and minute; 0 for no limit.
    pub fn set_max_wrong_tokens(&self, per_minute: u32) {
        self.wrong_token_counts.set_max(per_minute);
    }

    /// Also accepts these stored tokens.
    #[must_use]
    pub fn with_stored(self, stored: Arc<StoredTokens>) -> Self {
        Self { stored, ..self }
    }

    /// Sets the admin token of the first start, if the settings have none.
    #[must_use]
    pub fn with_admin(self, token: Option<Secret>) -> Self {
        let has_first_admin = self.admin.is_none() && token.is_some();
        Self { admin: self.admin.or(token), has_first_admin, ..self }
    }

    /// Returns the environment variables of the shared tokens that the settings have.
    pub fn settings(&self) -> Vec<&'static str> {
        [
            (self.ingest.is_some(), "ORION_INGEST_TOKEN"),
            (self.admin.is_some() && !self.has_first_admin, "ORION_ADMIN_TOKEN"),
            (self.read.is_some(), "ORION_READ_TOKEN"),
            (self.delayed_read.is_some(), "ORION_DELAYED_READ_TOKEN"),
        ]
        .into_iter()
        .filter_map(|(is_set, name)| is_set.then_some(name))
        .collect()
    }

    /// Returns the stored tokens.
    pub fn stored(&self) -> &Arc<StoredTokens> {
        &self.stored
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
        if let Some(stored) = self.stored.find(presented) {
            return stored.check((self.clock)()).map_or(self.open_delay, |()| stored.delay);
        }
        if let Some((_, delay)) = self.delayed_read.as_ref().filter(|(secret, _)| secret.matches(presented)) {
            return *delay;
        }
        let jwt = self.jwt.as_ref().filter(|_| has_form_of_jwt(presented));
        // Most tokens have no such claim, and are verified once only.
        let is_prompt = || read_unverified(presented).is_ok_and(|token| !token.claims.contains_key(DELAY));
        if jwt.is_some() && self.open_delay.is_none() && is_prompt() {
            return Delay::NONE;
        }
        jwt.and_then(|jwt| jwt.identity(presented, (self.clock)()).ok()).map_or(self.open_delay, |user| user.delay)
    }

    /// Whether any reader may be delayed.
    pub fn may_delay(&self) -> bool {
        self.jwt.is_some() || self.delayed_read.is_some() || !self.open_delay.is_none() || self.stored.may_delay()
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
        self.pushes.get().take()
    }

    /// Counts an alert with the webhook's token.
    ///
    /// # Errors
    /// When the limit of pushes is reached.
    pub fn count_alert(&self) -> Result<(), TooFast> {
        self.alerts.get().take()
    }

    /// Verifies a token for writing, and returns the holder of a stored one.
    ///
    /// # Errors
    /// [`AuthError`] when the token may not write.
    pub fn ingest(&self, token: Option<&str>) -> Result<Option<Holder>, AuthError> {
        match self.stored_token(token)? {
            Some(stored) if stored.kind == StoredKind::Ingest => return Ok(Some(self.accept(stored))),
            Some(_) => return Err(AuthError::Wrong),
            None => {}
        }
        let checked = check(self.ingest.as_ref(), "ORION_INGEST_TOKEN", token);
        checked.map(|()| None).map_err(|error| self.unless_stored(error, &[StoredKind::Ingest], token))
    }

    /// Returns the stored token that is presented; `None` when it is none.
    ///
    /// # Errors
    /// When it has expired.
    fn stored_token(&self, token: Option<&str>) -> Result<Option<Arc<StoredToken>>, AuthError> {
        let Some(stored) = token.and_then(|token| self.stored.find(token)) else { return Ok(None) };
        stored.check((self.clock)()).map(|()| Some(stored))
    }

    /// Notes the use of a stored token that names no user.
    fn accept(&self, stored: Arc<StoredToken>) -> Holder {
        stored.used((self.clock)());
        Holder::Token(stored)
    }

    /// Returns the error of a token that the settings do not have: where a stored one would do, it is missing or wrong.
    fn unless_stored(&self, error: AuthError, kinds: &[StoredKind], token: Option<&str>) -> AuthError {
        match error {
            AuthError::NotSet(_) if token.is_some_and(stored::has_form) => AuthError::Wrong,
            AuthError::NotSet(_) if self.stored.has(kinds) => token.map_or(AuthError::Missing, |_| AuthError::Wrong),
            error => error,
        }
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
        let now = (self.clock)();
        let verified = match self.stored_token(token)? {
            Some(stored) => stored.principal().ok_or(AuthError::Wrong),
            None if token.is_some_and(stored::has_form) => Err(AuthError::Wrong),
            None => match &self.jwt {
                Some(jwt) => jwt.identity(token.ok_or(AuthError::Missing)?, now).inspect(|identity| {
                    self.logins.record_clock_lead(identity, now);
                }),
                None => {
                    return Err(self.unless_stored(AuthError::NotSet("ORION_JWT_SECRET"), &[StoredKind::User], token));
                }
            },
        };
        let identity = verified.and_then(|identity| {
            self.logins.check(&identity, now)?;
            self.not_later(identity.delay)?;
            if let Some(stored) = &identity.stored {
                stored.used(now);
            }
            Ok(identity)
        });
        // The token itself is not logged: a reader of the log could use it.
        identity.inspect_err(|error| tracing::debug!(code = %error.code(), reason = %error, "a user token was refused"))
    }

    /// Verifies a token for reading public data, and returns the holder of a user token or a stored one. Without
    /// `auth.read_auth` = `required`, no token is needed; but where user tokens are enabled, an invalid one is refused all the
    /// same, and so is one with the form of a stored token that is none.
    ///
    /// # Errors
    /// [`AuthError`] when the token may not read.
    pub fn reader(&self, token: Option<&str>) -> Result<Option<Holder>, AuthError> {
        const READERS: [StoredKind; 2] = [StoredKind::Read, StoredKind::User];
        let required = self.read_auth == ReadAuth::Required;
        let Some(presented) = token else {
            return match (required, &self.jwt) {
                (false, _) => self.not_later(self.open_delay).map(|()| None),
                (true, Some(_)) => Err(AuthError::Missing),
                (true, None) => check(self.shared_reader(), "ORION_READ_TOKEN", None)
                    .map(|()| None)
                    .map_err(|error| self.unless_stored(error, &READERS, None)),
            };
        };
        if let Some(stored) = self.stored_token(token)? {
            return match stored.kind {
                StoredKind::Ingest if required => Err(AuthError::Wrong),
                StoredKind::Ingest => Ok(Some(self.accept(stored))),
                StoredKind::Read => self.not_later(stored.delay).map(|()| Some(self.accept(stored))),
                StoredKind::User => self.user(token).map(|user| Some(user.into())),
            };
        }
        let matches = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.matches(presented));
        if matches(&self.read) || (!required && (matches(&self.ingest) || matches(&self.admin))) {
            return Ok(None);
        }
        if let Some((_, delay)) = self.delayed_read.as_ref().filter(|(secret, _)| secret.matches(presented)) {
            return self.not_later(*delay).map(|()| None);
        }
        match &self.jwt {
            // A token that is not a JWT was meant to be the shared one.
            Some(_) if self.shared_reader().is_none() || has_form_of_jwt(presented) => {
                self.user(token).map(|user| Some(user.into()))
            }
            Some(_) => Err(AuthError::Wrong),
            None if required => check(self.shared_reader(), "ORION_READ_TOKEN", token)
                .map(|()| None)
                .map_err(|error| self.unless_stored(error, &READERS, token)),
            None if stored::has_form(presented) => Err(AuthError::Wrong),
            None => self.not_later(self.open_delay).map(|()| None),
        }
    }

    /// Verifies a token for reading that is presented on purpose: unlike [`reader`](Self::reader), it refuses a token that is
    /// none of this server also where reading needs none.
    ///
    /// # Errors
    /// [`AuthError`] when the token may not read.
    pub fn known_reader(&self, token: Option<&str>) -> Result<(), AuthError> {
        let holder = self.reader(token)?;
        let is_shared = |token: &str| {
            let delayed = self.delayed_read.as_ref().map(|(secret, _)| secret);
            let secrets = [self.read.as_ref(), self.ingest.as_ref(), self.admin.as_ref(), delayed];
            secrets.into_iter().flatten().any(|secret| secret.matches(token))
        };
        match token {
            Some(token) if holder.is_none() && !is_shared(token) => Err(AuthError::Wrong),
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
    pub fn visitor(&self, token: Option<&str>) -> Result<Option<Holder>, AuthError> {
        token.map_or(Ok(None), |token| self.reader(Some(token)))
    }

    /// Checks whether the token of a session is still valid.
    ///
    /// # Errors
    /// [`AuthError::Expired`] or [`AuthError::Revoked`] when it is no longer valid.
    pub fn still_good(&self, login: &UserSession) -> Result<(), AuthError> {
        self.logins.check_holder(login.holder(), (self.clock)())
    }

    /// Registers a connection that was opened with a user token or a stored one.
    ///
    /// # Errors
    /// When the user has reached the limit of connections.
    pub fn login(&self, holder: impl Into<Holder>) -> Result<UserSession, TooManyLogins> {
        let most = match self.max_logins.load(Ordering::Relaxed) {
            0 => usize::MAX,
            most => most,
        };
        UserSession::new(self.logins.clone(), holder.into(), most)
    }

    /// Ends the connections whose tokens have expired or were revoked.
    pub fn end_invalid(&self) {
        self.logins.sweep((self.clock)());
    }

    /// Returns the number of open connections with a user token or a stored one.
    pub fn logged_in(&self) -> usize {
        self.logins.count()
    }

    /// Revokes the tokens of `user` that were issued before `not_before`, and ends their connections.
    pub fn revoke(&self, user: &Arc<str>, not_before: DateTime<Utc>) {
        self.logins.revoke(user, not_before);
        self.end_invalid();
    }

    /// Returns the `not_before` that revokes all tokens issued so far: now, or slightly later when an issuer's clock is ahead.
    pub fn revocation_time(&self) -> DateTime<Utc> {
        self.logins.latest_issue((self.clock)())
    }

    /// Periodically ends connections whose tokens have expired, reads stored tokens that another process has changed, and
    /// writes when they were used last; until `stop`.
    pub async fn keep_watch(self: Arc<Self>, stop: CancellationToken) {
        let watch = async {
            loop {
                sleep(SWEEP_INTERVAL).await;
                let (stored, now) = (self.stored.clone(), (self.clock)());
                // A panic is in the log already.
                tokio::task::spawn_blocking(move || stored.keep_in_step(now)).await.ok();
                self.end_invalid();
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

/// Whether `text` is a valid user id.
fn is_user_id(text: &str) -> bool {
    (1..=Audience::MAX_USER).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
