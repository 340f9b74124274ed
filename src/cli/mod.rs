//! The command line: parses it, loads the settings, and runs the commands other than `serve`.

mod backtest;
mod calibrate;
mod cluster;
mod doctor;
mod health;
mod log;
mod notify;
mod progress;
mod recompute;
mod stored_tokens;
mod token;
mod witness;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use http::Uri;

pub use backtest::{BacktestCommand, BacktestCommandError};
pub use calibrate::{CalibrateCommand, CalibrateError};
pub use cluster::{ClusterCommand, ClusterCommandError};
pub use doctor::DoctorCommand;
pub use health::{HealthCommand, Unhealthy};
pub use log::{CommandError, LogCommand};
pub use notify::{NotifyCommand, NotifyCommandError};
pub use recompute::{RecomputeCommand, RecomputeCommandError};
pub use stored_tokens::TokenCommandError;
pub use token::{NoSecret, TokenCommand, token};
pub use witness::{WitnessCommand, WitnessError};

use crate::config::{self, ConfigError, Environment, Loaded, Settings};
use crate::sources::{PROVIDERS, providers};
use crate::store;

/// Exit code of success.
pub const EXIT_OK: u8 = 0;
/// Exit code of any failure other than a wrong command line or configuration.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of `migrate --check` when an upgrade is due.
pub const EXIT_DUE: u8 = 2;
/// Exit code of a wrong command line or configuration (`EX_USAGE`).
pub const EXIT_CONFIG: u8 = 64;

/// Returns the end of the help.
fn after_help() -> String {
    let names = PROVIDERS.iter().map(|provider| provider.table.name).collect::<Vec<_>>().join(", ");
    format!(
        "\
Environment:
  PORT                 port to listen on [8080]
  ORION_SOURCES        simulator, replay, {names}, or none for pushed data only [simulator]
  ORION_INGEST_TOKEN   bearer token for everything that writes; unset: stored tokens only (token create)
  ORION_DATA_DIR       where the database lives [./data]
  ORION_FIRST_RUN      0: a first start makes no admin token, and has no start page [1]
  ORION_SIGNAL_TTL     life of a pending signal [5m]
  ORION_LOG            what is logged, such as debug or info,orion_server=debug [info]
  ORION_CONFIG         a TOML file with settings; ./orion.toml is read if it is there

All settings and their variables: orion-server default-config
SIGHUP reads them again, applies what needs no restart, and logs what does
Exit codes: 0 done or clean stop, 64 wrong command line or configuration, 1 any other failure; migrate --check: 2 an upgrade is due"
    )
}

