//! The commands for the signal log. They need no running server, and all but `repair` work beside one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine};
use clap::{Args, Subcommand};

use super::progress::ProgressLine;
use super::{EXIT_DUE, EXIT_FAILURE, EXIT_OK};
use crate::record::{CheckpointError, SignedCheckpoint};
use crate::store::{
    self, ExportFormat, Repair, RepairMode, Repaired, SchemaState, StoreError, TreeHead, VerifiedRecords,
};

/// Size of the output buffer, in bytes.
const BUFFER: usize = 64 << 10;

/// What to do with the signal log.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum LogCommand {
    /// Check the signal log: was any event or record edited, lost or damaged?
    ///
    /// Follows the chains of hashes over all stored events and over all records of what became of confirmed signals, looks
    /// for confirmed signals without one, and checks the database around them. Works beside a running server, and on
    /// backups. Exits with 1 when something is wrong, and names the first event or record that is.
    ///
    /// The last two lines hold the hashes of the two ends, each of which covers all before it, and the number of leaves and the
    /// root of the tree over both: noted elsewhere, they also show a log that was cut at its end or written anew.
    #[command(
        after_help = "Example:\n  orion-server verify --dir orion-backup.db\n  orion-server verify --checkpoint checkpoint.txt"
    )]
    Verify {
        /// Also check that the log began as it was at earlier checkpoints: a file with one or more of them, as /log/checkpoint or
        /// a witness has written it
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// The public key that has to have signed the checkpoints, as /log/key shows it; without it signatures are not checked
        #[arg(long, value_name = "KEY", requires = "checkpoint")]
        key: Option<String>,
        /// The log.
        #[command(flatten)]
        location: LogLocation,
    },
    /// Write every change of every signal as CSV or JSON
    ///
    /// Oldest first, also beside a running server.
    #[command(after_help = "Example:\n  orion-server export --format csv > signals.csv")]
    Export {
        /// csv: a header and one line per event; json: an array with one object per event
        #[arg(long, hide_possible_values = true, value_name = "csv|json")]
        format: ExportFormat,
        /// What became of confirmed signals, instead of the changes; as JSON
        #[arg(long)]
        outcomes: bool,
        /// A new file to write, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The log.
        #[command(flatten)]
        location: LogLocation,
    },
    /// Copy the database to a new file, also while the server runs
    ///
    /// The copy has an epoch of its own: a dashboard's cursor of before gets a snapshot from it, never other signals than
    /// it means. To restore, stop the server, put the copy in the place of orion.db, and remove orion.db-wal and
    /// orion.db-shm; orion.watermark may stay.
    #[command(after_help = "Example:\n  orion-server backup orion-backup.db")]
    Backup {
        /// The copy; never overwritten
        file: PathBuf,
        /// The log.
        #[command(flatten)]
        location: LogLocation,
    },
    /// Say what the next start does to the schema of the database, after a new release was installed
    ///
    /// Prints the schema that the log has and the one that this program writes, the steps between them, the room that the
    /// backup before them needs, and the backups of earlier upgrades. Changes nothing, and works beside a running server of
    /// the earlier release: the upgrade itself is made by the start of the new one. Exits with 0 when nothing would run, with
    /// 2 when an upgrade would, and with 1 when the log cannot be used: it is damaged, or of a newer release (the error says
    /// which version to install, or which backup to restore).
    #[command(after_help = "Example:\n  orion-server migrate --check")]
    Migrate {
        /// Only say what would run
        #[arg(long, required = true)]
        check: bool,
        /// The log.
        #[command(flatten)]
        location: LogLocation,
    },
    /// Make a damaged signal log usable again, out of what is whole in it
    ///
    /// For when the server refuses to start, or `verify` finds something. Says what is wrong, what can be kept and what is
    /// lost, changes nothing and exits with 1. With --accept-loss it is done: the damaged files are moved into a folder
    /// beside them, a new log with everything that is whole takes their place, and it gets a new epoch, so that a
    /// dashboard's cursor of before gets a snapshot, never other signals than it means. A backup, if there is one, loses
    /// less: compare what they hold. The server must be stopped. Exits with 0 when nothing is to be repaired.
    #[command(after_help = "Examples:\n  orion-server repair\n  orion-server repair --accept-loss")]
    Repair {
        /// Do it, and accept that what is damaged is lost
        #[arg(long)]
        accept_loss: bool,
        /// The log.
        #[command(flatten)]
        location: LogLocation,
    },
}

