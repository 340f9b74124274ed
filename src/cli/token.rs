//! `token`: makes a user token; `token inspect`: says what one is good for.

use std::io::{self, Read, Write};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};

use super::{EXIT_FAILURE, EXIT_OK};
use crate::auth::{self, Tokens};
use crate::config::{self, Auth};
use crate::domain::{Audience, iso};

/// The longest life of a token.
const MAX_TTL: Duration = Duration::from_hours(10 * 365 * 24);
/// Longest token that is read from standard input, in bytes.
const MAX_TOKEN: u64 = 16 << 10;

/// Whose token, and for how long; or which token to look at.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct TokenCommand {
    /// The user's id, as messages for him are published
    #[arg(long, value_name = "ID", value_parser = user_id, required = true)]
    user: Option<String>,
    /// Make him an administrator
    #[arg(long)]
    admin: bool,
    /// How long it is good for, such as 30m, 24h or 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = ttl)]
    ttl: Duration,
    #[command(subcommand)]
    inspect: Option<Inspect>,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Inspect {
    /// Say whom a token names, until when, and whether this configuration takes it
    ///
    /// Exits with 1 when it does not. Revocations are the running server's: they are not looked at.
    Inspect {
        /// The token; - reads it from standard input, where no shell remembers it
        #[arg(default_value = "-")]
        token: String,
    },
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

/// Prints a token that is good from now on, or what is to be said of one. Returns the exit code.
///
/// # Errors
/// [`NoSecret`]; the inner one when it cannot be read or written.
pub fn token(
    auth: &Auth,
    command: &TokenCommand,
    clock: fn() -> DateTime<Utc>,
    out: &mut impl Write,
) -> Result<io::Result<u8>, NoSecret> {
    if let Some(Inspect::Inspect { token }) = &command.inspect {
        return Ok(given(token).and_then(|token| inspect(auth, &token, clock, out)));
    }
    let user = command.user.as_deref().unwrap_or_default();
    let ttl = TimeDelta::from_std(command.ttl).unwrap_or(TimeDelta::MAX);
    // The id was judged when the command line was read.
    let token = auth::mint(auth, user, command.admin, clock(), ttl).map_err(|_| NoSecret)?;
    Ok(writeln!(out, "{token}").map(|()| EXIT_OK))
}

fn given(token: &str) -> io::Result<String> {
    if token != "-" {
        return Ok(token.to_owned());
    }
    let mut text = String::new();
    io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn inspect(auth: &Auth, token: &str, clock: fn() -> DateTime<Utc>, out: &mut impl Write) -> io::Result<u8> {
    let Ok(said) = auth::read_unverified(token) else {
        writeln!(out, "this is no JSON Web Token")?;
        return Ok(EXIT_FAILURE);
    };
    for (name, value) in said.as_object().into_iter().flatten() {
        match (name.as_str(), value.as_f64()) {
            ("exp" | "iat" | "nbf", Some(seconds)) => {
                let at = DateTime::from_timestamp_millis((seconds * 1e3) as i64).map_or_else(String::new, iso);
                writeln!(out, "{name}: {at} ({value})")?;
            }
            _ => writeln!(out, "{name}: {}", value.as_str().map_or_else(|| value.to_string(), shown))?,
        }
    }
    let (verdict, code) = match Tokens::new(auth, clock).user(Some(token)) {
        Ok(identity) => {
            let role = if identity.admin { "administrator" } else { "user" };
            (format!("good: {role} {}, until {}", shown(&identity.user), iso(identity.expires_at)), EXIT_OK)
        }
        Err(auth::AuthError::NotSet(_)) => {
            ("not judged: ORION_JWT_SECRET (auth.jwt_secret) is not set".to_owned(), EXIT_FAILURE)
        }
        Err(auth::AuthError::Wrong) => {
            let asked = auth.jwt_audience.is_some() || auth.jwt_issuer.is_some();
            let more = if asked { ", or another audience or issuer than configured" } else { "" };
            (format!("refused: another secret or algorithm, no exp, or no id of a user{more}"), EXIT_FAILURE)
        }
        Err(error) => (format!("refused: {error}"), EXIT_FAILURE),
    };
    writeln!(out, "{verdict}")?;
    Ok(code)
}

/// Somebody else's text, without what would move a terminal's cursor.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::pipeline::clock;

    fn auth() -> Auth {
        Auth { jwt_secret: Some(Secret::new("0123456789abcdef0123456789abcdef")), ..Auth::default() }
    }

    fn run(auth: &Auth, command: &TokenCommand) -> Result<(u8, String), NoSecret> {
        let mut out = Vec::new();
        let code = token(auth, command, clock::wall, &mut out)?.unwrap();
        Ok((code, String::from_utf8(out).unwrap()))
    }

    fn making() -> TokenCommand {
        TokenCommand { user: Some("demo".into()), admin: true, ttl: Duration::from_mins(1), inspect: None }
    }

    fn inspecting(token: &str) -> TokenCommand {
        TokenCommand { inspect: Some(Inspect::Inspect { token: token.to_owned() }), user: None, ..making() }
    }

    #[test]
    fn what_is_printed_names_the_user() {
        let (code, printed) = run(&auth(), &making()).unwrap();
        let identity = Tokens::new(&auth(), clock::wall).user(Some(printed.trim_end())).unwrap();
        assert_eq!((code, &*identity.user, identity.admin), (EXIT_OK, "demo", true));
        assert_eq!(run(&Auth::default(), &making()), Err(NoSecret));
    }

    #[test]
    fn a_token_is_looked_at_with_and_without_its_secret() {
        let (_, printed) = run(&auth(), &making()).unwrap();
        let (code, said) = run(&auth(), &inspecting(printed.trim_end())).unwrap();
        assert!(code == EXIT_OK && said.contains("\ngood: administrator demo, until 2"), "{said}");
        let (code, said) = run(&Auth::default(), &inspecting(printed.trim_end())).unwrap();
        assert!(code == EXIT_FAILURE && said.contains("sub: demo\n") && said.contains("not judged"), "{said}");
        let other = Auth { jwt_secret: Some(Secret::new("another secret of thirty-two bytes")), ..Auth::default() };
        let (code, said) = run(&other, &inspecting(printed.trim_end())).unwrap();
        assert!(code == EXIT_FAILURE && said.contains("\nrefused: another secret"), "{said}");
        assert_eq!(run(&auth(), &inspecting("x")).unwrap(), (EXIT_FAILURE, "this is no JSON Web Token\n".to_owned()));
    }

    #[test]
    fn a_life_and_an_id_have_bounds() {
        assert_eq!([ttl("24h"), ttl("1s")], [Ok(Duration::from_hours(24)), Ok(Duration::from_secs(1))]);
        assert!([ttl("0s"), ttl("soon"), ttl("20000d")].iter().all(Result::is_err));
        assert!(user_id("").is_err() && user_id("a\tb").is_err() && user_id(&"x".repeat(129)).is_err());
    }
}
