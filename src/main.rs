//! Command line → settings → log → [`app::run`] → exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use orion_server::cli::{self, Cli, Command};
use orion_server::telemetry::logging;
use orion_server::{app, config};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()).and_then(|cli| run(&cli)) {
        Ok(()) => cli::EXIT_OK.into(),
        Err(code) => code.into(),
    }
}

fn run(cli: &Cli) -> Result<(), u8> {
    if cli.command() == Command::DefaultConfig {
        return cli::default_config(&mut io::stdout()).map_err(failed);
    }
    let loaded = cli.load(&config::environment()).map_err(|error| complain(cli::EXIT_CONFIG, &error))?;
    if cli.command() == Command::CheckConfig {
        return cli::check_config(&loaded, &mut io::stdout()).map_err(failed);
    }
    logging::init(&loaded.settings.log).map_err(failed)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    app::run_until_signalled(&loaded.settings).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> u8 {
    complain(cli::EXIT_FAILURE, &error)
}

fn complain(code: u8, error: &dyn std::fmt::Display) -> u8 {
    // Nobody is left to tell when standard error is closed.
    writeln!(io::stderr(), "orion-server: {error:#}").ok();
    code
}