/// Where the log is.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LogLocation {
    /// Data directory, or a database file such as a backup, instead of the directory in the settings
    #[arg(long, value_name = "DIR|FILE")]
    dir: Option<PathBuf>,
}

impl LogLocation {
    /// Returns the location, if there is one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.dir.as_deref()
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The log or its copy cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An output file cannot be written.
    #[error("{}: {error}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is no checkpoint, or not one of the log.
    #[error("{}: {error}", .file.display())]
    Checkpoint {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// Outcomes have no CSV form.
    #[error("outcomes are exported as JSON: --format json")]
    OutcomesAsCsv,
    /// Standard output cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Store(error) => *error == StoreError::Output(io::ErrorKind::BrokenPipe),
            Self::File { .. } | Self::Checkpoint { .. } | Self::OutcomesAsCsv => false,
        }
    }
}

impl LogCommand {
    /// Returns the location on the command line, if there is one.
    pub fn location(&self) -> Option<&Path> {
        let (Self::Verify { location, .. }
        | Self::Export { location, .. }
        | Self::Backup { location, .. }
        | Self::Migrate { location, .. }
        | Self::Repair { location, .. }) = self;
        location.path()
    }

    /// Runs the command on the log at `location` and returns the exit code. A closed standard output is not an error.
    ///
    /// # Errors
    /// When the command fails.
    pub fn run(&self, location: &Path) -> Result<u8, CommandError> {
        let mut out = io::stdout().lock();
        let outcome = match self {
            Self::Verify { checkpoint, key, .. } => checkpoints(checkpoint.as_deref(), key.as_deref())
                .and_then(|earlier| verify(location, &earlier, &mut out)),
            Self::Export { outcomes: true, format: ExportFormat::Csv, .. } => Err(CommandError::OutcomesAsCsv),
            Self::Export { format, outcomes, output: None, .. } => {
                let out = BufWriter::with_capacity(BUFFER, out);
                let written = if *outcomes {
                    store::export_outcomes(location, out)
                } else {
                    store::export(location, *format, out)
                };
                written.map(|_| EXIT_OK).map_err(CommandError::from)
            }
            Self::Export { format, outcomes, output: Some(file), .. } => {
                let write = |out: BufWriter<File>| {
                    if *outcomes {
                        store::export_outcomes(location, out)
                    } else {
                        store::export(location, *format, out)
                    }
                };
                export(file, if *outcomes { "records" } else { "events" }, write, &mut out)
            }
            Self::Backup { file, .. } => backup(location, file, &mut out),
            Self::Migrate { .. } => check_schema(location, &mut out),
            Self::Repair { accept_loss, .. } => {
                repair(location, if *accept_loss { RepairMode::AcceptLoss } else { RepairMode::Plan }, &mut out)
            }
        };
        match outcome {
            Err(error) if error.is_broken_pipe() => Ok(EXIT_OK),
            outcome => outcome,
        }
    }
}

/// Reads the heads of the checkpoints in a file, and checks their signatures when there is a key.
fn checkpoints(file: Option<&Path>, key: Option<&str>) -> Result<Vec<TreeHead>, CommandError> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let wrong = |error| CommandError::Checkpoint { file: file.into(), error };
    let text = fs::read_to_string(file).map_err(|error| CommandError::File { file: file.into(), error })?;
    let read = |checkpoint: SignedCheckpoint| {
        key.map_or(Ok(()), |key| checkpoint.verify(key))?;
        Ok(*checkpoint.head())
    };
    let all = SignedCheckpoint::parse_all(&text).map_err(wrong)?;
    all.into_iter().map(read).collect::<Result<_, _>>().map_err(wrong)
}

