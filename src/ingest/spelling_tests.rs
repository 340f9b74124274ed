//! Signals and prices in the spellings of bots, language models and terminals: one table of names for every route.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::aliases::{FieldAliases, PRICE_FIELDS, SIGNAL_FIELDS};
use super::prices::read_prices;
use super::*;
use crate::domain::{Direction, iso, parse_time};

fn instruments() -> Instruments {
    Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap()
}

fn read(body: &Value) -> PushedSignal {
    parse_signal(body, &instruments()).unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
}

fn reasons(body: &Value) -> Vec<(String, String)> {
    let fault = parse_signal(body, &instruments()).unwrap_err();
    fault.faults().iter().map(|fault| (fault.field.clone(), fault.reason.clone())).collect()
}

fn refused_for(body: &Value, field: &str, words: &str) {
    let reasons = reasons(body);
    assert!(reasons.iter().any(|(name, reason)| name == field && reason.contains(words)), "{body}: {reasons:?}");
}

#[test]
fn every_spelling_of_levels_is_read() {
    for levels in [
        json!({"entry": 1.16, "sl": 1.157, "tp1": 1.163, "tp2": 1.166}),
        json!({"entryPrice": 1.16, "stopLoss": 1.157, "takeProfit1": 1.163, "takeProfit2": 1.166}),
        json!({"Entry": "1.16", "Stop Loss": "1.157", "Take-Profit-2": "1.166", "TAKE_PROFIT_1": "1.163"}),
        json!({"price": 1.16, "stop": 1.157, "targets": [1.163, 1.166]}),
        json!({"open_price": 1.16, "stop_price": 1.157, "tp": "1.163, 1.166"}),
        json!({"entry": 1.16, "sl": 1.157, "target1": 1.163, "target_2": 1.166, "target3": null}),
        json!({"entry": 1.16, "entry_price": "1.1600", "sl": 1.157, "stopLoss": "1.1570", "tp": 1.163, "tp1": 1.163, "tp2": 1.166}),
    ] {
        let mut body = levels.clone();
        body["id"] = json!("b2");
        body["ticker"] = json!("EURUSD");
        body["action"] = json!("BUY");
        let pushed = read(&body);
        let draft = &pushed.draft;
        assert_eq!((draft.entry_price, draft.stop_loss), (Some(1.16), Some(1.157)), "{levels}");
        assert_eq!(draft.take_profits, Some(vec![1.163, 1.166]), "{levels}");
        assert_eq!((draft.direction, &pushed.ignored), (Some(Direction::Long), &Vec::new()), "{levels}");
    }
}

