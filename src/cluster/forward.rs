//! Hands a push to the writer, whichever node that is, and repeats it with the same id until it is answered.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Message, Request as NatsRequest};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Shared;
use super::view::{self, View};
use super::wire::{Forwarded, Reply, WireAnswer, WireInput};
use crate::domain::{Accepted, Input};
use crate::pipeline::{Handle, Request, SubmitError};
use crate::store::{Reader, RequestId};

/// How long a push may wait for a writer and its answer.
pub(super) const FORWARD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one attempt waits for the writer's answer.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Pause before the next attempt, unless the view of the cluster changes earlier.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The same after the writer could not store it.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);
/// How long a push waits here for the pipeline of a term that has begun.
const OPENING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long this node's copy may take to reach an answer of the writer.
const COPY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of pushes that this node has forwarded at a time; further ones are rejected.
const MAX_FORWARDED: usize = 256;
/// Maximum number of pushes of this node's clients, and of other nodes, that are processed at a time.
const MAX_ROUTED: usize = Handle::CAPACITY;

/// The subject of the pushes for a node.
fn inbox(node: &str) -> String {
    format!("orion.in.{node}")
}

/// Routes pushes.
#[derive(Debug)]
pub(super) struct Router {
    shared: Arc<Shared>,
    reader: Reader,
    /// The pipeline, while this node writes.
    local: watch::Sender<Option<Handle>>,
    /// The ids of pushes that the pipeline is processing.
    processing: Mutex<HashSet<RequestId>>,
    routed: Arc<Semaphore>,
    forwarded: Semaphore,
    served: Arc<Semaphore>,
    /// Begins the ids of this process.
    prefix: String,
    number: AtomicU64,
}

/// The time in which the pipeline of this node takes pushes; ends when it is dropped.
pub(super) struct OpenTerm<'a>(&'a Router);

impl Drop for OpenTerm<'_> {
    fn drop(&mut self) {
        self.0.local.send_replace(None);
    }
}

/// The time in which a push is processed.
struct Processing<'a>(&'a Router, RequestId);

impl Drop for Processing<'_> {
    fn drop(&mut self) {
        self.0.processing.lock().remove(&self.1);
    }
}

impl Router {
    pub(super) fn new(shared: Arc<Shared>, reader: Reader) -> Arc<Self> {
        let prefix = format!("{}.{}.", shared.name, uuid::Uuid::new_v4().simple());
        Arc::new(Self {
            shared,
            reader,
            local: watch::Sender::new(None),
            processing: Mutex::default(),
            routed: Arc::new(Semaphore::new(MAX_ROUTED)),
            forwarded: Semaphore::new(MAX_FORWARDED),
            served: Arc::new(Semaphore::new(MAX_ROUTED)),
            prefix,
            number: AtomicU64::new(0),
        })
    }

