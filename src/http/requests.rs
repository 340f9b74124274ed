//! Describes the bodies that the writing routes accept, in their documented spelling. `ingest` accepts many more, so that
//! these types are not what it parses into.

#![expect(dead_code, reason = "only described")]

use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{Direction, Killzone, SignalStatus};

/// A signal. `id` and `status` are enough to end a known one; a new one needs `symbol` and `direction`.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "id": "model_001", "symbol": "EURUSD", "direction": "long", "entry_price": 1.16, "stop_loss": 1.157,
    "take_profits": [1.163, 1.166], "confidence": 0.8, "reason": "MSS with a fair value gap", "killzone": "london"
}))]
pub(super) struct SignalRequest {
    /// Yours; the same id is the same signal. Without one the server makes one.
    #[schema(min_length = 1, max_length = 128)]
    id: Option<String>,
    /// `pending` if absent.
    status: Option<SignalStatus>,
    /// Instrument, in any spelling.
    symbol: Option<String>,
    direction: Option<Direction>,
    /// ISO 8601 or a Unix epoch; now if absent.
    #[schema(format = DateTime)]
    entry_time: Option<String>,
    entry_price: Option<f64>,
    stop_loss: Option<f64>,
    #[schema(max_items = 10)]
    take_profits: Option<Vec<f64>>,
    /// What becomes of the position at each target.
    #[schema(max_items = 10)]
    tp_modes: Option<Vec<String>>,
    #[schema(max_length = 2000)]
    reason: Option<String>,
    /// 0 to 1, or 1 to 100 in percent.
    #[schema(minimum = 0, maximum = 100)]
    confidence: Option<f64>,
    #[schema(minimum = 0, maximum = 1000)]
    rr_target: Option<f64>,
    /// That of `entry_time` if absent.
    killzone: Option<Killzone>,
    #[schema(max_length = 64)]
    model: Option<String>,
    /// With the status `invalidated`: the reason.
    invalidation: Option<String>,
    /// Only validate: nothing is published.
    dry_run: Option<bool>,
}

/// The end of a signal.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"status": "invalidated", "reason": "news"}))]
pub(super) struct EndRequest {
    /// `confirmed` or `invalidated`.
    status: SignalStatus,
    /// Why it is invalidated: `manual` if absent.
    reason: Option<String>,
    /// Only validate: nothing is published.
    dry_run: Option<bool>,
}

/// A price, or up to 1,000 of them.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"prices": [{"symbol": "EURUSD", "bid": 1.16, "ask": 1.1601}, {"symbol": "GOLD", "price": 4045.1}]}))]
#[serde(untagged)]
pub(super) enum PricesRequest {
    One(PriceRequest),
    Batch {
        #[schema(min_items = 1, max_items = 1000)]
        prices: Vec<PriceRequest>,
    },
}

/// A price: `price`, or `bid` and `ask`.
#[derive(Debug, ToSchema)]
pub(super) struct PriceRequest {
    /// Instrument, in any spelling.
    symbol: String,
    price: Option<f64>,
    bid: Option<f64>,
    ask: Option<f64>,
    volume: Option<f64>,
    /// ISO 8601 or a Unix epoch; now if absent.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
}

/// A message, or up to 1,000 of them.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "type": "notification", "user": "user_001",
    "data": {"type": "success", "title": "Trade Executed", "message": "Your AAPL buy order has been executed"}
}))]
#[serde(untagged)]
pub(super) enum EventsRequest {
    One(EventRequest),
    Batch {
        #[schema(min_items = 1, max_items = 1000)]
        events: Vec<EventRequest>,
    },
}

/// A message: without `user` and `audience` it goes to all subscribers of its type.
#[derive(Debug, ToSchema)]
pub(super) struct EventRequest {
    /// The type, which says what `data` must have.
    #[schema(rename = "type")]
    kind: String,
    /// An object, or for `trade_signals` a list.
    data: Value,
    /// Only this user gets it.
    #[schema(max_length = 128)]
    user: Option<String>,
    /// `all`, `user` or `admin`.
    audience: Option<String>,
}

/// The changes since the last batch of an Expert Advisor; without ticks a keep-alive. A signal has `type` `signal` and the
/// fields of a pushed signal.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "v": 1, "type": "ticks", "src": "mt5", "seq": 1, "utc_off": 10800, "connected": true,
    "ticks": [{"s": "EURUSD.m", "b": 1.16, "a": 1.1601, "d": 5, "t": 1_768_460_400_000_i64}]
}))]
pub(super) struct TicksRequest {
    /// Version of the format: 1.
    v: u32,
    /// `ticks` or `signal`.
    #[schema(rename = "type")]
    kind: String,
    /// `mt5` or `mt4`.
    src: String,
    seq: Option<u64>,
    /// Offset of the broker's clock from UTC, in seconds.
    utc_off: Option<i64>,
    connected: Option<bool>,
    #[schema(max_items = 1000)]
    ticks: Option<Vec<TickRequest>>,
}

/// A tick of an Expert Advisor.
#[derive(Debug, ToSchema)]
pub(super) struct TickRequest {
    /// The broker's name of the symbol.
    s: String,
    /// Bid.
    b: f64,
    /// Ask.
    a: f64,
    /// Digits.
    d: Option<u32>,
    /// Time of the broker's clock, in milliseconds.
    t: i64,
}
