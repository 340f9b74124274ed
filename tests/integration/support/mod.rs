//! The real binary as a process, its clients, and what all tests need.

mod api;
mod log;
mod native;
mod server;
mod signals;
mod socketio;
pub(crate) mod users;

use std::time::Duration;

use tokio::time::timeout;

pub(crate) use api::{answer, metric};
pub(crate) use native::{Native, narrow, open, refusal};
pub(crate) use server::{Server, TOKEN, binary};
pub(crate) use signals::{decimals, flood, seq, signal};
pub(crate) use socketio::{Ended, Packet, Polling, Protocol, Socket, upgrade};

/// Longest wait for something that has to come. Only a test that fails waits so long: generous, because several suites may share
/// a machine of few cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for what has to come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = timeout(PATIENCE, future).await else { panic!("in vain: {what}") };
    value
}