    /// Lets the pipeline behind `handle` take pushes.
    pub(super) fn open(&self, handle: Handle) -> OpenTerm<'_> {
        self.local.send_replace(Some(handle));
        OpenTerm(self)
    }

    /// Routes the pushes of this node's clients until `stop`; then answers what is left.
    pub(super) async fn run(self: Arc<Self>, mut requests: mpsc::Receiver<Request>, stop: CancellationToken) {
        loop {
            let request = tokio::select! {
                biased;
                request = requests.recv() => request,
                () = stop.cancelled(), if !requests.is_closed() => {
                    requests.close();
                    continue;
                }
            };
            let Some(Request { input, answer, .. }) = request else { return };
            let Ok(permit) = self.routed.clone().try_acquire_owned() else {
                if let Some(to) = answer {
                    to.send(Err(SubmitError::Overloaded)).ok();
                }
                continue;
            };
            let (router, stopping) = (self.clone(), stop.clone());
            self.shared.tasks.spawn_connection(async move {
                let submitted = stopping.run_until_cancelled(router.submit(input)).await;
                if let Some(to) = answer {
                    to.send(submitted.unwrap_or(Err(SubmitError::Stopped))).ok();
                }
                drop(permit);
            });
        }
    }

    /// Hands one push to the writer until it is answered.
    async fn submit(&self, input: Input) -> Result<Accepted, SubmitError> {
        let id: RequestId = format!("{}{}", self.prefix, self.number.fetch_add(1, Ordering::Relaxed)).into();
        let deadline = Instant::now() + FORWARD_TIMEOUT;
        let (mut view, mut local) = (self.shared.view.subscribe(), self.local.subscribe());
        let mut forwarded = None;
        let mut again = false;
        let mut why = "no node writes".to_owned();
        loop {
            let now = view.borrow_and_update().clone();
            let answer = if local.borrow_and_update().is_some() {
                let answer = timeout_at(deadline, self.process(&id, again, input.clone())).await;
                again = true;
                answer.unwrap_or_else(|_| WireAnswer::Again("the writer does not answer".to_owned()))
            } else if !now.writer.is_empty() && now.writer != self.shared.name && self.shared.is_connected() {
                if forwarded.is_none() {
                    let Ok(permit) = self.forwarded.try_acquire() else { return Err(SubmitError::Overloaded) };
                    forwarded = Some(permit);
                }
                let push = Forwarded { id: id.clone(), term: now.term, again, input: WireInput::from(&input) };
                let answer = timeout_at(deadline, self.ask(&now, &mut view, &push)).await;
                again = true;
                answer.unwrap_or_else(|_| WireAnswer::Again("the writer does not answer".to_owned()))
            } else {
                WireAnswer::Again(why.clone())
            };
            let pause = if matches!(answer, WireAnswer::NotStored(_)) { FAILURE_PAUSE } else { RETRY_PAUSE };
            // An append that failed may be in the log all the same: the next attempt finds out.
            match answer.read() {
                Ok(answer) => {
                    self.count(forwarded.is_some(), if answer.is_ok() { "taken" } else { "refused" });
                    return answer;
                }
                Err(reason) => why = reason,
            }
            if Instant::now() >= deadline {
                self.count(forwarded.is_some(), "timed_out");
                return Err(SubmitError::NotStored(format!("{why}; push it again with the same id")));
            }
            let changed = async {
                tokio::select! {
                    _ = view.changed() => {}
                    _ = local.changed() => {}
                }
            };
            timeout(pause, changed).await.ok();
        }
    }

    fn count(&self, is_forwarded: bool, outcome: &str) {
        if is_forwarded {
            self.shared.metrics.cluster_forwarded_total.with_label_values(&[outcome]).inc();
        }
    }

    /// Asks the writer of this term, until another one begins.
    async fn ask(&self, now: &View, view: &mut watch::Receiver<View>, push: &Forwarded) -> WireAnswer {
        let Ok(payload) = serde_json::to_vec(push) else {
            return WireAnswer::Failed("the push cannot be encoded".to_owned());
        };
        let most = self.shared.client.server_info().max_payload;
        if payload.len() > most {
            return WireAnswer::Failed(format!("{} bytes are more than the NATS server takes", payload.len()));
        }
        let request = NatsRequest::new().payload(payload.into()).timeout(Some(ATTEMPT));
        let answered = tokio::select! {
            answered = self.shared.client.send_request(inbox(&now.writer), request) => answered,
            _ = view::wait(view, |view| view.term != now.term || view.is_writer()) => {
                return WireAnswer::Again("the writer was replaced".to_owned());
            }
        };
        let reply = match answered {
            Ok(message) => serde_json::from_slice::<Reply>(&message.payload).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let Reply { answer, stream_seq } = match reply {
            Ok(reply) => reply,
            Err(error) => return WireAnswer::Again(format!("the writer does not answer: {error}")),
        };
        // The client reads its own write on this node.
        let reached = view::wait(view, |view| view.stream_seq >= stream_seq);
        if timeout(COPY_TIMEOUT, reached).await.is_err() {
            return WireAnswer::Failed("this node's copy does not follow the log".to_owned());
        }
        answer
    }

    /// Lets this node's pipeline process a push; `again` when it may have been sent before.
    async fn process(&self, id: &RequestId, again: bool, input: Input) -> WireAnswer {
        let Some(pipeline) = self.local.borrow().clone() else {
            return WireAnswer::Again("this node does not write".to_owned());
        };
        if !self.processing.lock().insert(id.clone()) {
            return WireAnswer::Again("it is being processed".to_owned());
        }
        let _processing = Processing(self, id.clone());
        if again {
            match self.known(id, &input).await {
                Ok(Some(answer)) => return answer,
                Ok(None) => {}
                Err(error) => return WireAnswer::NotStored(error.to_string()),
            }
        }
        match pipeline.submit_request(input, Some(id.clone())).await {
            Err(SubmitError::Stopped) => WireAnswer::Again("the writer was replaced".to_owned()),
            answer => answer.into(),
        }
    }

    /// Returns the answer to a push whose result is in the log already.
    async fn known(&self, id: &RequestId, input: &Input) -> Result<Option<WireAnswer>, crate::store::StoreError> {
        if !self.reader.has_request(id).await? {
            return Ok(None);
        }
        debug!(%id, "a push was sent again; its result is in the log already");
        Ok(Some(match input {
            Input::Ticks(_) => WireAnswer::Ticks(Vec::new()),
            Input::Publish(_) => WireAnswer::RelayedMessage,
            Input::Note(_) => WireAnswer::Noted,
            Input::Signal { id, .. } => match self.reader.find(std::slice::from_ref(id)).await?.remove(id) {
                Some(signal) => WireAnswer::Signal(Arc::new(signal)),
                None => return Ok(None),
            },
        }))
    }

    /// Serves the pushes that other nodes forward, until `stop`.
    pub(super) async fn serve_inbox(self: Arc<Self>, stop: CancellationToken) {
        let serve = async {
            loop {
                if let Ok(mut pushes) = self.shared.client.subscribe(inbox(&self.shared.name)).await {
                    while let Some(message) = pushes.next().await {
                        self.clone().take(message);
                    }
                }
                sleep(RETRY_PAUSE).await;
            }
        };
        stop.run_until_cancelled(serve).await;
    }

    fn take(self: Arc<Self>, message: Message) {
        let Some(to) = message.reply.clone() else { return };
        let permit = self.served.clone().try_acquire_owned().ok();
        let tasks = self.shared.tasks.clone();
        let stopping = tasks.stopping();
        tasks.spawn_connection(async move {
            let answer = match permit {
                None => Some(WireAnswer::Overloaded),
                Some(_permit) => stopping.run_until_cancelled(self.answer(&message.payload)).await,
            };
            let answer = answer.unwrap_or_else(|| WireAnswer::Again("the writer stops".to_owned()));
            let stream_seq = self.shared.view.borrow().stream_seq;
            self.shared.publish(to.as_str(), &Reply { answer, stream_seq }).await;
        });
    }

    async fn answer(&self, payload: &[u8]) -> WireAnswer {
        let push: Forwarded = match serde_json::from_slice(payload) {
            Ok(push) => push,
            Err(error) => return WireAnswer::Failed(format!("the writer does not understand it: {error}")),
        };
        let Some(input) = push.input.read(self.shared.find) else {
            return WireAnswer::Failed("the writer does not know this type of message".to_owned());
        };
        if timeout(OPENING_TIMEOUT, self.opened(push.term)).await != Ok(true) {
            return WireAnswer::Again("this node does not write".to_owned());
        }
        self.process(&push.id, push.again, input).await
    }

    /// Waits until the pipeline takes pushes in this term: other nodes may know of it earlier. Returns `false` once
    /// another one has begun.
    async fn opened(&self, term: u64) -> bool {
        let (mut view, mut local) = (self.shared.view.subscribe(), self.local.subscribe());
        let began = view::wait(&mut view, |view| view.term > term || view.writing() == Some(term)).await;
        let is_open = async { local.wait_for(Option::is_some).await.is_ok() };
        began.is_some_and(|view| view.term == term)
            && tokio::select! {
                is_open = is_open => is_open,
                _ = view::wait(&mut view, |view| view.writing() != Some(term)) => false,
            }
    }
}
