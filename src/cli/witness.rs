//! The command `witness`: follows the log of another server, and cosigns its checkpoints as long as it only grows.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{DateTime, Utc};
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{EXIT_OK, address};
use crate::config::{self, Secret};
use crate::record::{CheckpointError, LogKey, LogKeyError, SignedCheckpoint, WitnessFault, check_growth};
use crate::sources::net::{Http, NetError};
use crate::store::{Hash, TreeHead};

/// Time-out for a response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest response body that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The file of the witness's key in its directory.
const KEY: &str = "witness.key";
/// The file of the log's public key.
const PINNED: &str = "log.pub";
/// The file of the last checkpoint, cosigned.
const HELD: &str = "checkpoint";

/// The examples below the help.
pub(super) const EXAMPLE: &str = "Examples:\n  orion-server witness https://feed.example.com --dir feed\n  \
    orion-server witness https://feed.example.com --dir feed --once --key \"$(cat feed.pub)\"";

/// Whom to follow.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct WitnessCommand {
    /// The address of the server to follow
    #[arg(value_name = "URL", value_parser = address)]
    url: Uri,
    /// Directory of what the witness holds: its key, the key of the log, and the last checkpoint, cosigned
    #[arg(long, value_name = "DIR", default_value = "./witness")]
    dir: PathBuf,
    /// The public key of the log, as its /log/key shows it; without it the first one that the server shows is noted and held on to
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The name of the witness in its signatures, such as witness.example.org; by default a name made of its key
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A file with a token for reading, where the server asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Look once and exit, for cron
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    let within = |time: &Duration| (Duration::from_secs(1)..=Duration::from_hours(24)).contains(time);
    config::parse_duration(text).filter(within).ok_or("must be 1s to 1d")
}

/// Why a checkpoint was not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The server does not answer.
    #[error("the server does not answer: {0}")]
    Unreachable(#[from] NetError),
    /// The server answers with another status than 200.
    #[error("the server answers {status} to {path}{}", if *.status == StatusCode::UNAUTHORIZED { ": name a token for reading with --token-file" } else { "" })]
    Refused {
        /// The status.
        status: StatusCode,
        /// What was asked for.
        path: String,
    },
    /// What the server answers cannot be read.
    #[error("the server's answer to {0} cannot be read")]
    Unreadable(String),
    /// The checkpoint is not one, or another key has signed it.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// The log did not grow.
    #[error(transparent)]
    Fault(#[from] WitnessFault),
    /// The key of the witness cannot be used.
    #[error(transparent)]
    Key(#[from] LogKeyError),
    /// The name cannot stand in a signature.
    #[error("--name must not be empty, and have no spaces and no +")]
    Name,
    /// The key on the command line is not the one that was noted.
    #[error("--key is another key than the one in {}: this directory is the witness of another log", .0.display())]
    OtherKey(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {error}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The result cannot be printed, or the command cannot run.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl WitnessError {
    /// Whether another look can have another result.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused { .. } | Self::Unreadable(_))
            || matches!(self, Self::Fault(WitnessFault::Shrunk { .. }))
    }
}

/// What follows one log.
struct Follower<'a> {
    command: &'a WitnessCommand,
    http: Http,
    headers: HeaderMap,
    key: LogKey,
}

impl WitnessCommand {
    /// Looks once, or again and again. Ends with an error when the log was forked; with `--once` with any error.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn run(&self, clock: fn() -> DateTime<Utc>, out: &mut impl Write) -> Result<u8, WitnessError> {
        let file = |error| WitnessError::File { file: self.dir.clone(), error };
        fs::create_dir_all(&self.dir).map_err(file)?;
        let mut key = LogKey::of_file(&self.dir.join(KEY))?;
        if let Some(name) = &self.name {
            key = key.named(name).ok_or(WitnessError::Name)?;
        }
        let follower = Follower { command: self, http: Http::new(REQUEST_TIMEOUT), headers: self.headers()?, key };
        writeln!(out, "witness: {}", follower.key.public_as_witness())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            loop {
                match follower.look(clock).await {
                    Ok(told) => writeln!(out, "{told}")?,
                    Err(error) if self.once || !error.may_pass() => return Err(error),
                    Err(error) => writeln!(out, "error: {error}; looking again")?,
                }
                out.flush()?;
                if self.once {
                    return Ok(EXIT_OK);
                }
                sleep(self.interval).await;
            }
        })
    }

    fn headers(&self) -> Result<HeaderMap, WitnessError> {
        let mut headers = HeaderMap::new();
        if let Some(file) = &self.token_file {
            let failed = |error| WitnessError::File { file: file.clone(), error };
            let token = Secret::new(fs::read_to_string(file).map_err(failed)?);
            let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut bearer = bearer.map_err(|error| failed(io::Error::other(error)))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(headers)
    }
}

