//! The command `token` issues a user token; `token inspect` explains whether one is accepted. Its other parts work on stored
//! tokens.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};

use super::stored_tokens::{self, CreateToken, TokenCommandError};
use super::{EXIT_FAILURE, EXIT_OK};
use crate::auth::{self, AuthError, MAX_KEY_SET, Tokens, Unverified};
use crate::config::{self, Auth};
use crate::domain::{Audience, Delay, iso};
use crate::sources::net::Http;

/// The longest life of a token.
const MAX_TTL: Duration = Duration::from_hours(10 * 365 * 24);
/// Longest token that is read from standard input, in bytes.
const MAX_TOKEN: u64 = 16 << 10;
/// A time at or above this value is not in seconds.
const MAX_SECONDS: f64 = 1e10;
/// Time-out for fetching the keys of the login service.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// How much later he gets prices and signals than others, such as 300s or 15m; at most 24h
    #[arg(long, value_name = "DURATION", value_parser = delay, conflicts_with = "admin")]
    delay: Option<Delay>,
    /// How long it is good for, such as 30m, 24h or 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = ttl)]
    ttl: Duration,
    #[command(subcommand)]
    part: Option<TokenPart>,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum TokenPart {
    /// Say whom a token names, until when, and whether this configuration takes it
    ///
    /// Exits with 1 when it does not. Revocations are the running server's: they are not looked at.
    Inspect {
        /// The token; - reads it from standard input, where no shell remembers it
        #[arg(default_value = "-")]
        token: String,
    },
    /// Make a stored token, as the admin page does, and print its secret
    ///
    /// The data directory keeps only its hash. A running server accepts it within a second.
    Create(CreateToken),
    /// List the stored tokens, with when they were used last
    List,
    /// Revoke a stored token; a running server ends its connections within a second
    Revoke {
        /// Its name
        name: String,
    },
}

impl TokenCommand {
    /// Runs the commands on the stored tokens of the data directory `dir`; `None` for the others.
    ///
    /// # Errors
    /// When the tokens cannot be read or changed, or `out` cannot be written.
    pub fn on_stored(
        &self,
        dir: &Path,
        clock: fn() -> DateTime<Utc>,
        out: &mut impl Write,
    ) -> Option<Result<u8, TokenCommandError>> {
        match self.part.as_ref()? {
            TokenPart::Inspect { .. } => None,
            TokenPart::Create(command) => Some(command.run(dir, clock, out)),
            TokenPart::List => Some(stored_tokens::list(dir, out)),
            TokenPart::Revoke { name } => Some(stored_tokens::revoke(dir, name, out)),
        }
    }
}

pub(super) fn user_id(text: &str) -> Result<String, String> {
    let fits = (1..=Audience::MAX_USER).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| format!("an id has 1 to {} characters", Audience::MAX_USER))
}

pub(super) fn delay(text: &str) -> Result<Delay, String> {
    let whole = config::parse_duration(text).filter(|delay| delay.subsec_nanos() == 0);
    whole
        .and_then(|delay| Delay::from_seconds(delay.as_secs()))
        .ok_or_else(|| "must be whole seconds, at most 24h, such as 15m".to_owned())
}

pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = config::parse_duration(text).filter(|ttl| (Duration::from_secs(1)..=MAX_TTL).contains(ttl));
    ttl.ok_or_else(|| "must be a duration from 1s to 3650d, such as 24h".to_owned())
}

/// No secret for signing is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ORION_JWT_SECRET (auth.jwt_secret) is not set: there is nothing to sign a token with")]
pub struct NoSecret;

/// Prints a new token, or inspects one. Returns the exit code.
///
/// # Errors
/// [`NoSecret`]; the inner error when input or output fails.
pub fn token(
    auth: &Auth,
    command: &TokenCommand,
    clock: fn() -> DateTime<Utc>,
    out: &mut impl Write,
) -> Result<io::Result<u8>, NoSecret> {
    if let Some(TokenPart::Inspect { token }) = &command.part {
        return Ok(read_token(token).and_then(|token| inspect(auth, &token, clock, out)));
    }
    let user = command.user.as_deref().unwrap_or_default();
    let ttl = TimeDelta::from_std(command.ttl).unwrap_or(TimeDelta::MAX);
    // The id was validated when the command line was parsed.
    let token = match command.delay {
        Some(delay) => auth::mint_delayed(auth, user, delay, clock(), ttl),
        None => auth::mint(auth, user, command.admin, clock(), ttl),
    };
    let token = token.map_err(|_| NoSecret)?;
    Ok(writeln!(out, "{token}").map(|()| EXIT_OK))
}

