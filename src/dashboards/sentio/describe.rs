//! The description of Sentio's streams, and of the messages that are published for them.

#![expect(dead_code, reason = "describes encoded text")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::wire::{DashboardObject, QuoteObject, StatusFrame};
use crate::transport::close::Close;
use crate::transport::describe::{Messages, StreamAccess, StreamDescription, StreamKind};

/// An entry of the list of current signals.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::TradeSignal)]
pub(super) struct TradeSignalData {
    symbol: String,
    signal: SignalWord,
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    #[schema(minimum = 0, maximum = 1)]
    consensus_strength: Option<f64>,
    #[schema(format = DateTime)]
    timestamp: String,
    /// With the signal `error`: why it could not be computed.
    error: Option<String>,
}

/// A word of the list of current signals. `hold` and `error` are only sent if they were published.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::SignalWord, rename_all = "snake_case")]
pub(super) enum SignalWord {
    Buy,
    Sell,
    Hold,
    Error,
}

/// A user's earnings. Absent numbers are 0.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Earnings)]
pub(super) struct EarningsData {
    user_id: Option<String>,
    portfolio_value: f64,
    total_return: f64,
    total_return_pct: f64,
    daily_pnl: f64,
    total_trades: f64,
    #[schema(minimum = 0, maximum = 1)]
    win_rate: f64,
    profit_sharing: ProfitSharing,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// A user's share of the profits.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::ProfitSharing)]
pub(super) struct ProfitSharing {
    total_shared: f64,
    #[schema(minimum = 0, maximum = 1)]
    rate: f64,
    enabled: Option<bool>,
}

/// A notification.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Notification)]
pub(super) struct NotificationData {
    #[schema(rename = "type")]
    kind: NotificationKind,
    title: Option<String>,
    message: String,
    #[schema(format = DateTime)]
    timestamp: Option<String>,
}

/// The kind of a notification.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::NotificationKind, rename_all = "snake_case")]
pub(super) enum NotificationKind {
    Success,
    Warning,
    Error,
    Info,
}

/// All users, or their totals with an empty list.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Users)]
pub(super) struct UsersData {
    users: Vec<UserEntry>,
    total_users: Option<f64>,
    active_subscriptions: Option<f64>,
    monthly_revenue: Option<f64>,
}

/// A user.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::User)]
pub(super) struct UserEntry {
    user_id: String,
    tier: Option<String>,
    status: Option<String>,
    start_date: Option<String>,
    profit_sharing_balance: f64,
    total_profits_shared: f64,
}

/// All subscribers.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Subscribers)]
pub(super) struct SubscribersData {
    subscribers: Vec<SubscriberEntry>,
}

/// A subscriber.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Subscriber)]
pub(super) struct SubscriberEntry {
    user_id: String,
    tier: Option<String>,
    status: Option<String>,
    start_date: Option<String>,
    features: FeatureFields,
}

/// What a subscription includes.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Features)]
pub(super) struct FeatureFields {
    max_concurrent_trades: Option<f64>,
    max_strategies: Option<f64>,
    day_trading: Option<bool>,
    api_access: Option<bool>,
}

/// The revenue.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Revenue)]
pub(super) struct RevenueData {
    monthly_recurring_revenue: f64,
    revenue_by_tier: Option<BTreeMap<String, f64>>,
    subscribers_by_tier: Option<BTreeMap<String, f64>>,
}

/// The numbers of users.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::UserAnalytics)]
pub(super) struct AnalyticsData {
    total_users: f64,
    by_status: Option<BTreeMap<String, f64>>,
    by_tier: Option<BTreeMap<String, f64>>,
}

/// Declares the frames of a stream: `{type, data, timestamp}` for each, and what all streams answer.
macro_rules! frames {
    ($name:ident, $schema:ident, $($(#[doc = $doc:literal])+ $frame:ident($data:ty),)*) => {
        #[derive(Debug, ToSchema)]
        #[schema(as = sentio::$schema)]
        #[serde(tag = "type", rename_all = "snake_case")]
        enum $name {
            $(
                $(#[doc = $doc])+
                $frame {
                    data: $data,
                    #[schema(format = DateTime)]
                    timestamp: String,
                },
            )*
            /// The answer to a ping.
            Pong {
                #[schema(format = DateTime)]
                timestamp: String,
            },
            /// A frame was invalid; the connection stays open.
            Error {
                message: String,
                #[schema(format = DateTime)]
                timestamp: String,
            },
        }
    };
}

frames! {
    SignalsFrame, SignalsFrame,
    /// All current signals, after each change.
    TradeSignals(Vec<TradeSignalData>),
}

frames! {
    MarketFrame, MarketFrame,
    /// The quotes of the symbols that were just subscribed.
    Quotes(Vec<QuoteObject>),
    /// The quotes of all subscribed symbols, every 5 s.
    Update(Vec<QuoteObject>),
}

frames! {
    EarningsFrame, EarningsFrame,
    /// The user's earnings.
    Earnings(EarningsData),
}

frames! {
    NotificationFrame, NotificationFrame,
    /// A notification for the user.
    Notification(NotificationData),
}

frames! {
    AnswerFrame, AnswerFrame,
}

frames! {
    AdminFrame, AdminFrame,
    /// The users, as published.
    AdminUsers(UsersData),
    /// The subscribers, as published.
    AdminSubscribers(SubscribersData),
    /// The revenue, as published.
    AdminRevenue(RevenueData),
    /// The numbers of users, as published.
    AdminUserAnalytics(AnalyticsData),
}

/// What a client of symbols sends.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::SymbolCommand)]
#[serde(tag = "action", rename_all = "snake_case")]
enum SymbolCommand {
    /// Adds symbols. In the first frame on `/ws/trade-signals`, no symbols mean all.
    Subscribe {
        /// A list, or one text with commas.
        symbols: Option<Vec<String>>,
    },
    /// Removes symbols.
    Unsubscribe { symbols: Vec<String> },
    /// Asks whether the connection is alive.
    Ping {},
}

/// What a client of one user's data sends.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::UserCommand)]
#[serde(tag = "action", rename_all = "snake_case")]
enum UserCommand {
    /// Names the user, with a token if the handshake had none.
    Subscribe {
        /// A text or a number. Not needed where the path or the token names the user.
        #[schema(value_type = Option<String>)]
        user_id: Option<Value>,
        token: Option<String>,
    },
    /// Asks whether the connection is alive.
    Ping {},
}

/// What an administrator sends.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::AdminCommand)]
#[serde(tag = "action", rename_all = "snake_case")]
enum AdminCommand {
    /// The first frame: presents the token, for the published messages.
    Subscribe { admin_token: String },
    /// Asks whether the connection is alive.
    Ping {},
}

/// The token as bare text, as the first frame: for the state of the server.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::BareToken)]
struct BareToken(String);

const GROUP: &str = "Sentio 2.0";
const FIRST: &str =
    "Nothing is sent before the client's first frame. An unknown symbol is not an error, but gets no data.";
const OF_FRAMES: [Close; 3] = [Close::Policy, Close::Expired, Close::Revoked];

pub(super) fn streams() -> Vec<StreamDescription> {
    let stream = |name, address, summary, description, messages| StreamDescription {
        name,
        group: GROUP,
        kind: StreamKind::WebSocket,
        address,
        aliases: &[],
        summary,
        description,
        access: StreamAccess::Reader,
        parameters: &[],
        resume: None,
        closes: &Close::OF_USERS,
        messages,
    };
    let of_symbols = |messages: Messages, answers| {
        messages
            .accepts::<SymbolCommand>()
            .answered("subscribe", answers)
            .answered("unsubscribe", answers)
            .answered("ping", &["pong"])
    };
    let of_user = |messages: Messages| messages.accepts::<UserCommand>().answered("ping", &["pong"]);
    vec![
        stream(
            "sentio_signals",
            "/ws/trade-signals",
            "The current signals, as one list",
            FIRST,
            of_symbols(Messages::default().sends::<SignalsFrame>(), &["trade_signals"]),
        ),
        StreamDescription {
            aliases: &["/"],
            ..stream(
                "sentio_market",
                "/ws/market-data",
                "Quotes of the subscribed symbols",
                FIRST,
                of_symbols(Messages::default().sends::<MarketFrame>(), &["quotes"]),
            )
        },
        StreamDescription {
            access: StreamAccess::UserInFrame,
            closes: &OF_FRAMES,
            ..stream(
                "sentio_earnings",
                "/ws/earnings",
                "A user's earnings",
                "The current earnings at once, then each update.",
                of_user(Messages::default().sends::<EarningsFrame>()).answered("subscribe", &["earnings", "error"]),
            )
        },
        StreamDescription {
            access: StreamAccess::UserInFrame,
            closes: &OF_FRAMES,
            resume: Some(
                "The page has no cursor. A notification has reached its user when one of the user's browsers has answered the \
                 protocol ping sent with it; until then it is sent on every new connection.",
            ),
            ..stream(
                "sentio_notifications",
                "/ws/notifications",
                "A user's notifications",
                "Those that have not reached the user yet, at most the last 50, then each new one.",
                of_user(Messages::default().sends::<NotificationFrame>())
                    .answered("subscribe", &["notification", "error"]),
            )
        },
        StreamDescription {
            access: StreamAccess::UserInFrame,
            closes: &OF_FRAMES,
            ..stream(
                "sentio_user",
                "/ws/user/{id}",
                "A user's whole state as one object",
                "The object at once and after each change.",
                of_user(Messages::default().sends_untyped::<DashboardObject<'_>>("dashboard").sends::<AnswerFrame>()),
            )
        },
        StreamDescription {
            access: StreamAccess::AdminInFrame,
            closes: &[Close::AdminToken, Close::NoAdminToken, Close::WrongAdminToken, Close::Expired, Close::Revoked],
            ..stream(
                "sentio_admin",
                "/ws/admin",
                "What is published for administrators, or the state of the server",
                "The first frame decides: after the JSON form the latest of each message at once, then each new one; after \
                 the bare token `{status, logs}` every 2 s.",
                Messages::default()
                    .sends::<AdminFrame>()
                    .sends_untyped::<StatusFrame>("status")
                    .accepts::<AdminCommand>()
                    .accepts_untyped::<BareToken>("bare_token")
                    .answered("ping", &["pong"])
                    .answered("bare_token", &["status"]),
            )
        },
    ]
}
