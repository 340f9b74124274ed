//! Accepted and rejected deviations from JSON.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn value(text: &str) -> Value {
    read(text).unwrap().value
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn json_is_read_as_it_is() {
    let text = r#"{"a": [1, -2.5e3, true, false, null, "x\n\"\u00e9\ud83d\ude00"], "b": {}, "c": []}"#;
    let strict: Value = serde_json::from_str(text).unwrap();
    assert_eq!(read(text), Ok(Loose { value: strict, not_numbers: Vec::new(), oddities: Vec::new() }));
}

#[test]
fn near_json_is_read() {
    let expected = json!({"action": "buy", "price": 1.16, "sl": null});
    for text in [
        r#"{“action”: “buy”, "price": 1.16, „sl“: null}"#,
        r#"{"action”: "buy”, "price": 1.16, "sl": null}"#,
        "{'action': 'buy', 'price': 1.16, 'sl': None}",
        "{‘action’: ‘buy’, 'price': 1.16, 'sl': None,}",
        r#"{"action": "buy", "price": 1.16, "sl": NaN,}"#,
        r#"{"action": "buy", "price": 1.16, "sl": -Infinity}"#,
        r#"{"action": buy, "price": 1.16, "sl": }"#,
        r#"{"action": "buy", "price": 1.16, "sl": {{plot("Stop")}}}"#,
        r#"{action: "buy", price: 1.16, sl: undefined}"#,
        "{\"action\": \"buy\",\u{a0}\"price\": 1.16,\n\"sl\": n/a}",
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    assert_eq!(
        value("{'a': 'it\\'s', 'b': True, \"c\": \"the “big” one\"}"),
        json!({"a": "it's", "b": true, "c": "the “big” one"})
    );
    assert_eq!(value("{\"a\": \"two\nlines\"}"), json!({"a": "two\nlines"}));
    assert_eq!(value("{\"time\": 2026-01-15T07:00:00Z, \"n\": .5}"), json!({"time": "2026-01-15T07:00:00Z", "n": 0.5}));
}

#[test]
fn an_adjusted_symbol_keeps_its_quotes() {
    let text =
        r#"{"ticker": "={"adjustment":"dividends","session":"extended","symbol":"OANDA:EURUSD"}", "action": "buy"}"#;
    let symbol = json!({"adjustment": "dividends", "session": "extended", "symbol": "OANDA:EURUSD"});
    assert_eq!(value(text), json!({"ticker": symbol, "action": "buy"}));
}

#[test]
fn places_of_nan_are_named() {
    let text = r#"{"stop_loss": NaN, "take_profits": [1.1, Infinity], "s": {"c": -Infinity}}"#;
    assert_eq!(read(text).unwrap().not_numbers, ["stop_loss", "take_profits[1]", "s.c"]);
}

#[test]
fn unreadable_text_gets_its_reason() {
    assert!(
        error(r#"{"ticker": "EURUSD", "message": "{"action":"buy","sl":1.157}"}"#)
            .contains("message holds JSON within JSON")
    );
    assert_eq!(error(r#"{"reason": "the 5" level", "a": 1}"#), "there are quotes within the quotes of reason");
    assert_eq!(error(r#"{"sl": 1.157, "sl": 1.156}"#), "sl stands there twice with different values");
    assert_eq!(error("{\"a\": 1"), LooseError::Unclosed.to_string());
    assert_eq!(error("{\"a\": 1}\n{"), "line 2 column 1 is not what JSON has there");
    assert_eq!(error("{\"price\": 25,412.25}"), "line 1 column 20 is not what JSON has there");
    for deep in ["[".repeat(60_000), "{\"a\":".repeat(20_000), format!("{}1{}", "[".repeat(1000), "]".repeat(1000))] {
        assert_eq!(read(&deep), Err(LooseError::TooDeep));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(Value::from),
        "[^{}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        read(&text).ok();
    }

    #[test]
    fn no_near_json_panics(text in "[{}\\[\\]:,\"'“”= \\\\a-c0-9.\n]{0,80}") {
        read(&text).ok();
    }

    #[test]
    fn json_is_read_into_itself(value in any_json()) {
        let read = read(&value.to_string()).unwrap();
        prop_assert_eq!(read.value, value);
        prop_assert!(read.not_numbers.is_empty());
    }
}
