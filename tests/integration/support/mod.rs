//! The real binary as a process, its clients, and what all tests need.

mod api;
pub(crate) mod dashboard;
mod log;
mod native;
mod server;
mod signals;
mod socketio;
pub(crate) mod users;
mod wire;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

pub(crate) use api::answer;
pub(crate) use native::{Native, narrow, open, refusal};
pub(crate) use server::{Server, TOKEN, binary};
pub(crate) use signals::{Event, decimals, flood, read_log, seq, signal, store_options};
pub(crate) use socketio::{Ended, Packet, Polling, Protocol, Socket, upgrade, upgrade_while_polling};
pub(crate) use wire::{Reply, Wire};

/// Longest wait for something that has to come. Only a test that fails waits so long: generous, because several suites may share
/// a machine of few cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for what has to come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = timeout(PATIENCE, future).await else { panic!("in vain: {what}") };
    value
}

/// Waits until `condition` holds, where there is no event to wait for.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// How often something in the long form of a test: the environment variable `name`, or the short form's number.
pub(crate) fn times(name: &str, short: usize) -> usize {
    std::env::var(name).map_or(short, |number| number.parse().unwrap())
}

/// How many descriptors this process may have.
pub(crate) fn descriptor_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}
