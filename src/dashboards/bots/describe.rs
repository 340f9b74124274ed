//! The description of the bot platform's streams, and of the messages that are published for them.

#![expect(dead_code, reason = "describes encoded text")]

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{GROUP, STREAM, sse};
use crate::transport::close::Close;
use crate::transport::describe::{Messages, StreamAccess, StreamDescription, StreamKind};
use crate::transport::messages::PriceObject;

/// A trade, in both spellings.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Trade)]
pub(super) struct TradeData {
    id: String,
    bot_id: Option<String>,
    /// That of the trade, else of the bot with its `bot_id`, else that id.
    bot_name: Option<String>,
    platform: String,
    /// The same as `platform`.
    exchange: String,
    symbol: String,
    side: BotTradeSide,
    quantity: f64,
    price: f64,
    total: Option<f64>,
    fee: Option<f64>,
    status: TradeStatus,
    pnl: Option<f64>,
    /// The same as `pnl`.
    profit_loss: Option<f64>,
    is_profitable: Option<bool>,
    new_capital: Option<f64>,
    total_profit: Option<f64>,
    #[schema(format = DateTime)]
    timestamp: String,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::Side, rename_all = "snake_case")]
enum BotTradeSide {
    Buy,
    Sell,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::TradeStatus, rename_all = "snake_case")]
enum TradeStatus {
    Pending,
    Filled,
    Cancelled,
    Failed,
}

/// A bot, in both spellings.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Bot)]
pub(super) struct BotData {
    id: String,
    name: Option<String>,
    platform: Option<String>,
    /// The same as `platform`.
    exchange: Option<String>,
    symbol: Option<String>,
    status: BotStatus,
    trading_mode: Option<TradingMode>,
    risk_mode: Option<RiskMode>,
    capital: Option<f64>,
    /// The same as `capital`.
    current_capital: Option<f64>,
    pnl: Option<f64>,
    /// The same as `pnl`.
    total_profit: Option<f64>,
    trades_count: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    win_rate: Option<f64>,
    #[schema(format = DateTime)]
    last_trade: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::BotStatus, rename_all = "snake_case")]
enum BotStatus {
    Running,
    Stopped,
    Paused,
    Error,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::TradingMode, rename_all = "snake_case")]
enum TradingMode {
    Paper,
    Live,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::RiskMode, rename_all = "snake_case")]
enum RiskMode {
    Conservative,
    Moderate,
    Aggressive,
}

/// The balances on one platform; on the platform `all` the sum.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Balances)]
pub(super) struct BalancesData {
    platform: String,
    /// By asset.
    balances: BTreeMap<String, AssetBalance>,
    total_value_zar: Option<f64>,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::Balance)]
struct AssetBalance {
    free: f64,
    locked: f64,
    total: Option<f64>,
}

/// A decision of a bot; of the bot `orion` a new signal of this server.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Decision)]
pub(super) struct DecisionData {
    id: String,
    bot_id: Option<String>,
    symbol: String,
    platform: Option<String>,
    decision: DecisionWord,
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    reasoning: Vec<String>,
    #[schema(value_type = Option<Object>)]
    market_data: Option<Map<String, Value>>,
    /// `regime` and `confidence`.
    #[schema(value_type = Option<Object>)]
    regime_state: Option<Map<String, Value>>,
    component_scores: Option<BTreeMap<String, f64>>,
    #[schema(value_type = Option<Object>)]
    sizing: Option<Map<String, Value>>,
    position_size_multiplier: Option<f64>,
    /// `stop_loss` and `take_profit`.
    #[schema(value_type = Option<Object>)]
    stops: Option<Map<String, Value>>,
    stop_loss: Option<f64>,
    take_profit: Option<f64>,
    #[schema(format = DateTime)]
    timestamp: String,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::DecisionWord, rename_all = "snake_case")]
enum DecisionWord {
    Buy,
    Sell,
    Hold,
}

/// The numbers of the user's platform.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Metrics)]
pub(super) struct MetricsData {
    total_pnl: Option<f64>,
    total_pnl_percent: Option<f64>,
    active_bots: Option<f64>,
    total_bots: Option<f64>,
    total_trades: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    win_rate: Option<f64>,
    exposure: Option<f64>,
    risk_level: Option<String>,
    uptime_seconds: Option<f64>,
    trades_per_hour: Option<f64>,
}

