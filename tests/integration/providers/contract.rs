//! What every source promises, whatever its provider does.

use std::time::Duration;

use orion_server::domain::{Input, Quote, Tick};
use orion_server::pipeline::Handle;
use orion_server::sources::Source;
use orion_server::telemetry::SourceState;

use super::Rig;
use super::stage::{Act, Price, Stage};

/// A provider that can be played.
pub(crate) trait Provider {
    /// Whether each price is asked for on a connection of its own.
    const POLLED: bool = false;
    /// Whether its messages have the time of the price; else it is the time of arrival.
    const TIMED: bool = true;

    /// What its message says of a price: the quote, and the time in Unix milliseconds.
    fn told(price: Price) -> (Quote, i64) {
        (Quote::BidAsk { bid: price.bid, ask: price.ask }, price.at)
    }

    /// Plays it on loopback.
    async fn play(plan: Vec<Vec<Act>>) -> Stage;

    /// Its source, which takes a link for dead after this silence.
    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static;
}

/// So long that only a dead link reaches it.
const LONG: Duration = Duration::from_secs(30);
/// So short that a dead link is noticed soon, and so long that a link is not taken for dead because the machine is busy.
const SHORT: Duration = Duration::from_secs(2);

/// The promises as tests of the provider's module.
macro_rules! contract {
    ($provider:ty) => {
        crate::providers::contract::contract!($provider,
            delivers_each_tick_once_unaltered_and_in_order
            survives_garbage
            comes_back_from_silence
            comes_back_from_every_loss
            a_refused_key_is_not_tried_again
            waits_and_comes_back_when_it_asked_too_much
            comes_back_after_an_outage
            loses_nothing_while_the_pipeline_is_busy
        );
    };
    ($provider:ty, $($promise:ident)*) => {
        $(#[tokio::test]
        async fn $promise() {
            crate::providers::contract::$promise::<$provider>().await;
        })*
    };
}
pub(crate) use contract;

/// A price of a recording: its number decides everything.
pub(crate) fn price(number: i64) -> Price {
    let symbol = ["EURUSD", "XAUUSD", "USDJPY"][number as usize % 3];
    let (base, step) = match symbol {
        "EURUSD" => (108_500, 1e5),
        "XAUUSD" => (265_000, 1e2),
        _ => (155_000, 1e3),
    };
    let points = base + number % 97;
    let (bid, ask) = (points as f64 / step, (points + 1 + number % 3) as f64 / step);
    // Neighbours of one symbol share a millisecond now and then, as in real recordings.
    Price { symbol, bid, ask, at: 1_769_430_896_000 + number / 6 * 1250 }
}

fn prices(numbers: std::ops::Range<i64>) -> Vec<Act> {
    numbers.map(|number| Act::Price(price(number))).collect()
}

/// That a tick says what was recorded.
pub(crate) fn assert_told(tick: &Tick, price: Price) {
    let Price { symbol, bid, ask, at } = price;
    assert_said(tick, symbol, (Quote::BidAsk { bid, ask }, Some(at)));
}

fn assert_said(tick: &Tick, symbol: &str, (quote, at): (Quote, Option<i64>)) {
    let observed_at = tick.observed_at.timestamp_millis();
    assert_eq!((tick.symbol.as_str(), tick.quote, observed_at), (symbol, quote, at.unwrap_or(observed_at)));
}

/// That a tick says what this provider's message says.
fn assert_told_by<P: Provider>(tick: &Tick, price: Price) {
    let (quote, at) = P::told(price);
    assert_said(tick, price.symbol, (quote, P::TIMED.then_some(at)));
}

pub(crate) async fn delivers_each_tick_once_unaltered_and_in_order<P: Provider>() {
    let stage = P::play(vec![prices(0..120)]).await;
    let mut rig = Rig::run(P::source(&stage, super::KEY, LONG));
    for (number, tick) in rig.ticks(120).await.iter().enumerate() {
        assert_told_by::<P>(tick, price(number as i64));
    }
    assert!(rig.state().delivers(), "{}", rig.state());
    rig.end().await;
    assert_eq!(stage.came(), 1);
}

