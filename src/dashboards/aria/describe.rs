//! The description of ARIA's streams, and of the messages that are published for them.

#![expect(dead_code, reason = "describes encoded text")]

use serde_json::Value;
use utoipa::ToSchema;

use super::stream::{DESK, PERFORMANCE};
use super::wire::{ConnectionMessage, SystemMetricsFrame};
use crate::domain::Quality;
use crate::transport::close::Close;
use crate::transport::describe::{Messages, StreamAccess, StreamDescription, StreamKind};

/// A price. `quality` and `source` are absent if it was published for this dashboard alone.
#[derive(Debug, ToSchema)]
#[schema(as = aria::Tick)]
pub(super) struct TickData {
    symbol: String,
    bid: f64,
    ask: f64,
    spread: f64,
    #[schema(format = DateTime)]
    timestamp: String,
    #[schema(nullable = false)]
    quality: Option<Quality>,
    #[schema(nullable = false)]
    source: Option<String>,
}

/// A signal. `id` and `source` are absent if it was published for this dashboard alone.
#[derive(Debug, ToSchema)]
#[schema(as = aria::SignalData)]
pub(super) struct SignalData {
    symbol: String,
    side: TradeSide,
    /// Confidence, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    strength: f64,
    /// Confidence, 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    confidence: f64,
    model: Option<String>,
    #[schema(format = DateTime)]
    timestamp: String,
    entry_price: Option<f64>,
    stop_loss: Option<f64>,
    /// The first target.
    take_profit: Option<f64>,
    #[schema(nullable = false)]
    id: Option<String>,
    #[schema(nullable = false)]
    source: Option<String>,
}

/// A side of a trade.
#[derive(Debug, ToSchema)]
#[schema(as = aria::Side, rename_all = "snake_case")]
pub(super) enum TradeSide {
    Buy,
    Sell,
}

/// An idea. Most fields are absent if the publisher did not send them.
#[derive(Debug, ToSchema)]
#[schema(as = aria::Idea)]
pub(super) struct IdeaData {
    symbol: String,
    /// `buy` or `sell` if it is made of a signal; else as published.
    #[schema(rename = "type")]
    kind: Option<String>,
    timeframe: Option<String>,
    /// 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    confidence: Option<f64>,
    entry_price: Option<f64>,
    stop_loss: Option<f64>,
    take_profit: Option<f64>,
    reasoning: Option<String>,
    #[schema(format = DateTime)]
    timestamp: String,
    #[schema(nullable = false)]
    id: Option<String>,
    #[schema(nullable = false)]
    source: Option<String>,
}

