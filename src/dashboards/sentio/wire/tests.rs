//! Every message of the dialect, byte for byte, and the rules of the list.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dashboards::bots::types::BOTS;
use crate::dashboards::sentio::publish::parse;
use crate::dashboards::sentio::types;
use crate::domain::{
    DayRange, Fault, Instrument, Invalidation, Now, Quality, RelayedMessage, SignalDraft, SignalId, SourceName, Symbol,
    parse_time,
};

fn at(second: i64) -> DateTime<Utc> {
    parse_time("2026-01-15T10:30:00Z").unwrap() + chrono::TimeDelta::seconds(second)
}

fn instruments() -> Instruments {
    Instruments::new(Instruments::documented()).unwrap()
}

fn instrument(symbol: &str) -> Instrument {
    instruments().named(symbol).unwrap().as_ref().clone()
}

fn signal(symbol: &str, second: i64, direction: Direction, state: SignalState) -> Arc<Envelope> {
    let draft = SignalDraft { direction: Some(direction), confidence: Some(0.85), ..SignalDraft::default() };
    let now = Now { wall: at(second), mono: Duration::ZERO };
    let id = SignalId::new("s").unwrap();
    let signal =
        Signal::create(id, &draft, &instrument(symbol), SourceName::new("push"), now, Duration::from_secs(300));
    let signal = Signal { state, ..signal.unwrap() };
    Arc::new(Envelope::unplaced(Event::Signal(Arc::new(signal))))
}

fn published(kind: MessageType, audience: &Audience, second: i64, data: &Value) -> Vec<Arc<Envelope>> {
    let parsed = parse(kind, data, at(second)).unwrap();
    let message = |parsed: crate::transport::shape::Parsed| RelayedMessage {
        seq: 1,
        kind,
        audience: audience.clone(),
        key: parsed.key.into(),
        data: parsed.data.into(),
        at: at(second),
    };
    parsed.into_iter().map(|it| Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message(it)))))).collect()
}

fn price(symbol: &str, price: f64, bid_ask: Option<(f64, f64)>, volume: Option<f64>) -> Arc<Envelope> {
    Arc::new(Envelope::unplaced(Event::Price(Arc::new(PriceUpdate {
        symbol: Symbol::new(symbol),
        price,
        timestamp: at(0),
        change: 0.0002,
        change_percent: 0.0184,
        volume,
        bid_ask,
        day: None,
        quality: Quality::Live,
        source: SourceName::new("push"),
    }))))
}

fn list(sources: &[Arc<Envelope>], names: Option<&[&str]>) -> String {
    let instruments = instruments();
    let watchlist = names.map(|names| Watchlist::of(names.iter().copied(), &instruments));
    array(&signal_list(sources, watchlist.as_ref(), &instruments))
}

#[test]
fn a_list_of_signals_is_encoded() {
    let sources = [signal("EURUSD", 0, Direction::Long, SignalState::Pending)];
    let frame = frame("trade_signals", &list(&sources, None), at(1));
    let golden = concat!(
        r#"{"type":"trade_signals","data":[{"symbol":"EURUSD","signal":"buy","confidence":0.85,"#,
        r#""consensus_strength":0.85,"timestamp":"2026-01-15T10:30:00.000Z"}],"timestamp":"2026-01-15T10:30:01.000Z"}"#
    );
    assert_eq!(frame.as_str(), golden);
}

#[test]
fn quotes_are_encoded() {
    let prices = [price("EURUSD", 1.0851, Some((1.085, 1.0852)), Some(1200.0)), price("US30", 35000.0, None, None)];
    let watchlist = Watchlist::of(["eurusd", "us30"], &instruments());
    let golden = concat!(
        r#"[{"symbol":"EURUSD","price":1.0851,"bid":1.085,"ask":1.0852,"volume":1200,"change":0.0002,"#,
        r#""change_pct":0.0184,"timestamp":"2026-01-15T10:30:00.000Z","quality":"live","source":"push"},"#,
        r#"{"symbol":"US30","price":35000,"bid":35000,"ask":35000,"change":0.0002,"change_pct":0.0184,"#,
        r#""timestamp":"2026-01-15T10:30:00.000Z","quality":"live","source":"push"}]"#
    );
    assert_eq!(array(&quote_list(&prices, &watchlist)), golden);
}

