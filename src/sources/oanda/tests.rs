//! The parser, on fixed and arbitrary input.

use proptest::prelude::*;

use super::super::parse::{LineContent, MalformedLine, Subscriptions, line};
use super::{Lines, MAX_LINE};
use crate::domain::{Feed, Instruments, Quote, SourceName, Tick, iso};

fn names() -> Subscriptions {
    let catalogue = Instruments::new(Instruments::documented()).unwrap();
    let all = ["EUR_USD", "GBP_USD", "USD_JPY", "XAU_USD", "US30_USD", "NAS100_USD", "SPX500_USD"].map(str::to_owned);
    crate::sources::subscriptions("oanda", &all, &catalogue).unwrap().into_iter().collect()
}

fn read(text: &str) -> Result<LineContent, MalformedLine> {
    line(text.as_bytes(), &names(), &SourceName::new("oanda"))
}

fn tick(text: &str) -> Tick {
    match read(text) {
        Ok(LineContent::Tick(tick)) => tick,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_recorded_stream_is_read_unchanged() {
    let stream = include_str!("fixtures/stream.jsonl");
    let mut read: Vec<String> = Vec::new();
    for text in stream.lines() {
        read.push(match self::read(text) {
            Ok(LineContent::Tick(Tick { symbol, quote: Quote::BidAsk { bid, ask }, observed_at, feed, .. })) => {
                format!("{symbol} {bid} {ask} {} {feed:?}", iso(observed_at))
            }
            Ok(LineContent::Life) => "alive".to_owned(),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(
        read,
        [
            "EURUSD 1.12157 1.12171 2026-01-26T12:34:56.789Z Live",
            "XAUUSD 2650.245 2650.475 2026-01-26T12:34:56.790Z Live",
            "US30 42150.5 42153 2026-01-26T12:34:56.801Z Live",
            "alive",
            "NAS100 20510.2 20512.1 2026-01-26T12:34:57.001Z Live",
            "SPX500 5800.1 5800.6 2026-01-23T21:59:58.112Z Indicative",
            "alive",
            "USDJPY 155.012 155.025 2026-01-26T12:35:01.004Z Live",
            "alive",
        ]
    );
}

#[test]
fn an_invalid_line_has_its_reason() {
    let price = |time: &str, instrument: &str, bid: &str, ask: &str| {
        format!(
            r#"{{"type":"PRICE","time":"{time}","instrument":"{instrument}","bids":[{{"price":"{bid}"}}],"asks":[{{"price":"{ask}"}}]}}"#
        )
    };
    let now = "2026-01-26T12:34:56.789123456Z";
    for (text, why) in [
        (price("soon", "EUR_USD", "1.1", "1.2"), MalformedLine::Time),
        (price(now, "AUD_USD", "1.1", "1.2"), MalformedLine::Unasked),
        (price(now, "EUR_USD", "1.3", "1.2"), MalformedLine::Crossed),
        (price(now, "EUR_USD", "-1.1", "1.2"), MalformedLine::Number),
        (price(now, "EUR_USD", "0", "1.2"), MalformedLine::Number),
        (price(now, "EUR_USD", "NaN", "1.2"), MalformedLine::Number),
        (price(now, "EUR_USD", "1.1", "inf"), MalformedLine::Number),
        (price(now, "EUR_USD", "1,1", "1.2"), MalformedLine::Number),
        ("[]".into(), MalformedLine::Json),
        ("{\"time\":\"x\"}".into(), MalformedLine::Json),
        ("<html>502 Bad Gateway</html>".into(), MalformedLine::Json),
        ("[".repeat(100_000), MalformedLine::Json),
    ] {
        assert_eq!(read(&text), Err(why), "{text:.100}");
    }
    assert_eq!(read(&price(now, "EUR_USD", "1.1", "1.1")).map(|heard| matches!(heard, LineContent::Tick(_))), Ok(true));
}

#[test]
fn a_one_sided_book_is_not_a_price() {
    let book = |sides: &str| {
        read(&format!(r#"{{"type":"PRICE","time":"2026-01-26T12:34:56Z","instrument":"EUR_USD",{sides}}}"#))
    };
    for sides in [r#""bids":[],"asks":[]"#, r#""bids":[{"price":"1.1"}],"asks":[]"#, r#""tradeable":true"#] {
        assert_eq!(book(sides), Ok(LineContent::Life), "{sides}");
    }
}

#[test]
fn an_untradeable_price_is_indicative() {
    for (flags, feed) in [
        ("\"tradeable\":true", Feed::Live),
        ("\"tradeable\":true,\"status\":\"tradeable\"", Feed::Live),
        ("\"x\":0", Feed::Live),
        ("\"tradeable\":false", Feed::Indicative),
        ("\"status\":\"non-tradeable\"", Feed::Indicative),
        ("\"status\":\"invalid\"", Feed::Indicative),
        ("\"status\":\"non-tradeable\",\"tradeable\":false", Feed::Indicative),
    ] {
        let line = format!(
            r#"{{"type":"PRICE","time":"2026-01-16T21:59:58.692522548Z","instrument":"EUR_USD",{flags},"bids":[{{"price":"1.18571"}}],"asks":[{{"price":"1.18671"}}]}}"#
        );
        assert_eq!(tick(&line).feed, feed, "{flags}");
    }
}

#[test]
fn an_endless_line_is_skipped_without_memory() {
    let (long, mut lines, mut seen) = (vec![b'x'; MAX_LINE], Lines::default(), Vec::new());
    for chunk in [b"one\n\r\n", &long[..], &long, &long, b"x\n\xff\nt", b"wo\n"] {
        lines.push(chunk);
        while let Some(line) = lines.next() {
            seen.push(line.ok());
        }
        assert!(lines.buffer.len() <= MAX_LINE, "{}", lines.buffer.len());
    }
    assert_eq!(seen, [Some("one".to_owned()), None, None, Some("two".to_owned())]);
}

proptest! {
    #[test]
    fn a_price_comes_out_as_it_went_in(points in 1u32..2_000_000, spread in 0u32..1000) {
        let text = |points: u32| format!("{}.{:05}", points / 100_000, points % 100_000);
        let (bid, ask) = (text(points), text(points + spread));
        let line = format!(
            r#"{{"type":"PRICE","time":"2026-01-26T12:34:56Z","instrument":"EUR_USD","bids":[{{"price":"{bid}"}}],"asks":[{{"price":"{ask}"}}]}}"#
        );
        let expected = Quote::BidAsk { bid: bid.parse().unwrap(), ask: ask.parse().unwrap() };
        prop_assert_eq!(tick(&line).quote, expected);
    }

    #[test]
    fn arbitrary_input_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        line(&bytes, &names(), &SourceName::new("oanda")).ok();
    }

    #[test]
    fn damaged_lines_never_panic_or_lie(at in 0usize..300, byte in any::<u8>()) {
        let mut bytes = include_str!("fixtures/stream.jsonl").lines().next().unwrap().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(LineContent::Tick(Tick { quote: Quote::BidAsk { bid, ask }, .. })) = line(&bytes, &names(), &SourceName::new("oanda")) {
            prop_assert!(bid > 0.0 && bid <= ask && ask.is_finite());
        }
    }
}
