//! Every source against its provider, played on loopback: the documented protocol, its errors and its bad habits.
//!
//! A provider's module plays it and names what it is made of; [`contract!`] holds every source to the same promises.

mod alpha_vantage;
mod contract;
mod kraken;
mod massive;
mod oanda;
mod side_by_side;
mod stage;
mod streams;
mod together;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orion_server::config::LogSettings;
use orion_server::domain::{Input, Instruments, Tick, WallClock};
use orion_server::pipeline::{Handle, Request, clock};
use orion_server::sources::{self, Source, SourceError};
use orion_server::telemetry::{Metrics, SourceState, SourceStates, logging};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::soon;

/// The key that every played provider accepts; it must never be seen outside of a connection to it.
pub(crate) const KEY: &str = "k3y-0f-the-pr0v1der-tests";
/// A key that none accepts; it must not be seen either.
pub(crate) const WRONG_KEY: &str = "wr0ng-k3y-0f-the-pr0v1der-tests";

pub(crate) fn catalogue() -> Instruments {
    Instruments::new(Instruments::documented()).unwrap()
}

pub(crate) fn wall() -> WallClock {
    Arc::new(clock::wall)
}

/// Everything that this process has logged since the first rig, with every level on.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn logged() -> &'static Logged {
    static LOGGED: OnceLock<Logged> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let logged = Logged::default();
        let log = LogSettings { filter: "trace".into(), ..LogSettings::default() };
        logging::init_to(&log, logged.clone(), false).expect("only these tests log in this process");
        logged
    })
}

/// No key is in any line that was logged.
pub(crate) fn no_key_was_logged() {
    let bytes = logged().0.lock().clone();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("source is live") || text.contains("source refused"), "nothing was logged");
    no_key_in(&text);
}

pub(crate) fn no_key_in(text: &str) {
    for key in [KEY, WRONG_KEY] {
        let line = text.lines().find(|line| line.contains(key));
        assert_eq!(line, None, "a key is in the log");
    }
}

/// A source under supervision, and what came of it.
pub(crate) struct Rig {
    pub(crate) metrics: Metrics,
    states: SourceStates,
    inputs: mpsc::Receiver<Request>,
    ticks: VecDeque<Tick>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), SourceError>>,
}

impl Rig {
    pub(crate) fn run(source: impl Source + 'static) -> Self {
        let (handle, inputs) = Handle::channel();
        Self::run_into(source, handle, inputs)
    }

    pub(crate) fn run_into(source: impl Source + 'static, handle: Handle, inputs: mpsc::Receiver<Request>) -> Self {
        logged();
        let metrics = Metrics::new().unwrap();
        let states = SourceStates::new(&metrics);
        let stop = CancellationToken::new();
        let task = tokio::spawn(sources::supervise(source, handle, &metrics, &states, stop.clone()));
        Self { metrics, states, inputs, ticks: VecDeque::new(), stop, task }
    }

    /// The next tick.
    pub(crate) async fn tick(&mut self) -> Tick {
        loop {
            if let Some(tick) = self.ticks.pop_front() {
                return tick;
            }
            let request = soon("a tick", self.inputs.recv()).await.expect("the source runs");
            let Input::Ticks(ticks) = request.input else { panic!("a provider has only prices") };
            self.ticks.extend(ticks);
        }
    }

    pub(crate) async fn ticks(&mut self, count: usize) -> Vec<Tick> {
        let mut ticks = Vec::with_capacity(count);
        while ticks.len() < count {
            ticks.push(self.tick().await);
        }
        ticks
    }

    pub(crate) fn state(&self) -> SourceState {
        self.states.list()[0].state
    }

    /// Waits for a state. There is no event for it: it is asked again and again.
    pub(crate) async fn until(&self, state: SourceState) {
        soon(state.name(), async {
            while self.state() != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Stops the source. Nothing came but what was asked for, and no key was logged.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        soon("the source ends", self.task).await.unwrap().expect("a stop is no error");
        while let Ok(request) = self.inputs.try_recv() {
            let Input::Ticks(ticks) = request.input else { panic!("a provider has only prices") };
            self.ticks.extend(ticks);
        }
        assert_eq!(self.ticks, []);
        no_key_was_logged();
    }

    pub(crate) fn rejected(&self, reason: &str) -> u64 {
        self.metrics.rejected_total.with_label_values(&["tick", reason]).get()
    }
}