#[test]
fn a_quote_has_its_days_high_and_low() {
    let Event::Price(update) = price("EURUSD", 1.0851, None, Some(3.0)).event().clone() else { panic!() };
    let day = Some(DayRange { high: 1.0911, low: 1.079, volume: Some(0.1 + 0.2) });
    let update_of_day = PriceUpdate { day, ..update.as_ref().clone() };
    let update_of_day = Arc::new(Envelope::unplaced(Event::Price(Arc::new(update_of_day))));
    let golden = concat!(
        r#"{"symbol":"EURUSD","price":1.0851,"bid":1.0851,"ask":1.0851,"high":1.0911,"low":1.079,"volume":0.3,"#,
        r#""change":0.0002,"change_pct":0.0184,"timestamp":"2026-01-15T10:30:00.000Z","quality":"live","source":"push"}"#
    );
    assert_eq!(quote(&update_of_day, "EURUSD").as_deref(), Some(golden));
}

#[test]
fn fields_printed_unchecked_are_always_present() {
    let read = |kind, data: Value| -> Value {
        serde_json::from_str(&parse(kind, &data, at(0)).unwrap().swap_remove(0).data).unwrap()
    };
    let sharing = json!({"total_shared":0,"rate":0,"enabled":false});
    for data in [
        json!({"portfolio_value":7}),
        json!({"portfolio_value":7,"win_rate":null,"total_trades":null,"profit_sharing":null}),
    ] {
        let earnings = read(types::EARNINGS, data);
        for name in ["total_return", "total_return_pct", "daily_pnl", "total_trades", "win_rate"] {
            assert_eq!(earnings[name], 0, "{name}");
        }
        assert_eq!(earnings["profit_sharing"], sharing);
    }
    let partial = read(types::EARNINGS, json!({"portfolio_value":7,"win_rate":0.5,"profit_sharing":{"enabled":true}}));
    assert_eq!(
        (&partial["win_rate"], &partial["profit_sharing"]),
        (&json!(0.5), &json!({"total_shared":0,"rate":0,"enabled":true}))
    );
    let signal = read(types::TRADE_SIGNALS, json!({"symbol":"AAPL","signal":"buy","confidence":0.7}));
    assert_eq!(signal["consensus_strength"], 0.7);
    let users = read(types::ADMIN_USERS, json!({"users":[{"user_id":"u"}]}));
    assert_eq!(
        (&users["users"][0]["profit_sharing_balance"], &users["users"][0]["total_profits_shared"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        read(types::ADMIN_SUBSCRIBERS, json!({"subscribers":[{"user_id":"u"}]}))["subscribers"][0]["features"],
        json!({})
    );
}

#[test]
fn the_other_frames_are_encoded() {
    assert_eq!(pong(at(0)).as_str(), r#"{"type":"pong","timestamp":"2026-01-15T10:30:00.000Z"}"#);
    assert_eq!(
        error("Unknown action: \"x\"", at(0)).as_str(),
        r#"{"type":"error","message":"Unknown action: \"x\"","timestamp":"2026-01-15T10:30:00.000Z"}"#
    );
    let status =
        ServerStatus { status: "running", cpu: Some(1.5), memory: None, active_users: 3, timestamp: iso(at(0)) };
    assert_eq!(
        serde_json::to_string(&StatusFrame { status, logs: Vec::new() }).unwrap(),
        r#"{"status":{"status":"running","cpu":1.5,"active_users":3,"timestamp":"2026-01-15T10:30:00.000Z"},"logs":[]}"#
    );
}

#[test]
fn messages_for_administrators_use_their_channel_only() {
    let revenue = json!({"revenue_by_tier":{"pro":"99.5","basic":10},"monthly_recurring_revenue":109.5});
    let message = published(types::ADMIN_REVENUE, &Audience::Admin, 0, &revenue);
    let golden = concat!(
        r#"{"type":"admin_revenue","data":{"monthly_recurring_revenue":109.5,"#,
        r#""revenue_by_tier":{"basic":10,"pro":99.5}},"timestamp":"2026-01-15T10:30:00.000Z"}"#
    );
    assert_eq!(admin_frames(&message[0]).first().map(Utf8Bytes::as_str), Some(golden));
    assert!(admin_frames(&published(types::ADMIN_REVENUE, &Audience::All, 0, &revenue)[0]).is_empty());
    let other = published(types::NOTIFICATION, &Audience::Admin, 0, &json!({"type":"info","message":"hello"}));
    assert!(admin_frames(&other[0]).is_empty());
}

#[test]
fn the_list_has_each_symbols_latest_live_signal() {
    let gone = SignalState::Invalidated(Invalidation::TIMEOUT);
    let sources = [
        signal("EURUSD", 0, Direction::Short, SignalState::Confirmed),
        signal("EURUSD", 5, Direction::Long, gone.clone()),
        signal("GBPUSD", 1, Direction::Short, SignalState::Pending),
        signal("GBPUSD", 2, Direction::Long, SignalState::Confirmed),
        signal("XAUUSD", 3, Direction::Long, gone),
    ];
    let list: Value = serde_json::from_str(&list(&sources, None)).unwrap();
    let shown: Vec<_> = list.as_array().unwrap().iter().map(|entry| (&entry["symbol"], &entry["signal"])).collect();
    assert_eq!(shown, [(&json!("EURUSD"), &json!("sell")), (&json!("GBPUSD"), &json!("buy"))]);
}

/// The demo desk does not use `parse`, and writes its fields in alphabetical order.
#[test]
fn the_symbol_of_an_entry_may_come_later() {
    let entry = RelayedMessage {
        seq: 1,
        kind: types::TRADE_SIGNALS,
        audience: Audience::All,
        key: "AAPL".into(),
        data: r#"{"confidence":0.5,"signal":"hold","simulated":true,"symbol":"AAPL","timestamp":"t"}"#.into(),
        at: at(0),
    };
    let sources = [Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(entry))))];
    let list = signal_list(&sources, None, &instruments());
    assert_eq!(
        array(&list),
        r#"[{"symbol":"AAPL","confidence":0.5,"signal":"hold","simulated":true,"timestamp":"t"}]"#
    );
}