/// A movement of a large holder, with the sums up to it; or published sums alone.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Whale)]
pub(super) struct WhaleData {
    coin: Option<String>,
    platform: Option<String>,
    /// `inflow` or `outflow`.
    flow_type: Option<String>,
    amount: Option<f64>,
    value_usd: Option<f64>,
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    signal: Option<String>,
    /// By exchange and coin: `inflow`, `outflow`, `net_flow`.
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>>)]
    exchanges: Option<Value>,
    /// By coin: `total_inflow`, `total_outflow`, `net_flow`.
    summary: Option<BTreeMap<String, BTreeMap<String, f64>>>,
    #[schema(format = DateTime)]
    last_update: Option<String>,
}

/// An alert.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Alert)]
pub(super) struct AlertData {
    id: String,
    severity: AlertSeverity,
    category: Option<String>,
    title: Option<String>,
    message: String,
    bot_id: Option<String>,
    platform: Option<String>,
    action_required: Option<bool>,
    #[schema(format = DateTime)]
    timestamp: String,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::Severity, rename_all = "snake_case")]
enum AlertSeverity {
    Info,
    Warning,
    Error,
    Critical,
}

/// The state of the platform; in the server's frames together with that of this server.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Health)]
pub(super) struct HealthData {
    status: Option<String>,
    /// In seconds.
    uptime: Option<f64>,
    cpu_percent: Option<f64>,
    memory_percent: Option<f64>,
    disk_percent: Option<f64>,
    database: Option<String>,
    redis: Option<String>,
    /// By exchange.
    exchange_connections: Option<BTreeMap<String, String>>,
    #[schema(format = DateTime)]
    last_trade: Option<String>,
    error_rate: Option<f64>,
    #[schema(format = DateTime)]
    timestamp: Option<String>,
}

/// What happened in a wallet.
#[derive(Debug, ToSchema)]
#[schema(as = bots::WalletEvent)]
pub(super) struct WalletData {
    event: String,
    platform: Option<String>,
    asset: Option<String>,
    amount: Option<f64>,
    address: Option<String>,
    txid: Option<String>,
    confirmations: Option<f64>,
    status: Option<String>,
}

/// A task of the platform's AI.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Task)]
pub(super) struct TaskData {
    task_id: String,
    task_type: String,
    status: TaskStatus,
    #[schema(minimum = 0, maximum = 1)]
    progress: Option<f64>,
    result: Option<Value>,
    error: Option<String>,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    completed_at: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::TaskStatus, rename_all = "snake_case")]
enum TaskStatus {
    Queued,
    Running,
    Completed,
    Failed,
}

/// The time of a frame, and for ordered messages their position.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Stamp)]
struct FrameStamp {
    #[schema(format = DateTime)]
    ts: String,
    #[schema(format = DateTime)]
    timestamp: String,
    /// Of ordered messages: the sequence number.
    #[schema(nullable = false)]
    sequence: Option<u64>,
    /// Of ordered messages: the position to resume from.
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// Prices by symbol, coins also by pair.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Prices)]
struct PricesData {
    prices: BTreeMap<String, PriceObject<'static>>,
}

/// The state of the connection.
#[derive(Debug, ToSchema)]
#[schema(as = bots::ConnectionState)]
struct ConnectionData {
    /// `connected` or `disconnected`.
    status: String,
    /// `ws` or `sse`.
    mode: String,
    /// Why the server closes the connection.
    #[schema(nullable = false)]
    code: Option<String>,
    #[schema(nullable = false)]
    reason: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::Failure)]
struct FailureData {
    /// `INVALID_JSON`, `INVALID_MESSAGE`, `INVALID_REQUEST`, `UNKNOWN_TYPE` or `RATE_LIMITED`.
    code: String,
    message: String,
}

#[derive(Debug, ToSchema)]
#[schema(as = bots::Count)]
struct CountData {
    count: u64,
}

/// The texts of the dashboard's tiles.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Tiles, rename_all = "camelCase")]
struct TileTexts {
    #[schema(nullable = false)]
    total_profit: Option<String>,
    #[schema(nullable = false)]
    active_bots: Option<String>,
    #[schema(nullable = false)]
    exposure: Option<String>,
    #[schema(nullable = false)]
    risk_level: Option<String>,
}

