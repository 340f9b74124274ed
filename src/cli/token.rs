//! `token`: makes a user token.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use crate::auth;
use crate::config::{self, Auth};
use crate::domain::Audience;

/// The longest life of a token.
const MAX_TTL: Duration = Duration::from_hours(10 * 365 * 24);

/// Whose token, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TokenCommand {
    /// The user's id, as messages for him are published
    #[arg(long, value_name = "ID", value_parser = user_id)]
    user: String,
    /// Make him an administrator
    #[arg(long)]
    admin: bool,
    /// How long it is good for, such as 30m, 24h or 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = ttl)]
    ttl: Duration,
}

fn user_id(text: &str) -> Result<String, String> {
    let fits = (1..=Audience::MAX_USER).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| format!("an id has 1 to {} characters", Audience::MAX_USER))
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = config::parse_duration(text).filter(|ttl| (Duration::from_secs(1)..=MAX_TTL).contains(ttl));
    ttl.ok_or_else(|| "must be a duration from 1s to 3650d, such as 24h".to_owned())
}

/// There is nothing to sign a token with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ORION_JWT_SECRET (auth.jwt_secret) is not set: there is nothing to sign a token with")]
pub struct NoSecret;

/// `token`: prints a token that is good from `now` on.
///
/// # Errors
/// [`NoSecret`]; the inner one when it cannot be written.
pub fn token(
    auth: &Auth,
    command: &TokenCommand,
    now: DateTime<Utc>,
    out: &mut impl Write,
) -> Result<io::Result<()>, NoSecret> {
    let ttl = TimeDelta::from_std(command.ttl).unwrap_or(TimeDelta::MAX);
    // The id was judged when the command line was read.
    let token = auth::mint(auth, &command.user, command.admin, now, ttl).map_err(|_| NoSecret)?;
    Ok(writeln!(out, "{token}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Tokens;
    use crate::config::Secret;
    use crate::pipeline::clock;

    #[test]
    fn what_is_printed_names_the_user() {
        let auth = Auth { jwt_secret: Some(Secret::new("0123456789abcdef0123456789abcdef")), ..Auth::default() };
        let command = TokenCommand { user: "demo".into(), admin: true, ttl: Duration::from_mins(1) };
        let mut out = Vec::new();
        token(&auth, &command, clock::wall(), &mut out).unwrap().unwrap();
        let printed = String::from_utf8(out).unwrap();
        let identity = Tokens::new(&auth, clock::wall).user(Some(printed.trim_end())).unwrap();
        assert_eq!((&*identity.user, identity.admin), ("demo", true));
        let refused = token(&Auth::default(), &command, clock::wall(), &mut Vec::new());
        assert_eq!(refused.unwrap_err(), NoSecret);
    }

    #[test]
    fn a_life_and_an_id_have_bounds() {
        assert_eq!([ttl("24h"), ttl("1s")], [Ok(Duration::from_hours(24)), Ok(Duration::from_secs(1))]);
        assert!([ttl("0s"), ttl("soon"), ttl("20000d")].iter().all(Result::is_err));
        assert!(user_id("").is_err() && user_id("a\tb").is_err() && user_id(&"x".repeat(129)).is_err());
    }
}
