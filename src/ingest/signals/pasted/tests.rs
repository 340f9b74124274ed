//! Signals as people write them, with the expected result.

use proptest::prelude::*;

use super::*;

fn instruments() -> Instruments {
    Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap()
}

fn described(text: &str) -> Value {
    match read(text, &instruments()) {
        Ok(read) => read.described(),
        Err(fault) => panic!("{text}: {fault:?}"),
    }
}

fn faults(text: &str) -> Vec<(String, String)> {
    let fault = read(text, &instruments()).expect_err(text);
    fault.faults().iter().map(|fault| (fault.field.clone(), fault.reason.clone())).collect()
}

fn refused_for(text: &str, field: &str, words: &str) {
    let faults = faults(text);
    assert!(faults.iter().any(|(name, reason)| name == field && reason.contains(words)), "{text}: {faults:?}");
}

#[test]
fn the_four_line_form_is_read() {
    let expected = json!({"symbol": "XAUUSD", "direction": "long", "entry_price": 4048.0, "entry_range": [4045.0, 4048.0],
        "stop_loss": 4038.0, "take_profits": [4055.0, 4065.0]});
    for text in [
        "XAUUSD BUY 4045-4048\nTP 4055\nTP 4065\nSL 4038",
        "GOLD BUY NOW @ 4045 - 4048\n\nTP1: 4055\nTP2: 4065\n\nSL: 4038",
        "🔥 BUY XAU/USD 🔥\nEntry: 4048 – 4045\nTargets:\n4055\n4065\nStop Loss: 4038",
        "#XAUUSD Long\n📍 Entry zone 4045 to 4048\n🎯 4055\n🎯 4065\n🛑 4038",
        "Buy gold between 4045 and 4048, take profit 1: 4055, take profit 2: 4065, stop loss 4038",
        "XAUUSD buy\nEntry 4045/4048\nTP 4055 / 4065 (100 pips)\nSL4038 (100 pips)",
        "**XAUUSD** `BUY` 4045-4048\nT1 4055\nT2 4065\nStoploss - 4038",
        "XAUUSD BUY 4045-4048\nTP1 👉 4055 ✅\nTP2 👉 4065 ✅\nSL 👉 4038 ❌",
        "SL 4038\nTP 4055, 4065\nXAUUSD BUY 4045-4048",
        "XAUUSD BUY 4,045-4,048\nTP 4,055\nTP 4,065.00\nSL 4,038",
    ] {
        assert_eq!(described(text), expected, "{text}");
    }
}

#[test]
fn emojis_stand_for_words() {
    assert_eq!(
        described("💱EURUSD\n⚫BUY\n🔵1.1651, 1.1701\n🛑1.1558"),
        json!({"symbol": "EURUSD", "direction": "long", "stop_loss": 1.1558, "take_profits": [1.1651, 1.1701]})
    );
}

#[test]
fn one_line_is_enough() {
    assert_eq!(
        described("BUY EURUSD @ 1.16 SL 1.157 TP 1.165"),
        json!({"symbol": "EURUSD", "direction": "long", "entry_price": 1.16, "stop_loss": 1.157, "take_profits": [1.165]})
    );
    assert_eq!(
        described("sell NQ1! at 25,412.25, sl 25,500, tp 25,300"),
        json!({"symbol": "NQ", "direction": "short", "entry_price": 25412.25, "stop_loss": 25500.0, "take_profits": [25300.0]})
    );
    assert_eq!(described("OANDA:EURUSD short"), json!({"symbol": "EURUSD", "direction": "short"}));
    assert_eq!(described("EUR USD sell now\nSL OPEN\nTP open"), json!({"symbol": "EURUSD", "direction": "short"}));
    let short = described("SELL US30 42,150 - 42,180\nSL 42250\nTP 42000");
    assert_eq!((&short["entry_price"], &short["entry_range"]), (&json!(42150.0), &json!([42150.0, 42180.0])));
}

#[test]
fn a_pending_order_is_not_an_entry() {
    for text in [
        "XAUUSD BUY LIMIT 4045-4048\nTP 4055\nTP 4065\nSL 4038",
        "XAUUSD SELL STOP 4030 SL 4038",
        "pending order: buy gold 4045",
        "Buy gold above 4050",
        "BUY EURUSD if it breaks 1.16",
    ] {
        refused_for(text, "direction", "pending order");
    }
    let stop_on_its_own_line = described("XAUUSD SELL\nSTOP 4058\nTP 4030");
    assert_eq!(stop_on_its_own_line["stop_loss"], 4058.0);
}

