//! Connections that were opened with a user token or a stored one: they end together with the token.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{AuthError, Principal, StoredToken, TooManyLogins};

/// The interval between two checks for expired tokens.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Who holds a token that ends: a user, or somebody with a stored token that names no user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The user that the token names.
    User(Principal),
    /// The holder of a stored token.
    Token(Arc<StoredToken>),
}

impl Holder {
    /// Returns the user, if the token names one.
    pub fn user(&self) -> Option<&Principal> {
        match self {
            Self::User(principal) => Some(principal),
            Self::Token(_) => None,
        }
    }
}

impl From<Principal> for Holder {
    fn from(principal: Principal) -> Self {
        Self::User(principal)
    }
}

/// The open connections with a token that ends, and the revoked tokens of users.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<LoginState>);

#[derive(Debug, Default)]
struct LoginState {
    live: HashMap<u64, (Holder, CancellationToken)>,
    next: u64,
    /// The number of open connections of each user.
    per_user: HashMap<Arc<str>, usize>,
    /// Per user: tokens issued before this time are revoked.
    not_before: HashMap<Arc<str>, DateTime<Utc>>,
    /// The largest observed lead of an issuer's clock; at most the leeway, since tokens further ahead are refused.
    clock_lead: TimeDelta,
}

impl LoginState {
    fn check(&self, identity: &Principal, now: DateTime<Utc>) -> Result<(), AuthError> {
        if identity.has_expired(now) {
            Err(AuthError::Expired)
        } else if self.not_before.get(&identity.user).is_some_and(|not_before| identity.issued_at < *not_before) {
            Err(AuthError::Revoked)
        } else {
            identity.stored.as_ref().map_or(Ok(()), |stored| stored.check(now))
        }
    }

    fn check_holder(&self, holder: &Holder, now: DateTime<Utc>) -> Result<(), AuthError> {
        match holder {
            Holder::User(principal) => self.check(principal, now),
            Holder::Token(stored) => stored.check(now),
        }
    }
}

impl Logins {
    pub(super) fn check(&self, identity: &Principal, now: DateTime<Utc>) -> Result<(), AuthError> {
        self.0.lock().check(identity, now)
    }

    pub(super) fn check_holder(&self, holder: &Holder, now: DateTime<Utc>) -> Result<(), AuthError> {
        self.0.lock().check_holder(holder, now)
    }

    /// Records how far the issuer's clock is ahead of ours, by a token that was presented.
    pub(super) fn record_clock_lead(&self, identity: &Principal, now: DateTime<Utc>) {
        let lead = identity.issued_at - now;
        if lead > TimeDelta::zero() {
            let mut state = self.0.lock();
            state.clock_lead = lead.max(state.clock_lead);
        }
    }

    /// Returns the latest issue time that a token issued before `now` can carry: an issuer's clock may be ahead of ours.
    pub(super) fn latest_issue(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.0.lock().clock_lead {
            lead if lead > TimeDelta::zero() => now + lead + TimeDelta::milliseconds(1),
            _ => now,
        }
    }

    pub(super) fn revoke(&self, user: &Arc<str>, not_before: DateTime<Utc>) {
        let mut state = self.0.lock();
        let known = state.not_before.entry(user.clone()).or_insert(not_before);
        *known = not_before.max(*known);
    }

    /// Returns the number of open connections.
    pub(super) fn count(&self) -> usize {
        self.0.lock().live.len()
    }

    /// Ends every connection whose token has expired or was revoked.
    pub(super) fn sweep(&self, now: DateTime<Utc>) {
        let state = &mut *self.0.lock();
        let ended: Vec<_> =
            state.live.iter().filter(|(_, (holder, _))| state.check_holder(holder, now).is_err()).collect();
        for (_, (_, end)) in ended {
            end.cancel();
        }
    }
}

/// A connection that was opened with a user token or a stored one. It counts as open until this is dropped.
#[derive(Debug)]
pub struct UserSession {
    holder: Holder,
    end: CancellationToken,
    id: u64,
    logins: Arc<Logins>,
}

impl UserSession {
    pub(super) fn new(logins: Arc<Logins>, holder: Holder, max_per_user: usize) -> Result<Self, TooManyLogins> {
        let end = CancellationToken::new();
        let mut state = logins.0.lock();
        if let Some(principal) = holder.user() {
            let count = state.per_user.entry(principal.user.clone()).or_default();
            if *count >= max_per_user {
                return Err(TooManyLogins);
            }
            *count += 1;
        }
        let id = state.next;
        state.next += 1;
        state.live.insert(id, (holder.clone(), end.clone()));
        drop(state);
        Ok(Self { holder, end, id, logins })
    }

    /// Returns who holds the token.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Returns the user, if the token names one.
    pub fn user(&self) -> Option<&Principal> {
        self.holder.user()
    }

    /// Returns a token that is cancelled when the connection's token has expired or was revoked: the connection has to end.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }
}

impl Drop for UserSession {
    fn drop(&mut self) {
        let state = &mut *self.logins.0.lock();
        state.live.remove(&self.id);
        let Some(Principal { user, .. }) = self.holder.user() else { return };
        if let Some(count) = state.per_user.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                state.per_user.remove(user);
            }
        }
    }
}
