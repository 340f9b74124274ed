//! A log with notices on it, and stand-ins for the services on loopback.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::NotifySettings;
use crate::domain::{
    Accepted, Event, Input, Instruments, OutcomeClass, Position, Progress, Signal, SignalState, TradeOutcome,
};
use crate::hub::{Envelope, Sink};
use crate::notify::lane::RetryPauses;
use crate::notify::{ChannelSwitch, Notices, NotifyStart};
use crate::pipeline::{Handle, Request};
use crate::store::{Options, Store};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What a service was asked.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) line: String,
    head: String,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// A status line, further header lines, and a body.
    Say(&'static str, &'static str, String),
    /// The connection is closed: the call has arrived, and the answer is lost.
    Lost,
}

#[allow(clippy::needless_pass_by_value, reason = "the calls read better")]
pub(super) fn say(status: &'static str, body: impl ToString) -> Reply {
    Reply::Say(status, "", body.to_string())
}

/// A service on loopback: answers with `script` in order, and then with `usual`, which is given the number of the call.
pub(super) struct StandIn {
    pub(super) url: String,
    calls: mpsc::Receiver<Call>,
    script: Arc<Mutex<VecDeque<Reply>>>,
}

impl StandIn {
    #[allow(clippy::disallowed_methods, reason = "it ends with the test")]
    pub(super) async fn start(usual: impl Fn(u64) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, calls) = mpsc::channel(256);
        let script: Arc<Mutex<VecDeque<Reply>>> = Arc::default();
        let (scripted, usual) = (script.clone(), Arc::new(usual));
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                let mut stream = BufReader::new(stream);
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 || line == "\r\n" {
                        break;
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                }
                let mut body = vec![0; length];
                if stream.read_exact(&mut body).await.is_err() {
                    continue;
                }
                let text = String::from_utf8(body).unwrap();
                let line = head.lines().next().unwrap_or_default().to_owned();
                let body = serde_json::from_str(&text).unwrap_or(Value::Null);
                told.send(Call { line, head: head.replace("\r\n", "\n"), text, body }).await.ok();
                let reply = scripted.lock().pop_front();
                if let Reply::Say(status, headers, body) = reply.unwrap_or_else(|| usual(number)) {
                    let answer = format!(
                        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.ok();
                }
            }
        });
        Self { url, calls, script }
    }

    pub(super) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().extend(replies);
    }

    pub(super) async fn next(&mut self) -> Call {
        timeout(TEST_TIMEOUT, self.calls.recv()).await.expect("the service is called").unwrap()
    }

    /// Asserts that nothing more was asked.
    pub(super) fn is_quiet(&mut self) {
        let more = self.calls.try_recv();
        assert!(more.is_err(), "{more:?}");
    }
}

/// A log, and the part of the pipeline that saves marks.
pub(super) struct Rig {
    pub(super) store: Arc<Store>,
    pub(super) metrics: Arc<Metrics>,
    handle: Handle,
    now: Arc<Mutex<DateTime<Utc>>>,
    pub(super) instruments: Arc<Instruments>,
    epoch: Arc<str>,
    tasks: Tasks,
    _dir: tempfile::TempDir,
}

/// Running notices.
pub(super) struct Running {
    pub(super) notices: Notices,
    waker: Arc<dyn Sink>,
    pub(super) switch: ChannelSwitch,
}

impl Running {
    pub(super) async fn stop(self) {
        self.notices.stop(TEST_TIMEOUT).await;
    }
}

pub(super) fn start_time() -> DateTime<Utc> {
    super::signal("a").updated_at
}

