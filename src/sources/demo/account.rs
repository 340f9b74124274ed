//! The messages for one user: bot, trades, balances, earnings.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::book::{BROKER, DemoAccount, Fill, LUNO, SHARED};
use super::quotes::{COINS, Quoted, Quotes, number};
use crate::domain::iso;

/// One user's accounts: coins on the bot platform, stocks at Sentio.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) user: Arc<str>,
    pub(super) coins: DemoAccount,
    pub(super) stocks: DemoAccount,
}

impl Account {
    /// The key of the user's bot.
    pub(super) const BOT: &str = "demo_bot";

    pub(super) fn new(user: Arc<str>, now: DateTime<Utc>) -> Self {
        Self { user, coins: DemoAccount::new(&LUNO, now), stocks: DemoAccount::new(&BROKER, now) }
    }

    pub(super) fn trade(id: &str, fill: &Fill, now: DateTime<Utc>) -> Value {
        json!({
            "id": id, "bot_id": Self::BOT, "platform": LUNO.name, "symbol": fill.symbol, "side": fill.side,
            "quantity": fill.quantity, "price": number(fill.price, 8), "total": number(fill.total, 2),
            "fee": number(fill.fee, 2), "status": "filled", "pnl": fill.pnl.map(|pnl| number(pnl, 2)), "timestamp": iso(now)
        })
    }

    pub(super) fn bot(&self, quotes: &Quotes) -> Value {
        let book = &self.coins;
        json!({
            "id": Self::BOT, "name": "Simulated: BTC and ETH by lots", "platform": LUNO.name, "symbol": COINS[0],
            "status": "running", "trading_mode": "paper", "risk_mode": "conservative", "capital": number(LUNO.capital, 0),
            "pnl": number(book.pnl(quotes), 2), "trades_count": book.trades, "win_rate": number(book.win_rate(), 2),
            "last_trade": book.last_trade.map(iso), "account": book.account()
        })
    }

    pub(super) fn balances(&self, quotes: &Quotes) -> Value {
        let asset = |amount: f64, digits| json!({ "free": number(amount, digits), "locked": 0, "total": number(amount, digits) });
        let book = &self.coins;
        let coins = book.held().map(|(symbol, amount, digits)| {
            (symbol.split('-').next().unwrap_or(symbol).to_owned(), asset(amount, digits))
        });
        let balances: Map<_, _> = [(LUNO.currency.to_owned(), asset(book.cash, 2))].into_iter().chain(coins).collect();
        json!({ "platform": LUNO.name, "balances": balances, "total_value_zar": number(book.worth(quotes), 2) })
    }

    /// Returns the decision that explains a fill.
    pub(super) fn decision(id: &str, fill: &Fill, quote: &Quoted, rng: &mut StdRng, now: DateTime<Utc>) -> Value {
        let mut score = || number(rng.random_range(-0.2..1.0), 2);
        let scores = json!({ "technical": score(), "sentiment": score(), "risk": score() });
        let (stop_loss, take_profit) = (quote.away(-0.03), quote.away(0.03));
        let (lots, full) = fill.lots;
        let rule =
            if fill.side == "buy" { "buys lot by lot until it is full" } else { "sells lot by lot until it is empty" };
        json!({
            "id": id, "bot_id": Self::BOT, "symbol": fill.symbol, "platform": LUNO.name, "decision": fill.side,
            "confidence": number(rng.random_range(0.5..0.95), 2),
            "reasoning": [format!("Simulated: {rule}"), format!("Simulated: the position has {lots} of {full} lots")],
            "market_data": { "price": number(fill.price, 8), "volume": 125_000_000 },
            "regime_state": { "regime": "ranging", "confidence": number(rng.random_range(0.5..0.9), 2) },
            "component_scores": scores,
            "stops": { "stop_loss": stop_loss, "take_profit": take_profit },
            "stop_loss": stop_loss, "take_profit": take_profit, "timestamp": iso(now)
        })
    }

