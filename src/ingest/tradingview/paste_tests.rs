//! Alerts as people paste them: quotes, forms, adjusted symbols, direction words, distances, repeats.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Accepted, Direction, Quote, parse_time};
use crate::ingest::{PushedSignal, parse_signal};
use crate::pipeline::Handle;
use crate::tasks::Tasks;

fn now() -> DateTime<Utc> {
    parse_time("2026-01-15T10:30:30Z").unwrap()
}

fn instruments() -> Arc<Instruments> {
    Arc::new(Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap())
}

fn read(body: &str) -> Read {
    parse(body.as_bytes(), &instruments(), now()).unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
}

fn signal(body: &str) -> PushedSignal {
    match read(body).alert {
        Alert::Signal(signal) => parse_signal(&signal, &instruments()).unwrap(),
        other => panic!("{body}: {other:?}"),
    }
}

fn refused_for(body: &str, words: &str) {
    let fault = parse(body.as_bytes(), &instruments(), now()).expect_err(body).to_string();
    assert!(fault.contains(words), "{body}: {fault}");
}

/// Case 21, 22, 29 and 39.
#[test]
fn quotes_commas_and_encodings_do_not_matter() {
    for body in [
        r#"{“action”: “buy”, "ticker": "EURUSD", „price“: “1.1601”}"#,
        "{\n“action”: “buy”,\n\"ticker\": \"EURUSD\",\n“price”: “1.1601”\n}\n",
        r#"{"ticker": "EURUSD", "action": "buy", "price": "1.1601",}"#,
        "{'ticker': 'EURUSD', 'action': 'buy', 'price': 1.1601}",
        "{\"ticker\": \"EURUSD\", \"action\": \"buy\", \"price\": \"1.1601\"}\n\n",
        "{\"ticker\": \"EURUSD\", \"action\": \"buy\", \"price\": \"1.1601\"}\0\0\0",
        "\u{feff}{ticker: EURUSD, action: buy, price: 1.1601}",
        "payload=%7B%22ticker%22%3A%22EURUSD%22%2C%22action%22%3A%22buy%22%2C%22price%22%3A1.1601%7D",
        "%7B%22ticker%22%3A%22EURUSD%22%2C%22action%22%3A%22buy%22%2C%22price%22%3A1.1601%7D",
        "ticker=EURUSD&action=buy&price=1.1601",
        "ticker=EURUSD\naction=buy\nprice=1.1601",
        "Symbol: EURUSD, Side: BUY, Entry: 1.1601",
        "BUY EURUSD @ 1.1601",
        "```json\n{\"ticker\": \"EURUSD\", \"action\": \"buy\", \"price\": 1.1601}\n```",
    ] {
        let draft = signal(body).draft;
        assert_eq!((draft.direction, draft.entry_price), (Some(Direction::Long), Some(1.1601)), "{body}");
        assert_eq!(draft.symbol.unwrap().as_str(), "EURUSD", "{body}");
    }
    refused_for(r#"{"ticker": "EURUSD", "message": "{"action":"buy","sl":1.157}"}"#, "JSON within JSON");
    refused_for(
        r#"{"ticker": "EURUSD", "message": "{\"action\":\"buy\",\"sl\":1.157}", "price": 1}"#,
        "message says buy",
    );
    refused_for(
        r#"{"ticker": "EURUSD", "reason": "the 5" level", "action": "buy"}"#,
        "quotes within the quotes of reason",
    );
    refused_for(r#"[{"ticker": "EURUSD", "action": "buy"}]"#, "each alert by itself");
}

/// Case 23.
#[test]
fn an_adjusted_symbol_is_the_symbol_within() {
    for (body, symbol) in [
        (
            r#"{"ticker": "={"adjustment":"dividends","session":"extended","symbol":"OANDA:EURUSD"}", "action": "buy", "price": "1.1601"}"#,
            "EURUSD",
        ),
        (
            r#"{"ticker": "={\"adjustment\":\"splits\",\"currency-id\":\"USD\",\"session\":\"regular\",\"symbol\":\"CME_MINI:ES1!\"}", "action": "sell", "price": "6901.25"}"#,
            "ES",
        ),
        (
            r#"{"ticker": {"adjustment": "dividends", "symbol": "OANDA:EURUSD"}, "action": "buy", "price": "1.1601"}"#,
            "EURUSD",
        ),
    ] {
        assert_eq!(signal(body).draft.symbol.unwrap().as_str(), symbol, "{body}");
    }
    refused_for(r#"{"ticker": {"adjustment": "dividends"}, "action": "buy"}"#, "must be the name of an instrument");
    refused_for(r#"{"ticker": "={\"symbol\":\"NASDAQ:AAPL\"}", "action": "buy"}"#, "Unknown symbol 'NASDAQ:AAPL'");
}

/// Case 24.
#[test]
fn separators_of_thousands_are_read() {
    let body = r#"{"ticker": "NQ1!", "exchange": "CME_MINI", "action": "buy", "price": "25,412.25", "stop_loss": "25 380.00", "tp1": "25,500"}"#;
    let draft = signal(body).draft;
    assert_eq!(
        (draft.entry_price, draft.stop_loss, draft.take_profits),
        (Some(25412.25), Some(25380.0), Some(vec![25500.0]))
    );
    let draft = signal(&body.replace(' ', "\u{a0}")).draft;
    assert_eq!(draft.stop_loss, Some(25380.0));
    refused_for(r#"{"ticker": "EURUSD", "action": "buy", "price": "1,16005"}"#, "price has a comma");
}

/// Case 25 and H10.
#[test]
fn every_direction_word_is_read() {
    for body in [
        r#"{"event": "LONG_ENTRY", "symbol": "MNQ1!", "timeframe": "5", "price": 25412.25, "time": "2026-01-15T14:35:00Z"}"#,
        r#"{"symbol": "MNQ1!", "order_action": "buy", "price": 25412.25}"#,
        r#"{"symbol": "MNQ1!", "strategy": {"order_action": "buy"}, "price": 25412.25}"#,
        r#"{"symbol": "MNQ1!", "strategy": {"order": {"action": "buy", "price": 25412.25}, "market_position": "long"}}"#,
        r#"{"symbol": "MNQ1!", "strategy.order.action": "buy", "close": 25412.25}"#,
        r#"{"symbol": "MNQ1!", "data": {"side": "BUY", "entry": 25412.25}}"#,
        r#"{"symbol": "MNQ1!", "type": "BUY", "price": 25412.25}"#,
        r#"{"symbol": "MNQ1!", "signal": "strong_buy", "price": 25412.25}"#,
        r#"{"symbol": "MNQ1!", "action": "buy", "event": "MSS", "price": 25412.25}"#,
        "RSI: order buy @ 1 filled on MNQ1!. New strategy position is 1",
    ] {
        let draft = signal(body).draft;
        assert_eq!(draft.direction, Some(Direction::Long), "{body}");
        assert_eq!(draft.symbol.unwrap().as_str(), "MNQ", "{body}");
        assert!(draft.entry_price.is_none_or(|price| price == 25412.25), "{body}");
    }
    refused_for(
        r#"{"event": "MSS_BULLISH", "symbol": "MNQ1!", "price": 25412.25, "action": "LOOK_FOR_LONG"}"#,
        "action must be buy, sell, long, short, close or exit",
    );
    refused_for(r#"{"event": "MSS_BULLISH", "symbol": "MNQ1!", "price": 25412.25}"#, "event says bullish");
    refused_for(r#"{"symbol": "EURUSD", "price": 1.16, "message": "buy now"}"#, "message says buy");
    refused_for(r#"{"symbol": "EURUSD", "price": 1.16, "sell": 1}"#, "sell says sell");
    refused_for(r#"{"symbol": "EURUSD", "price": 1.16, "details": {"bias": ["short"]}}"#, "details says short");
    refused_for(r#"{"symbol": "EURUSD", "price": 1.16, "action": "buy", "side": "short"}"#, "action contradicts side");
    refused_for(r#"{"symbol": "EURUSD", "price": 1.16, "action": "buy", "order_type": "limit"}"#, "pending order");
    for body in [
        r#"{"symbol": "EURUSD", "price": 1.16, "action": "HOLD"}"#,
        r#"{"symbol": "EURUSD", "event": "LONG_EXIT", "action": "sell"}"#,
    ] {
        assert!(matches!(read(body).alert, Alert::Nothing(_)), "{body}");
    }
}

#[test]
fn a_price_like_a_signal_has_a_note() {
    for (body, field) in [
        (r#"{"event": "SWEEP_LOW", "symbol": "MNQ1!", "timeframe": "5", "price": 25412.25}"#, "event"),
        (r#"{"ticker": "EURUSD", "price": 1.16, "sl": 1.157}"#, "sl"),
        (r#"{"ticker": "EURUSD", "entry": 1.16, "tp2": 1.165}"#, "entry"),
        (r#"{"ticker": "EURUSD", "close": 1.16, "tp2": 1.165}"#, "tp2"),
    ] {
        let Read { alert, note, .. } = read(body);
        assert!(matches!(alert, Alert::Price(_)), "{body}");
        let note = note.unwrap_or_default();
        assert!(
            note.starts_with("no action, direction or side: taken as a price") && note.contains(field),
            "{body}: {note}"
        );
    }
    assert_eq!(
        read(r#"{"ticker": "EURUSD", "exchange": "OANDA", "price": 1.16, "interval": "5", "volume": 3}"#).note,
        None
    );
}

/// Case 26.
#[test]
fn distances_are_not_levels() {
    refused_for(
        r#"{"action": "BUY", "symbol": "XAUUSD", "price": 4050.10, "sl": "2atr", "tp": "3atr"}"#,
        "Invalid fields: sl, tp",
    );
    refused_for(
        r#"{"action": "BUY", "symbol": "XAUUSD", "price": 4050.10, "sl": "300 pips"}"#,
        "sl is a price; this looks like a distance",
    );
}

/// A receiver whose pipeline accepts everything.
fn way_in() -> (TradingView, Arc<Metrics>) {
    let (handle, mut requests) = Handle::channel();
    Tasks::new().spawn_connection(async move {
        while let Some(request) = requests.recv().await {
            request.answer.unwrap().send(Ok(Accepted::Ticks(Vec::new()))).unwrap();
        }
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    let push = Push::new(handle, instruments(), Arc::new(now), metrics.clone());
    let way_in = TradingView::new(push, instruments(), Arc::new(now), metrics.clone(), SourceStates::new(&metrics));
    (way_in, metrics)
}

/// Case 27.
#[tokio::test(start_paused = true)]
async fn the_same_text_hours_later_is_new() {
    let (tradingview, metrics) = way_in();
    let kind = async |body: &str| serde_json::to_value(tradingview.receive(body.as_bytes()).await.unwrap()).unwrap();
    for body in
        [r#"{"ticker": "EURUSD", "action": "buy", "reason": "MA cross"}"#, r#"{"ticker": "EURUSD", "price": "1.1600"}"#]
    {
        let first = kind(body).await;
        assert_ne!(first["kind"], "duplicate", "{body}");
        tokio::time::advance(Duration::from_secs(20)).await;
        let again = kind(body).await;
        assert_eq!(
            (&again["kind"], &again["duplicate"], &again["success"]),
            (&json!("duplicate"), &json!(true), &json!(true))
        );
        let of = if first["kind"] == "signal" { &first["signal_id"] } else { &first["symbol"] };
        assert_eq!((&again["of"], &again["received_at"]), (of, &first["timestamp"]), "{body}");
        tokio::time::advance(Duration::from_hours(6)).await;
        assert_eq!(kind(body).await["kind"], first["kind"], "{body}");
    }
    let dated = r#"{"ticker": "EURUSD", "price": "1.1600", "timenow": "2026-01-15T10:30:00Z"}"#;
    kind(dated).await;
    tokio::time::advance(Duration::from_hours(6)).await;
    assert_eq!(kind(dated).await["kind"], "duplicate", "its time names the event");
    let count = |kind| metrics.duplicates_total.with_label_values(&[kind, SOURCE]).get();
    assert_eq!((count("signal"), count("price")), (1, 2));
}

/// An alert with its fields in any order and any style of quotes.
fn any_alert() -> impl Strategy<Value = String> {
    let fields = vec![
        prop::sample::select(vec![("ticker", "EURUSD"), ("symbol", "OANDA:EURUSD"), ("Pair", "eur/usd")]),
        prop::sample::select(vec![
            ("action", "buy"),
            ("side", "LONG"),
            ("order_action", "Buy"),
            ("event", "long_entry"),
        ]),
        prop::sample::select(vec![
            ("price", "1.16"),
            ("entry", "1.1600"),
            ("close", "1.16000"),
            ("Entry Price", "1.16"),
        ]),
        prop::sample::select(vec![("sl", "1.157"), ("stopLoss", "1.1570"), ("stop", "1.15700")]),
        prop::sample::select(vec![("tp1", "1.163"), ("take_profit", "1.1630"), ("targets", "1.163")]),
        prop::sample::select(vec![("comment", "NaN"), ("reason", "{{x}}"), ("message", "")]),
    ];
    (fields, Just(vec![0usize, 1, 2, 3, 4, 5]).prop_shuffle(), 0..6u8, any::<bool>()).prop_map(
        |(fields, order, style, comma)| {
            let (open, close) =
                [("\"", "\""), ("“", "”"), ("'", "'"), ("‘", "’"), ("\"", "”"), ("", "")][usize::from(style)];
            let pair = |at: &usize| {
                let (name, value) = fields[*at];
                if style == 5 {
                    format!("{name}={value}")
                } else {
                    format!("{open}{name}{close}: {open}{value}{close}")
                }
            };
            let pairs: Vec<String> = order.iter().map(pair).collect();
            if style == 5 {
                pairs.join("\n")
            } else {
                format!("{{{}{}}}\n\0", pairs.join(", "), if comma { "," } else { "" })
            }
        },
    )
}

proptest! {
    #[test]
    fn any_order_and_quotes_are_the_same_signal(body in any_alert()) {
        let pushed = signal(&body);
        let draft = pushed.draft;
        prop_assert_eq!((draft.direction, draft.entry_price, draft.stop_loss), (Some(Direction::Long), Some(1.16), Some(1.157)), "{}", body);
        prop_assert_eq!((draft.take_profits, draft.symbol.unwrap().to_string()), (Some(vec![1.163]), "EURUSD".to_owned()), "{}", body);
    }

    #[test]
    fn a_direction_word_is_never_a_price(
        word in prop::sample::select(vec!["buy", "SELL", "Long", "short", "BULLISH", "LOOK_FOR_LONG", "enter_short", "close long", "BUY LIMIT"]),
        name in prop::sample::select(vec!["action", "event", "message", "note", "type", "signal", "x", "strategy", "order_type", "comment"]),
        is_nested in any::<bool>(),
        style in 0..3u8,
    ) {
        let value = if is_nested { json!({"inner": word}) } else { json!(word) };
        let body = json!({"ticker": "EURUSD", "price": 1.16, name: value}).to_string();
        let body = match style {
            0 => body,
            1 => body.replace('"', "'"),
            _ => body.replace("\":", "”:").replace("{\"", "{“").replace(",\"", ",“"),
        };
        if let Ok(read) = parse(body.as_bytes(), &instruments(), now()) {
            prop_assert!(!matches!(read.alert, Alert::Price(_)), "{}", body);
        }
    }

    #[test]
    fn an_accepted_price_is_valid(parts in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "\"", "“", "'", ":", ",", "[", "]", "symbol", "ticker", "EURUSD", "action", "buy", "price", "1.1", "NaN", "\n", "=", "={", "&",
        "strategy", "%7B", "%22", "{{", "}}", "\\", "sl", "tp1",
    ]), 0..40)) {
        let body = parts.concat();
        if let Ok(Read { alert: Alert::Price(tick), .. }) = parse(body.as_bytes(), &instruments(), now()) {
            prop_assert!(matches!(tick.quote, Quote::Last(price) if price > 0.0) && !body.contains("\"buy\""), "{}", body);
        }
    }
}

#[test]
fn answers_keep_their_documented_shape() {
    let duplicate = AlertAnswer::Duplicate {
        success: true,
        duplicate: true,
        of: "a".to_owned(),
        received_at: "2026-01-15T10:30:30.000Z".to_owned(),
        timestamp: "2026-01-15T10:30:50.000Z".to_owned(),
    };
    let expected = json!({"kind": "duplicate", "success": true, "duplicate": true, "of": "a", "received_at": "2026-01-15T10:30:30.000Z",
        "timestamp": "2026-01-15T10:30:50.000Z"});
    assert_eq!(serde_json::to_value(duplicate).unwrap(), expected);
    let price = AlertAnswer::Price {
        success: true,
        symbol: "EURUSD".to_owned(),
        delayed: false,
        timestamp: String::new(),
        message: None,
    };
    let expected: Value =
        json!({"kind": "price", "success": true, "symbol": "EURUSD", "delayed": false, "timestamp": ""});
    assert_eq!(serde_json::to_value(price).unwrap(), expected);
}