impl Rig {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let year = Duration::from_hours(24 * 365);
        let options = Options {
            signal_retention: year,
            bar_retention: year,
            recent_since: start_time(),
            messages_per_user: 10,
            message_retention: year,
            max_messages: 1_000,
            upgrade_backup: true,
            message_type: |_| None,
            clock: crate::pipeline::clock::wall,
        };
        let (store, recovered) = Store::open(&dir.path().join("data"), options, metrics.clone()).unwrap();
        let store = Arc::new(store);
        let (handle, mut requests) = Handle::channel();
        let tasks = Tasks::new();
        let saved = store.clone();
        tasks.spawn_connection(async move {
            while let Some(Request { input, answer, .. }) = requests.recv().await {
                let Input::Note(notes) = input else { panic!("only marks are saved: {input:?}") };
                saved.append(Vec::new(), Vec::new(), notes).await.unwrap();
                answer.unwrap().send(Ok(Accepted::Noted)).ok();
            }
        });
        let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
        let (now, epoch) = (Arc::new(Mutex::new(start_time())), recovered.position.epoch);
        Self { store, metrics, handle, now, instruments, epoch, tasks, _dir: dir }
    }

    /// Starts notices that send while `sends` is true.
    pub(super) async fn start_while(
        &self,
        settings: &NotifySettings,
        sends: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Running {
        let now = self.now.clone();
        let start = NotifyStart {
            settings,
            instruments: self.instruments.clone(),
            log: self.store.reader(),
            handle: self.handle.clone(),
            sends: Arc::new(sends),
            epoch: self.epoch.clone(),
            metrics: self.metrics.clone(),
            clock: Arc::new(move || *now.lock()),
        };
        let pause = Duration::from_millis(5);
        let pauses = RetryPauses { first: pause, longest: 4 * pause, refused: pause };
        let (notices, lanes, switch) = Notices::start_with(start, pauses).unwrap();
        let waker = lanes.waker.clone();
        let marks = lanes.marks();
        self.tasks.spawn_connection(lanes.run());
        // A new channel begins with what happens after it has saved its first mark.
        for mark in marks {
            while self.store.reader().seen(&mark).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        }
        Running { notices, waker, switch }
    }

    pub(super) async fn start(&self, settings: &NotifySettings) -> Running {
        self.start_while(settings, || true).await
    }

    /// Appends a state of a signal, and wakes the lanes.
    pub(super) async fn append(&self, running: &Running, signal: &Signal) {
        let signal = Arc::new(signal.clone());
        self.store.append(vec![signal.clone()], Vec::new(), Vec::new()).await.unwrap();
        self.wake(running, signal);
    }

    fn wake(&self, running: &Running, signal: Arc<Signal>) {
        let position = Position { epoch: self.epoch.clone(), seq: 1 };
        running.waker.deliver(&[Arc::new(Envelope::placed(Event::Signal(signal), position))]);
    }

    /// Notes that an open signal has reached targets.
    pub(super) async fn hit(&self, running: &Running, signal: &Signal, targets_hit: usize) {
        let progress = Progress { targets_hit, ..Progress::from_confirmation(signal) };
        self.store.append_outcomes(Vec::new(), vec![(signal.id.clone(), progress)]).await.unwrap();
        self.wake(running, Arc::new(signal.clone()));
    }

    /// Ends the record of a signal.
    pub(super) async fn close(&self, running: &Running, signal: &Signal, r: f64) {
        let targets_hit = signal.take_profits.len();
        let progress = Progress { targets_hit, r, ..Progress::from_confirmation(signal) };
        let outcome = TradeOutcome::new(signal, &progress, OutcomeClass::Targets, self.now());
        self.store.append_outcomes(vec![outcome], Vec::new()).await.unwrap();
        self.wake(running, Arc::new(signal.clone()));
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        *self.now.lock()
    }

    pub(super) fn advance(&self, by: TimeDelta) {
        *self.now.lock() += by;
    }

    /// Waits until a counter has this value.
    pub(super) async fn counted(&self, counter: &prometheus::IntCounterVec, labels: &[&str], value: u64) {
        self.counted_at_least(counter, labels, value).await;
        assert_eq!(counter.with_label_values(labels).get(), value);
    }

    /// Waits until a counter has at least this value.
    pub(super) async fn counted_at_least(&self, counter: &prometheus::IntCounterVec, labels: &[&str], value: u64) {
        let reached = async {
            while counter.with_label_values(labels).get() < value {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(TEST_TIMEOUT, reached).await.unwrap_or_else(|_| panic!("{labels:?} reaches {value}"));
    }

    /// Waits until so many messages were sent and edited.
    pub(super) async fn settled(&self, sent: u64, edited: u64, channel: &str) {
        self.counted(&self.metrics.notify_sent_total, &[channel], sent).await;
        self.counted(&self.metrics.notify_edited_total, &[channel], edited).await;
    }
}

pub(super) fn confirmed(signal: &Signal) -> Signal {
    signal.clone().ended(SignalState::Confirmed, signal.updated_at)
}