/// Live prices and trading signals for dashboards, over Socket.IO and WebSocket.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "orion-server", version, after_help = after_help())]
pub struct Cli {
    /// TOML file with settings, instead of the one that the environment names
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Default, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    #[default]
    Serve,
    /// Check the configuration and print the settings in effect
    CheckConfig,
    /// Print every setting with its default, as a TOML file to start from
    DefaultConfig,
    /// Run recordings through the rules that find signals, and report what came of them
    ///
    /// The same engine as in the server, as fast as it goes: the signals are those of a replay. The result is a table; --json
    /// and --html write all of it. With --events only the detectors run, and what they found is written: swings, sweeps,
    /// breaks of structure and fair value gaps, each with the bar at whose close it was known. With --lookahead-check prefixes of
    /// the files are replayed, and every output that the rest of a file rewrites is counted; one is enough to exit with 1.
    #[command(after_help = "Examples:\n  orion-server backtest --html report.html eurusd_m1.csv xauusd_m1.csv\n  \
        orion-server backtest --symbol EURUSD --events events.json eurusd_m1.csv\n  \
        orion-server backtest --lookahead-check eurusd_m15.csv\n  \
        orion-server backtest --sweep setups.min_score=0.4:0.8:0.1 --sweep setups.swing=3,5,8 eurusd_m1.csv")]
    Backtest(BacktestCommand),
    /// Report what the model scores of recorded signals are worth as probabilities, and suggest a mapping
    ///
    /// Reads the outcomes of the log, also beside a running server, and changes nothing: the reliability curve, the parts of the
    /// Brier score, and an isotonic mapping from score to probability with its interval, tried on the last 30 %. Nothing is
    /// applied before --write makes a file of the mapping and setups.calibration names it.
    #[command(after_help = "Examples:\n  orion-server calibrate\n  orion-server calibrate --write calibration.json")]
    Calibrate(CalibrateCommand),
    /// Compare the live signals of a day with a backtest over the ticks that the server kept of it
    ///
    /// What the server does each night for the previous day, also beside a running server; changes nothing. Each signal of the
    /// setups that a backtest does not have, or has otherwise, is listed with the reason: late ticks, a failover, a restart, lost
    /// ticks or a gap. Exits with 1 when nothing explains a difference.
    #[command(after_help = recompute::EXAMPLE)]
    Recompute(RecomputeCommand),
    /// Make a user token, for dashboards with private streams; or make, list and revoke stored tokens
    ///
    /// With --user it prints a token that is signed with `ORION_JWT_SECRET`, and nothing else. Stored tokens need no such secret.
    /// They are those of the admin page, in the data directory of the settings.
    #[command(
        after_help = "Examples:\n  orion-server token --user demo --ttl 12h\n  orion-server token inspect < token.txt\n  \
            orion-server token create ingest --name tradingview-relay\n  orion-server token revoke tradingview-relay"
    )]
    Token(TokenCommand),
    /// Check the configuration and all that the server needs, and say what to fix
    ///
    /// A line for each check: keys, clock, time zones, data directory, disk space, port, enabled providers, and the address
    /// that TradingView's alerts go to. Changes nothing. Exits with 1 when something is to be fixed.
    #[command(after_help = doctor::EXAMPLE)]
    Doctor(DoctorCommand),
    /// Ask a running server whether it serves, for container images without curl
    ///
    /// Asks for /ready on the port of the settings and prints the answer. Exits with 0 when it serves, degraded or not, and
    /// with 1 when it starts, drains or does not answer within 4 s.
    #[command(after_help = health::EXAMPLE)]
    Health(HealthCommand),
    /// Make the log of a cluster, or show the state of its nodes
    #[command(subcommand, after_help = cluster::EXAMPLE)]
    Cluster(ClusterCommand),
    /// Follow the log of another server, and cosign its checkpoints as long as it only grows
    ///
    /// Run it where the operator of that server has no access. It never goes back: a log that was cut off or rewritten is an error,
    /// and the checkpoint that shows it is kept. Ends with 1 when the log was forked; with --once after any failed look.
    #[command(after_help = witness::EXAMPLE)]
    Witness(WitnessCommand),
    /// Try out the notices to Telegram, LINE, Discord, Slack, ntfy, e-mail or a webhook
    #[command(subcommand, after_help = notify::EXAMPLE)]
    Notify(NotifyCommand),
    /// Work on the signal log.
    #[command(flatten)]
    Log(LogCommand),
}

/// Parses the command line; the first of `args` is the name of the program.
///
/// # Errors
/// The exit code, after the help, the version or an error was printed.
pub fn parse(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, u8> {
    Cli::try_parse_from(args).map_err(|answer| match answer.print() {
        _ if answer.use_stderr() => EXIT_CONFIG,
        Ok(()) => EXIT_OK,
        Err(_) => EXIT_FAILURE,
    })
}

/// Parses the URL of a command. The error does not repeat it: its path can contain a token.
fn address(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is no address")?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err("must begin with https:// or http://"),
    }
}

impl Cli {
    /// Returns the command; `serve` when the command line has none.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }

    /// Loads the settings.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(&self, env: &Environment) -> Result<Loaded, ConfigError> {
        Settings::load(providers::tables(), env, self.config.as_deref())
    }

    /// Loads the settings with these in place of those of the file and the environment, by key such as `setups.swing`.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load_with(&self, env: &Environment, changed: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let variable = |key: &str| format!("ORION_{}", key.replace('.', "__").to_ascii_uppercase());
        let mut env = env.clone();
        env.extend(changed.iter().map(|(key, value)| (variable(key), (*value).to_owned())));
        Ok(self.load(&env)?.settings)
    }
}

/// Runs `check-config`: prints that the configuration is usable, its warnings, and the settings in effect.
///
/// # Errors
/// When `out` cannot be written.
pub fn check_config(loaded: &Loaded, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "configuration ok")?;
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    // Only a warning here, because the settings may be for another machine.
    let dir = &loaded.settings.data.dir;
    if let Err(error) = store::check_writable(dir) {
        writeln!(out, "warning: {error}")?;
    }
    if let Some(kind) = store::foreign_filesystem(dir) {
        writeln!(out, "warning: {}", store::foreign_warning(dir, kind))?;
    }
    let file = loaded.file.as_ref().map(|file| format!("{}, ", file.display())).unwrap_or_default();
    writeln!(out, "\n# In effect, from defaults, {file}environment:")?;
    write!(out, "{}", toml::to_string(&loaded.settings).map_err(io::Error::other)?)
}

