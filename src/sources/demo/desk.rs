//! The schedule of the messages, and the messages for all users. Pure: the same seed, times and prices give the same
//! messages.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::account::Account;
use super::book::{BROKER, DemoAccount, LUNO};
use super::quotes::{COINS, PAIRS, Quoted, Quotes, STOCKS, number};
use crate::domain::{Audience, MessageType, RelayedMessage, iso};

/// The simulated desk.
#[derive(Debug)]
pub struct Desk {
    rng: StdRng,
    quotes: Quotes,
    users: Vec<Arc<str>>,
    /// One account set for each user, once the desk is open.
    accounts: Vec<Account>,
    /// The stored accounts of earlier runs.
    kept: Vec<RelayedMessage>,
    /// Beats that passed before the first prices.
    waited: u32,
    beats: usize,
    /// Number of messages so far, for their ids.
    made: u64,
    /// The types that somebody reads. The desk is silent about the others.
    types: Vec<MessageType>,
    /// An order that is not filled yet.
    order: Option<Value>,
}

/// Name of the type, audience, key and content.
type DemoMessage = (&'static str, Audience, String, Value);

/// The messages for all users or for administrators, in the order of the schedule.
const IN_TURN: [&str; 14] = [
    "order_update",
    "idea",
    "prepared_payload",
    "signal",
    "bar",
    "trade_signals",
    "admin_users",
    "admin_subscribers",
    "admin_revenue",
    "admin_user_analytics",
    "whale",
    "system_health",
    "alerts",
    "ai_tasks",
];
/// Rands per dollar, for amounts in dollars. Invented.
const RANDS: f64 = 18.5;

impl Desk {
    /// How many beats one round of the schedule takes.
    pub const ROUND: usize = 8;
    /// The beat on which the stock account trades; the coin account trades on the first one.
    const STOCKS_BEAT: usize = Self::ROUND / 2;
    /// How many beats the desk waits for the first price of each symbol in its accounts.
    const MAX_WAIT: u32 = 5;

    /// Creates a desk that publishes messages of `types` for `users` and for everyone, starting with the first prices.
    pub fn new(
        seed: u64,
        users: impl IntoIterator<Item = Arc<str>>,
        types: impl IntoIterator<Item = MessageType>,
    ) -> Self {
        Self {
            types: types.into_iter().collect(),
            rng: StdRng::seed_from_u64(seed),
            quotes: Quotes::default(),
            users: users.into_iter().collect(),
            accounts: Vec::new(),
            kept: Vec::new(),
            waited: 0,
            beats: 0,
            made: 0,
            order: None,
        }
    }

    /// Returns the symbols that the desk needs prices for, in its own spelling.
    pub fn symbols() -> impl Iterator<Item = &'static str> {
        PAIRS.into_iter().chain(STOCKS).chain(COINS)
    }

    /// Returns whether a message holds state that the desk needs after a restart.
    pub fn keeps(message: &RelayedMessage) -> bool {
        matches!(message.kind.name(), "bots" | "earnings" | "order_update")
            && message.data.contains("\"simulated\":true")
    }

    /// Continues from the messages of an earlier run, oldest first: restores the accounts with their open positions,
    /// and the order that was not filled.
    #[must_use]
    pub fn resume(mut self, messages: impl IntoIterator<Item = RelayedMessage>) -> Self {
        for message in messages.into_iter().filter(Self::keeps) {
            if message.kind.name() == "order_update" {
                let order = serde_json::from_str(&message.data).ok();
                self.order = order.filter(|order: &Value| order["status"] == "pending" && symbol_of(order).is_some());
            } else {
                self.kept.push(message);
            }
        }
        self
    }

    /// Returns the messages of the next beat at these prices: every type on the first beat, then the scheduled ones.
    /// Empty before there are prices.
    pub fn step(&mut self, now: DateTime<Utc>, quoted: &[Quoted]) -> Vec<RelayedMessage> {
        self.quotes.update(quoted);
        if self.accounts.is_empty() && !self.open(now) {
            return Vec::new();
        }
        let (beat, mut made) = (self.beats, Vec::new());
        self.beats += 1;
        if beat % Self::ROUND == 0 {
            self.trade_coins(now, &mut made);
        }
        if beat == 0 || beat % Self::ROUND == Self::STOCKS_BEAT {
            self.trade_stocks(now, &mut made);
        }
        for (index, kind) in IN_TURN.into_iter().enumerate() {
            if beat == 0 || index % Self::ROUND == beat % Self::ROUND {
                self.scheduled_message(kind, now, &mut made);
            }
        }
        let messages = made.into_iter().filter_map(|(name, audience, key, data)| {
            let kind = *self.types.iter().find(|kind| kind.name() == name)?;
            Some(message(kind, audience, &key, data, now))
        });
        messages.collect()
    }

    /// Opens the accounts once every price has arrived, or the wait for the missing ones is over.
    fn open(&mut self, now: DateTime<Utc>) -> bool {
        self.waited += 1;
        let has_all = STOCKS.into_iter().chain(COINS).all(|symbol| self.quotes.current(symbol).is_some());
        if !has_all && self.waited <= Self::MAX_WAIT {
            return false;
        }
        let kept = std::mem::take(&mut self.kept);
        let restored = |user: &Arc<str>, kind, venue| {
            let own = Audience::User(user.clone());
            let is_own = |message: &&RelayedMessage| message.kind.name() == kind && message.audience == own;
            let data: Value = serde_json::from_str(&kept.iter().rfind(is_own)?.data).ok()?;
            DemoAccount::restore(venue, &data["account"])
        };
        for user in &self.users {
            let fresh = Account::new(user.clone(), now);
            self.accounts.push(Account {
                coins: restored(user, "bots", &LUNO).unwrap_or(fresh.coins),
                stocks: restored(user, "earnings", &BROKER).unwrap_or(fresh.stocks),
                user: fresh.user,
            });
        }
        true
    }

    /// Makes one fill in each user's coin account, with its follow-up messages. They form one batch, which is stored
    /// whole or not at all.
    fn trade_coins(&mut self, now: DateTime<Utc>, made: &mut Vec<DemoMessage>) {
        for index in 0..self.accounts.len() {
            let [trade, decision, alert] = ["trades", "decisions", "alerts"].map(|what| self.id(what, now));
            let (account, quotes) = (&mut self.accounts[index], &self.quotes);
            let mut say = |kind, key: &str, data| {
                made.push((kind, Audience::User(account.user.clone()), key.to_owned(), data));
            };
            if let Some(fill) = account.coins.trade(quotes, now) {
                say("trades", "", Account::trade(&trade, &fill, now));
                if let Some(quote) = quotes.current(fill.symbol) {
                    say("decisions", "", Account::decision(&decision, &fill, &quote, &mut self.rng, now));
                }
                if account.coins.begin_again(quotes, now) {
                    say("alerts", "", Account::fresh_start_alert(&alert, now));
                }
            }
            say("bots", Account::BOT, account.bot(quotes));
            say("balances", LUNO.name, account.balances(quotes));
            say("metrics", "", account.metrics(quotes));
            say("wallet", "", account.wallet());
        }
    }

    /// Makes one fill in each user's stock account.
    fn trade_stocks(&mut self, now: DateTime<Utc>, made: &mut Vec<DemoMessage>) {
        let quotes = &self.quotes;
        for account in &mut self.accounts {
            let mut say = |kind, data| made.push((kind, Audience::User(account.user.clone()), String::new(), data));
            if let Some(fill) = account.stocks.trade(quotes, now) {
                say("notification", Account::executed(&fill, now));
                if account.stocks.begin_again(quotes, now) {
                    say("notification", Account::fresh_start(now));
                }
            }
            say("earnings", account.earnings(quotes, now));
        }
    }

    /// Returns the scheduled message; nothing without a price for it.
    fn scheduled_message(&mut self, kind: &'static str, now: DateTime<Utc>, made: &mut Vec<DemoMessage>) {
        let data = match kind {
            "bar" => return self.bars(now, made),
            "trade_signals" => return self.trade_signals(now, made),
            "alerts" | "ai_tasks" => return self.personal(kind, now, made),
            "order_update" => self.order_update(now),
            "idea" => self.idea(now),
            "prepared_payload" => self.prepared_payload(now),
            "signal" => self.signal(now),
            "admin_users" => Some(json!({ "users": self.people() })),
            "admin_subscribers" => Some(json!({ "subscribers": self.people() })),
            "admin_revenue" => Some(revenue()),
            "admin_user_analytics" => Some(self.analytics()),
            "whale" => Some(self.whale(now)),
            _ => Some(self.system_health()),
        };
        let is_administrative =
            matches!(kind, "admin_users" | "admin_subscribers" | "admin_revenue" | "admin_user_analytics");
        let audience = if is_administrative { Audience::Admin } else { Audience::All };
        made.extend(data.map(|data| (kind, audience, String::new(), data)));
    }

    fn id(&mut self, what: &str, now: DateTime<Utc>) -> String {
        self.made += 1;
        format!("demo_{what}_{}_{}", now.timestamp_millis(), self.made)
    }

    /// Returns one message of a type for each user.
    fn personal(&mut self, kind: &'static str, now: DateTime<Utc>, made: &mut Vec<DemoMessage>) {
        for index in 0..self.accounts.len() {
            let id = self.id(kind, now);
            let account = &self.accounts[index];
            let data = match kind {
                "alerts" => account.exposure_alert(&id, &self.quotes, now),
                _ => Account::ai_task(&id, now),
            };
            made.push((kind, Audience::User(account.user.clone()), String::new(), data));
        }
    }

    /// Returns a random pair that can be traded, and a random side.
    fn any_pair(&mut self) -> Option<(Quoted, &'static str)> {
        let (pair, side) = (self.rng.random_range(0..PAIRS.len()), self.rng.random_range(0..2));
        Some((self.quotes.current(PAIRS[pair])?, ["buy", "sell"][side]))
    }

    /// Returns a new order, or the fill of the previous one at the current price.
    fn order_update(&mut self, now: DateTime<Utc>) -> Option<Value> {
        if let Some(mut order) = self.order.take() {
            let side = if order["side"] == "sell" { "sell" } else { "buy" };
            let Some(quote) = symbol_of(&order).and_then(|symbol| self.quotes.current(symbol)) else {
                self.order = Some(order);
                return None;
            };
            order["price"] = quote.print(quote.side(side));
            (order["status"], order["timestamp"]) = ("filled".into(), iso(now).into());
            return Some(order);
        }
        let (pair, side) = self.any_pair()?;
        let order = json!({
            "order_id": self.id("order", now), "symbol": pair.symbol, "side": side, "status": "pending",
            "volume": number(0.1, 1), "price": pair.print(pair.side(side)), "timestamp": iso(now)
        });
        self.order = Some(order.clone());
        Some(order)
    }

    fn idea(&mut self, now: DateTime<Utc>) -> Option<Value> {
        let (pair, side) = self.any_pair()?;
        let (stop_loss, take_profit) = levels(&pair, side);
        Some(json!({
            "symbol": pair.symbol, "type": side, "timeframe": "M15",
            "confidence": number(self.rng.random_range(60.0..95.0), 1), "entry_price": pair.print(pair.side(side)),
            "stop_loss": stop_loss, "take_profit": take_profit, "reasoning": "Simulated: order block and FVG retest",
            "timestamp": iso(now)
        }))
    }

    fn prepared_payload(&mut self, now: DateTime<Utc>) -> Option<Value> {
        let (pair, side) = self.any_pair()?;
        let (stop_loss, take_profit) = levels(&pair, side);
        Some(json!({
            "symbol": pair.symbol, "side": side, "volume": number(0.1, 1), "entry_price": pair.print(pair.side(side)),
            "stop_loss": stop_loss, "take_profit": take_profit, "risk_percent": 1, "risk_reward_ratio": 2,
            "execution_ready": true, "timestamp": iso(now)
        }))
    }

    fn signal(&mut self, now: DateTime<Utc>) -> Option<Value> {
        let (pair, side) = self.any_pair()?;
        let (stop_loss, take_profit) = levels(&pair, side);
        let confidence = self.rng.random_range(60.0..95.0);
        Some(json!({
            "symbol": pair.symbol, "side": side, "strength": number(confidence / 100.0, 3),
            "confidence": number(confidence, 1), "model": "Simulated: LSTM", "timestamp": iso(now),
            "entry_price": pair.print(pair.side(side)), "stop_loss": stop_loss, "take_profit": take_profit
        }))
    }

    fn bars(&mut self, now: DateTime<Utc>, made: &mut Vec<DemoMessage>) {
        for (pair, bar) in PAIRS.into_iter().filter_map(|pair| self.quotes.bar(pair)) {
            let data = json!({
                "symbol": pair.symbol, "open": pair.print(bar.open), "high": pair.print(bar.high),
                "low": pair.print(bar.low), "close": pair.print(bar.close), "volume": 120, "timestamp": iso(now)
            });
            made.push(("bar", Audience::All, pair.symbol.to_owned(), data));
        }
    }

    /// Returns a signal for each stock, according to the first account.
    fn trade_signals(&mut self, now: DateTime<Utc>, made: &mut Vec<DemoMessage>) {
        for symbol in STOCKS {
            let signal = self.accounts.first().map_or("hold", |account| account.stocks.opinion(symbol));
            let data = json!({
                "symbol": symbol, "signal": signal, "confidence": number(self.rng.random_range(0.5..0.95), 2),
                "consensus_strength": number(self.rng.random_range(0.5..0.95), 2), "timestamp": iso(now)
            });
            made.push(("trade_signals", Audience::All, symbol.to_owned(), data));
        }
    }

    fn whale(&mut self, now: DateTime<Utc>) -> Value {
        let inflow = self.rng.random_bool(0.5);
        let amount = self.rng.random_range(50.0..500.0);
        let dollars = self.quotes.last(COINS[0]).map(|coin| number(amount * coin.mid() / RANDS, 0));
        json!({
            "coin": "BTC", "platform": "binance", "flow_type": if inflow { "inflow" } else { "outflow" },
            "amount": number(amount, 1), "value_usd": dollars, "timestamp": iso(now),
            "signal": if inflow { "bearish" } else { "bullish" }
        })
    }

    /// Returns users and subscribers for the administrators' tables.
    fn people(&self) -> Vec<Value> {
        let person = |account: &Account| {
            json!({
                "user_id": account.user, "tier": "basic", "status": "active", "start_date": "2026-01-01T00:00:00.000Z",
                "profit_sharing_balance": 0, "total_profits_shared": 0, "simulated": true,
                "features": { "max_concurrent_trades": 5, "max_strategies": 3, "day_trading": true, "api_access": false }
            })
        };
        self.accounts.iter().map(person).collect()
    }

    fn analytics(&self) -> Value {
        let users = self.accounts.len();
        json!({ "total_users": users, "by_status": { "active": users }, "by_tier": { "basic": users } })
    }

    /// Returns the health of the platform. The server's own state is never simulated.
    fn system_health(&self) -> Value {
        let connected: Value = ["luno", "binance", "kucoin", "kraken", "valr"]
            .into_iter()
            .map(|exchange| (exchange, "connected"))
            .collect();
        let last_trade = self.accounts.iter().filter_map(|account| account.coins.last_trade).max();
        json!({ "redis": "connected", "exchange_connections": connected, "last_trade": last_trade.map(iso) })
    }
}

fn message(kind: MessageType, audience: Audience, key: &str, mut data: Value, now: DateTime<Utc>) -> RelayedMessage {
    data["simulated"] = true.into();
    RelayedMessage { seq: 0, kind, audience, key: key.into(), data: data.to_string().into(), at: now }
}

/// Returns the pair of an order.
fn symbol_of(order: &Value) -> Option<&'static str> {
    PAIRS.into_iter().find(|pair| order["symbol"] == *pair)
}

/// Returns stop and target; the target is twice as far.
fn levels(pair: &Quoted, side: &str) -> (Value, Value) {
    let away = if side == "buy" { 0.002 } else { -0.002 };
    (pair.away(-away), pair.away(2.0 * away))
}

fn revenue() -> Value {
    json!({
        "monthly_recurring_revenue": 4900, "revenue_by_tier": { "basic": 1900, "pro": 3000 },
        "subscribers_by_tier": { "basic": 38, "pro": 20 }
    })
}