/// What the server sends, on both streams.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Frame)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BotsFrame {
    /// The first frame, and the last before the server closes.
    Connection {
        /// `Connected` or `Disconnected`.
        status: String,
        data: ConnectionData,
        #[schema(nullable = false)]
        user_id: Option<String>,
        /// The position at which the stream begins.
        #[schema(nullable = false)]
        current_sequence: Option<u64>,
        #[schema(nullable = false)]
        cursor: Option<String>,
        /// Whether everything since the cursor follows; null if there was none.
        recovered: Option<bool>,
        ts: String,
        timestamp: String,
    },
    /// A trade.
    Trades {
        data: TradeData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The same trade, in addition, for the dashboard's own socket.
    TradeExecuted {
        trade: TradeData,
        bot_id: Option<String>,
        bot_name: Option<String>,
        new_capital: Option<f64>,
        total_profit: Option<f64>,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The state of a bot.
    Bots {
        data: BotData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The same state, in addition, for the dashboard's own socket.
    BotUpdated {
        bot_id: String,
        changes: BotData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The balances of a platform.
    Balances {
        data: BalancesData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// A decision, or a new signal of this server.
    Decisions {
        data: DecisionData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The numbers of the platform.
    Metrics {
        data: MetricsData,
        payload: TileTexts,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// A movement of a large holder.
    Whale {
        data: WhaleData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// An alert.
    Alerts {
        data: AlertData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// What happened in a wallet.
    Wallet {
        data: WalletData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// A task.
    AiTasks {
        data: TaskData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The health of this server and of the platform, every 30 s.
    SystemHealth {
        data: HealthData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// All prices, every 5 s.
    LivePrices {
        prices: BTreeMap<String, PriceObject<'static>>,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// All prices, every 5 s, as the other client reads them.
    PricesUpdate {
        data: PricesData,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The end of a requested replay.
    ReplayComplete {
        data: CountData,
        current_sequence: u64,
        cursor: String,
        recovered: bool,
        #[schema(format = DateTime)]
        ts: String,
        #[schema(format = DateTime)]
        timestamp: String,
    },
    /// A frame was invalid; the connection stays open.
    Error {
        data: FailureData,
        message: String,
        #[serde(flatten)]
        stamp: FrameStamp,
    },
    /// The server's heartbeat, every 30 s. The number is in milliseconds.
    Ping { timestamp: i64 },
    /// The answer to `ping`.
    Pong {
        /// As sent.
        timestamp: Value,
        server_time: String,
    },
}

/// What a client sends.
#[derive(Debug, ToSchema)]
#[schema(as = bots::Command)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BotsCommand {
    /// Asks whether the connection is alive.
    Ping { timestamp: Option<Value> },
    /// The answer to the server's `ping`.
    Pong { timestamp: Option<Value> },
    /// Asks for all messages after a sequence number, again.
    RequestReplay { last_sequence: u64 },
}

const RESUME: &str = "Present the last `sequence` or `cursor`: exactly the ordered messages after it follow, each once and in \
    order, then live ones. A page without a cursor gets what has not reached it, by its answers to protocol pings.";
const DESCRIPTION: &str = "First `connection`, then the current states, then live messages: those for the user and those for \
    everyone, without a subscription.";
const PARAMETERS: [(&str, &str); 2] =
    [("token", "The user's token"), ("last_event_id", "Resumes after this `cursor` or `sequence`; also as `since`")];

pub(super) fn streams() -> Vec<StreamDescription> {
    vec![
        StreamDescription {
            name: "bots_stream",
            group: GROUP.0,
            kind: StreamKind::WebSocket,
            address: STREAM,
            aliases: &["/api/ws/"],
            summary: "A user's messages",
            description: DESCRIPTION,
            access: StreamAccess::User,
            parameters: &PARAMETERS,
            resume: Some(RESUME),
            closes: &Close::OF_USERS,
            messages: Messages::default()
                .sends::<BotsFrame>()
                .accepts::<BotsCommand>()
                .answered("ping", &["pong"])
                .answered("request_replay", &["replay_complete", "error"]),
        },
        StreamDescription {
            name: "bots_events",
            group: GROUP.0,
            kind: StreamKind::EventStream,
            address: sse::ENDPOINT,
            aliases: &[],
            summary: "The same as server-sent events",
            description: "The events have no names; ordered ones have their cursor as `id`, so that a browser resumes by itself.",
            access: StreamAccess::User,
            parameters: &PARAMETERS,
            resume: Some(RESUME),
            closes: &[],
            messages: Messages::default().sends::<BotsFrame>(),
        },
    ]
}