#[derive(Deserialize)]
struct ConsistencyAnswer {
    hashes: Vec<String>,
}

impl Follower<'_> {
    /// Fetches the checkpoint, compares it with the one that is held, and cosigns it. Returns a line about it.
    async fn look(&self, clock: fn() -> DateTime<Utc>) -> Result<String, WitnessError> {
        let public = self.pinned().await?;
        let mut found = SignedCheckpoint::parse(&self.text("/log/checkpoint").await?)?;
        found.verify(&public)?;
        let held = match self.read(HELD)? {
            Some(text) => {
                let held = SignedCheckpoint::parse(&text)?;
                held.verify(&public)?;
                Some(*held.head())
            }
            None => None,
        };
        if let Some(held) = &held {
            let grew = self.check(held, found.head()).await;
            if let Err(WitnessError::Fault(WitnessFault::Forked { found: size, .. })) = &grew {
                // The evidence: both are signed by the log's key.
                self.write(&format!("fork-{size}"), &found.to_string())?;
            }
            grew?;
        }
        found.cosign(&self.key, clock().timestamp().unsigned_abs())?;
        self.write(HELD, &found.to_string())?;
        let TreeHead { size, root } = found.head();
        let before = held.map(|held| format!(" (before {})", held.size)).unwrap_or_default();
        Ok(format!("ok: {} has {size} leaves{before}, root {}", found.origin(), BASE64_STANDARD.encode(root)))
    }

    async fn check(&self, held: &TreeHead, found: &TreeHead) -> Result<(), WitnessError> {
        let mut proof = Vec::new();
        if (1..found.size).contains(&held.size) {
            let path = format!("/api/log/consistency?from={}&to={}", held.size, found.size);
            let unreadable = || WitnessError::Unreadable(path.clone());
            let answer: ConsistencyAnswer = serde_json::from_str(&self.text(&path).await?).map_err(|_| unreadable())?;
            for hash in &answer.hashes {
                let hash = BASE64_STANDARD.decode(hash).ok().and_then(|hash| Hash::try_from(hash).ok());
                proof.push(hash.ok_or_else(unreadable)?);
            }
        }
        Ok(check_growth(held, found, &proof)?)
    }

    /// Returns the public key of the log: that of the command line, else the one that was noted, else that of the server, which is
    /// noted.
    async fn pinned(&self) -> Result<String, WitnessError> {
        let noted = self.read(PINNED)?.map(|key| key.trim().to_owned());
        match (&self.command.key, noted) {
            (Some(given), Some(noted)) if given.trim() != noted => {
                Err(WitnessError::OtherKey(self.command.dir.join(PINNED)))
            }
            (_, Some(noted)) => Ok(noted),
            (given, None) => {
                let key = match given {
                    Some(given) => given.trim().to_owned(),
                    None => self.text("/log/key").await?.trim().to_owned(),
                };
                self.write(PINNED, &format!("{key}\n"))?;
                Ok(key)
            }
        }
    }

    async fn text(&self, path: &str) -> Result<String, WitnessError> {
        let base = self.command.url.to_string();
        let url = format!("{}{path}", base.trim_end_matches('/'));
        let uri: Uri = url.parse().map_err(|_| WitnessError::Unreadable(path.to_owned()))?;
        let asked = async {
            let response = self.http.get(&uri, self.headers.clone()).await?;
            let status = response.status();
            Ok::<_, NetError>((status, self.http.read(response.into_body(), MAX_ANSWER).await?))
        };
        let answer = timeout(REQUEST_TIMEOUT, asked).await.map_err(|_| NetError::Silent(REQUEST_TIMEOUT))?;
        let (status, body) = answer?;
        if status != StatusCode::OK {
            return Err(WitnessError::Refused { status, path: path.to_owned() });
        }
        String::from_utf8(body.to_vec()).map_err(|_| WitnessError::Unreadable(path.to_owned()))
    }

    fn read(&self, name: &str) -> Result<Option<String>, WitnessError> {
        let file = self.command.dir.join(name);
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WitnessError::File { file, error }),
        }
    }

    /// Replaces a file as a whole.
    fn write(&self, name: &str, text: &str) -> Result<(), WitnessError> {
        let file = self.command.dir.join(name);
        replace(&file, text).map_err(|error| WitnessError::File { file, error })
    }
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let partial = file.with_extension("partial");
    let mut new = File::create(&partial)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&partial, file)
}
