//! Users whose streams open by user id alone, without a token: some pages have nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Principal, is_user_id};

/// The users whose streams a client without a token may open by their id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenUsers {
    /// All users: the id is the only secret.
    Everybody,
    /// Only these users, such as those with simulated data.
    Only(BTreeSet<Arc<str>>),
}

/// Why a client may not open the streams of a user. The texts are sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserAccessError {
    /// The client has neither named a user nor sent a token.
    #[error("user_id required")]
    Nobody,
    /// The named id is not a valid user id.
    #[error("user_id must be text of 1 to 128 characters")]
    Invalid,
    /// The client has no token for the named user.
    #[error("token required")]
    Unproven,
    /// The token belongs to another user.
    #[error("user_id is not the user of the token")]
    Other,
}

impl OpenUsers {
    /// Returns the user whose streams a client may open. `identity` is the principal of its token, `named` the id that it has
    /// named.
    ///
    /// # Errors
    /// [`UserAccessError`] when the client may not open them.
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
    fn an_id_alone_opens_only_open_users() {
        let demo = OpenUsers::Only(BTreeSet::from(["demo".into()]));
        let identity = Principal {
            user: "u1".into(),
            admin: true,
            delay: crate::domain::Delay::NONE,
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::<Utc>::MAX_UTC,
            stored: None,
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
