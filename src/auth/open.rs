//! Users whose streams a bare id opens: Sentio's own pages know nothing else of their user.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Principal, is_user_id};

/// Whose streams a client may have that names a user and proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenUsers {
    /// Everybody's: whoever knows an id reads.
    Everybody,
    /// Only theirs, such as those of whom everything is simulated.
    Only(BTreeSet<Arc<str>>),
}

/// Why a client gets nobody's streams. The texts are meant for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserAccessError {
    /// It names nobody and has no token.
    #[error("user_id required")]
    Nobody,
    /// What it names can be no user.
    #[error("user_id must be text of 1 to 128 characters")]
    Invalid,
    /// It has no token for the user that it names.
    #[error("token required")]
    Unproven,
    /// Its token is another user's.
    #[error("user_id is not the user of the token")]
    Other,
}

impl OpenUsers {
    /// Whose streams a client may have that has proved to be `identity` and names the user `named`, both if at all.
    ///
    /// # Errors
    /// [`UserAccessError`] when it may have none.
    pub fn admit(&self, identity: Option<&Principal>, named: Option<&str>) -> Result<Arc<str>, UserAccessError> {
        let user = match (identity, named) {
            (Some(identity), None) => return Ok(identity.user.clone()),
            (Some(identity), Some(named)) if *identity.user == *named => return Ok(identity.user.clone()),
            (Some(_), Some(_)) => return Err(UserAccessError::Other),
            (None, None) => return Err(UserAccessError::Nobody),
            (None, Some(named)) if !is_user_id(named) => return Err(UserAccessError::Invalid),
            (None, Some(named)) => named,
        };
        match self {
            Self::Everybody => Ok(user.into()),
            Self::Only(users) => users.get(user).cloned().ok_or(UserAccessError::Unproven),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    #[test]
    fn a_token_opens_its_own_user_and_a_bare_id_only_what_is_open() {
        let demo = OpenUsers::Only(BTreeSet::from(["demo".into()]));
        let identity = Principal {
            user: "u1".into(),
            admin: true,
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::<Utc>::MAX_UTC,
        };
        let long = "x".repeat(129);
        for (open, proved, named, answer) in [
            (&demo, true, None, Ok("u1")),
            (&demo, true, Some("u1"), Ok("u1")),
            (&demo, true, Some("demo"), Err(UserAccessError::Other)),
            (&OpenUsers::Everybody, true, Some("u2"), Err(UserAccessError::Other)),
            (&demo, false, Some("demo"), Ok("demo")),
            (&demo, false, Some("u1"), Err(UserAccessError::Unproven)),
            (&demo, false, Some(""), Err(UserAccessError::Invalid)),
            (&demo, false, None, Err(UserAccessError::Nobody)),
            (&OpenUsers::Everybody, false, Some("u1"), Ok("u1")),
            (&OpenUsers::Everybody, false, Some(&long), Err(UserAccessError::Invalid)),
            (&OpenUsers::Everybody, false, Some("a\nb"), Err(UserAccessError::Invalid)),
            (&OpenUsers::Everybody, false, None, Err(UserAccessError::Nobody)),
        ] {
            let admitted = open.admit(proved.then_some(&identity), named);
            assert_eq!(admitted.as_deref(), answer.as_ref().map(|user| *user), "{open:?} {proved} {named:?}");
        }
    }
}
