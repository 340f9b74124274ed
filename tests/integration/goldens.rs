//! Every byte of the ORION dialect on the wire, with fixed values. A change here is a change for all dashboards.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use http_body_util::BodyExt;
use insta::assert_snapshot;
use orion_server::auth::AuthError;
use orion_server::dashboards::orion::wire::{frames, signal_frame};
use orion_server::domain::{
    Direction, Event, Fault, Instrument, Instruments, Invalidation, Killzone, Now, PROTOCOL, Position, Presence,
    PriceUpdate, Quality, Signal, SignalDraft, SignalFilter, SignalId, SignalStatus, SourceName, Symbol, parse_time,
};
use orion_server::http::ApiError;
use orion_server::hub::Envelope;
use orion_server::ingest::{PricesAnswer, PushError, SignalAnswer};
use orion_server::transport::close::Close;
use orion_server::transport::messages::{
    ErrorObject, KillzoneObject, Pong, PresenceObject, SignalMeta, Subscribed, Typed, Unsubscribed, encode, object,
};
use serde_json::{Value, json};

const AT: &str = "2024-09-01T10:30:00.000Z";

fn at(text: &str) -> DateTime<Utc> {
    parse_time(text).unwrap()
}

fn now() -> Now {
    Now { wall: at(AT), mono: Duration::from_secs(1) }
}

fn position(seq: u64) -> Position {
    Position { epoch: "k3x9a1b2c3".into(), seq }
}

fn instrument(symbol: &str) -> Instrument {
    let all = Instruments::documented().into_iter().chain(Instruments::futures());
    all.into_iter().find(|instrument| instrument.symbol == Symbol::new(symbol)).unwrap()
}

fn signal(symbol: &str, draft: &SignalDraft) -> Signal {
    let id = SignalId::new("orion-7f3a").unwrap();
    let ttl = Duration::from_mins(5);
    Signal::create(id, draft, &instrument(symbol), SourceName::new("push"), now(), ttl).unwrap()
}

fn documented() -> SignalDraft {
    SignalDraft {
        direction: Some(Direction::Long),
        entry_time: Some(at("2024-09-01T07:30:00.000Z")),
        entry_price: Some(1.085),
        stop_loss: Some(1.082),
        take_profits: Some(vec![1.088, 1.092, 1.096]),
        tp_modes: Some(["TP1 30%", "TP2 40%", "Runner 30%"].map(Into::into).to_vec()),
        reason: Some("MSS+FVG setup with \"liquidity\" sweep — 5 m".into()),
        confidence: Some(0.85),
        rr_target: Some(2.5),
        killzone: Some(Killzone::London),
        model: Some("orion-ai".into()),
        ..SignalDraft::default()
    }
}

fn lines(entries: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut text = String::new();
    for (name, bytes) in entries {
        writeln!(text, "{name}\n  {bytes}").unwrap();
    }
    text
}

