//! The commands `token create`, `token list` and `token revoke`: the stored tokens of a data directory, also beside a running
//! server, which reads them within a second.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum};

use super::token::{delay, ttl, user_id};
use super::{EXIT_FAILURE, EXIT_OK};
use crate::auth::{StoredKind, StoredToken, StoredTokenError, StoredTokens, TokenRequest};
use crate::domain::{Delay, iso};

/// What a stored token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArgument {
    /// Everything that writes
    Ingest,
    /// Reading, where reading needs a token
    Read,
    /// Reading as the user that --user names, with their private streams
    User,
}

/// The token to make.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct CreateToken {
    /// What it is for
    kind: KindArgument,
    /// Its name, by which it is listed and revoked
    #[arg(long)]
    name: String,
    /// The user's id, for the kind user
    #[arg(long, value_name = "ID", value_parser = user_id)]
    user: Option<String>,
    /// How much later its holder gets prices and signals than others, such as 15m; at most 24h
    #[arg(long, value_name = "DURATION", value_parser = delay)]
    delay: Option<Delay>,
    /// How long it is good for, such as 90d; without it, until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    ttl: Option<Duration>,
}

/// The stored tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenCommandError {
    /// The stored tokens.
    #[error(transparent)]
    Stored(#[from] StoredTokenError),
    /// The output.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl CreateToken {
    /// Makes the token and prints its secret, and nothing else.
    pub(super) fn run(
        &self,
        dir: &Path,
        clock: fn() -> DateTime<Utc>,
        out: &mut impl Write,
    ) -> Result<u8, TokenCommandError> {
        let now = clock();
        let kind = match self.kind {
            KindArgument::Ingest => StoredKind::Ingest,
            KindArgument::Read => StoredKind::Read,
            KindArgument::User => StoredKind::User,
        };
        let request = TokenRequest {
            kind,
            name: self.name.clone(),
            user: self.user.clone(),
            delay: self.delay.unwrap_or_default(),
            expires_at: self.ttl.and_then(|ttl| now.checked_add_signed(TimeDelta::from_std(ttl).ok()?)),
        };
        let secret = StoredTokens::open(dir)?.create(&request, now)?;
        writeln!(out, "{secret}")?;
        Ok(EXIT_OK)
    }
}

/// Prints the stored tokens, one a line.
pub(super) fn list(dir: &Path, out: &mut impl Write) -> Result<u8, TokenCommandError> {
    let tokens = StoredTokens::open(dir)?.list();
    if tokens.is_empty() {
        writeln!(out, "no stored tokens in {}", dir.display())?;
    }
    for token in tokens {
        writeln!(out, "{}", line(&token))?;
    }
    Ok(EXIT_OK)
}

fn line(token: &StoredToken) -> String {
    let user = token.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    let late = if token.delay.is_none() { String::new() } else { format!(", {} late", token.delay) };
    let end = token.expires_at.map(|end| format!(", until {}", iso(end))).unwrap_or_default();
    let used = token.last_used_at().map_or_else(|| "never used".to_owned(), |at| format!("last used {}", iso(at)));
    format!("{}: {}{user}{late}, made {}{end}, {used}", token.name, token.kind.name(), iso(token.created_at))
}

/// Revokes the token with this name.
pub(super) fn revoke(dir: &Path, name: &str, out: &mut impl Write) -> Result<u8, TokenCommandError> {
    if StoredTokens::open(dir)?.revoke(name)? {
        writeln!(out, "revoked; a running server ends its connections within a second")?;
        return Ok(EXIT_OK);
    }
    writeln!(out, "no stored token in {} has this name; `orion-server token list` shows them", dir.display())?;
    Ok(EXIT_FAILURE)
}
