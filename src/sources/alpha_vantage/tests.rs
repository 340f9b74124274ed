//! The parser, on fixed and arbitrary input.

use proptest::prelude::*;

use super::parse::{NoPrice, answer};
use crate::domain::{Quote, iso};

const RATE: &str = include_str!("fixtures/rate.json");

fn read(text: &str) -> Result<(Quote, String), NoPrice> {
    answer(text.as_bytes(), ("EUR", "USD")).map(|(quote, at)| (quote, iso(at)))
}

#[test]
fn a_rate_is_read_as_it_was_sent() {
    let at = "2026-01-26T12:34:56.000Z".to_owned();
    assert_eq!(read(RATE), Ok((Quote::BidAsk { bid: 1.12157, ask: 1.12171 }, at.clone())));
    let one_sided = RATE.replace("\"1.12157000\"", "\"-\"");
    assert_eq!(read(&one_sided), Ok((Quote::Last(1.12164), at)), "without a side it is the rate");
}

#[test]
fn a_response_without_a_price_has_its_reason() {
    for (from, to, why) in [
        ("\"EUR\"", "\"GBP\"", NoPrice::Other),
        ("1.12157000", "1.2", NoPrice::Number),
        ("1.12157000", "-1", NoPrice::Number),
        ("1.12171000", "inf", NoPrice::Number),
        ("\"UTC\"", "\"US/Eastern\"", NoPrice::Time),
        ("2026-01-26 12:34:56", "-", NoPrice::Time),
        ("5. Exchange", "6. Exchange", NoPrice::Malformed),
        ("Realtime", "Unreal", NoPrice::Malformed),
    ] {
        assert_eq!(read(&RATE.replace(from, to)), Err(why), "{to}");
    }
    for text in ["", "null", "[]", "{}", "<html></html>", &"{\"a\":".repeat(100_000)] {
        assert_eq!(read(text), Err(NoPrice::Malformed), "{text:.50}");
    }
}

/// The texts were reported by users of the service. An unknown text counts as "too many calls".
#[test]
fn errors_in_the_body_are_distinguished() {
    for (field, text, why) in [
        ("Error Message", "the parameter apikey is invalid or missing. Please claim your free API key.", NoPrice::Key),
        ("Error Message", "Invalid API call. Please retry or visit the documentation.", NoPrice::NotOffered),
        ("Note", "Our standard API call frequency is 5 calls per minute and 500 calls per day.", NoPrice::TooMuch),
        (
            "Information",
            "We have detected your API key as ABC and our standard API rate limit is 25 requests per day.",
            NoPrice::DaySpent,
        ),
        (
            "Information",
            "Please consider spreading out your free API requests more sparingly (1 request per second). You may subscribe \
             to any of the premium plans to lift the free key rate limit (25 requests per day).",
            NoPrice::TooMuch,
        ),
        ("Information", "Thank you! This is a premium endpoint.", NoPrice::NotOffered),
        ("Information", "The **demo** API key is for demo purposes only.", NoPrice::Key),
        ("Information", "Something new.", NoPrice::TooMuch),
    ] {
        let body = serde_json::json!({ field: text }).to_string();
        assert_eq!(read(&body), Err(why), "{text}");
        let beside = RATE.replacen('{', &format!("{{{field:?}: {text:?},"), 1);
        assert_eq!(read(&beside), Err(why), "an error wins over a price");
    }
}

proptest! {
    #[test]
    fn arbitrary_input_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        answer(&bytes, ("EUR", "USD")).ok();
    }

    #[test]
    fn damaged_responses_never_panic_or_lie(at in 0usize..500, byte in any::<u8>()) {
        let mut bytes = RATE.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok((Quote::BidAsk { bid, ask }, _)) = answer(&bytes, ("EUR", "USD")) {
            prop_assert!(bid > 0.0 && bid <= ask && ask.is_finite());
        }
    }
}