/// The object, the frame, and the frame as the log tells it, which has to be the same.
fn told(signal: &Signal, seq: u64) -> String {
    let publication = Arc::new(Envelope::placed(Event::Signal(Arc::new(signal.clone())), position(seq)));
    let [frame] = frames(&publication) else { panic!("one frame") };
    assert_eq!(*frame, signal_frame(signal, &position(seq)), "from the log it is the same");
    let object = object(&publication).unwrap();
    // Without targets the native stream has null: the page would print the length of an empty list.
    let object = object.replace(r#""take_profits":[],"#, r#""take_profits":null,"#);
    assert!(frame.contains(&object), "the object stands in its frame as it is");
    frame.to_string()
}

#[test]
fn signals() {
    let pending = signal("EURUSD", &documented());
    let end = |status, reason| {
        let draft = SignalDraft::ending(status, reason);
        let later = Now { wall: at("2024-09-01T10:32:07.250Z"), mono: Duration::from_secs(128) };
        pending.amend(&draft, &instrument("EURUSD"), later).unwrap().unwrap()
    };
    let bare = SignalDraft { direction: Some(Direction::Short), ..SignalDraft::default() };
    let future = SignalDraft {
        direction: Some(Direction::Short),
        entry_price: Some(19_250.10),
        stop_loss: Some(19_275.0),
        take_profits: Some(vec![19_200.0, 19_150.4]),
        ..SignalDraft::default()
    };
    let text = lines([
        ("pending", told(&pending, 41)),
        ("confirmed", told(&end(SignalStatus::Confirmed, None), 42)),
        ("invalidated by the clock", told(&end(SignalStatus::Invalidated, Some(Invalidation::TIMEOUT)), 43)),
        ("invalidated by hand", told(&end(SignalStatus::Invalidated, None), 44)),
        ("only what is required", told(&signal("XAUUSD", &bare), 45)),
        ("on a grid of quarters", told(&signal("MNQ", &future), 46)),
    ]);
    assert_snapshot!(text);
}

#[test]
fn prices() {
    let update = |symbol: &str, price: f64, bid_ask, volume, quality, source: &str| PriceUpdate {
        symbol: Symbol::new(symbol),
        price,
        timestamp: at("2024-09-01T10:30:00.125Z"),
        change: 0.0,
        change_percent: 0.0,
        volume,
        bid_ask,
        day: None,
        quality,
        source: SourceName::new(source),
    };
    let moved = PriceUpdate {
        change: -0.00023,
        change_percent: -0.0212,
        ..update("EURUSD", 1.08513, Some((1.0851, 1.08516)), Some(1200.0), Quality::Live, "push")
    };
    let told = |update: PriceUpdate| {
        let publication = Arc::new(Envelope::unplaced(Event::Price(Arc::new(update))));
        let [frame] = frames(&publication) else { panic!("one frame") };
        frame.to_string()
    };
    let text = lines([
        ("bid, ask and volume", told(moved)),
        ("bid and ask", told(update("USDJPY", 147.5, Some((147.498, 147.502)), None, Quality::Simulated, "simulator"))),
        ("the last price alone", told(update("NAS100", 19_250.0, None, None, Quality::Replayed, "replay"))),
        ("volume alone", told(update("XAUUSD", 2_504.35, None, Some(0.5), Quality::Stale, "push"))),
        ("delayed", told(update("ES", 5_650.25, None, None, Quality::Delayed, "push"))),
        ("closed", told(update("US30", 41_500.0, None, None, Quality::Closed, "push"))),
    ]);
    assert_snapshot!(text);
}

#[test]
fn conversation() {
    let native = |kind, fields: &dyn erased::Fields| fields.frame(kind);
    let everything = Subscribed {
        channels: vec!["signals", "prices"],
        symbols: None,
        unfed: Vec::new(),
        cursor: position(41).to_string(),
        recovered: None,
        protocol: PROTOCOL,
        replay: None,
        max_hz: None,
        filters: None,
        last_event_id: None,
    };
    let narrowed = Subscribed {
        channels: vec!["prices"],
        symbols: Some(vec![Symbol::new("EURUSD"), Symbol::new("XAUUSD")]),
        recovered: Some(false),
        ..everything.clone()
    };
    let filters = [
        ("min_confidence", "0.8"),
        ("directions", "long"),
        ("killzones", "london,ny_am"),
        ("setups", "mss_fvg"),
        ("sources", "push"),
        ("statuses", "pending,confirmed"),
    ];
    let mut filter = SignalFilter::default();
    for (name, value) in filters {
        filter.set(name, &json!(value)).unwrap();
    }
    let filtered = Subscribed { filters: Some(Arc::new(filter)), ..everything.clone() };
    let watching = Presence { clients: 12, prices: 9, signals: 10, messages: 3, clock: 2, presence: 1 };
    let frame = |event| frames(&Arc::new(Envelope::unplaced(event)))[0].to_string();
    let left = Unsubscribed { channels: vec!["signals"], symbols: None };
    let pong = Pong { timestamp: Some(json!(1_725_186_600_000_u64)), server_time: AT.into() };
    let bare = Pong { timestamp: None, server_time: AT.into() };
    let error = ErrorObject { error: "unknown symbol 'AAPL'".into(), code: "unknown_symbol" };
    let text = lines([
        ("subscribed", native("subscribed", &everything)),
        ("subscribed, narrowed, not recovered", native("subscribed", &narrowed)),
        ("subscribed, recovered", native("subscribed", &Subscribed { recovered: Some(true), ..narrowed.clone() })),
        ("subscribed over Socket.IO", encode(&narrowed).to_string()),
        (
            "subscribed, nothing feeds a symbol",
            encode(&Subscribed { unfed: vec![Symbol::new("XAUUSD")], ..narrowed }).to_string(),
        ),
        ("unsubscribed", native("unsubscribed", &left)),
        ("unsubscribed over Socket.IO", encode(&left).to_string()),
        ("pong", native("pong", &pong)),
        ("pong to a ping without a time", native("pong", &bare)),
        ("pong over Socket.IO", encode(&pong).to_string()),
        ("error", native("error", &error)),
        ("error over Socket.IO", encode(&error).to_string()),
        ("beside a signal over Socket.IO", encode(&SignalMeta { cursor: position(41).to_string() }).to_string()),
        ("subscribed, filtered", native("subscribed", &filtered)),
        ("the cursor behind what was filtered", frame(Event::Cursor(position(41)))),
        ("the killzone clock", frame(Event::Killzone(at("2026-01-15T10:30:00.000Z")))),
        ("the killzone clock over Socket.IO", encode(&KillzoneObject::at(at("2026-01-15T14:30:00.000Z"))).to_string()),
        ("the presence", frame(Event::Presence(at("2026-01-15T10:30:00.000Z"), watching))),
        ("the presence over Socket.IO", encode(&PresenceObject::at(at(AT), watching)).to_string()),
    ]);
    assert_snapshot!(text);
}

/// Frames of different types in one list.
mod erased {
    use super::{Typed, encode};

    pub(super) trait Fields {
        fn frame(&self, kind: &'static str) -> String;
    }

    impl<T: serde::Serialize> Fields for T {
        fn frame(&self, kind: &'static str) -> String {
            encode(&Typed { kind, fields: self }).to_string()
        }
    }
}

#[test]
fn close_codes() {
    let all =
        [("silent", Close::Silent), ("policy", Close::Policy), ("restart", Close::Restart), ("slow", Close::TooSlow)];
    let text = lines(all.map(|(name, close)| (name, format!("{} {}", close.code(), close.reason()))));
    assert_snapshot!(text);
}

#[test]
fn answers_to_pushes() {
    let signal = |status, dry_run| SignalAnswer {
        success: true,
        message: "Signal received successfully",
        signal_id: "orion-7f3a".into(),
        status,
        dry_run,
        line_sent: false,
        timestamp: AT.into(),
    };
    let price = PricesAnswer::One {
        success: true,
        message: "Price update received",
        symbol: "EURUSD".into(),
        price: 1.08513,
        timestamp: AT.into(),
    };
    let batch = PricesAnswer::Batch { success: true, message: "Price updates received", accepted: 11 };
    let text = lines([
        ("signal", encode(&signal("pending", false)).to_string()),
        ("signal, dry run", encode(&signal("confirmed", true)).to_string()),
        ("price", encode(&price).to_string()),
        ("prices", encode(&batch).to_string()),
    ]);
    assert_snapshot!(text);
}

#[tokio::test]
async fn refusals() {
    let fault = |field: &str, reason: &str| Fault::new(field, reason);
    let invalid = PushError::Invalid(vec![
        fault("confidence", "must be a number from 0 to 100"),
        fault("direction", "is required for a new signal"),
        fault("direction", "must be long or short"),
    ]);
    let push = |error: PushError| ApiError::Push(error);
    let mut all = vec![
        push(invalid),
        push(PushError::UnknownSymbol(vec![fault("symbol", "unknown symbol 'AAPL'")])),
        push(PushError::Terminal(SignalStatus::Confirmed)),
        push(PushError::UnknownSignal),
        push(PushError::SourceReplaced(Symbol::new("EURUSD"))),
        push(PushError::NotStored("/data/orion.db: disk full".into())),
        push(PushError::TimedOut),
        push(PushError::Overloaded),
        push(PushError::Replaying),
        push(PushError::Draining),
        serde_json::from_str::<Value>("{\"id\":").unwrap_err().into(),
        ApiError::Forbidden("not from this page"),
        ApiError::BadRequest("Failed to deserialize query string".into()),
        ApiError::UnsupportedMediaType,
        ApiError::PayloadTooLarge(65_536),
        ApiError::RequestTimeout,
        ApiError::NotFound,
        ApiError::SignalNotFound,
        ApiError::MethodNotAllowed,
        ApiError::Internal,
    ];
    let auth = [AuthError::NotSet("ORION_INGEST_TOKEN"), AuthError::Missing, AuthError::Malformed, AuthError::Wrong];
    all.extend(auth.map(ApiError::from));
    let mut text = String::new();
    for error in all {
        let response = error.into_response();
        let status = response.status().as_u16();
        let retry =
            response.headers().get("retry-after").map(|after| format!(", retry after {}", after.to_str().unwrap()));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = std::str::from_utf8(&body).unwrap();
        writeln!(text, "{status}{}\n  {body}", retry.unwrap_or_default()).unwrap();
    }
    assert_snapshot!(text);
}