/// Runs `default-config`: prints every setting with its default.
///
/// # Errors
/// When `out` cannot be written.
pub fn default_config(out: &mut impl Write) -> io::Result<()> {
    out.write_all(config::default_config(providers::tables()).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    fn command(args: &str) -> Result<Command, u8> {
        parse(std::iter::once("orion-server").chain(args.split_whitespace())).map(|cli| cli.command())
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        assert_eq!(command(""), Ok(Command::Serve));
        assert_eq!(command("--config a.toml serve"), Ok(Command::Serve));
        assert_eq!(command("check-config --config a.toml"), Ok(Command::CheckConfig));
        assert_eq!(command("default-config"), Ok(Command::DefaultConfig));
    }

    #[test]
    fn only_a_wrong_command_line_fails() {
        assert_eq!([command("--help"), command("--version")], [Err(EXIT_OK), Err(EXIT_OK)]);
        assert_eq!([command("swerve"), command("--colour"), command("--config")], [const { Err(EXIT_CONFIG) }; 3]);
    }

    #[test]
    fn log_commands_are_parsed_and_show_an_example() {
        for line in ["verify", "export --format csv", "backup copy.db", "migrate --check"] {
            for (line, expected) in [(line.to_owned(), None), (format!("{line} --dir /data"), Some(Path::new("/data")))]
            {
                let Ok(Command::Log(command)) = command(&line) else { panic!("{line} is a command on the log") };
                assert_eq!(command.location(), expected, "{line}");
            }
        }
        for line in ["export", "export --format xml", "backup", "backup a.db b.db", "verify a.db", "migrate"] {
            assert_eq!(command(line), Err(EXIT_CONFIG), "{line}");
        }
        for name in ["verify", "export", "backup", "migrate"] {
            let mut cli = <Cli as CommandFactory>::command();
            let help = cli.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert!(help.contains(&format!("Example:\n  orion-server {name} ")), "{help}");
        }
    }

    #[test]
    fn the_arguments_of_a_backtest_are_parsed() {
        for line in ["backtest a.csv", "backtest a.csv b.csv --symbol EURUSD --json - --html r.html"] {
            assert!(matches!(command(line), Ok(Command::Backtest(_))), "{line}");
        }
        for detectors in ["--events out.json", "--json out.json --lookahead-check"] {
            let line = format!("backtest --symbol EURUSD --interval 1m --swing 5 {detectors} in.csv");
            assert!(matches!(command(&line), Ok(Command::Backtest(_))), "{line}");
        }
        for line in [
            "backtest",
            "backtest a.csv --interval 5m",
            "backtest a.csv --events e.json --interval 2m",
            "backtest a.csv --events e.json --swing 0",
            "backtest a.csv --events e.json --html r.html",
            "backtest a.csv --events e.json --lookahead-check",
            "backtest a.csv --lookahead-check --html r.html",
        ] {
            assert_eq!(command(line), Err(EXIT_CONFIG), "{line}");
        }
    }

    #[test]
    fn the_day_of_a_recomputation_is_a_date() {
        for line in ["recompute", "recompute 2026-11-27 --json - --dir /data"] {
            assert!(matches!(command(line), Ok(Command::Recompute(_))), "{line}");
        }
        for line in ["recompute yesterday", "recompute 2026-02-30", "recompute 2026-11-27 2026-11-28"] {
            assert_eq!(command(line), Err(EXIT_CONFIG), "{line}");
        }
    }

    #[test]
    fn check_config_prints_no_secrets() {
        let env = Environment::from([("ORION_INGEST_TOKEN".to_owned(), "hunter2".to_owned())]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let loaded = Settings::load(providers::tables(), &env, Some(file.path())).unwrap();
        let mut out = Vec::new();
        check_config(&loaded, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("configuration ok\nwarning: the simulator runs"), "{out}");
        assert!(out.contains("ingest_token = \"***\"") && !out.contains("hunter2"), "{out}");
    }
}
