//! The parser, on fixed and arbitrary input, and the serial subscriptions.

use proptest::prelude::*;

use super::super::parse::frame;
use super::*;
use crate::domain::{Quote, iso, parse_time};

fn massive(cluster: Cluster, instruments: &[&str]) -> Massive {
    let catalogue = Instruments::new(Instruments::documented()).unwrap();
    let mut options = Options::new("ws://localhost", cluster, Secret::new("k"));
    options.instruments = instruments.iter().map(ToString::to_string).collect();
    Massive::new(options, &catalogue, std::sync::Arc::new(|| parse_time("2026-01-15T15:00:00Z").unwrap())).unwrap()
}

fn forex() -> Massive {
    massive(Cluster::Forex, &["C:EURUSD", "XAU-USD", "USD/JPY"])
}

fn read(text: &str) -> Vec<Result<Element, MalformedElement>> {
    let massive = forex();
    frame(text, &massive.names, Feed::Live, &massive.source)
}

#[test]
fn the_recorded_frames_are_read_unchanged() {
    let mut seen = Vec::new();
    for heard in include_str!("fixtures/forex.jsonl").lines().flat_map(read) {
        seen.push(match heard {
            Ok(Element::Tick(Tick { symbol, quote: Quote::BidAsk { bid, ask }, observed_at, .. })) => {
                format!("{symbol} {bid} {ask} {}", iso(observed_at))
            }
            Ok(Element::Status(status, message)) => format!("{status:?}: {message}"),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(
        seen,
        [
            "Connected: Connected Successfully",
            "Authenticated: authenticated",
            "Success: subscribed to: C.EUR/USD",
            "EURUSD 1.12157 1.12171 2026-01-26T12:34:56.789Z",
            "XAUUSD 2650.245 2650.475 2026-01-26T12:34:56.790Z",
            "EURUSD 1.12158 1.12172 2026-01-26T12:34:56.790Z",
            "Ok(Other)",
            "Err(Unasked)",
            "EURUSD 1.12159 1.12173 2026-01-26T12:34:57.000Z",
            "Error { about_key: false }: not authorized",
            "InUse: Maximum number of websocket connections exceeded.",
        ]
    );
}

#[test]
fn one_invalid_element_does_not_affect_others() {
    let good = r#"{"ev":"C","p":"EUR/USD","a":1.2,"b":1.1,"t":1769430896789}"#;
    for (bad, why) in [
        ("5", MalformedElement::Event),
        ("{}", MalformedElement::Event),
        (r#"{"ev":"C","p":"EUR/USD","a":1.2}"#, MalformedElement::Event),
        (r#"{"ev":"C","p":"EUR/USD","a":"1.2","b":1.1,"t":1769430896789}"#, MalformedElement::Event),
        (r#"{"ev":"C","p":"EUR/USD","a":1.1,"b":1.2,"t":1769430896789}"#, MalformedElement::Crossed),
        (r#"{"ev":"C","p":"EUR/USD","a":1.1,"b":-1,"t":1769430896789}"#, MalformedElement::Number),
        (r#"{"ev":"C","p":"EUR/USD","a":1.2,"b":1.1,"t":1769430896}"#, MalformedElement::Time),
        (r#"{"ev":"C","p":"AUD/USD","a":1.2,"b":1.1,"t":1769430896789}"#, MalformedElement::Unasked),
    ] {
        let heard = read(&format!("[{bad},{good}]"));
        assert!(matches!(&heard[..], [Err(seen), Ok(Element::Tick(_))] if *seen == why), "{bad}: {heard:?}");
    }
    for text in ["", "{}", "null", &"[".repeat(100_000), &format!("[{good}")] {
        assert_eq!(read(text), [Err(MalformedElement::Json)], "{text:.50}");
    }
}

#[test]
fn every_spelling_becomes_massives_name() {
    assert_eq!(forex().channels, ["C.EUR/USD", "C.XAU/USD", "C.USD/JPY"]);
    let indices = massive(Cluster::Indices, &["I:SPX", "I:DJI"]);
    assert_eq!(
        (indices.channels.as_slice(), indices.name().as_str()),
        (&["V.I:SPX".to_owned(), "V.I:DJI".into()][..], "massive_indices")
    );
    let text = r#"[{"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130}]"#;
    let heard = frame(text, &indices.names, Feed::Delayed, &indices.source);
    assert!(
        matches!(&heard[..], [Ok(Element::Tick(tick))] if tick.quote == Quote::Last(3988.5) && tick.symbol.as_str() == "SPX500")
    );
}

#[test]
fn cash_indices_have_their_own_hours() {
    let at = |text| parse_time(text).unwrap();
    let (pairs, indices) = (forex(), massive(Cluster::Indices, &["I:SPX"]));
    for (time, pairs_open, indices_open) in [
        ("2026-01-15T14:29:59Z", true, false),
        ("2026-01-15T14:30:00Z", true, true),
        ("2026-07-15T19:59:59Z", true, true),
        ("2026-07-15T20:00:00Z", true, false),
        ("2026-01-17T15:00:00Z", false, false),
    ] {
        assert_eq!((pairs.is_open(at(time)), indices.is_open(at(time))), (pairs_open, indices_open), "{time}");
    }
}

#[tokio::test(start_paused = true)]
async fn channels_are_subscribed_one_by_one() {
    let source = SourceName::new("massive");
    let mut pending =
        PendingSubscriptions::new(&["C.A".into(), "C.B".into(), "C.C".into()], Duration::from_secs(5), "");
    assert_eq!(pending.next(&source).as_deref(), Some("C.A"));
    assert_eq!(pending.next(&source), None, "the first is not settled");
    pending.confirmed("subscribed to: C.B");
    assert_eq!(pending.next(&source), None, "that was another");
    pending.confirmed("subscribed to: C.A");
    assert_eq!(pending.next(&source).as_deref(), Some("C.B"));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(pending.next(&source).as_deref(), Some("C.C"), "silence is an answer, too");
    pending.refused().unwrap();
    assert_eq!((pending.next(&source), pending.deadline()), (None, None));

    let mut none =
        PendingSubscriptions::new(&["C.A".into(), "C.B".into()], Duration::from_secs(5), "is the plan delayed?");
    none.next(&source);
    none.refused().unwrap();
    none.next(&source);
    let refused = none.refused().unwrap_err();
    assert!(matches!(refused, SourceError::Refused(_)), "nothing is left of the plan");
    assert!(refused.to_string().contains("is the plan delayed?"), "{refused}");
}

proptest! {
    #[test]
    fn arbitrary_input_never_panics(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn damaged_frames_never_panic_or_lie(at in 0usize..200, byte in 0u8..128) {
        let mut bytes = include_str!("fixtures/forex.jsonl").lines().nth(4).unwrap().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        for heard in read(std::str::from_utf8(&bytes).unwrap()) {
            if let Ok(Element::Tick(Tick { quote: Quote::BidAsk { bid, ask }, .. })) = heard {
                prop_assert!(bid > 0.0 && bid <= ask && ask.is_finite());
            }
        }
    }
}
