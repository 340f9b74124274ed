//! Whatever is pushed: what leaves in the ORION dialect is whole, and no price has more digits than its instrument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use orion_server::dashboards::orion::wire::frames;
use orion_server::domain::{
    Direction, Event, Feed, Input, Instrument, Instruments, Invalidation, Killzone, Now, Position, Quote, Signal,
    SignalDraft, SignalId, SignalStatus, SourceName, Tick,
};
use orion_server::engine::Engine;
use orion_server::hub::Envelope;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::support::decimals;

type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

const TTL: Duration = Duration::from_mins(5);

fn instruments() -> Vec<Instrument> {
    Instruments::documented().into_iter().chain(Instruments::futures()).collect()
}

fn now(seconds: u64) -> Now {
    let wall = DateTime::from_timestamp(1_725_186_600 + seconds as i64, 0).unwrap();
    Now { wall, mono: Duration::from_secs(seconds) }
}

fn told(event: Event) -> String {
    let position = Position { epoch: "k3x9".into(), seq: 7 };
    let publication = match event {
        Event::Signal(_) => Envelope::placed(event, position),
        _ => Envelope::unplaced(event),
    };
    let publication = Arc::new(publication);
    let [frame] = frames(&publication) else { panic!("one frame") };
    frame.to_string()
}

/// The fields of an object as they are written; a name that stands there twice is a defect.
fn fields(json: &str) -> Fields<'_> {
    let fields: Fields<'_> = serde_json::from_str(json).unwrap();
    serde_json::from_str::<serde_json::Value>(json).unwrap();
    fields
}

fn check_number(fields: &Fields<'_>, name: &str, digits: usize) {
    let written = fields[name].get();
    let number: f64 = written.parse().unwrap_or_else(|_| panic!("{name} is {written}"));
    assert!(number.is_finite() && decimals(written) <= digits, "{name} is {written}");
}

fn check_words(fields: &Fields<'_>, name: &str, words: &[&str]) {
    let written = fields[name].get();
    assert!(words.iter().any(|word| written == format!("\"{word}\"")), "{name} is {written}");
}

fn check_text(fields: &Fields<'_>, name: &str) {
    serde_json::from_str::<String>(fields[name].get()).unwrap_or_else(|_| panic!("{name} is {}", fields[name]));
}

fn check_time(fields: &Fields<'_>, name: &str) {
    let written: String = serde_json::from_str(fields[name].get()).unwrap();
    assert!(written.len() == 24 && written.ends_with('Z'), "{name} is {written}");
    DateTime::parse_from_rfc3339(&written).unwrap();
}

/// What `dashboards.md` §1.3 says that the page crashes on, and what `server.md` promises beyond.
fn check_signal(frame: &str, instrument: &Instrument) {
    let envelope = fields(frame);
    assert_eq!(envelope["type"].get(), "\"signal\"");
    check_text(&envelope, "cursor");
    let signal = fields(envelope["payload"].get());
    let expected = "confidence direction entry_price entry_time expires_at id invalidation killzone killzone_active price \
                    reason rr_target source status stop_loss symbol take_profits tp_modes updated_at";
    assert_eq!(signal.keys().copied().collect::<Vec<_>>().join(" "), expected, "not whole, or more than documented");
    let digits = usize::from(instrument.digits);
    check_words(&signal, "status", &["pending", "confirmed", "invalidated"]);
    check_words(&signal, "direction", &["long", "short"]);
    check_words(&signal, "killzone", &["asia", "london", "ny_am", "lunch", "pm"]);
    assert_eq!(signal["symbol"].get(), format!("\"{}\"", instrument.symbol));
    for name in ["id", "reason", "source"] {
        check_text(&signal, name);
    }
    for name in ["entry_time", "updated_at", "expires_at"] {
        check_time(&signal, name);
    }
    for name in ["entry_price", "price", "stop_loss"] {
        if signal[name].get() != "null" {
            check_number(&signal, name, digits);
        }
    }
    assert_eq!(signal["price"].get(), signal["entry_price"].get());
    let targets = serde_json::from_str::<Option<Vec<&RawValue>>>(signal["take_profits"].get()).unwrap();
    // The page prints the length of an empty list.
    assert!(targets.as_ref().is_none_or(|targets| !targets.is_empty()), "{frame}");
    for target in targets.unwrap_or_default() {
        check_number(&BTreeMap::from([("take_profits", target)]), "take_profits", digits);
    }
    serde_json::from_str::<Vec<String>>(signal["tp_modes"].get()).unwrap();
    check_number(&signal, "confidence", 4);
    assert!((0.0..=1.0).contains(&signal["confidence"].get().parse().unwrap()));
    check_number(&signal, "rr_target", 4);
    let invalidated = signal["status"].get() == "\"invalidated\"";
    assert_eq!(signal["invalidation"].get() != "null", invalidated, "{frame}");
}