    pub(super) fn metrics(&self, quotes: &Quotes) -> Value {
        let book = &self.coins;
        let exposure = book.exposure(quotes);
        let risk = if exposure < 0.3 { "low" } else { "moderate" };
        json!({
            "total_pnl": number(book.pnl(quotes), 2), "total_pnl_percent": number(book.pnl_percent(quotes), 2),
            "active_bots": 1, "total_bots": 1, "total_trades": book.trades, "win_rate": number(book.win_rate(), 2),
            "exposure": number(exposure, 2), "risk_level": risk
        })
    }

    pub(super) fn exposure_alert(&self, id: &str, quotes: &Quotes, now: DateTime<Utc>) -> Value {
        let percent = (self.coins.exposure(quotes) * 100.0).round();
        let message = format!("Simulated: {percent} % of the account is in coins, within its limits");
        Self::alert(id, "info", "risk", ("Simulated: exposure", &message), now)
    }

    fn alert(id: &str, severity: &str, category: &str, (title, message): (&str, &str), now: DateTime<Utc>) -> Value {
        json!({
            "id": id, "severity": severity, "category": category, "title": title, "message": message, "bot_id": Self::BOT,
            "platform": LUNO.name, "action_required": false, "timestamp": iso(now)
        })
    }

    /// Returns the alert that the coin account was reset, because it fell below its floor.
    pub(super) fn fresh_start_alert(id: &str, now: DateTime<Utc>) -> Value {
        let message = format!(
            "Simulated: the demo account was worth less than {} {currency} and begins again with {} {currency}",
            LUNO.floor,
            LUNO.capital,
            currency = LUNO.currency
        );
        Self::alert(id, "warning", "account", ("Simulated: fresh start", &message), now)
    }

    pub(super) fn wallet(&self) -> Value {
        json!({
            "event": "balance_update", "platform": LUNO.name, "asset": LUNO.currency, "amount": number(self.coins.cash, 2),
            "status": "confirmed"
        })
    }

    pub(super) fn ai_task(id: &str, now: DateTime<Utc>) -> Value {
        json!({
            "task_id": id, "task_type": "bodyguard_check", "status": "completed", "progress": 1,
            "result": { "checks_passed": 15, "checks_failed": 0, "issues": [] },
            "started_at": iso(now - TimeDelta::seconds(5)), "completed_at": iso(now)
        })
    }

    pub(super) fn earnings(&self, quotes: &Quotes, now: DateTime<Utc>) -> Value {
        let book = &self.stocks;
        json!({
            "user_id": self.user, "portfolio_value": number(book.worth(quotes), 2),
            "total_return": number(book.pnl(quotes), 2), "total_return_pct": number(book.pnl_percent(quotes), 2),
            "daily_pnl": number(book.daily_pnl(quotes), 2), "total_trades": book.trades,
            "win_rate": number(book.win_rate(), 2),
            "profit_sharing": { "total_shared": number(book.shared(), 2), "rate": number(SHARED, 2), "enabled": true },
            "timestamp": iso(now), "account": book.account()
        })
    }

    pub(super) fn executed(fill: &Fill, now: DateTime<Utc>) -> Value {
        let (done, kind) = match (fill.side, fill.pnl) {
            ("buy", _) => ("bought", "success"),
            (_, Some(pnl)) if pnl > 0.0 => ("sold at a profit", "success"),
            _ => ("sold at a loss", "info"),
        };
        let price = number(fill.price, 8);
        json!({
            "type": kind, "title": "Simulated: trade executed",
            "message": format!("Simulated: {} {} {done} at {price}", fill.quantity, fill.symbol),
            "data": {
                "symbol": fill.symbol, "side": fill.side, "quantity": fill.quantity, "price": price,
                "pnl": fill.pnl.map(|pnl| number(pnl, 2))
            },
            "timestamp": iso(now)
        })
    }

    /// Returns the notification that the stock account was reset, because it fell below its floor.
    pub(super) fn fresh_start(now: DateTime<Utc>) -> Value {
        let message = format!(
            "Simulated: the demo account was worth less than ${} and begins again with ${}",
            BROKER.floor, BROKER.capital
        );
        json!({ "type": "warning", "title": "Simulated: fresh start", "message": message, "timestamp": iso(now) })
    }
}
