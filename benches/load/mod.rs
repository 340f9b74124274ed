//! Shared parts of the load tests: servers as separate processes, cheap clients, and the checks of promises.
//!
//! A program runs in full under `cargo bench`, and with a small load under `cargo test --all-targets`.

#![allow(dead_code, reason = "not every program needs all of it")]

pub mod bare;
pub mod client;
pub mod process;

use std::process::ExitCode;
use std::time::Duration;

/// The argument with which a program starts itself as the bare server.
pub const BARE: &str = "--bare";

/// How a program was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Full,
    Small,
}

impl Mode {
    /// Returns `full` in a full run, else `small`.
    pub fn choose<T>(self, full: T, small: T) -> T {
        match self {
            Self::Full => full,
            Self::Small => small,
        }
    }
}

/// Runs the program, or the bare server in the child process. Respects Cargo's filters of benchmarks.
pub fn run(name: &str, program: impl AsyncFnOnce(Mode) -> Promises) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |arg: &str| args.iter().any(|given| given == arg);
    let mut filters = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
    let limit = orion_server::listener::raise_limit();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if has(BARE) {
        runtime.block_on(bare::serve());
        return ExitCode::SUCCESS;
    }
    if filters.peek().is_some() && !filters.any(|filter| name.contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    let mode = if has("--bench") && !has("--test") { Mode::Full } else { Mode::Small };
    println!("{name}: file descriptors {limit}{}", mode.choose("", ", a small run"));
    runtime.block_on(program(mode)).finish()
}

/// Checks that have to pass on every machine.
#[derive(Debug, Default)]
pub struct Promises {
    broken: Vec<String>,
}

impl Promises {
    /// Records a promise, which is broken unless `holds`.
    pub fn check(&mut self, holds: bool, promise: impl Into<String>) {
        if !holds {
            self.broken.push(promise.into());
        }
    }

    fn finish(self) -> ExitCode {
        for promise in &self.broken {
            println!("BROKEN: {promise}");
        }
        if self.broken.is_empty() {
            println!("all promises hold");
            return ExitCode::SUCCESS;
        }
        ExitCode::FAILURE
    }
}

/// The distribution of measured durations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    pub count: usize,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl Spread {
    pub fn of(mut measured: Vec<Duration>) -> Self {
        measured.sort_unstable();
        let at = |share: f64| {
            let index = (measured.len() as f64 * share) as usize;
            measured.get(index.min(measured.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Self { count: measured.len(), p50: at(0.50), p99: at(0.99), max: at(1.0) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = [self.p50, self.p99, self.max].map(|time| time.as_secs_f64() * 1_000.0);
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
    }
}