/// The state of an order.
#[derive(Debug, ToSchema)]
#[schema(as = aria::Order)]
pub(super) struct OrderData {
    order_id: String,
    symbol: String,
    side: TradeSide,
    status: OrderStatus,
    /// In lots.
    volume: f64,
    price: f64,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// The status of an order.
#[derive(Debug, ToSchema)]
#[schema(as = aria::OrderStatus, rename_all = "snake_case")]
pub(super) enum OrderStatus {
    Filled,
    Pending,
    Cancelled,
    PartialFill,
}

/// A bar.
#[derive(Debug, ToSchema)]
#[schema(as = aria::Bar)]
pub(super) struct BarData {
    symbol: String,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: Option<f64>,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// A prepared order.
#[derive(Debug, ToSchema)]
#[schema(as = aria::PreparedPayload)]
pub(super) struct PayloadData {
    symbol: String,
    side: Option<TradeSide>,
    volume: Option<f64>,
    entry_price: Option<f64>,
    stop_loss: Option<f64>,
    take_profit: Option<f64>,
    risk_percent: Option<f64>,
    risk_reward_ratio: Option<f64>,
    execution_ready: Option<bool>,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// What the panels get, beside the messages about the connection.
#[derive(Debug, ToSchema)]
#[schema(as = aria::Frame)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AriaFrame {
    /// A price.
    Tick {
        #[schema(format = DateTime)]
        timestamp: String,
        data: TickData,
    },
    /// A signal that is new.
    Signal {
        #[schema(format = DateTime)]
        timestamp: String,
        data: SignalData,
    },
    /// An idea: published, or made of a signal that is new.
    Idea {
        #[schema(format = DateTime)]
        timestamp: String,
        data: IdeaData,
    },
    /// The same as `idea`, for the panel that listens to this name.
    SmcIdea {
        #[schema(format = DateTime)]
        timestamp: String,
        data: IdeaData,
    },
    /// The state of an order, as published.
    OrderUpdate {
        #[schema(format = DateTime)]
        timestamp: String,
        data: OrderData,
    },
    /// A bar, as published.
    Bar {
        #[schema(format = DateTime)]
        timestamp: String,
        data: BarData,
    },
    /// A prepared order, as published.
    PreparedPayload {
        #[schema(format = DateTime)]
        timestamp: String,
        data: PayloadData,
    },
}

/// What the panels send.
#[derive(Debug, ToSchema)]
#[schema(as = aria::Command)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AriaCommand {
    /// Adds channels: types in singular or plural, for one symbol `tick:EURUSD`, or `symbol:EURUSD`. `all` stays.
    Subscribe { channels: Vec<String> },
    /// Removes channels; an empty subscription means all.
    Unsubscribe { channels: Vec<String> },
    /// Subscribes to exactly these channels; to all if there are none.
    SetSubscriptions { channels: Vec<String> },
    /// Asks for the client's id.
    Whoami {},
    /// Asks for the same payload, of at most 4 KiB.
    Echo { payload: Value },
    /// The heartbeat of the page.
    Ping {},
    /// Ignored.
    Pong {},
}

/// What the performance page sends.
#[derive(Debug, ToSchema)]
#[schema(as = aria::PerformanceCommand)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PerformanceCommand {
    /// The heartbeat of the page.
    Ping {},
}

/// The answer of the performance page.
#[derive(Debug, ToSchema)]
#[schema(as = aria::PerformanceAnswer)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PerformanceAnswer {
    /// The answer to `ping`.
    Pong {
        #[schema(format = DateTime)]
        timestamp: String,
    },
}

const RESUME: &str = "The page has no cursor. The server continues a connection from the same address with the same user \
    agent, origin, token and query after what the last one has confirmed by its answers to protocol pings, within \
    `aria.catch_up`.";

pub(super) fn streams() -> Vec<StreamDescription> {
    vec![
        StreamDescription {
            name: "aria_desk",
            group: "ARIA PRO",
            kind: StreamKind::WebSocket,
            address: DESK,
            aliases: &["/ws/"],
            summary: "The panels: prices, signals, ideas, orders and prepared payloads",
            description: "First `connection`, then the last prices and bars, then what is younger than `aria.catch_up`, then \
                live messages: all channels, or those of `?channels=`.",
            access: StreamAccess::Reader,
            parameters: &[("channels", "Channels with commas between them; all if absent")],
            resume: Some(RESUME),
            closes: &Close::OF_USERS,
            messages: Messages::default()
                .sends::<AriaFrame>()
                .sends::<ConnectionMessage<'_>>()
                .accepts::<AriaCommand>()
                .answered("subscribe", &["subscription_confirmed"])
                .answered("unsubscribe", &["subscription_updated"])
                .answered("set_subscriptions", &["subscription_updated"])
                .answered("whoami", &["identity"])
                .answered("echo", &["echo", "error"])
                .answered("ping", &["pong"]),
        },
        StreamDescription {
            name: "aria_performance",
            group: "ARIA PRO",
            kind: StreamKind::WebSocket,
            address: PERFORMANCE,
            aliases: &[],
            summary: "The load of the server, every 5 s",
            description: "The performance page reads the state of this process; there are no models.",
            access: StreamAccess::Reader,
            parameters: &[],
            resume: None,
            closes: &Close::OF_USERS,
            messages: Messages::default()
                .sends::<SystemMetricsFrame<'_>>()
                .sends::<PerformanceAnswer>()
                .accepts::<PerformanceCommand>()
                .answered("ping", &["pong"]),
        },
    ]
}