#[test]
fn the_newer_of_signal_and_publication_wins() {
    let entry = |symbol, signal| json!([{"symbol":symbol,"signal":signal,"confidence":0.5}]);
    let mut sources = vec![signal("EURUSD", 10, Direction::Long, SignalState::Pending)];
    sources.extend(published(types::TRADE_SIGNALS, &Audience::All, 5, &entry("EUR/USD", "hold")));
    sources.extend(published(types::TRADE_SIGNALS, &Audience::All, 5, &entry("aapl", "sell")));
    let words = |sources: &[Arc<Envelope>], names: Option<&[&str]>| {
        let list: Vec<Value> = serde_json::from_str(&list(sources, names)).unwrap();
        let words: Vec<_> = list.iter().map(|entry| format!("{} {}", entry["symbol"], entry["signal"])).collect();
        words.join(", ").replace('"', "")
    };
    assert_eq!(words(&sources, None), "AAPL sell, EURUSD buy");
    sources.extend(published(types::TRADE_SIGNALS, &Audience::All, 11, &entry("EUR/USD", "hold")));
    assert_eq!(words(&sources, None), "AAPL sell, EURUSD hold");
    assert_eq!(words(&sources, Some(&["eurusd", "EUR/USD"])), "EUR/USD hold, EURUSD hold", "by the client's names");
    assert_eq!(words(&sources, Some(&["Aapl", "MSFT"])), "AAPL sell");
    assert_eq!(words(&sources, Some(&["MSFT"])), "");
}

#[test]
fn a_watchlist_is_canonical_and_bounded() {
    let instruments = instruments();
    let mut watched = Watchlist::of(["eur/usd", "GOLD", "BTC-ZAR", "", " ", &"X".repeat(33)], &instruments);
    assert_eq!(watched.names("XAUUSD").collect::<Vec<_>>(), ["GOLD"]);
    assert!(watched.contains("EURUSD") && watched.contains("BTC-ZAR") && !watched.contains("GOLD"));
    watched.remove(["EURUSD", "xauusd", "btc-zar", "never"], &instruments);
    assert!(watched.is_empty());
    let names: Vec<_> = (0..1000).map(|number| format!("S{number}")).collect();
    watched.add(names.iter().map(String::as_str), &instruments);
    assert!(watched.contains("S255") && !watched.contains("S256"));
}

