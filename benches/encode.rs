//! Benchmark of encoding, which happens once per dialect and event: a tick of 11 prices, and a signal.
#![allow(missing_docs, clippy::unwrap_used, reason = "a program that prints its findings")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orion_server::dashboards::orion::wire::frames;
use orion_server::domain::{
    Direction, Event, Feed, Input, Instruments, Now, Position, PriceUpdate, Quote, Signal, SignalDraft, SignalId,
    SourceName, Tick,
};
use orion_server::engine::Engine;
use orion_server::hub::Envelope;
use orion_server::transport::messages;

/// Encodes an event in a dialect. The first call encodes; later calls return the shared frames.
type Encode = fn(&Arc<Envelope>) -> &[Utf8Bytes];
const DIALECTS: [(&str, Encode); 2] = [("orion over Socket.IO", object), ("orion native", frames)];

fn object(publication: &Arc<Envelope>) -> &[Utf8Bytes] {
    messages::object(publication).map(std::slice::from_ref).unwrap_or_default()
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_725_186_600, 0).unwrap()
}

fn now() -> Now {
    Now { wall: at(), mono: Duration::from_secs(1) }
}

fn instruments() -> Arc<Instruments> {
    let all = Instruments::documented().into_iter().chain(Instruments::futures());
    Arc::new(Instruments::new(all).unwrap())
}

fn tick() -> Vec<Arc<PriceUpdate>> {
    let instruments = instruments();
    let mut engine = Engine::new(instruments.clone(), Duration::from_mins(5), 5);
    let ticks = instruments.iter().map(|instrument| Tick {
        symbol: instrument.symbol.clone(),
        quote: Quote::BidAsk { bid: 1234.56789, ask: 1234.98765 },
        volume: None,
        observed_at: at(),
        feed: Feed::Simulated,
        source: SourceName::new("simulator"),
    });
    engine.process(Input::Ticks(ticks.collect()), now());
    engine.publish(now())
}

fn signal() -> Arc<Signal> {
    let draft = SignalDraft {
        direction: Some(Direction::Long),
        entry_price: Some(1.085),
        stop_loss: Some(1.082),
        take_profits: Some(vec![1.088, 1.092, 1.096]),
        tp_modes: Some(["TP1 30%", "TP2 40%", "Runner 30%"].map(Into::into).to_vec()),
        reason: Some("Liquidity sweep of the London low, MSS and FVG on the five-minute chart".into()),
        confidence: Some(0.85),
        ..SignalDraft::default()
    };
    let instrument = Instruments::documented().swap_remove(0);
    let id = SignalId::new("5c8f6f0e-2f0f-5a53-9d0a-6d4c6a7f2c11").unwrap();
    Arc::new(Signal::create(id, &draft, &instrument, SourceName::new("push"), now(), Duration::from_mins(5)).unwrap())
}

fn encode(criterion: &mut Criterion) {
    let prices: Vec<_> = tick().into_iter().map(Event::Price).collect();
    let signals = vec![Event::Signal(signal())];
    for (name, events) in [("tick of 11 prices", prices), ("signal", signals)] {
        let mut group = criterion.benchmark_group(format!("encode {name}"));
        group.throughput(Throughput::Elements(events.len() as u64));
        for (dialect, encode) in DIALECTS {
            let fresh = || -> Vec<_> {
                let position = Position { epoch: "k3x9a1b2c3".into(), seq: 1_234_567 };
                events.iter().map(|event| Arc::new(Envelope::placed(event.clone(), position.clone()))).collect()
            };
            group.bench_function(BenchmarkId::from_parameter(dialect), |bencher| {
                bencher.iter_batched(
                    fresh,
                    |publications| {
                        for publication in &publications {
                            black_box(encode(publication));
                        }
                        publications
                    },
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
