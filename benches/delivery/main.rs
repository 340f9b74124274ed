//! Benchmark of deliveries: what a price and a signal cost the server for each client, beside the floor (a program that only
//! writes finished frames) and a bare socketioxide server. All run in turn, each in its own process pinned to one core; the load
//! is pinned to another one. Prices go out as ticks of seven, signals one by one.
//!
//! Compare ratios, never absolute figures, and only within one run. `cargo bench --bench delivery` takes some minutes, and fails
//! when a bound is exceeded: deliveries against the floor, and memory for each idle connection.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "a program, not a library")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints its findings")]
#![allow(clippy::disallowed_methods, reason = "measures time, and has tasks of its own")]

mod crowd;
mod floor;
#[path = "../load/mod.rs"]
mod load;
mod measure;
mod report;

use std::process::ExitCode;

use load::{Mode, Promises};
use measure::Subject;
use report::{Bounds, Table};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How often everything is measured; the medians count.
const ROUNDS: usize = 3;
/// Descriptors of a process that are not used by clients.
const RESERVE: u64 = 250;

/// What is published to a number of clients.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub clients: usize,
    /// The number of ticks, and the time between two of them in milliseconds.
    pub ticks: (u32, u64),
    /// The number of single signals, and the time between two of them in milliseconds.
    pub signals: (u32, u64),
}

const PLANS: [Plan; 2] = [
    Plan { clients: 1_000, ticks: (15, 200), signals: (75, 20) },
    Plan { clients: 10_000, ticks: (5, 1_000), signals: (10, 250) },
];
const SMALL: [Plan; 1] = [Plan { clients: 20, ticks: (2, 200), signals: (5, 20) }];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == floor::ARGUMENT) {
        floor::serve();
        return ExitCode::SUCCESS;
    }
    let cores = Cores::of_this_process();
    if !std::env::args().any(|argument| argument == load::BARE) {
        pin(cores.load);
    }
    load::run("delivery", async |mode| program(mode, cores).await)
}

/// The core of the server, and that of the load.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

impl Cores {
    fn of_this_process() -> Self {
        let allowed = sched_getaffinity(None).unwrap();
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = cores.next().unwrap();
        Self { server, load: cores.next().unwrap_or(server) }
    }
}

/// Keeps this thread, and what it starts from now on, on one core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).unwrap();
}

async fn program(mode: Mode, cores: Cores) -> Promises {
    let mut promises = Promises::default();
    let room = orion_server::listener::raise_limit().saturating_sub(RESERVE) as usize;
    println!("server on core {}, load on core {}, medians of {} rounds", cores.server, cores.load, rounds(mode));
    for plan in mode.choose(&PLANS[..], &SMALL[..]) {
        let plan = Plan { clients: plan.clients.min(room), ..*plan };
        let mut table = Table::new(plan);
        for _ in 0..rounds(mode) {
            table.add(measure_all(plan, cores, &mut promises).await);
        }
        println!("\n{table}");
        if mode == Mode::Full {
            let bounds = Bounds::of(plan.clients);
            table.check(&bounds, &mut promises);
        }
    }
    promises
}

fn rounds(mode: Mode) -> usize {
    mode.choose(ROUNDS, 1)
}

/// Measures every server once.
async fn measure_all(plan: Plan, cores: Cores, promises: &mut Promises) -> Vec<measure::Measured> {
    let mut all = Vec::new();
    for subject in Subject::ALL {
        all.push(measure::measure(subject, plan, cores, promises).await);
    }
    all
}