#[test]
fn documented_bodies_are_accepted() {
    let cases = [
        (
            types::TRADE_SIGNALS,
            json!([{"symbol":"AAPL","signal":"buy","confidence":0.85,"timestamp":"2024-10-05T10:30:00.123456"}]),
            concat!(
                r#"{"symbol":"AAPL","signal":"buy","confidence":0.85,"consensus_strength":0.85,"#,
                r#""timestamp":"2024-10-05T10:30:00.123Z"}"#
            ),
        ),
        (
            types::EARNINGS,
            json!({"portfolio_value":100_000.00,"total_return":5000.00,"daily_pnl":250.00,"win_rate":0.65}),
            concat!(
                r#"{"portfolio_value":100000,"total_return":5000,"total_return_pct":0,"daily_pnl":250,"total_trades":0,"#,
                r#""win_rate":0.65,"profit_sharing":{"enabled":false,"rate":0,"total_shared":0},"timestamp":"2026-01-15T10:30:00.000Z"}"#
            ),
        ),
        (
            types::NOTIFICATION,
            json!({
                "type":"success","title":"Trade Executed","message":"Your AAPL buy order has been executed",
                "timestamp":"2024-10-05T10:30:00",
            }),
            concat!(
                r#"{"type":"success","title":"Trade Executed","message":"Your AAPL buy order has been executed","#,
                r#""timestamp":"2024-10-05T10:30:00.000Z"}"#
            ),
        ),
        (
            types::ADMIN_USERS,
            json!({"total_users":150,"active_subscriptions":120,"monthly_revenue":15000.00}),
            r#"{"users":[],"total_users":150,"active_subscriptions":120,"monthly_revenue":15000}"#,
        ),
        (
            types::ADMIN_SUBSCRIBERS,
            json!({"subscribers":[{"user_id":7,"tier":"pro","features":{"max_strategies":"3","day_trading":true}}]}),
            r#"{"subscribers":[{"features":{"day_trading":true,"max_strategies":3},"tier":"pro","user_id":"7"}]}"#,
        ),
        (
            types::ADMIN_USER_ANALYTICS,
            json!({"total_users":3,"by_status":{"active":"2"},"by_tier":{"pro":1}}),
            r#"{"total_users":3,"by_status":{"active":2},"by_tier":{"pro":1}}"#,
        ),
    ];
    for (kind, body, golden) in cases {
        let parsed = parse(kind, &body, at(0)).unwrap();
        assert_eq!(parsed.iter().map(|one| one.data.as_str()).collect::<Vec<_>>(), [golden], "{body}");
    }
}

#[test]
fn listed_signals_become_states_of_their_symbols() {
    let body = json!([
        {"symbol":" btc-zar ","signal":"HOLD","confidence":"0.4","consensus_strength":1},
        {"symbol":"AAPL","signal":"error","error":"no data"},
    ]);
    let parsed = parse(types::TRADE_SIGNALS, &body, at(0)).unwrap();
    assert_eq!(parsed.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["BTC-ZAR", "AAPL"]);
    assert_eq!(
        parsed[1].data,
        r#"{"symbol":"AAPL","signal":"error","confidence":0,"consensus_strength":0,"timestamp":"2026-01-15T10:30:00.000Z","error":"no data"}"#
    );
    let one = parse(types::TRADE_SIGNALS, &body[0], at(0)).unwrap();
    assert_eq!(one, parsed[..1]);
}

