//! Numbers and prices in the spellings of people.

use serde_json::json;

use super::*;
use crate::domain::{Instruments, Symbol};

#[test]
fn unambiguous_separators_of_thousands_are_read() {
    for (text, number) in [
        ("25412.25", 25412.25),
        ("25,412.25", 25412.25),
        ("25 380.00", 25380.0),
        ("25\u{a0}380.00", 25380.0),
        ("25\u{202f}380.00", 25380.0),
        ("25'412.25", 25412.25),
        ("25’412.25", 25412.25),
        ("25.412,25", 25412.25),
        ("1,234,567", 1_234_567.0),
        ("1.234.567,8", 1_234_567.8),
        ("25,500", 25500.0),
        (" 25500 ", 25500.0),
        ("1e3", 1000.0),
    ] {
        assert_eq!(written_number(text, Some(2)), Ok(number), "{text}");
    }
}

#[test]
fn an_ambiguous_number_is_rejected() {
    let reason = |text: &str, digits| written_number(text, digits).unwrap_err();
    assert!(reason("1,16005", Some(5)).contains("write 1.16005"));
    assert!(reason("1,160", Some(5)).contains("write 1.160 or 1160"));
    assert!(reason("155,250", Some(3)).contains("write 155.250 or 155250"));
    assert!(reason("25,500", None).contains("25.500 or 25500"));
    for text in ["1,2,3", "25,41.25", "2541,225.5", "1.2.3", "1 2", "25, 500", "1,1651,1701", "12a", "", "-", ","] {
        assert!(written_number(text, Some(2)).is_err(), "{text}");
    }
}

#[test]
fn a_distance_is_not_a_number() {
    for text in ["2atr", "300 pips", "30p", "1.5%", "1.5x ATR", "2R", "50 points", "-30 pips", "10 ticks"] {
        assert!(written_number(text, Some(5)).unwrap_err().contains("looks like a distance"), "{text}");
    }
    for text in ["NaN", "-Infinity", "inf", "1.#INF"] {
        assert!(written_number(text, Some(5)).unwrap_err().contains("send null"), "{text}");
    }
}

#[test]
fn zero_is_not_a_price() {
    let all = Instruments::new(Instruments::documented()).unwrap();
    let instrument = all.get(&Symbol::new("EURUSD")).map(AsRef::as_ref);
    for zero in [json!(0), json!(0.0), json!("0.0"), json!("0")] {
        assert!(price(&zero, instrument).unwrap_err().contains("leave it out"), "{zero}");
    }
    assert!(price(&json!(-1), instrument).is_err());
}

#[test]
fn confidence_is_a_share_or_percent() {
    for (value, score) in [
        (json!("85%"), 0.85),
        (json!("1%"), 0.01),
        (json!(1), 1.0),
        (json!(100), 1.0),
        (json!(0.0), 0.0),
        (json!(85), 0.85),
    ] {
        assert_eq!(confidence(&value), Ok(score), "{value}");
    }
    for value in [json!("high"), json!("0,85"), json!(101), json!("%"), json!(-1)] {
        assert!(confidence(&value).is_err(), "{value}");
    }
}
