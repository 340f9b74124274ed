//! Notices about signals, to where people are: Telegram, LINE, Discord, Slack, ntfy, e-mail, and a signed webhook.
//!
//! ```text
//! hub ──(wakes)──► lane ──► rules ──► text ──► service (one file for each channel)
//! log ──(cursor)──►  │ one for each receiver of a channel
//!                    └─► marks, in the log: cursor, numbers of messages
//! ```
//!
//! Notices never delay a signal: a lane reads the log after the commit, at its own pace, and holds one batch in memory. A
//! message is sent at least once, and never again after the service has acknowledged it and the mark is in the log. What
//! is older than `max_age` is not sent. In a cluster the node that writes sends; the marks are in the log that the nodes
//! share, so that another one goes on where it stopped.

mod channels;
mod discord;
mod email;
mod lane;
mod line;
mod ntfy;
mod pace;
mod rules;
mod service;
mod slack;
mod status;
mod telegram;
#[cfg(test)]
mod tests;
mod text;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{Live, NotifySettings};
use crate::domain::{Event, Instruments, NoticeStep, Signal, SignalStatus, UserNote, WallClock};
use crate::hub::{Envelope, Sink};
use crate::pipeline::Handle;
use crate::store::Reader;
use crate::telemetry::{LogLimit, Metrics};
use channels::NoticeChannel;
pub use channels::{ChannelTest, NotifyError, test};
use lane::{LaneContext, NoticeLane, RetryPauses, age};
use service::NoticeMessage;
pub use service::SendFault;
use status::LaneStates;
pub use status::ReceiverState;
use text::SignalNotice;

/// What the notices are started with.
pub struct NotifyStart<'a> {
    /// The settings, which were checked.
    pub settings: &'a NotifySettings,
    /// The catalogue.
    pub instruments: Arc<Instruments>,
    /// The log.
    pub log: Reader,
    /// Where the marks are saved.
    pub handle: Handle,
    /// Whether this process is the one that sends, now.
    pub sends: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The epoch of the log.
    pub epoch: Arc<str>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub clock: WallClock,
}

impl std::fmt::Debug for NotifyStart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotifyStart").finish_non_exhaustive()
    }
}

/// The channels of this process. Cheap to clone.
#[derive(Clone)]
pub struct Notices {
    channels: Live<NoticeChannels>,
    instruments: Arc<Instruments>,
    clock: WallClock,
}

/// The channels of some settings.
struct NoticeChannels {
    /// Those of LINE; empty when it is not set up.
    line: Vec<NoticeChannel>,
    states: LaneStates,
    stop: CancellationToken,
    running: watch::Receiver<bool>,
}

/// The lanes of a [`NoticeChannels`].
struct NoticeLanes {
    lanes: Vec<NoticeLane>,
    running: watch::Sender<bool>,
}

/// Channels that are not in use yet.
#[derive(Debug)]
pub struct NewChannels(Vec<NoticeChannel>);

/// Replaces the channels while the notices run.
pub struct ChannelSwitch {
    notices: Notices,
    context: LaneContext,
    next: mpsc::Sender<NoticeLanes>,
}

impl std::fmt::Debug for ChannelSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelSwitch").field("notices", &self.notices).finish_non_exhaustive()
    }
}

impl ChannelSwitch {
    /// Returns the notices whose channels are replaced.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Builds the channels of other settings.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub fn build(&self, settings: &NotifySettings, instruments: &Arc<Instruments>) -> Result<NewChannels, NotifyError> {
        channels::build(settings, instruments, &self.context.clock).map(NewChannels)
    }

    /// Puts channels in use. Those before finish the message that they send; then the new ones go on from the marks in the log:
    /// nothing is sent twice, and nothing is left out.
    pub async fn replace(&self, channels: NewChannels) {
        let (set, lanes) = NoticeChannels::new(channels.0, &self.context);
        self.notices.channels.get().stop.cancel();
        self.notices.channels.set(set);
        // The lanes have ended when the process stops.
        self.next.send(lanes).await.ok();
    }
}

