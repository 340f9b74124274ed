//! Benchmark of deliveries between the pipeline and the write loops: the hub publishes a tick of 11 prices to native clients, and
//! each takes its due events and looks up the shared frames, as its loop does. Compare the cost of an element (one delivery)
//! between the numbers of clients, and with the floor: 11 shared frames pushed to a plain vector per client.
//!
//! A second benchmark compares the dialects: one signal is published to 100 clients of each dialect, whose loops take turns, and
//! the time is measured until the frames of the last client of the dialect are encoded and queued.
#![allow(missing_docs, clippy::unwrap_used, reason = "a program that prints its findings")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use chrono::DateTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orion_server::dashboards::orion::wire as orion;
use orion_server::dashboards::{aria::wire as aria, sentio::wire as sentio};
use orion_server::domain::{
    Direction, Event, Instruments, Now, Position, PriceUpdate, Quality, Signal, SignalDraft, SignalId, SourceName,
};
use orion_server::hub::{Audiences, Envelope, Hub, Outbox, Selection, Topics};
use orion_server::telemetry::Metrics;
use orion_server::transport::lane::Fanout;
use tokio::time::Instant;

const CLIENTS: [usize; 3] = [1, 100, 1_000];

fn tick() -> Vec<Arc<Envelope>> {
    let all = Instruments::documented().into_iter().chain(Instruments::futures());
    let update = |symbol| PriceUpdate {
        symbol,
        price: 1234.5,
        timestamp: DateTime::from_timestamp(1_725_186_600, 0).unwrap(),
        change: 0.25,
        change_percent: 0.0203,
        volume: None,
        bid_ask: Some((1234.25, 1234.75)),
        day: None,
        quality: Quality::Simulated,
        source: SourceName::new("simulator"),
    };
    all.map(|instrument| Arc::new(Envelope::unplaced(Event::Price(Arc::new(update(instrument.symbol)))))).collect()
}