fn check_price(frame: &str, instrument: &Instrument) {
    let envelope = fields(frame);
    assert_eq!(envelope["type"].get(), "\"price_update\"");
    let price = fields(envelope["payload"].get());
    let digits = usize::from(instrument.digits);
    assert_eq!(price["symbol"].get(), format!("\"{}\"", instrument.symbol));
    check_number(&price, "price", digits);
    check_number(&price, "change", digits);
    check_number(&price, "change_percent", 4);
    check_time(&price, "timestamp");
    check_words(&price, "quality", &["live", "delayed", "stale", "closed", "simulated", "replayed"]);
    check_text(&price, "source");
    for name in ["bid", "ask"] {
        if price.contains_key(name) {
            check_number(&price, name, digits);
        }
    }
    assert_eq!(price.contains_key("bid"), price.contains_key("ask"));
    if price.contains_key("volume") {
        check_number(&price, "volume", usize::MAX);
    }
}

/// A price as the border lets it in: finite, positive, on no grid at all.
fn any_price() -> impl Strategy<Value = f64> {
    prop_oneof![0.00001..200_000.0, (1u32..2_000_000).prop_map(|n| f64::from(n) / 3.0), Just(0.1 + 0.2), Just(1e9)]
}

fn any_levels() -> impl Strategy<Value = (Direction, Option<f64>, Option<f64>, Option<Vec<f64>>)> {
    let steps = vec(0.0001f64..0.05, 0..6);
    (
        prop_oneof![Just(Direction::Long), Just(Direction::Short)],
        any_price(),
        of(0.0001f64..0.05),
        of(steps),
        any::<bool>(),
    )
        .prop_map(|(direction, entry, stop, steps, bare)| {
            let at = |distance: f64| entry * (1.0 + direction.sign() * distance);
            let mut far = 0.0;
            let targets = steps.map(|steps| {
                let targets = steps.into_iter().map(|step| {
                    far += step;
                    at(far)
                });
                targets.collect()
            });
            (direction, (!bare).then_some(entry), stop.map(|distance| at(-distance)), targets)
        })
}

fn any_status() -> impl Strategy<Value = Option<SignalStatus>> {
    of(prop_oneof![Just(SignalStatus::Pending), Just(SignalStatus::Confirmed), Just(SignalStatus::Invalidated)])
}

prop_compose! {
    fn any_draft()(
        (direction, entry_price, stop_loss, take_profits) in any_levels(),
        status in any_status(),
        invalidation in of("\\PC{1,20}"),
        entry_time in of(0i64..4_000_000_000),
        tp_modes in of(vec("\\PC{0,10}", 0..4)),
        reason in of(any::<String>()),
        confidence in of(0.0f64..=1.0),
        rr_target in of(0.0f64..1_000.0),
        killzone in of(0usize..5),
    ) -> SignalDraft {
        SignalDraft {
            direction: Some(direction), entry_price, stop_loss, take_profits, status, tp_modes, reason, confidence, rr_target,
            invalidation: invalidation.and_then(|reason| Invalidation::new(&reason)),
            entry_time: entry_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
            killzone: killzone.map(|index| Killzone::ALL[index]),
            symbol: None,
            model: None,
        }
    }
}

proptest! {
    #[test]
    fn signals_leave_whole_and_on_the_grid(
        which in 0usize..11, id in "\\PC{1,40}", drafts in vec(any_draft(), 1..5),
    ) {
        let instrument = &instruments()[which];
        let id = SignalId::new(&id).unwrap();
        let mut signal: Option<Signal> = None;
        for (at, mut draft) in drafts.into_iter().enumerate() {
            let changed = match &signal {
                None => Signal::create(id.clone(), &draft, instrument, SourceName::new("push"), now(at as u64), TTL).ok(),
                Some(signal) => {
                    // The direction of a signal cannot change: what the levels say has to fit it, or it is refused.
                    draft.direction = None;
                    signal.amend(&draft, instrument, now(at as u64)).ok().flatten()
                }
            };
            if let Some(changed) = changed {
                check_signal(&told(Event::Signal(Arc::new(changed.clone()))), instrument);
                signal = Some(changed);
            }
        }
    }

    #[test]
    fn prices_leave_whole_and_on_the_grid(
        which in 0usize..11,
        ticks in vec((any_price(), of(0.0f64..0.01), of(0.0f64..1e15), 0u64..400, any::<bool>()), 1..8),
    ) {
        let all = instruments();
        let instrument = all[which].clone();
        let mut engine = Engine::new(Arc::new(Instruments::new(all).unwrap()), TTL, 2);
        let mut at = 0;
        for (price, spread, volume, pause, simulated) in ticks {
            at += pause;
            let tick = Tick {
                symbol: instrument.symbol.clone(),
                quote: spread.map_or(Quote::Last(price), |spread| Quote::BidAsk { bid: price, ask: price * (1.0 + spread) }),
                volume,
                observed_at: now(at).wall,
                feed: if simulated { Feed::Simulated } else { Feed::Live },
                source: SourceName::new("push"),
            };
            engine.process(Input::Ticks(vec![tick]), now(at));
            // At once, and again when it has been quiet for so long that it is told once more, older by then.
            for later in [0, 20, 400, 400] {
                at += later;
                for update in engine.publish(now(at)) {
                    check_price(&told(Event::Price(update)), &instrument);
                }
            }
        }
    }
}
