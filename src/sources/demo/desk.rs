//! Whose turn it is, and what goes to everybody. Pure: the same seed and times say the same.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::account::Account;
use super::market::{Market, PAIRS, Quoted, STOCKS, number};
use crate::domain::{Audience, Kind, Published, iso};

/// The simulated desk.
#[derive(Debug)]
pub struct Desk {
    rng: StdRng,
    market: Market,
    accounts: Vec<Account>,
    /// Pairs that have no other price here.
    quoted: Vec<&'static str>,
    beats: usize,
    /// Messages made, for ids.
    made: u64,
    /// An order that waits for being filled.
    order: Option<Value>,
}

impl Desk {
    /// Beats within which every kind of message has its turn.
    pub const ROUND: usize = 8;

    /// A desk that publishes to everybody and to `users`. Prices go out only of symbols that `has_price` does not know: two
    /// prices of one symbol would make a dashboard jump.
    pub fn new(seed: u64, users: impl IntoIterator<Item = Arc<str>>, has_price: impl Fn(&str) -> bool) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            market: Market::new(),
            accounts: users.into_iter().map(Account::new).collect(),
            quoted: PAIRS.into_iter().filter(|pair| !has_price(pair)).collect(),
            beats: 0,
            made: 0,
            order: None,
        }
    }

    /// The messages of the next beat: at first all kinds, then each in its turn.
    pub fn step(&mut self, now: DateTime<Utc>) -> Vec<Published> {
        self.market.step(&mut self.rng);
        let (beat, mut messages) = (self.beats, Vec::new());
        self.beats += 1;
        for (index, (kind, ..)) in Kind::ALL.into_iter().enumerate() {
            if beat == 0 || kind == Kind::Tick || index % Self::ROUND == beat % Self::ROUND {
                let made = self.make(kind, now).into_iter();
                messages.extend(made.map(|(audience, key, data)| message(kind, audience, &key, data, now)));
            }
        }
        messages
    }

    fn make(&mut self, kind: Kind, now: DateTime<Utc>) -> Vec<(Audience, String, Value)> {
        let all = |data| vec![(Audience::All, String::new(), data)];
        let admin = |data| vec![(Audience::Admin, String::new(), data)];
        match kind {
            Kind::OrderUpdate => all(self.order_update(now)),
            Kind::Idea => all(self.idea(now)),
            Kind::PreparedPayload => all(self.prepared_payload(now)),
            Kind::Signal => all(self.signal(now)),
            Kind::Tick => self.quotes(|pair| tick(pair, now)),
            Kind::Bar => self.quotes(|pair| bar(pair, now)),
            Kind::TradeSignals => self.trade_signals(now),
            Kind::AdminUsers => admin(json!({ "users": self.people("active") })),
            Kind::AdminSubscribers => admin(json!({ "subscribers": self.people("active") })),
            Kind::AdminRevenue => admin(revenue()),
            Kind::AdminUserAnalytics => admin(self.analytics()),
            Kind::Whale => all(self.whale(now)),
            Kind::SystemHealth => all(system_health(now)),
            personal => self.personal(personal, now),
        }
    }

    fn id(&mut self, what: &str, now: DateTime<Utc>) -> String {
        self.made += 1;
        format!("demo_{what}_{}_{}", now.timestamp_millis(), self.made)
    }

    /// One message of a kind for each user.
    fn personal(&mut self, kind: Kind, now: DateTime<Utc>) -> Vec<(Audience, String, Value)> {
        let coin = self.market.of(super::market::COIN);
        let stock = self.market.of(STOCKS[self.rng.random_range(0..STOCKS.len())]);
        let ids: Vec<_> = (0..self.accounts.len()).map(|_| self.id(kind.name(), now)).collect();
        let rng = &mut self.rng;
        let say = |(account, id): (&mut Account, String)| {
            let (key, data) = match kind {
                Kind::Trades => ("", account.trade(&id, &coin, rng, now)),
                Kind::Bots => (Account::BOT, account.bot(&coin)),
                Kind::Balances => (Account::PLATFORM, account.balances(&coin)),
                Kind::Decisions => ("", Account::decision(&id, &coin, rng, now)),
                Kind::Metrics => ("", account.metrics(&coin)),
                Kind::Alerts => ("", Account::alert(&id, now)),
                Kind::Wallet => ("", account.wallet()),
                Kind::AiTasks => ("", Account::ai_task(&id, now - TimeDelta::seconds(5), now)),
                Kind::Earnings => ("", account.earnings(&coin, now)),
                _ => ("", Account::notification(&stock, now)),
            };
            (Audience::User(account.user.clone()), key.to_owned(), data)
        };
        self.accounts.iter_mut().zip(ids).map(say).collect()
    }

    fn any_pair(&mut self) -> (Quoted, &'static str) {
        let pair = self.market.of(PAIRS[self.rng.random_range(0..PAIRS.len())]);
        (pair, ["buy", "sell"][self.rng.random_range(0..2)])
    }

    /// A new order, or the one before as it is filled.
    fn order_update(&mut self, now: DateTime<Utc>) -> Value {
        if let Some(mut order) = self.order.take() {
            (order["status"], order["timestamp"]) = ("filled".into(), iso(now).into());
            return order;
        }
        let (id, (pair, side)) = (self.id("order", now), self.any_pair());
        let order = json!({
            "order_id": id, "symbol": pair.symbol, "side": side, "status": "pending", "volume": number(0.1, 1),
            "price": pair.beside(0.0), "timestamp": iso(now)
        });
        self.order = Some(order.clone());
        order
    }

    fn idea(&mut self, now: DateTime<Utc>) -> Value {
        let (pair, side) = self.any_pair();
        let (stop_loss, take_profit) = levels(&pair, side);
        json!({
            "symbol": pair.symbol, "type": side, "timeframe": "M15",
            "confidence": number(self.rng.random_range(60.0..95.0), 1), "entry_price": pair.beside(0.0),
            "stop_loss": stop_loss, "take_profit": take_profit, "reasoning": "Simulated: order block and FVG retest",
            "timestamp": iso(now)
        })
    }

    fn prepared_payload(&mut self, now: DateTime<Utc>) -> Value {
        let (pair, side) = self.any_pair();
        let (stop_loss, take_profit) = levels(&pair, side);
        json!({
            "symbol": pair.symbol, "side": side, "volume": number(0.1, 1), "entry_price": pair.beside(0.0),
            "stop_loss": stop_loss, "take_profit": take_profit, "risk_percent": 1, "risk_reward_ratio": 2,
            "execution_ready": true, "timestamp": iso(now)
        })
    }

    fn signal(&mut self, now: DateTime<Utc>) -> Value {
        let (pair, side) = self.any_pair();
        let (stop_loss, take_profit) = levels(&pair, side);
        let confidence = self.rng.random_range(60.0..95.0);
        json!({
            "symbol": pair.symbol, "side": side, "strength": number(confidence / 100.0, 3),
            "confidence": number(confidence, 1), "model": "Simulated: LSTM", "timestamp": iso(now),
            "entry_price": pair.beside(0.0), "stop_loss": stop_loss, "take_profit": take_profit
        })
    }

    fn quotes(&self, say: impl Fn(Quoted) -> Value) -> Vec<(Audience, String, Value)> {
        let pairs = self.quoted.iter().map(|pair| self.market.of(pair));
        pairs.map(|pair| (Audience::All, pair.symbol.to_owned(), say(pair))).collect()
    }

    fn trade_signals(&mut self, now: DateTime<Utc>) -> Vec<(Audience, String, Value)> {
        let rng = &mut self.rng;
        let signal = |symbol: &'static str| {
            let signal = ["buy", "sell", "hold"][rng.random_range(0..3)];
            let data = json!({
                "symbol": symbol, "signal": signal,
                "confidence": number(rng.random_range(0.5..0.95), 2),
                "consensus_strength": number(rng.random_range(0.5..0.95), 2), "timestamp": iso(now)
            });
            (Audience::All, symbol.to_owned(), data)
        };
        STOCKS.into_iter().map(signal).collect()
    }

    fn whale(&mut self, now: DateTime<Utc>) -> Value {
        let inflow = self.rng.random_bool(0.5);
        let amount = self.rng.random_range(50.0..500.0);
        json!({
            "coin": "BTC", "platform": "binance", "flow_type": if inflow { "inflow" } else { "outflow" },
            "amount": number(amount, 1), "value_usd": number(amount * 43_000.0, 0), "timestamp": iso(now),
            "signal": if inflow { "bearish" } else { "bullish" }
        })
    }

    /// Users and subscribers, as the administrators' tables show them.
    fn people(&self, status: &str) -> Vec<Value> {
        let person = |account: &Account| {
            json!({
                "user_id": account.user, "tier": "basic", "status": status, "start_date": "2026-01-01T00:00:00.000Z",
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
}

fn message(kind: Kind, audience: Audience, key: &str, mut data: Value, now: DateTime<Utc>) -> Published {
    data["simulated"] = true.into();
    Published { seq: 0, kind, audience, key: key.into(), data: data.to_string().into(), at: now }
}

/// Stop and target, twice as far.
fn levels(pair: &Quoted, side: &str) -> (Value, Value) {
    let away = if side == "buy" { 0.002 } else { -0.002 };
    (pair.away(-away), pair.away(2.0 * away))
}

fn tick(pair: Quoted, now: DateTime<Utc>) -> Value {
    json!({
        "symbol": pair.symbol, "bid": pair.beside(0.0), "ask": pair.beside(3.0), "spread": pair.steps(3.0),
        "timestamp": iso(now)
    })
}

fn bar(pair: Quoted, now: DateTime<Utc>) -> Value {
    json!({
        "symbol": pair.symbol, "open": pair.beside(-4.0), "high": pair.beside(6.0), "low": pair.beside(-7.0),
        "close": pair.beside(0.0), "volume": 120, "timestamp": iso(now)
    })
}

fn revenue() -> Value {
    json!({
        "monthly_recurring_revenue": 4900, "revenue_by_tier": { "basic": 1900, "pro": 3000 },
        "subscribers_by_tier": { "basic": 38, "pro": 20 }
    })
}

/// Only what the platform knows: the server's own state is never simulated.
fn system_health(now: DateTime<Utc>) -> Value {
    let connected: Value =
        ["luno", "binance", "kucoin", "kraken", "valr"].into_iter().map(|exchange| (exchange, "connected")).collect();
    json!({ "redis": "connected", "exchange_connections": connected, "last_trade": iso(now) })
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn said(seed: u64, beats: i64) -> Vec<Published> {
        let mut desk = Desk::new(seed, ["demo".into(), "u2".into()], |symbol| symbol == "EURUSD");
        (0..beats).flat_map(|beat| desk.step(DateTime::UNIX_EPOCH + TimeDelta::seconds(beat))).collect()
    }

    #[test]
    fn every_kind_has_its_turn_within_ten_seconds_for_each_user() {
        let mut last = HashMap::<_, Vec<i64>>::new();
        for Published { kind, audience, at, .. } in said(1, 60) {
            last.entry((kind, audience)).or_default().push(at.timestamp());
        }
        for ((kind, audience), times) in &last {
            let gaps = times.iter().chain([&60]).zip([&0].into_iter().chain(times));
            assert!(gaps.clone().all(|(next, before)| next - before <= 10), "{kind:?} {audience}: {times:?}");
        }
        for (kind, name, _) in Kind::ALL {
            let audiences: Vec<_> = last.keys().filter(|(of, _)| *of == kind).map(|(_, audience)| audience).collect();
            match audiences[..] {
                [Audience::Admin] => assert!(name.starts_with("admin_")),
                [Audience::All] | [Audience::User(_), Audience::User(_)] => {}
                _ => panic!("{name}: {audiences:?}"),
            }
        }
    }

    #[test]
    fn everything_is_marked_and_the_symbols_are_the_documents() {
        let mut symbols = HashSet::new();
        for message in said(2, 300) {
            let data: Value = serde_json::from_str(&message.data).unwrap();
            assert_eq!(data["simulated"], true, "{message:?}");
            symbols.extend(data["symbol"].as_str().map(str::to_owned));
            let ticks = message.kind == Kind::Tick || message.kind == Kind::Bar;
            assert!(!ticks || data["symbol"] != "EURUSD", "it has a price of its own");
        }
        for symbol in PAIRS.into_iter().chain(STOCKS).chain(["BTC-ZAR"]) {
            assert!(symbols.contains(symbol), "{symbol}");
        }
    }

    #[test]
    fn the_same_seed_and_times_say_the_same() {
        assert_eq!(said(3, 30), said(3, 30));
        assert_ne!(said(3, 30), said(4, 30));
    }
}
