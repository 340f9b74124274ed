//! The table, and the bounds that it is held to.

use std::fmt;

use crate::Plan;
use crate::load::Promises;
use crate::measure::{Measured, Subject};

/// From this number of clients on, memory is judged: the fixed part of the process weighs more for fewer.
const MANY: usize = 10_000;

/// The largest figures that are allowed.
pub struct Bounds {
    /// A price over Socket.IO, against the floor.
    socketio: f64,
    /// A price over a native WebSocket, against the floor.
    native: f64,
    /// A signal over either, against one write.
    signal: f64,
    /// Memory for each idle connection over Socket.IO and native, in KB.
    memory: Option<[f64; 2]>,
}

impl Bounds {
    pub fn of(clients: usize) -> Self {
        Self { socketio: 1.35, native: 1.25, signal: 1.35, memory: (clients >= MANY).then_some([18.0, 4.0]) }
    }
}

/// The figures of all rounds.
pub struct Table {
    plan: Plan,
    rounds: Vec<Vec<Measured>>,
}

impl Table {
    pub fn new(plan: Plan) -> Self {
        Self { plan, rounds: Vec::new() }
    }

    pub fn add(&mut self, round: Vec<Measured>) {
        self.rounds.push(round);
    }

    /// Returns the median of a figure over the rounds.
    fn median(&self, subject: Subject, figure: impl Fn(&Measured) -> f64) -> f64 {
        self.median_ratio(subject, figure, |_| 1.0)
    }

    /// Returns the median of a figure, divided by a figure of the floor in the same round.
    fn median_ratio(
        &self,
        subject: Subject,
        figure: impl Fn(&Measured) -> f64,
        floor: impl Fn(&Measured) -> f64,
    ) -> f64 {
        let of = |round: &[Measured], subject| *round.iter().find(|measured| measured.subject == subject).unwrap();
        let ratio = |round: &Vec<Measured>| figure(&of(round, subject)) / floor(&of(round, Subject::Floor));
        let mut ratios: Vec<_> = self.rounds.iter().map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    fn tick_ratio(&self, subject: Subject) -> f64 {
        self.median_ratio(subject, |measured| measured.ticks.cpu, |floor| floor.ticks.cpu)
    }

    fn signal_ratio(&self, subject: Subject) -> f64 {
        self.median_ratio(subject, |measured| measured.signals.cpu, |floor| floor.signals.cpu)
    }

    /// Checks the bounds.
    pub fn check(&self, bounds: &Bounds, promises: &mut Promises) {
        let clients = self.plan.clients;
        let memory = bounds.memory.map(|[socketio, native]| [Some(socketio), Some(native)]).unwrap_or_default();
        for (subject, most, memory) in
            [(Subject::SocketIo, bounds.socketio, memory[0]), (Subject::Native, bounds.native, memory[1])]
        {
            let name = format!("{clients} clients, {}", subject.name());
            let mut check = |what: &str, found: f64, most: f64| {
                promises.check(found <= most, format!("{name}: {what} {found:.2}, at most {most}"));
            };
            check("a price costs times the floor", self.tick_ratio(subject), most);
            check("a signal costs times one write", self.signal_ratio(subject), bounds.signal);
            if let Some(most) = memory {
                check("KB for an idle connection", self.median(subject, |measured| measured.memory), most);
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { clients, ticks, signals } = self.plan;
        let caption = format!("{clients} clients, ticks of 7 every {} ms, a signal every {} ms", ticks.1, signals.1);
        writeln!(f, "{caption}\n")?;
        writeln!(
            f,
            "| server | µs per price | × floor | p50/p99 ms | writes | µs per signal | × floor | p50/p99 ms | writes \
             | KB idle | µs per connect |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|")?;
        for subject in Subject::ALL {
            let median = |figure: fn(&Measured) -> f64| self.median(subject, figure);
            let milliseconds = |figure: fn(&Measured) -> std::time::Duration| {
                self.median(subject, |measured| figure(measured).as_secs_f64() * 1_000.0)
            };
            writeln!(
                f,
                "| {} | {:.2} | {:.2} | {:.1}/{:.1} | {:.2} | {:.2} | {:.2} | {:.1}/{:.1} | {:.2} | {:.1} | {:.0} |",
                subject.name(),
                median(|measured| measured.ticks.cpu),
                self.tick_ratio(subject),
                milliseconds(|measured| measured.ticks.spread.p50),
                milliseconds(|measured| measured.ticks.spread.p99),
                median(|measured| measured.ticks.writes),
                median(|measured| measured.signals.cpu),
                self.signal_ratio(subject),
                milliseconds(|measured| measured.signals.spread.p50),
                milliseconds(|measured| measured.signals.spread.p99),
                median(|measured| measured.signals.writes),
                median(|measured| measured.memory),
                median(|measured| measured.connect),
            )?;
        }
        Ok(())
    }
}
