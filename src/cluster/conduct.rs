//! Runs the pipeline and the sources while this node writes: from what its copy has at the beginning of the term to the
//! term's end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::forward::Router;
use super::log::ReplicatedLog;
use super::view::{self, View};
use super::{Handover, Shared};
use crate::pipeline::{Handle, Request};
use crate::store::{EventLog, Recovered};

/// Pause before the copy is read again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The term of a writer, for the pipeline that runs in it.
pub struct Term {
    /// What the copy has.
    pub recovered: Recovered,
    /// The log that the pipeline appends to.
    pub log: Arc<dyn EventLog>,
    /// Where the sources of this term deliver.
    pub handle: Handle,
    /// What the pipeline processes.
    pub requests: mpsc::Receiver<Request>,
    /// When it is cancelled, the pipeline finishes what is in the channel.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Term").field("position", &self.recovered.position).finish_non_exhaustive()
    }
}

/// The work of a term. It ends after `stop`, or with what the process has to stop for; it is dropped when another node
/// becomes the writer.
pub type TermRunner = Box<dyn Fn(Term) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// Runs the terms of this node.
pub(super) struct Conductor {
    pub(super) shared: Arc<Shared>,
    pub(super) router: Arc<Router>,
    pub(super) log: ReplicatedLog,
    pub(super) runner: TermRunner,
    /// Returns since when signals are recent.
    pub(super) recent: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl Conductor {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// What the work of a term failed with.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), String> {
        let mut view = self.shared.view.subscribe();
        let mut handover = self.shared.handover.subscribe();
        loop {
            let term = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = begun(&mut handover) => {
                    self.shared.handover.send_replace(Handover::Released);
                    stop.cancelled().await;
                    return Ok(());
                }
                found = view::wait(&mut view, View::is_writer) => match found.and_then(|view| view.writing()) {
                    Some(term) => term,
                    None => continue,
                },
            };
            self.run_term(term, &mut view, &mut handover, &stop).await?;
        }
    }

    async fn run_term(
        &self,
        term: u64,
        view: &mut watch::Receiver<View>,
        handover: &mut watch::Receiver<Handover>,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let deposed = async { view::wait(view, |view| view.writing() != Some(term)).await };
        tokio::pin!(deposed);
        let reader = self.log.reader();
        let recovered = loop {
            let recovered = tokio::select! {
                recovered = reader.recover((self.recent)(), self.shared.find) => recovered,
                _ = &mut deposed => return Ok(()),
            };
            match recovered {
                Ok(recovered) => break recovered,
                Err(error) => warn!(%error, "the copy cannot be read; the writer begins later"),
            }
            sleep(RETRY_PAUSE).await;
        };
        info!(term, position = %recovered.position, pending = recovered.pending.len(), "the pipeline begins");
        let (handle, requests) = Handle::channel();
        let finish = CancellationToken::new();
        let log = Arc::new(self.log.clone());
        let work = (self.runner)(Term { recovered, log, handle: handle.clone(), requests, stop: finish.clone() });
        tokio::pin!(work);
        let open = self.router.open(handle);
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            () = begun(handover) => None,
            _ = &mut deposed => Some(Ok(())),
            ended = &mut work => Some(ended),
        };
        drop(open);
        if let Some(ended) = ended {
            return ended;
        }
        finish.cancel();
        tokio::select! {
            ended = &mut work => ended,
            _ = &mut deposed => Ok(()),
        }
    }
}

/// Waits until this node is to hand over.
async fn begun(handover: &mut watch::Receiver<Handover>) {
    if handover.wait_for(|handover| *handover == Handover::Begun).await.is_err() {
        std::future::pending::<()>().await;
    }
}
