//! Who is connected by a user token, so that the end of the token ends the connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{AuthError, Principal, TooManyLogins};

/// How often tokens that have expired are looked for.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The live connections that rest on a user token, and which tokens are worth nothing any more.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    live: HashMap<u64, (Principal, CancellationToken)>,
    next: u64,
    /// Connections of each user who has any.
    of: HashMap<Arc<str>, usize>,
    /// Tokens of these users that were made before these times are revoked.
    not_before: HashMap<Arc<str>, DateTime<Utc>>,
    /// How far the clock of an issuer was ahead of ours at most; bounded by the leeway, beyond which a token is refused.
    clock_lead: TimeDelta,
}

impl State {
    fn judge(&self, identity: &Principal, now: DateTime<Utc>) -> Result<(), AuthError> {
        if identity.has_expired(now) {
            Err(AuthError::Expired)
        } else if self.not_before.get(&identity.user).is_some_and(|not_before| identity.issued_at < *not_before) {
            Err(AuthError::Revoked)
        } else {
            Ok(())
        }
    }
}

impl Logins {
    pub(super) fn judge(&self, identity: &Principal, now: DateTime<Utc>) -> Result<(), AuthError> {
        self.0.lock().judge(identity, now)
    }

    /// Notes that a token was presented, which tells how far its issuer's clock is ahead.
    pub(super) fn presented(&self, identity: &Principal, now: DateTime<Utc>) {
        let lead = identity.issued_at - now;
        if lead > TimeDelta::zero() {
            let mut state = self.0.lock();
            state.clock_lead = lead.max(state.clock_lead);
        }
    }

    /// The time that tokens made before `now` bear at the latest: an issuer's clock may be ahead of ours.
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

    /// How many connections are live.
    pub(super) fn count(&self) -> usize {
        self.0.lock().live.len()
    }

    /// Ends every connection whose token is worth nothing any more.
    pub(super) fn sweep(&self, now: DateTime<Utc>) {
        let state = &mut *self.0.lock();
        let ended: Vec<_> = state.live.iter().filter(|(_, (who, _))| state.judge(who, now).is_err()).collect();
        for (_, (_, end)) in ended {
            end.cancel();
        }
    }
}

/// A connection that rests on a user token. Counts as live until it is dropped.
#[derive(Debug)]
pub struct UserSession {
    identity: Principal,
    end: CancellationToken,
    id: u64,
    logins: Arc<Logins>,
}

impl UserSession {
    pub(super) fn new(logins: Arc<Logins>, identity: Principal, most: usize) -> Result<Self, TooManyLogins> {
        let end = CancellationToken::new();
        let mut state = logins.0.lock();
        let count = state.of.entry(identity.user.clone()).or_default();
        if *count >= most {
            return Err(TooManyLogins);
        }
        *count += 1;
        let id = state.next;
        state.next += 1;
        state.live.insert(id, (identity.clone(), end.clone()));
        drop(state);
        Ok(Self { identity, end, id, logins })
    }

    /// Whose it is.
    pub fn identity(&self) -> &Principal {
        &self.identity
    }

    /// Cancelled when the token has expired or was revoked: the connection has to end.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }
}

impl Drop for UserSession {
    fn drop(&mut self) {
        let state = &mut *self.logins.0.lock();
        state.live.remove(&self.id);
        if let Some(count) = state.of.get_mut(&self.identity.user) {
            *count -= 1;
            if *count == 0 {
                state.of.remove(&self.identity.user);
            }
        }
    }
}