fn fanout(criterion: &mut Criterion) {
    let events = tick().len();
    let mut group = criterion.benchmark_group("fanout");
    for clients in CLIENTS {
        let metrics = Arc::new(Metrics::new().unwrap());
        let position = Position { epoch: "k3x9a1b2c3".into(), seq: 0 };
        let hub = Hub::new(position, Duration::from_mins(10), 50, metrics.clone());
        let everybody = Fanout::new(1, Vec::new(), metrics.clone());
        hub.add_sink(Arc::new(everybody.clone()));
        let outboxes: Vec<_> = (0..clients)
            .map(|_| {
                let outbox = Arc::new(Outbox::new(metrics.clone()));
                outbox.set_topics(Topics::market());
                everybody.join(&outbox);
                outbox
            })
            .collect();
        group.throughput(Throughput::Elements((clients * events) as u64));
        group.bench_function(BenchmarkId::new("publish and take", clients), |bencher| {
            bencher.iter_batched(
                tick,
                |batch| {
                    hub.publish(&batch);
                    for outbox in &outboxes {
                        for publication in outbox.drain().unwrap().states {
                            black_box(orion::frames(&publication));
                        }
                    }
                    batch
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("floor", clients), |bencher| {
            bencher.iter_batched(
                tick,
                |batch| {
                    let frames: Vec<&Utf8Bytes> = batch.iter().flat_map(orion::frames).collect();
                    for _ in 0..clients {
                        let mut due = Vec::with_capacity(frames.len());
                        due.extend(frames.iter().map(|frame| (*frame).clone()));
                        black_box(due);
                    }
                    batch.len()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Returns what a dialect queues for one client when a signal is due: the shared frames, or Sentio's list of current signals.
type Queue = fn(&Hub, &Instruments, &Arc<Envelope>) -> Vec<Utf8Bytes>;

/// Returns the dialects, with the topics of their clients and what they queue.
fn conversations() -> [(&'static str, Topics, Queue); 3] {
    let list = Topics {
        signals: Selection::All,
        published: Audiences { all: true, ..Audiences::default() },
        ..Topics::default()
    };
    [
        ("orion", Topics::market(), |_, _, publication| orion::frames(publication).to_vec()),
        ("aria", Topics::public(), |_, _, publication| aria::frames(publication).to_vec()),
        ("sentio", list, |hub, instruments, publication| {
            let Event::Signal(signal) = publication.event() else { return Vec::new() };
            let sources = hub.with_snapshot(|present| sentio::signal_sources(present, None));
            let list = sentio::array(&sentio::signal_list(&sources, None, instruments));
            vec![sentio::frame("trade_signals", &list, signal.updated_at)]
        }),
    ]
}

fn signal() -> Arc<Signal> {
    let draft = SignalDraft {
        direction: Some(Direction::Long),
        entry_price: Some(1.085),
        stop_loss: Some(1.082),
        take_profits: Some(vec![1.088, 1.092, 1.096]),
        reason: Some("MSS+FVG setup".into()),
        confidence: Some(0.85),
        ..SignalDraft::default()
    };
    let now = Now { wall: DateTime::from_timestamp(1_725_186_600, 0).unwrap(), mono: Duration::from_secs(1) };
    let id = SignalId::new("sig_001").unwrap();
    let instrument = Instruments::documented().swap_remove(0);
    Arc::new(Signal::create(id, &draft, &instrument, SourceName::new("push"), now, Duration::from_mins(5)).unwrap())
}

/// The hub with clients of every dialect, and the next sequence number.
struct Bench {
    hub: Hub,
    instruments: Instruments,
    queues: Vec<(Queue, Vec<Arc<Outbox>>)>,
    seq: u64,
}

impl Bench {
    fn of(clients: usize) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let position = Position { epoch: "k3x9a1b2c3".into(), seq: 0 };
        let hub = Hub::new(position, Duration::from_mins(10), 50, metrics.clone());
        let everybody = Fanout::new(1, Vec::new(), metrics.clone());
        hub.add_sink(Arc::new(everybody.clone()));
        let join = |topics: &Topics| {
            let outbox = Arc::new(Outbox::new(metrics.clone()));
            outbox.set_topics(topics.clone());
            everybody.join(&outbox);
            outbox
        };
        let queues = conversations().map(|(_, topics, queue)| (queue, (0..clients).map(|_| join(&topics)).collect()));
        let all = Instruments::documented().into_iter().chain(Instruments::futures());
        Self { hub, instruments: Instruments::new(all).unwrap(), queues: queues.into(), seq: 0 }
    }

    /// Publishes the signal once. Returns, per dialect, the time until the last client had its frames.
    fn publish(&mut self, signal: &Arc<Signal>) -> Vec<Duration> {
        self.seq += 1;
        let position = Position { epoch: "k3x9a1b2c3".into(), seq: self.seq };
        let batch = [Arc::new(Envelope::placed(Event::Signal(signal.clone()), position))];
        let mut last = vec![Duration::ZERO; self.queues.len()];
        let published = Instant::now();
        self.hub.publish(&batch);
        for client in 0..self.queues[0].1.len() {
            for ((queue, outboxes), last) in self.queues.iter().zip(&mut last) {
                let due = outboxes[client].drain().unwrap();
                assert_eq!(due.ordered.len(), 1, "every client is told, once");
                black_box(queue(&self.hub, &self.instruments, &batch[0]));
                *last = published.elapsed();
            }
        }
        last
    }
}

fn dialects(criterion: &mut Criterion) {
    const CLIENTS_EACH: usize = 100;
    let mut group = criterion.benchmark_group("one signal, 100 clients of each dialect");
    let (mut bench, signal) = (Bench::of(CLIENTS_EACH), signal());
    for (index, (name, ..)) in conversations().into_iter().enumerate() {
        group.bench_function(BenchmarkId::new("published until the last is queued", name), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| bench.publish(&signal)[index]).sum());
        });
    }
    // All dialects are measured on the same event, so that a busy machine affects them equally.
    group.bench_function("between the first dialect and the last", |bencher| {
        bencher.iter_custom(|times| {
            let apart = |last: Vec<Duration>| last.iter().max().unwrap().saturating_sub(*last.iter().min().unwrap());
            (0..times).map(|_| apart(bench.publish(&signal))).sum()
        });
    });
    group.finish();
}

criterion_group!(benches, fanout, dialects);
criterion_main!(benches);