#[test]
fn fields_that_would_crash_pages_are_rejected() {
    let fields = |kind, body: Value| -> Vec<String> {
        parse(kind, &body, at(0)).unwrap_err().into_iter().map(|Fault { field, .. }| field).collect()
    };
    let signals = json!([{"symbol":"AAPL","signal":"buy","confidence":0.5}, {"signal":"up","confidence":"NaN"}, 7]);
    assert_eq!(
        fields(types::TRADE_SIGNALS, signals),
        ["data[1].symbol", "data[1].signal", "data[1].confidence", "data[2]"]
    );
    assert_eq!(fields(types::TRADE_SIGNALS, json!({"symbol":"A","signal":"buy"})), ["confidence"]);
    assert_eq!(fields(types::TRADE_SIGNALS, json!([])), ["data"]);
    assert_eq!(
        fields(types::EARNINGS, json!({"portfolio_value":"much","win_rate":65,"profit_sharing":{"rate":2}})),
        ["portfolio_value", "win_rate", "profit_sharing.rate"]
    );
    assert_eq!(fields(types::NOTIFICATION, json!({"type":"fatal"})), ["type", "message"]);
    assert_eq!(fields(types::ADMIN_USERS, json!({})), ["users"]);
    assert_eq!(
        fields(types::ADMIN_USERS, json!({"users":[{"user_id":"u","profit_sharing_balance":"x"}, {}]})),
        ["users[0].profit_sharing_balance", "users[1].user_id"]
    );
    assert_eq!(fields(types::ADMIN_SUBSCRIBERS, json!({"subscribers":{}})), ["subscribers"]);
    assert_eq!(
        fields(types::ADMIN_REVENUE, json!({"monthly_recurring_revenue":1,"revenue_by_tier":{"pro":null}})),
        ["revenue_by_tier"]
    );
    assert_eq!(fields(types::ADMIN_USER_ANALYTICS, json!({"by_tier":[]})), ["total_users", "by_tier"]);
    assert_eq!(fields(BOTS, json!({})), ["type"]);
}

/// Whether no number in `text` has more digits than its instrument, and no number that the page needs is missing.
fn is_clean(text: &str, digits: usize) -> bool {
    let fits = |number: &str| number.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= digits);
    let value: Value = serde_json::from_str(text).unwrap();
    let numbers = ["price", "bid", "ask", "change"].iter().map(|name| value[*name].to_string());
    numbers.into_iter().all(|number| number.parse::<f64>().is_ok_and(f64::is_finite) && fits(&number))
}

proptest! {
    #[test]
    fn numbers_print_clean(which in 0usize..7, raw in 0.5f64..400_000.0, spread in 0.0f64..1.0, change in -50.0f64..50.0) {
        let instrument = Instruments::documented().swap_remove(which);
        let (bid, ask) = (instrument.round(raw), instrument.round(raw + spread));
        let update = PriceUpdate {
            symbol: instrument.symbol.clone(),
            price: instrument.round(f64::midpoint(bid, ask)),
            timestamp: at(0),
            change: instrument.round_digits(change),
            change_percent: 0.1,
            volume: None,
            bid_ask: Some((bid, ask)),
            day: None,
            quality: Quality::Live,
            source: SourceName::new("push"),
        };
        let publication = Arc::new(Envelope::unplaced(Event::Price(Arc::new(update))));
        let quote = quote(&publication, "X").unwrap();
        prop_assert!(is_clean(&quote, usize::from(instrument.digits)), "{}", quote);
    }

    #[test]
    fn no_published_message_panics_or_keeps_text_numbers(text in "\\PC{0,40}", number in any::<f64>()) {
        for value in [json!(text), json!(number), json!(number.to_string()), json!([text]), json!({text.clone(): number})] {
            for kind in crate::app::published_types().iter().map(|declared| declared.kind) {
                parse(kind, &value, at(0)).ok();
            }
            for (kind, data, name) in [
                (types::TRADE_SIGNALS, json!({"symbol":"A","signal":"buy","confidence":value}), "confidence"),
                (types::EARNINGS, json!({"portfolio_value":value}), "portfolio_value"),
                (types::ADMIN_USERS, json!({"total_users":value}), "total_users"),
                (types::ADMIN_REVENUE, json!({"monthly_revenue":value}), "monthly_recurring_revenue"),
                (types::ADMIN_USER_ANALYTICS, json!({"total_users":value}), "total_users"),
            ] {
                for parsed in parse(kind, &data, at(0)).unwrap_or_default() {
                    let data: Value = serde_json::from_str(&parsed.data).unwrap();
                    prop_assert!(data[name].is_number() || data[name].is_null(), "{}", data);
                }
            }
        }
    }
}