#[test]
fn ambiguous_text_is_rejected() {
    refused_for("EURUSD buy or sell 1.16", "direction", "both buy and sell");
    refused_for("EURUSD do not buy", "direction", "negated");
    refused_for("BUY EURUSD XAUUSD 1.16", "symbol", "there are two");
    refused_for("XAUUSD BUY 4045 4055 4065 4038", "entry_price", "without a word");
    refused_for("XAUUSD BUY 4045-48 SL 4038", "entry_price", "too far apart");
    refused_for("XAUUSD BUY 4045 SL 4038 SL 4030", "stop_loss", "several stops");
    refused_for("EURUSD BUY 1,16005", "entry_price", "comma");
    refused_for("EURUSD BUY 1.16 SL 30 pips TP 50pips", "stop_loss", "looks like a distance");
    refused_for("XAUUSD BUY TP1 hit ✅ 4055", "body", "news");
    refused_for("Close GOLD buy now 4055", "body", "news");
}

#[test]
fn missing_fields_are_named() {
    refused_for("hello", "body", "is not a signal");
    refused_for("EURUSD 1.16", "direction", "is required");
    refused_for("Alert: {\"ticker\": \"EURUSD\", \"action\": \"buy\"}", "body", "send the object alone");
    refused_for("BUY 1.16", "symbol", "is required");
    assert!(matches!(read("GBPJPY buy 201.5", &instruments()), Err(PushError::UnknownSymbol(_))));
    refused_for("BUY es muy bueno", "symbol", "is required");
}

#[test]
fn lines_without_effect_are_named() {
    let read = read("VIP SIGNAL #12\nXAUUSD BUY 4045\nSL 4038\nRisk 1%\nLot 0.01\nGood luck!", &instruments()).unwrap();
    assert_eq!(read.ignored, ["VIP SIGNAL #12", "Risk 1%", "Lot 0.01", "Good luck!"]);
    assert_eq!(read.entry, [4045.0]);
}

#[test]
fn a_text_is_one_signal_a_day() {
    let at = |time: &str| crate::domain::parse_time(time).unwrap();
    let id = |text: &str, time: &str| read(text, &instruments()).unwrap().id_of_day(at(time));
    let first = id("BUY EURUSD 1.16", "2026-01-15T07:00:00Z");
    assert_eq!(first, id("buy  EURUSD\n1.16 ", "2026-01-15T19:00:00Z"));
    assert_ne!(first, id("BUY EURUSD 1.16", "2026-01-16T07:00:00Z"));
    assert_ne!(first, id("BUY EURUSD 1.17", "2026-01-15T07:00:00Z"));
}

/// The parts of a signal, each in one of its spellings.
fn parts() -> impl Strategy<Value = (Vec<usize>, [usize; 4], bool)> {
    (Just(vec![0, 1, 2, 3]).prop_shuffle(), [0..4usize, 0..4usize, 0..4usize, 0..4usize], any::<bool>())
}

proptest! {
    #[test]
    fn any_order_of_lines_is_the_same_signal((order, choice, is_lower) in parts()) {
        let spellings = [
            ["XAUUSD BUY", "Long GOLD", "🔥 buy XAU/USD", "#XAUUSD buy now"],
            ["Entry 4045", "Entry: 4,045.00", "@ 4045", "entry price = 4045"],
            ["SL 4038", "🛑 4038", "Stop loss: 4038", "S/L @ 4038"],
            ["TP 4055\nTP 4065", "TP1 4055 TP2 4065", "🎯 4055, 4065", "Targets: 4055 - 4065"],
        ];
        let lines: Vec<&str> = order.iter().map(|part| spellings[*part][choice[*part]]).collect();
        let text = lines.join("\n");
        let text = if is_lower { text.to_lowercase() } else { text };
        let expected = json!({"symbol": "XAUUSD", "direction": "long", "entry_price": 4045.0, "stop_loss": 4038.0,
            "take_profits": [4055.0, 4065.0]});
        prop_assert_eq!(described(&text), expected, "{}", text);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        read(&text, &instruments()).ok();
    }

    #[test]
    fn no_words_of_signals_panic(words in prop::collection::vec(prop::sample::select(vec![
        "BUY", "SELL", "STOP", "LIMIT", "LOSS", "TAKE", "PROFIT", "TP", "TP1", "SL", "ENTRY", "EURUSD", "XAU/USD", "OANDA:EURUSD", "4045",
        "1.16", "1,160", "-", ",", "/", ":", "@", "\n", "🛑", "🎯", "1️⃣", "50pips", "2R", "1:3", "%", "!", "#", "not", "to", "open",
    ]), 0..20), blank in any::<bool>()) {
        let text = words.join(if blank { " " } else { "" });
        if let Ok(read) = read(&text, &instruments()) {
            prop_assert!(read.targets.len() <= MAX_TARGETS && read.entry.len() <= 2);
        }
    }
}