/// Case 31.
#[test]
fn spellings_that_differ_are_refused_by_name() {
    let body = json!({"id": "b2", "symbol": "EURUSD", "side": "BUY", "entry": 1.16, "sl": 1.157, "tp1": 1.163, "tp2": 1.166,
        "takeProfit": 1.17, "stopLoss": 1.156, "riskReward": 2});
    refused_for(&body, "sl", "contradicts stopLoss");
    refused_for(&body, "takeProfit", "contradicts tp1");
    assert_eq!(reasons(&body).len(), 2);
    let body = |more: Value| {
        let mut body = json!({"id": "a", "symbol": "EURUSD", "direction": "long", "entry": 1.16});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    refused_for(&body(json!({"ticker": "XAUUSD"})), "ticker", "contradicts symbol");
    refused_for(&body(json!({"action": "sell"})), "action", "contradicts direction");
    refused_for(&body(json!({"event": "SHORT_ENTRY"})), "event", "contradicts the direction");
    refused_for(&body(json!({"entry_price": 1.17})), "entry", "contradicts entry_price");
    refused_for(&body(json!({"tp": [1.17], "targets": [1.18]})), "tp", "contradicts");
    // Both documented, with different meanings.
    assert_eq!(read(&body(json!({"price": 1.1605}))).draft.entry_price, Some(1.16));
}

#[test]
fn fields_without_effect_are_named() {
    let body = json!({"id": "a", "symbol": "EURUSD", "direction": "long", "lots": 0.1, "tp11": 1.2, "none": null, "comment": "x",
        "signal_type": "entry", "timeframe": "M5"});
    assert_eq!(read(&body).ignored, ["lots", "timeframe", "tp11"]);
    let many: Value =
        (0..50).map(|i| (format!("{}{i}", "x".repeat(100)), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let mut body = body;
    body.as_object_mut().unwrap().extend(many.as_object().unwrap().clone());
    let ignored = read(&body).ignored;
    assert!(ignored.len() == 20 && ignored.iter().all(|name| name.len() <= 64), "{ignored:?}");
    let at = parse_time("2026-01-15T07:00:00Z").unwrap();
    let prices = |body: Value| read_prices(&body, &instruments(), at, at).unwrap().1;
    assert_eq!(prices(json!({"ticker": "EURUSD", "last": 1.16, "change": 1, "spread": 2})), ["spread"]);
    let batch = json!({"prices": [{"symbol": "EURUSD", "price": 1.16}, {"symbol": "EURUSD", "bid": 1, "offer": 2, "x": 1}], "y": 1});
    assert_eq!(prices(batch), ["y", "prices[1].x"]);
}

/// Cases 32 and 33.
#[test]
fn zero_asks_to_omit_the_field() {
    let body =
        json!({"id": "b3", "symbol": "EURUSD", "direction": "buy", "price": 1.16, "sl": 0.0, "tp": 0, "confidence": 0});
    refused_for(&body, "sl", "leave it out");
    refused_for(&body, "tp", "leave it out");
    assert_eq!(reasons(&body).len(), 2, "a confidence of 0 is one");
}

/// Case 35, and other shapes that hold signals.
#[test]
fn unsupported_shapes_get_their_remedy() {
    let by_symbol = json!({"EUR/USD": {"symbol": "EUR/USD", "action": "HOLD", "confidence": 0.0, "stop_loss": 0.0},
        "XAU/USD": {"symbol": "XAU/USD", "action": "BUY", "confidence": 0.9, "stop_loss": 4038}});
    refused_for(&by_symbol, "body", "one object per signal");
    refused_for(&json!({"signals": [{"symbol": "EURUSD", "action": "buy"}]}), "body", "one object per signal");
    refused_for(&json!([{"symbol": "EURUSD"}]), "body", "each signal of the list by itself");
    refused_for(&json!("{\"symbol\": \"EURUSD\"}"), "body", "without the quotes");
    for word in ["HOLD", "wait", "NEUTRAL", "none"] {
        refused_for(
            &json!({"id": "a", "symbol": "EURUSD", "action": word}),
            "action",
            "is not a signal: send buy, sell",
        );
    }
    refused_for(&json!({"id": "a", "symbol": "EURUSD", "action": "FLAT"}), "action", "to end a signal send its id");
    for body in [
        json!({"direction": "buy limit"}),
        json!({"action": "buy", "order_type": "limit"}),
        json!({"type": "SELL_STOP"}),
    ] {
        let mut body = body;
        body["id"] = json!("a");
        body["symbol"] = json!("EURUSD");
        assert!(reasons(&body).iter().any(|(_, reason)| reason.contains("pending order")), "{body}");
    }
    let ends = read(&json!({"id": "a", "status": "invalidated", "action": "close"}));
    assert_eq!(ends.draft.direction, None, "a known signal is ended");
}

#[test]
fn an_exchange_beside_the_symbol_is_read() {
    let body = json!({"id": "a", "symbol": "ES1!", "exchange": "CME_MINI_DL", "direction": "long"});
    assert_eq!(read(&body).draft.symbol.unwrap().as_str(), "ES");
    let unknown = json!({"id": "a", "symbol": "ABC", "exchange": "NYSE", "direction": "long"});
    refused_for(&unknown, "symbol", "'NYSE:ABC'");
}

#[test]
fn times_are_read_as_other_languages_print_them() {
    for time in [
        json!("2026-01-15 07:00:00+00:00"),
        json!("2026-01-15T07:00:00.000456"),
        json!("Thu Jan 15 07:00:00 UTC 2026"),
        json!("2026-01-15T07:00:00Z[UTC]"),
        json!(1_768_460_400),
        json!("1768460400.000"),
        json!(1_768_460_400_000_i64),
        json!(1_768_460_400_000_000_i64),
        json!(1_768_460_400_000_000_000_i64),
    ] {
        let pushed = read(&json!({"id": "a", "symbol": "EURUSD", "direction": "long", "time": time}));
        assert_eq!(pushed.draft.entry_time.map(iso).as_deref(), Some("2026-01-15T07:00:00.000Z"), "{time}");
    }
    refused_for(
        &json!({"id": "a", "symbol": "EURUSD", "direction": "long", "time": "Thu Jan 15 07:00:00 EST 2026"}),
        "time",
        "must be",
    );
}

/// `docs/pushing.md` prints the table, a row for each field.
#[test]
fn the_documents_print_the_table_of_names() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pushing.md");
    let text = std::fs::read_to_string(path).unwrap();
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
    let row = |field: &FieldAliases| {
        format!("| `{}` | {} | {} |", field.name, quoted(field.aliases), quoted(field.fallbacks))
            .replace("|  |", "| |")
            .replace("|  |", "| |")
    };
    for (heading, fields) in
        [("### Names of a signal", &SIGNAL_FIELDS[..]), ("### Names of a price", &PRICE_FIELDS[..])]
    {
        let section = text.split(heading).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let rows: Vec<String> = rows.take_while(|line| line.starts_with('|')).map(ToOwned::to_owned).collect();
        let expected: Vec<String> = fields.iter().map(row).collect();
        assert_eq!(rows.join("\n"), expected.join("\n"), "{heading} should be\n{}", expected.join("\n"));
    }
}

fn spelled(name: &'static str) -> impl Strategy<Value = String> {
    (0..5u8).prop_map(move |way| match way {
        0 => name.to_owned(),
        1 => name.to_uppercase(),
        2 => name.replace('_', "-"),
        3 => name.replace('_', " "),
        _ => name
            .split('_')
            .enumerate()
            .map(|(at, part)| if at == 0 { part.to_owned() } else { part[..1].to_uppercase() + &part[1..] })
            .collect(),
    })
}

fn any_name(field: FieldAliases) -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = std::iter::once(&field.name).chain(field.aliases).copied().collect();
    prop::sample::select(names).prop_flat_map(spelled)
}

fn any_number(number: f64) -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!(number)), Just(json!(number.to_string())), Just(json!(format!(" {number:.5} ")))]
}

