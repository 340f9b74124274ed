//! Benchmark of durable pushes: acknowledged appends per second with 1, 16 and 128 pushers. The same run measures the disk itself
//! (one write and one fdatasync after the other), with the watermark and without it. `TMPDIR` chooses the disk.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints its findings")]
#![allow(clippy::disallowed_methods, reason = "measures time")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use criterion::{BenchmarkId, Criterion, Throughput};
use orion_server::domain::{Direction, Killzone, Signal, SignalId, SignalState, SourceName, Symbol};
use orion_server::store::{Options, Store};
use orion_server::telemetry::Metrics;

const PUSHERS: [u64; 3] = [1, 16, 128];

fn now() -> DateTime<Utc> {
    Utc::now()
}

fn signal(number: u64) -> Arc<Signal> {
    Arc::new(Signal {
        id: SignalId::from(uuid::Uuid::from_u64_pair(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)),
        state: SignalState::Pending,
        direction: Direction::Long,
        symbol: Symbol::new("EURUSD"),
        entry_time: now(),
        entry_price: Some(1.085),
        stop_loss: Some(1.082),
        take_profits: vec![1.088, 1.092, 1.096],
        tp_modes: vec!["TP1 30%".into(), "TP2 40%".into(), "Runner 30%".into()],
        reason: "Liquidity sweep of the London low, MSS and FVG on the five-minute chart".into(),
        confidence: 0.85,
        calibration: None,
        rr_target: 3.67,
        killzone: Killzone::London,
        model: None,
        source: SourceName::new("push"),
        accepted_at: now(),
        updated_at: now(),
        expires_at: now() + Duration::from_mins(5),
    })
}

/// Returns the time for `iterations` of write and fdatasync, with the size of one event.
fn raw(dir: &Path, iterations: u64) -> Duration {
    let mut file = File::create(dir.join("raw")).unwrap();
    let event = vec![0x5a; serde_json::to_vec(&*signal(1)).unwrap().len()];
    let started = Instant::now();
    for _ in 0..iterations {
        file.write_all(&event).unwrap();
        file.sync_data().unwrap();
    }
    started.elapsed()
}

/// Returns the time for `iterations` appends by `pushers`, which each wait for an acknowledgement before the next append.
fn append(store: &Arc<Store>, first: u64, pushers: u64, iterations: u64) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let each = iterations.div_ceil(pushers);
    let started = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..pushers)
            .map(|pusher| {
                let store = Arc::clone(store);
                tokio::spawn(async move {
                    for number in 0..each {
                        store
                            .append(vec![signal(first + pusher * each + number)], Vec::new(), Vec::new())
                            .await
                            .unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    // Every pusher appends the same number of times, so that the total may be slightly more than `iterations`.
    started.elapsed().mul_f64(iterations as f64 / (each * pushers) as f64)
}

/// The sum of all rounds of one measurement.
#[derive(Default)]
struct Measurement {
    iterations: u64,
    elapsed: Duration,
}

impl Measurement {
    fn add(&mut self, iterations: u64, elapsed: Duration) -> Duration {
        self.iterations += iterations;
        self.elapsed += elapsed;
        elapsed
    }

    fn rate(&self) -> f64 {
        self.iterations as f64 / self.elapsed.as_secs_f64()
    }
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        messages_per_user: 50,
        message_retention: Duration::from_hours(24),
        max_messages: 1_000_000,
        upgrade_backup: true,
        message_type: orion_server::app::message_type,
        signal_retention: Duration::from_hours(24),
        bar_retention: Duration::from_hours(24),
        recent_since: now(),
        clock: now,
    };
    let other = tempfile::tempdir().unwrap();
    let (with, _) = Store::open(dir.path(), options, Arc::new(Metrics::new().unwrap())).unwrap();
    let (without, _) = Store::open_without_watermark(other.path(), options, Arc::new(Metrics::new().unwrap())).unwrap();
    let stores = [("with watermark", Arc::new(with)), ("without", Arc::new(without))];
    let mut used = 0;

    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    let mut rates = Vec::new();
    let mut tally = Measurement::default();
    group.bench_function("raw write+fdatasync", |bencher| {
        bencher.iter_custom(|iterations| {
            let elapsed = raw(dir.path(), iterations);
            tally.add(iterations, elapsed)
        });
    });
    rates.push(("raw write+fdatasync".to_owned(), tally.rate()));
    for pushers in PUSHERS {
        // The rounds alternate, because the speed of a disk varies over time.
        let mut tallies = [Measurement::default(), Measurement::default()];
        for round in 0..2 {
            for ((name, store), tally) in stores.iter().zip(&mut tallies) {
                let name = format!("acknowledged, {name}, round {round}");
                group.bench_with_input(BenchmarkId::new(name, pushers), &pushers, |bencher, pushers| {
                    bencher.iter_custom(|iterations| {
                        let elapsed = append(store, used, *pushers, iterations);
                        used += iterations + pushers;
                        tally.add(iterations, elapsed)
                    });
                });
            }
        }
        for ((name, _), tally) in stores.iter().zip(tallies) {
            rates.push((format!("{pushers} pushers, {name}"), tally.rate()));
        }
    }
    group.finish();
    criterion.final_summary();
    let disk = rates[0].1;
    for (what, rate) in rates {
        println!("{what:>28}: {rate:>9.0}/s, {:>6.2} times the disk", rate / disk);
    }
}
