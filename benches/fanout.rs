//! What a delivery costs between the pipeline and the write loops: the hub publishes a tick of 11 prices to native clients,
//! and each takes what is due and looks up the shared frames, as its loop does. Compare the cost of an element, which is one
//! delivery, between the numbers of clients, and with the floor: 11 shared frames pushed to a plain vector for each.
#![allow(missing_docs, clippy::unwrap_used, reason = "a program that prints its findings")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use chrono::DateTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orion_server::domain::{Event, Instruments, Position, PriceUpdate, Quality, SourceName};
use orion_server::gateways::dialects::orion;
use orion_server::hub::{Clients, Hub, Outbox, Publication, Topics};
use orion_server::telemetry::Metrics;

const CLIENTS: [usize; 3] = [1, 100, 1_000];

fn tick() -> Vec<Arc<Publication>> {
    let all = Instruments::documented().into_iter().chain(Instruments::futures());
    let update = |symbol| PriceUpdate {
        symbol,
        price: 1234.5,
        timestamp: DateTime::from_timestamp(1_725_186_600, 0).unwrap(),
        change: 0.25,
        change_percent: 0.0203,
        volume: None,
        bid_ask: Some((1234.25, 1234.75)),
        quality: Quality::Simulated,
        source: SourceName::new("simulator"),
    };
    all.map(|instrument| Arc::new(Publication::unplaced(Event::Price(Arc::new(update(instrument.symbol)))))).collect()
}

fn fanout(criterion: &mut Criterion) {
    let events = tick().len();
    let mut group = criterion.benchmark_group("fanout");
    for clients in CLIENTS {
        let metrics = Arc::new(Metrics::new().unwrap());
        let position = Position { epoch: "k3x9a1b2c3".into(), seq: 0 };
        let hub = Hub::new(position, Duration::from_mins(10), metrics.clone());
        let everybody = Arc::new(Clients::default());
        hub.add_sink(everybody.clone());
        let outboxes: Vec<_> = (0..clients)
            .map(|_| {
                let outbox = Arc::new(Outbox::new(metrics.clone()));
                outbox.set_topics(Topics::market());
                (everybody.join(outbox.clone()), outbox)
            })
            .collect();
        group.throughput(Throughput::Elements((clients * events) as u64));
        group.bench_function(BenchmarkId::new("publish and take", clients), |bencher| {
            bencher.iter_batched(
                tick,
                |batch| {
                    hub.publish(&batch);
                    for (_, outbox) in &outboxes {
                        for publication in outbox.take().unwrap().states {
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

criterion_group!(benches, fanout);
criterion_main!(benches);