proptest! {
    #[test]
    fn spelling_and_order_do_not_matter(
        names in (any_name(aliases::ID), any_name(aliases::SYMBOL), any_name(aliases::DIRECTION), any_name(aliases::ENTRY_PRICE),
            any_name(aliases::STOP_LOSS), any_name(aliases::TAKE_PROFITS)),
        values in (any_number(1.16), any_number(1.157), any_number(1.163)),
        word in prop::sample::select(vec!["buy", "LONG", "Bullish", "enter_long", " Buy "]),
        symbol in prop::sample::select(vec!["EURUSD", "eur/usd", "OANDA:EURUSD", "={\"symbol\":\"FX:EURUSD\"}"]),
        order in Just(vec![0usize, 1, 2, 3, 4, 5]).prop_shuffle(),
    ) {
        let fields = [(names.0, json!("a")), (names.1, json!(symbol)), (names.2, json!(word)), (names.3, values.0), (names.4, values.1),
            (names.5, values.2)];
        let body: serde_json::Map<_, _> = order.iter().map(|at| fields[*at].clone()).collect();
        let pushed = read(&Value::Object(body));
        let draft = pushed.draft;
        prop_assert_eq!((pushed.id.as_str(), draft.symbol.as_ref().map(crate::domain::Symbol::as_str)), ("a", Some("EURUSD")));
        prop_assert_eq!((draft.direction, draft.entry_price, draft.stop_loss), (Some(Direction::Long), Some(1.16), Some(1.157)));
        prop_assert_eq!((draft.take_profits, pushed.ignored), (Some(vec![1.163]), Vec::<String>::new()));
    }
}
