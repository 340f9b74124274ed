//! What the desk says to one user: his bots, trades, balances, earnings.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::market::{COIN, Quoted, number};
use crate::domain::iso;

/// Part of a trade that it costs.
const FEE: f64 = 0.003;
const CAPITAL: f64 = 50_000.0;

/// One user's money, in ZAR and BTC.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) user: Arc<str>,
    zar: f64,
    coins: f64,
    trades: u32,
    wins: u32,
    shared: f64,
    /// What the coins at hand have cost.
    cost: f64,
    last_trade: Option<DateTime<Utc>>,
}

impl Account {
    /// The key of its bot.
    pub(super) const BOT: &str = "demo_bot";
    /// The key of its balances.
    pub(super) const PLATFORM: &str = "luno";

    pub(super) fn new(user: Arc<str>) -> Self {
        Self { user, zar: CAPITAL, coins: 0.0, trades: 0, wins: 0, shared: 0.0, cost: 0.0, last_trade: None }
    }

    fn worth(&self, coin: &Quoted) -> f64 {
        self.zar + self.coins * coin.price
    }

    fn pnl(&self, coin: &Quoted) -> f64 {
        self.worth(coin) - CAPITAL
    }

    fn win_rate(&self) -> Value {
        number(f64::from(self.wins) / f64::from((self.trades / 2).max(1)), 2)
    }

    /// Buys, or sells what was bought.
    pub(super) fn trade(&mut self, id: &str, coin: &Quoted, rng: &mut StdRng, now: DateTime<Utc>) -> Value {
        let buys = self.coins == 0.0;
        let quantity = if buys { f64::from(rng.random_range(1..=9u32)) / 1000.0 } else { self.coins };
        let total = quantity * coin.price;
        let fee = total * FEE;
        let pnl = (!buys).then_some(total - fee - self.cost);
        if buys {
            (self.zar, self.coins, self.cost) = (self.zar - total - fee, quantity, total + fee);
        } else {
            (self.zar, self.coins, self.cost) = (self.zar + total - fee, 0.0, 0.0);
        }
        self.trades += 1;
        self.wins += u32::from(pnl.is_some_and(|pnl| pnl > 0.0));
        self.shared += pnl.unwrap_or_default().max(0.0) * 0.2;
        self.last_trade = Some(now);
        json!({
            "id": id, "bot_id": Self::BOT, "platform": Self::PLATFORM, "symbol": COIN, "side": if buys { "buy" } else { "sell" },
            "quantity": number(quantity, 3), "price": number(coin.price, 0), "total": number(total, 2),
            "fee": number(fee, 2), "status": "filled", "pnl": pnl.map(|pnl| number(pnl, 2)), "timestamp": iso(now)
        })
    }

    pub(super) fn bot(&self, coin: &Quoted) -> Value {
        json!({
            "id": Self::BOT, "name": "Simulated: BTC scalper", "platform": Self::PLATFORM, "symbol": COIN, "status": "running",
            "trading_mode": "paper", "risk_mode": "conservative", "capital": number(CAPITAL, 0),
            "pnl": number(self.pnl(coin), 2), "trades_count": self.trades, "win_rate": self.win_rate(),
            "last_trade": self.last_trade.map(iso)
        })
    }

    pub(super) fn balances(&self, coin: &Quoted) -> Value {
        let asset = |amount: f64, digits| json!({ "free": number(amount, digits), "locked": 0, "total": number(amount, digits) });
        json!({
            "platform": Self::PLATFORM, "balances": { "ZAR": asset(self.zar, 2), "BTC": asset(self.coins, 3) },
            "total_value_zar": number(self.worth(coin), 2)
        })
    }

    pub(super) fn decision(id: &str, coin: &Quoted, rng: &mut StdRng, now: DateTime<Utc>) -> Value {
        let decision = ["buy", "sell", "hold"][rng.random_range(0..3)];
        let mut score = || number(rng.random_range(-0.2..1.0), 2);
        let scores = json!({ "technical": score(), "sentiment": score(), "risk": score() });
        let (stop_loss, take_profit) = (coin.away(-0.03), coin.away(0.03));
        json!({
            "id": id, "bot_id": Self::BOT, "symbol": COIN, "platform": Self::PLATFORM, "decision": decision,
            "confidence": number(rng.random_range(0.5..0.95), 2),
            "reasoning": ["Simulated: momentum and volume agree", "Simulated: risk within limits"],
            "market_data": { "price": number(coin.price, 0), "volume": 125_000_000 },
            "regime_state": { "regime": "trending_up", "confidence": number(rng.random_range(0.5..0.9), 2) },
            "component_scores": scores,
            "stops": { "stop_loss": stop_loss, "take_profit": take_profit },
            "stop_loss": stop_loss, "take_profit": take_profit, "timestamp": iso(now)
        })
    }

    pub(super) fn metrics(&self, coin: &Quoted) -> Value {
        let pnl = self.pnl(coin);
        json!({
            "total_pnl": number(pnl, 2), "total_pnl_percent": number(pnl / CAPITAL * 100.0, 2), "active_bots": 1,
            "total_bots": 1, "total_trades": self.trades, "win_rate": self.win_rate(),
            "exposure": number(self.coins * coin.price / self.worth(coin), 2), "risk_level": "moderate"
        })
    }

    pub(super) fn alert(id: &str, now: DateTime<Utc>) -> Value {
        json!({
            "id": id, "severity": "info", "category": "risk", "title": "Simulated: exposure",
            "message": "Simulated: exposure is within its limits", "bot_id": Self::BOT, "platform": Self::PLATFORM,
            "action_required": false, "timestamp": iso(now)
        })
    }

    pub(super) fn wallet(&self) -> Value {
        json!({
            "event": "balance_update", "platform": Self::PLATFORM, "asset": "ZAR", "amount": number(self.zar, 2),
            "status": "confirmed"
        })
    }

    pub(super) fn ai_task(id: &str, began: DateTime<Utc>, now: DateTime<Utc>) -> Value {
        json!({
            "task_id": id, "task_type": "bodyguard_check", "status": "completed", "progress": 1,
            "result": { "checks_passed": 15, "checks_failed": 0, "issues": [] }, "started_at": iso(began),
            "completed_at": iso(now)
        })
    }

    pub(super) fn earnings(&self, coin: &Quoted, now: DateTime<Utc>) -> Value {
        let pnl = self.pnl(coin);
        json!({
            "user_id": self.user, "portfolio_value": number(self.worth(coin), 2), "total_return": number(pnl, 2),
            "total_return_pct": number(pnl / CAPITAL * 100.0, 2), "daily_pnl": number(pnl, 2),
            "total_trades": self.trades, "win_rate": self.win_rate(),
            "profit_sharing": { "total_shared": number(self.shared, 2), "rate": number(0.2, 2), "enabled": true },
            "timestamp": iso(now)
        })
    }

    pub(super) fn notification(stock: &Quoted, now: DateTime<Utc>) -> Value {
        json!({
            "type": "success", "title": "Simulated: trade executed",
            "message": format!("Simulated: the {} buy order was executed", stock.symbol),
            "data": { "symbol": stock.symbol, "price": number(stock.price, 2) }, "timestamp": iso(now)
        })
    }
}