impl NoticeChannels {
    fn new(channels: Vec<NoticeChannel>, context: &LaneContext) -> (Self, NoticeLanes) {
        let (running, is_running) = watch::channel(!channels.is_empty());
        let (states, stop) = (LaneStates::default(), CancellationToken::new());
        let context = Arc::new(LaneContext { stop: stop.clone(), states: states.clone(), ..context.clone() });
        let lanes = channels.iter().map(|channel| NoticeLane {
            channel: channel.name,
            mark: format!("{}{}\u{1f}{}", UserNote::NOTICES, channel.name, channel.id.simple()),
            rules: channel.rules.clone(),
            service: channel.service.clone(),
            state: states.add(channel.name, channel.place),
            context: context.clone(),
            too_old: LogLimit::new(),
        });
        let lanes = NoticeLanes { lanes: lanes.collect(), running };
        let line = channels.into_iter().filter(|channel| channel.name == "line").collect();
        (Self { line, states, stop, running: is_running }, lanes)
    }
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").field("states", &self.states()).finish_non_exhaustive()
    }
}

/// Why no message went to LINE.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The channel is not set up.
    #[error("LINE token not configured")]
    NotConfigured,
    /// LINE did not take it.
    #[error("LINE did not take the message: {0}")]
    Failed(SendFault),
}

/// Wakes the lanes when a signal was published.
#[derive(Debug)]
struct Waker(watch::Sender<u64>);

impl Sink for Waker {
    fn deliver(&self, batch: &[Arc<Envelope>]) {
        if batch.iter().any(|envelope| matches!(envelope.event(), Event::Signal(_))) {
            self.0.send_modify(|batches| *batches += 1);
        }
    }
}

/// What the app runs: the sink of the hub, and the work of the lanes.
pub struct Lanes {
    /// Wakes the lanes.
    pub waker: Arc<dyn Sink>,
    work: NoticeLanes,
    next: mpsc::Receiver<NoticeLanes>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} lanes", self.work.lanes.len())
    }
}

impl Lanes {
    /// Returns the marks that the lanes save first.
    #[cfg(test)]
    fn marks(&self) -> Vec<String> {
        self.work.lanes.iter().map(|lane| lane.mark.clone()).collect()
    }

    /// Sends until the notices are stopped and [`ChannelSwitch`] is gone. New lanes begin when those before have ended.
    pub async fn run(mut self) {
        let mut work = Some(self.work);
        while let Some(NoticeLanes { lanes, running }) = work {
            join_all(lanes.into_iter().map(NoticeLane::run)).await;
            running.send_replace(false);
            work = self.next.recv().await;
        }
    }
}