/// Prints the result of the verification; a broken chain is a result, not an error.
fn verify(location: &Path, earlier: &[TreeHead], out: &mut impl Write) -> Result<u8, CommandError> {
    match store::verify_against(location, earlier) {
        Ok(found) => {
            write!(out, "ok: {} events", found.events)?;
            if found.events > 0 {
                write!(out, ", seq {}–{}", found.first_seq, found.last_seq)?;
            }
            writeln!(out, ", {} pruned before", found.pruned)?;
            let VerifiedRecords { records, taken_over, pruned, open, hash } = found.records;
            writeln!(
                out,
                "ok: {records} records of confirmed signals ({taken_over} from before the chain), {pruned} pruned before, \
                 {open} open"
            )?;
            writeln!(out, "ends: {} {}", store::hex(&found.hash), store::hex(&hash))?;
            let TreeHead { size, root } = found.tree;
            writeln!(out, "tree: {size} {}", BASE64_STANDARD.encode(root))?;
            if let Some(last) = earlier.iter().map(|head| head.size).max() {
                writeln!(out, "ok: {} checkpoints of up to {last} leaves", earlier.len())?;
            }
            Ok(EXIT_OK)
        }
        Err(StoreError::BrokenRecord(what)) => {
            writeln!(out, "broken: {what}").ok();
            Ok(EXIT_FAILURE)
        }
        Err(error @ (StoreError::BrokenTree(_) | StoreError::Lost { .. })) => {
            writeln!(out, "broken: {error}").ok();
            Ok(EXIT_FAILURE)
        }
        Err(StoreError::Broken { seq, what }) => {
            // The exit code reports the result even if this cannot be written.
            writeln!(out, "broken at seq {seq}: {what}").ok();
            Ok(EXIT_FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints what the next start would do to the schema.
fn check_schema(location: &Path, out: &mut impl Write) -> Result<u8, CommandError> {
    let SchemaState { file, found, known, steps, space, backups } = store::schema_state(location)?;
    let (file, version) = (file.display(), env!("CARGO_PKG_VERSION"));
    let Some(found) = found else {
        writeln!(out, "ok: there is no log at {file}; orion-server {version} begins one with schema {known}")?;
        return Ok(EXIT_OK);
    };
    if steps.is_empty() {
        writeln!(out, "ok: {file} has schema {found}, which orion-server {version} writes")?;
    } else {
        writeln!(
            out,
            "due: {file} has schema {found}; the next start of orion-server {version} upgrades it to {known}"
        )?;
    }
    for (step, what) in &steps {
        writeln!(out, "step {step}: {what}")?;
    }
    if let Some((needed, free)) = space {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            out,
            "backup: {:.1} MiB at most, made before it unless data.upgrade_backup is off; {:.1} MiB are free",
            mib(needed),
            mib(free)
        )?;
    }
    for backup in backups {
        writeln!(out, "kept: {}", backup.display())?;
    }
    Ok(if steps.is_empty() { EXIT_OK } else { EXIT_DUE })
}

fn repair(location: &Path, mode: RepairMode, out: &mut impl Write) -> Result<u8, CommandError> {
    let Some(Repair { damage, kept, lost, done }) = store::repair(location, mode, SystemTime::now().into())? else {
        writeln!(out, "ok: nothing is to be repaired")?;
        return Ok(EXIT_OK);
    };
    writeln!(out, "found: {damage}")?;
    writeln!(out, "kept: {kept}")?;
    for line in lost {
        writeln!(out, "lost: {line}")?;
    }
    let Some(Repaired { moved_to, epoch }) = done else {
        writeln!(out, "Nothing was changed. To do it: orion-server repair --accept-loss")?;
        return Ok(EXIT_FAILURE);
    };
    writeln!(out, "moved: the damaged files are in {}", moved_to.display())?;
    writeln!(out, "ok: repaired. The log has the new epoch {epoch}: cursors from before get a snapshot")?;
    Ok(EXIT_OK)
}

fn export(
    file: &Path,
    what: &str,
    write: impl FnOnce(BufWriter<File>) -> Result<u64, StoreError>,
    out: &mut impl Write,
) -> Result<u8, CommandError> {
    // Protects the database itself, which is easily named by mistake.
    let output = File::create_new(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Exists(file.into()).into(),
        _ => CommandError::File { file: file.into(), error },
    })?;
    match write(BufWriter::with_capacity(BUFFER, output)) {
        Ok(count) => {
            writeln!(out, "ok: {count} {what} in {}", file.display())?;
            Ok(EXIT_OK)
        }
        Err(error) => {
            // The first error is reported, not that of the removal.
            fs::remove_file(file).ok();
            Err(error.into())
        }
    }
}

fn backup(location: &Path, file: &Path, out: &mut impl Write) -> Result<u8, CommandError> {
    let mut progress = ProgressLine::new("backup");
    store::backup(location, file, |percent| progress.report(percent)).inspect_err(|_| progress.clear())?;
    progress.clear();
    let bytes = fs::metadata(file).map_err(|error| CommandError::File { file: file.into(), error })?.len();
    writeln!(out, "ok: copied to {} ({:.1} MiB)", file.display(), bytes as f64 / f64::from(1 << 20))?;
    Ok(EXIT_OK)
}
