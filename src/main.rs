//! The program: parses the command line, loads the settings, runs the command and returns its exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use orion_server::app::SettingsSource;
use orion_server::cli::{self, Cli, Command};
use orion_server::config::Loaded;
use orion_server::pipeline::clock;
use orion_server::telemetry::logging;
use orion_server::{app, config, store};

/// Gives memory back after a storm of clients, which glibc's allocator does not: `.cargo/config.toml` has its settings.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::parse(std::env::args_os()).and_then(|cli| run(&cli)).unwrap_or_else(|code| code).into()
}

/// Runs the command. Both results are exit codes; the error was already printed.
fn run(cli: &Cli) -> Result<u8, u8> {
    let load = || cli.load(&config::environment()).map_err(|error| complain(cli::EXIT_CONFIG, &error));
    match cli.command() {
        Command::Serve => serve(cli, &load()?),
        Command::CheckConfig => printed(cli::check_config(&load()?, &mut io::stdout())),
        Command::Doctor(doctor) => {
            let loaded = cli.load(&config::environment());
            doctor.run(loaded, clock::wall, &mut io::stdout().lock()).map_err(failed)
        }
        Command::Health(health) => {
            // With `--url`, the settings are not needed.
            let server =
                if health.needs_settings() { load()?.settings.server } else { config::ServerSettings::default() };
            health.run(&server, &mut io::stdout()).map_err(failed)
        }
        Command::DefaultConfig => printed(cli::default_config(&mut io::stdout())),
        Command::Backtest(command) => {
            let env = config::environment();
            command.run(&load()?.settings, |changed| cli.load_with(&env, changed)).map_err(failed)
        }
        Command::Calibrate(command) => {
            let location = match command.location() {
                Some(location) => location.to_owned(),
                None => load()?.settings.data.dir,
            };
            command.run(&location, &mut io::stdout().lock()).map_err(failed)
        }
        Command::Recompute(command) => {
            command.run(&load()?.settings, clock::wall(), &mut io::stdout().lock()).map_err(failed)
        }
        Command::Token(command) => {
            let settings = load()?.settings;
            if let Some(done) = command.on_stored(&settings.data.dir, clock::wall, &mut io::stdout()) {
                return done.map_err(failed);
            }
            match cli::token(&settings.auth, &command, clock::wall, &mut io::stdout()) {
                Ok(Ok(code)) => Ok(code),
                Ok(Err(error)) => printed(Err(error)),
                Err(error) => Err(complain(cli::EXIT_CONFIG, &error)),
            }
        }
        Command::Cluster(command) => command.run(&load()?.settings, &mut io::stdout().lock()).map_err(failed),
        Command::Witness(command) => command.run(clock::wall, &mut io::stdout().lock()).map_err(failed),
        Command::Notify(command) => {
            let (settings, clock) = (load()?.settings, std::sync::Arc::new(clock::wall));
            command.run(&settings, clock, &mut io::stdout().lock()).map_err(failed)
        }
        Command::Log(command) => {
            let location = match command.location() {
                Some(location) => location.to_owned(),
                None => load()?.settings.data.dir,
            };
            command.run(&location).map_err(failed)
        }
    }
}

fn serve(cli: &Cli, loaded: &Loaded) -> Result<u8, u8> {
    let filter = logging::init(&loaded.settings.log).map_err(failed)?;
    let cli = cli.clone();
    let source = SettingsSource::new(move || cli.load(&config::environment()), filter);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let dir = &loaded.settings.data.dir;
    if let Some(kind) = store::foreign_filesystem(dir) {
        tracing::warn!("{}", store::foreign_warning(dir, kind));
    }
    app::run_until_signalled(&loaded.settings, source).map(|()| cli::EXIT_OK).map_err(failed)
}

/// Converts the result of printing; a closed standard output is not an error.
fn printed(outcome: io::Result<()>) -> Result<u8, u8> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(cli::EXIT_OK),
    }
}

fn failed(error: impl std::fmt::Display) -> u8 {
    complain(cli::EXIT_FAILURE, &error)
}

fn complain(code: u8, error: &dyn std::fmt::Display) -> u8 {
    // There is no other place to report a closed standard error.
    writeln!(io::stderr(), "orion-server: {error:#}").ok();
    code
}