fn read_token(token: &str) -> io::Result<String> {
    if token != "-" {
        return Ok(token.to_owned());
    }
    let mut text = String::new();
    io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn inspect(auth: &Auth, token: &str, clock: fn() -> DateTime<Utc>, out: &mut impl Write) -> io::Result<u8> {
    let said = match auth::read_unverified(token) {
        Ok(said) => said,
        Err(error) => {
            writeln!(out, "refused: {error} [{}]", error.code())?;
            return Ok(EXIT_FAILURE);
        }
    };
    let key = said.key_id.as_deref().map(|id| format!(", key {}", escape(id))).unwrap_or_default();
    writeln!(out, "signed with: {}{key}", escape(&said.algorithm))?;
    for (name, value) in &said.claims {
        match (name.as_str(), value.as_f64()) {
            ("exp" | "iat" | "nbf", Some(seconds)) if seconds < MAX_SECONDS => {
                let at = DateTime::from_timestamp_millis((seconds * 1e3) as i64).map_or_else(String::new, iso);
                writeln!(out, "{name}: {at} ({value})")?;
            }
            _ => writeln!(out, "{}: {}", escape(name), value.as_str().map_or_else(|| value.to_string(), escape))?,
        }
    }
    let tokens = Tokens::new(auth, clock).for_delay(Delay::of(Duration::MAX));
    if said.algorithm != "HS256"
        && let Some(complaint) = fetch_keys(auth, &tokens)?
    {
        writeln!(out, "warning: {complaint}")?;
    }
    let code = match tokens.user(Some(token)) {
        Ok(identity) => {
            let role = if identity.admin { "administrator" } else { "user" };
            let late = if identity.delay.is_none() { String::new() } else { format!(", {} late", identity.delay) };
            writeln!(out, "good: {role} {}{late}, until {}", escape(&identity.user), iso(identity.expires_at))?;
            EXIT_OK
        }
        Err(AuthError::NotSet(_)) => {
            writeln!(
                out,
                "not judged: none of auth.jwt_secret (ORION_JWT_SECRET), auth.public_key and auth.jwks_url is set"
            )?;
            EXIT_FAILURE
        }
        Err(error) => {
            writeln!(out, "refused: {error} [{}]", error.code())?;
            if let Some(hint) = hint(auth, token, &said, error) {
                writeln!(out, "hint: {hint}")?;
            }
            EXIT_FAILURE
        }
    };
    Ok(code)
}

/// Fetches the keys of the login service, if `auth.jwks_url` is set. Returns what is wrong with them.
fn fetch_keys(auth: &Auth, tokens: &Tokens) -> io::Result<Option<String>> {
    let (Ok(Some(address)), Some(set)) = (auth.jwks_address(), tokens.key_set()) else { return Ok(None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let document = runtime.block_on(async { Http::new(FETCH_TIMEOUT).document(&address, MAX_KEY_SET).await });
    set.end_fetch(document.map_err(|error| error.to_string()));
    Ok(set.complaint())
}

/// Returns what an operator can do about a refusal. Unlike the text for clients, it may name what the settings expect.
fn hint(auth: &Auth, token: &str, said: &Unverified, error: AuthError) -> Option<String> {
    let claim =
        |name: &str| said.claims.get(name).map_or_else(|| "absent".to_owned(), |value| escape(&value.to_string()));
    let set = |value: &Option<String>| value.as_deref().map(escape).unwrap_or_default();
    match error {
        AuthError::WrongSignature if auth::fits_other_encoding(auth, token) => Some(
            "the signature fits when the secret is taken the other way: the login service signs with the bytes that its text \
             stands for in base64, and this server with the text, or the reverse. Put base64: in front of the value of \
             ORION_JWT_SECRET, or take it away"
                .to_owned(),
        ),
        AuthError::WrongSignature if said.algorithm == "HS256" => {
            Some("compare ORION_JWT_SECRET with the login service's secret, character by character".to_owned())
        }
        AuthError::WrongSignature => {
            Some("compare auth.public_key or auth.jwks_url with the login service's; it may have another tenant or realm".to_owned())
        }
        AuthError::WrongAlgorithm(_) => Some(
            "set the login service's public key (auth.public_key_file) or the address of its keys (auth.jwks_url): see \
             docs/tokens.md"
                .to_owned(),
        ),
        AuthError::WrongAudience => {
            Some(format!("aud is {}, auth.jwt_audience is {}", claim("aud"), set(&auth.jwt_audience)))
        }
        AuthError::WrongIssuer => Some(format!("iss is {}, auth.jwt_issuer is {}", claim("iss"), set(&auth.jwt_issuer))),
        _ => None,
    }
}

/// Escapes foreign text, so that it cannot move the cursor of a terminal.
fn escape(text: &str) -> String {
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
        TokenCommand { user: Some("demo".into()), admin: true, delay: None, ttl: Duration::from_mins(1), part: None }
    }

    fn inspecting(token: &str) -> TokenCommand {
        TokenCommand { part: Some(TokenPart::Inspect { token: token.to_owned() }), user: None, ..making() }
    }

    #[test]
    fn the_printed_token_names_the_user() {
        let (code, printed) = run(&auth(), &making()).unwrap();
        let identity = Tokens::new(&auth(), clock::wall).user(Some(printed.trim_end())).unwrap();
        assert_eq!((code, &*identity.user, identity.admin), (EXIT_OK, "demo", true));
        assert_eq!(run(&Auth::default(), &making()), Err(NoSecret));
    }

    #[test]
    fn a_token_is_inspected_with_and_without_secret() {
        let (_, printed) = run(&auth(), &making()).unwrap();
        let (code, said) = run(&auth(), &inspecting(printed.trim_end())).unwrap();
        assert!(code == EXIT_OK && said.contains("\ngood: administrator demo, until 2"), "{said}");
        let (code, said) = run(&Auth::default(), &inspecting(printed.trim_end())).unwrap();
        assert!(code == EXIT_FAILURE && said.contains("sub: demo\n") && said.contains("not judged"), "{said}");
        let other = Auth { jwt_secret: Some(Secret::new("another secret of thirty-two bytes")), ..Auth::default() };
        let (code, said) = run(&other, &inspecting(printed.trim_end())).unwrap();
        assert!(
            code == EXIT_FAILURE && said.contains("[token_wrong_signature]\nhint: compare ORION_JWT_SECRET"),
            "{said}"
        );
        let (code, said) = run(&auth(), &inspecting("x")).unwrap();
        assert!(code == EXIT_FAILURE && said.starts_with("refused: Not a JSON Web Token: "), "{said}");
    }

    #[test]
    fn the_other_encoding_of_a_secret_is_noticed() {
        let text = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let with = |secret: &str| Auth { jwt_secret: Some(Secret::new(secret)), ..Auth::default() };
        for (signing, verifying) in
            [(format!("base64:{text}"), text.to_owned()), (text.to_owned(), format!("base64:{text}"))]
        {
            let (_, token) = run(&with(&signing), &making()).unwrap();
            let (code, said) = run(&with(&verifying), &inspecting(token.trim_end())).unwrap();
            assert!(code == EXIT_FAILURE && said.contains("hint: the signature fits when"), "{said}");
            assert!(!said.contains(text), "{said}");
            let (code, _) = run(&with(&signing), &inspecting(token.trim_end())).unwrap();
            assert_eq!(code, EXIT_OK);
        }
    }

    #[test]
    fn inspect_names_what_the_settings_expect() {
        let other = Auth { jwt_audience: Some("others".into()), jwt_issuer: Some("bank".into()), ..auth() };
        let (_, token) = run(&other, &making()).unwrap();
        for (audience, issuer, expected) in [
            ("orion", "bank", "hint: aud is \\\"others\\\", auth.jwt_audience is orion"),
            ("others", "mint", "hint: iss is \\\"bank\\\", auth.jwt_issuer is mint"),
        ] {
            let asking = Auth { jwt_audience: Some(audience.into()), jwt_issuer: Some(issuer.into()), ..auth() };
            let (code, said) = run(&asking, &inspecting(token.trim_end())).unwrap();
            assert!(code == EXIT_FAILURE && said.contains(expected), "{said}");
        }
    }

    #[test]
    fn stored_tokens_are_made_listed_and_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let run = |line: &str| {
            let words = std::iter::once("orion-server token").chain(line.split_whitespace());
            let words = words.flat_map(|word| word.split(' ')).collect::<Vec<_>>();
            let Ok(super::super::Command::Token(command)) = super::super::parse(words).map(|cli| cli.command()) else {
                panic!("{line} is a command on tokens")
            };
            let mut out = Vec::new();
            let code = command.on_stored(dir.path(), clock::wall, &mut out).unwrap().map_err(|error| error.to_string());
            (code, String::from_utf8(out).unwrap())
        };
        let (code, secret) = run("create user --name ana's --user ana --delay 15m --ttl 90d");
        assert!(code == Ok(EXIT_OK) && secret.starts_with("orion_user_") && secret.lines().count() == 1);
        let (_, listed) = run("list");
        assert!(
            listed.starts_with("ana's: user of ana, 900 s late, made 2") && listed.ends_with("never used\n"),
            "{listed}"
        );
        assert!(!listed.contains(secret.trim_end()));
        assert!(run("create ingest --name ana's").0.unwrap_err().starts_with("name is taken"));
        assert_eq!([run("revoke ana's").0, run("revoke ana's").0], [Ok(EXIT_OK), Ok(EXIT_FAILURE)]);
        assert!(run("list").1.starts_with("no stored tokens in "));
    }

    #[test]
    fn the_ttl_and_the_id_have_bounds() {
        assert_eq!([ttl("24h"), ttl("1s")], [Ok(Duration::from_hours(24)), Ok(Duration::from_secs(1))]);
        assert!([ttl("0s"), ttl("soon"), ttl("20000d")].iter().all(Result::is_err));
        assert!(user_id("").is_err() && user_id("a\tb").is_err() && user_id(&"x".repeat(129)).is_err());
    }
}