pub(crate) async fn survives_garbage<P: Provider>() {
    let plan = vec![Act::Garbage, Act::Price(price(0)), Act::Garbage, Act::Price(price(3))];
    let stage = P::play(vec![plan]).await;
    let mut rig = Rig::run(P::source(&stage, super::KEY, LONG));
    for number in [0, 3] {
        assert_told_by::<P>(&rig.tick().await, price(number));
    }
    assert!(rig.rejected("malformed") >= 2);
    rig.end().await;
    assert!(P::POLLED || stage.came() == 1, "garbage ends no connection");
}

pub(crate) async fn comes_back_from_silence<P: Provider>() {
    let stage = P::play(vec![vec![Act::Price(price(0)), Act::Mute], prices(3..4)]).await;
    let mut rig = Rig::run(P::source(&stage, super::KEY, SHORT));
    assert_told_by::<P>(&rig.tick().await, price(0));
    stage.until(2).await;
    assert_told_by::<P>(&rig.tick().await, price(3));
    rig.end().await;
}

/// Each loss in its turn. What came before a loss comes again after it, as in a snapshot, with a straggler.
pub(crate) async fn comes_back_from_every_loss<P: Provider>() {
    let again = || [Act::Price(price(6)), Act::Price(price(0))];
    let cut = vec![Act::Price(price(0)), Act::Price(price(6)), Act::Cut];
    let close: Vec<Act> = again().into_iter().chain([Act::Price(price(12)), Act::Close]).collect();
    let stage = P::play(vec![cut, close, prices(18..19)]).await;
    let mut rig = Rig::run(P::source(&stage, super::KEY, LONG));
    // Without times nobody can tell that a price was there before.
    let expected: &[i64] = if P::TIMED { &[0, 6, 12, 18] } else { &[0, 6, 6, 0, 12, 18] };
    for number in expected {
        assert_told_by::<P>(&rig.tick().await, price(*number));
    }
    let again = u64::from(P::TIMED);
    assert_eq!((rig.rejected("duplicate"), rig.rejected("late")), (again, again));
    rig.end().await;
    assert!(P::POLLED || stage.came() == 3);
}

pub(crate) async fn a_refused_key_is_not_tried_again<P: Provider>() {
    let stage = P::play(Vec::new()).await;
    let rig = Rig::run(P::source(&stage, super::WRONG_KEY, LONG));
    rig.until(SourceState::Refused).await;
    assert_eq!(stage.came(), 1);
    rig.end().await;
    assert_eq!(stage.came(), 1);
}

pub(crate) async fn waits_and_comes_back_when_it_asked_too_much<P: Provider>() {
    let stage = P::play(vec![vec![Act::TooMany], prices(0..1)]).await;
    let mut rig = Rig::run(P::source(&stage, super::KEY, LONG));
    assert_told_by::<P>(&rig.tick().await, price(0));
    rig.end().await;
    assert!(P::POLLED || stage.came() == 2);
}

pub(crate) async fn comes_back_after_an_outage<P: Provider>() {
    let stage = P::play(vec![vec![Act::Unavailable], prices(0..1)]).await;
    let mut rig = Rig::run(P::source(&stage, super::KEY, LONG));
    assert_told_by::<P>(&rig.tick().await, price(0));
    rig.end().await;
    assert!(P::POLLED || stage.came() == 2);
}

/// A pipeline that takes nothing for longer than the silence that ends a link slows the source down, and costs no tick.
pub(crate) async fn loses_nothing_while_the_pipeline_is_busy<P: Provider>() {
    let stage = P::play(vec![prices(0..2000)]).await;
    let (handle, inputs) = Handle::channel();
    for _ in 0..Handle::CAPACITY {
        handle.send(Input::Ticks(Vec::new())).await.unwrap();
    }
    let mut rig = Rig::run_into(P::source(&stage, super::KEY, SHORT), handle, inputs);
    stage.until(1).await;
    tokio::time::sleep(2 * SHORT).await;
    for number in 0..2000 {
        assert_told_by::<P>(&rig.tick().await, price(number));
    }
    rig.end().await;
    assert_eq!(stage.came(), 1);
}