impl Notices {
    /// Builds the channels that the settings enable.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub fn start(start: NotifyStart<'_>) -> Result<(Self, Lanes, ChannelSwitch), NotifyError> {
        Self::start_with(start, RetryPauses::default())
    }

    fn start_with(start: NotifyStart<'_>, pauses: RetryPauses) -> Result<(Self, Lanes, ChannelSwitch), NotifyError> {
        let NotifyStart { settings, instruments, log, handle, sends, epoch, metrics, clock } = start;
        let channels = channels::build(settings, &instruments, &clock)?;
        let (news, woken) = watch::channel(0);
        let (next, following) = mpsc::channel(1);
        let context = LaneContext {
            log,
            handle,
            news: woken,
            sends,
            stop: CancellationToken::new(),
            epoch,
            states: LaneStates::default(),
            metrics,
            clock: clock.clone(),
            pauses,
        };
        let (channels, work) = NoticeChannels::new(channels, &context);
        let notices = Self { channels: Live::new(channels), instruments, clock };
        let lanes = Lanes { work, waker: Arc::new(Waker(news)), next: following };
        let switch = ChannelSwitch { notices: notices.clone(), context, next };
        Ok((notices, lanes, switch))
    }

    /// Returns notices without a channel.
    #[cfg(test)]
    pub(crate) fn off(instruments: Arc<Instruments>, clock: WallClock) -> Self {
        let (states, stop, line) = (LaneStates::default(), CancellationToken::new(), Vec::new());
        let channels = NoticeChannels { line, states, stop, running: watch::channel(false).1 };
        Self { channels: Live::new(channels), instruments, clock }
    }

    /// Whether a message about this state of a signal goes to LINE: LINE is set up and takes messages, and the rules take
    /// the signal now. The message is sent from the log, after the push was answered.
    pub fn line_takes(&self, signal: &Signal) -> bool {
        let channels = self.channels.get();
        if channels.line.is_empty() {
            return false;
        }
        let (notice, now) = (SignalNotice::of(signal), (self.clock)());
        let takes = channels.line.iter().any(|channel| channel.rules.skips(&notice, now).is_none());
        takes && !channels.states.list().iter().any(|state| state.channel == "line" && state.problem.is_some())
    }

    /// Sends a message about a signal to LINE at once, whatever the rules say; without one, a test message.
    ///
    /// # Errors
    /// [`LineError`]; with several receivers, that of the first one that failed.
    pub async fn send_line(&self, signal: Option<&Signal>) -> Result<(), LineError> {
        let example = channels::example(&self.instruments, &self.clock);
        let channels = self.channels.get();
        let Some(signal) = signal.or(example.as_ref()).filter(|_| !channels.line.is_empty()) else {
            return Err(LineError::NotConfigured);
        };
        for channel in &channels.line {
            channel.send_now(signal).await.map_err(LineError::Failed)?;
        }
        Ok(())
    }

    /// Returns the state of every lane.
    pub fn states(&self) -> Vec<ReceiverState> {
        self.channels.get().states.list()
    }

    /// Returns why notices do not arrive; `None` when all do.
    pub fn complaint(&self) -> Option<String> {
        let failing = |state: ReceiverState| Some(format!("{}: {}", state.label(), state.problem?));
        let failing: Vec<_> = self.states().into_iter().filter_map(failing).collect();
        (!failing.is_empty()).then(|| format!("notices are not delivered: {}", failing.join("; ")))
    }

    /// Sets the gauges.
    pub fn update(&self, metrics: &Metrics) {
        let now = (self.clock)();
        // A reload may have removed a channel.
        metrics.notify_lag_seconds.reset();
        metrics.notify_failing.reset();
        let mut channels = std::collections::BTreeMap::<_, (f64, i64)>::new();
        for state in self.states() {
            let (lag, failing) = channels.entry(state.channel).or_default();
            let waits = state.waiting_since.map_or(0.0, |since| age(now, since).as_secs_f64());
            (*lag, *failing) = (lag.max(waits), *failing + i64::from(state.problem.is_some()));
        }
        for (channel, (lag, failing)) in channels {
            metrics.notify_lag_seconds.with_label_values(&[channel]).set(lag);
            metrics.notify_failing.with_label_values(&[channel]).set(failing);
        }
    }

    /// Lets every lane finish the message that it sends, and save its mark; waits for at most `limit`.
    pub async fn stop(&self, limit: Duration) {
        let channels = self.channels.get();
        channels.stop.cancel();
        let mut running = channels.running.clone();
        timeout(limit, running.wait_for(|running| !running)).await.ok();
    }
}

impl SignalNotice {
    /// Returns the notice of the state that a signal is in.
    fn of(signal: &Signal) -> Self {
        let step = match signal.state.status() {
            SignalStatus::Pending => NoticeStep::Pending,
            SignalStatus::Confirmed => NoticeStep::Confirmed,
            SignalStatus::Invalidated => NoticeStep::Invalidated,
        };
        Self { step, signal: signal.clone(), targets_hit: 0, outcome: None, at: signal.updated_at }
    }
}

impl NoticeChannel {
    /// Sends a message about a signal at once, with a key of its own.
    async fn send_now(&self, signal: &Signal) -> Result<(), SendFault> {
        let notice = SignalNotice::of(signal);
        for limit in self.service.limits() {
            limit.turn().await;
        }
        let message = NoticeMessage {
            key: Uuid::new_v4(),
            notice: &notice,
            title: self.rules.style.headline(&notice),
            text: self.rules.style.text(&notice, |text| self.service.escape(text)),
        };
        self.service.send(&message).await.map(drop)
    }
}
