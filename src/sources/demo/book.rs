//! The trading rule of the desk, and the resulting accounts.
//!
//! The rule makes one fill at a time, symbol after symbol: it buys lot by lot until every position is full, then sells
//! lot by lot until all are empty, and repeats. A fill is at the published ask or bid, and costs a fee. The rule uses
//! no future prices: some sales win, some lose, and over time the fees make a loss. An account that falls below its
//! floor is reset, with a message that says so.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::quotes::{COINS, Quotes, STOCKS, number, round};

/// The symbols that an account trades, and its amounts.
#[derive(Debug)]
pub(super) struct DemoVenue {
    pub(super) name: &'static str,
    pub(super) currency: &'static str,
    /// Symbols, each with the size of a lot and its decimals.
    lots: &'static [(&'static str, f64, i32)],
    /// How many lots make a full position.
    full: u32,
    /// The initial capital.
    pub(super) capital: f64,
    /// The account is reset below this worth.
    pub(super) floor: f64,
}

/// The bot platform's account: coins for rands. A lot is about one hundredth of the capital.
pub(super) static LUNO: DemoVenue = DemoVenue {
    name: "luno",
    currency: "ZAR",
    lots: &[(COINS[0], 0.0004, 4), (COINS[1], 0.008, 3)],
    full: 15,
    capital: 50_000.0,
    floor: 40_000.0,
};

/// Sentio's account: stocks for dollars.
pub(super) static BROKER: DemoVenue = DemoVenue {
    name: "simulated broker",
    currency: "USD",
    lots: &[(STOCKS[0], 2.0, 0), (STOCKS[1], 2.0, 0), (STOCKS[2], 1.0, 0), (STOCKS[3], 2.0, 0)],
    full: 10,
    capital: 50_000.0,
    floor: 40_000.0,
};

/// The fee, as a share of a fill.
const FEE: f64 = 0.000_1;
/// The share of the profit above the capital that goes to the user.
pub(super) const SHARED: f64 = 0.2;

/// The position in one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
struct DemoPosition {
    lots: u32,
    /// The cost of the lots, fees included.
    cost: f64,
}

/// One user's account. All amounts are rounded to cents.
#[derive(Debug, Clone)]
pub(super) struct DemoAccount {
    pub(super) venue: &'static DemoVenue,
    pub(super) cash: f64,
    positions: Vec<DemoPosition>,
    pub(super) is_buying: bool,
    /// Index of the symbol that trades next.
    next: usize,
    pub(super) trades: u64,
    sales: u64,
    wins: u64,
    /// The highest worth so far.
    peak: f64,
    /// The UTC day of the last fill, and the worth at its beginning.
    day: NaiveDate,
    day_worth: f64,
    pub(super) last_trade: Option<DateTime<Utc>>,
}

/// An account as it is stored in a message, for the next start.
#[derive(Debug, Deserialize)]
struct SavedBook {
    cash: f64,
    positions: std::collections::BTreeMap<String, DemoPosition>,
    is_buying: bool,
    next: usize,
    trades: u64,
    sales: u64,
    wins: u64,
    peak: f64,
    day: NaiveDate,
    day_worth: f64,
    last_trade: Option<DateTime<Utc>>,
}

/// One executed trade.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fill {
    pub(super) symbol: &'static str,
    pub(super) side: &'static str,
    pub(super) quantity: Value,
    pub(super) price: f64,
    pub(super) total: f64,
    pub(super) fee: f64,
    /// For a sale: its profit or loss, fees of both sides included.
    pub(super) pnl: Option<f64>,
    /// Lots of the position after the fill, and of a full position.
    pub(super) lots: (u32, u32),
}

impl DemoAccount {
    pub(super) fn new(venue: &'static DemoVenue, now: DateTime<Utc>) -> Self {
        Self {
            venue,
            cash: venue.capital,
            positions: vec![DemoPosition::default(); venue.lots.len()],
            is_buying: true,
            next: 0,
            trades: 0,
            sales: 0,
            wins: 0,
            peak: venue.capital,
            day: now.date_naive(),
            day_worth: venue.capital,
            last_trade: None,
        }
    }

    /// Restores the account from a message; `None` if it does not belong to this venue.
    pub(super) fn restore(venue: &'static DemoVenue, account: &Value) -> Option<Self> {
        let kept = SavedBook::deserialize(account).ok()?;
        let positions = venue.lots.iter().map(|(symbol, ..)| kept.positions.get(*symbol).copied().unwrap_or_default());
        let positions: Vec<_> = positions.collect();
        let is_sum = |sum: f64| (0.0..1e12).contains(&sum);
        let is_whole = [kept.cash, kept.peak, kept.day_worth].into_iter().all(is_sum)
            && positions.iter().all(|position| position.lots <= venue.full && is_sum(position.cost))
            && kept.wins <= kept.sales
            && kept.sales <= kept.trades;
        is_whole.then_some(Self {
            venue,
            cash: kept.cash,
            positions,
            is_buying: kept.is_buying,
            next: kept.next % venue.lots.len(),
            trades: kept.trades,
            sales: kept.sales,
            wins: kept.wins,
            peak: kept.peak,
            day: kept.day,
            day_worth: kept.day_worth,
            last_trade: kept.last_trade,
        })
    }

    /// Returns what [`restore`](Self::restore) reads.
    pub(super) fn account(&self) -> Value {
        let position = |((symbol, ..), position): (&(&str, f64, i32), &DemoPosition)| {
            ((*symbol).to_owned(), json!({ "lots": position.lots, "cost": number(position.cost, 2) }))
        };
        let positions: Map<_, _> = self.venue.lots.iter().zip(&self.positions).map(position).collect();
        json!({
            "currency": self.venue.currency, "cash": number(self.cash, 2), "positions": positions, "is_buying": self.is_buying,
            "next": self.next, "trades": self.trades, "sales": self.sales, "wins": self.wins, "peak": number(self.peak, 2),
            "day": self.day, "day_worth": number(self.day_worth, 2), "last_trade": self.last_trade
        })
    }

    /// Makes the next fill of the rule; `None` while none of its symbols can be traded.
    pub(super) fn trade(&mut self, quotes: &Quotes, now: DateTime<Utc>) -> Option<Fill> {
        if self.day != now.date_naive() {
            (self.day, self.day_worth) = (now.date_naive(), self.worth(quotes));
        }
        // Tries the current direction first, then the other one, if nothing is left to trade in the first.
        for _ in 0..2 {
            for _ in 0..self.positions.len() {
                let index = self.next;
                self.next = (index + 1) % self.positions.len();
                if let Some(fill) = if self.is_buying { self.buy(index, quotes) } else { self.sell(index, quotes) } {
                    self.trades += 1;
                    self.last_trade = Some(now);
                    self.peak = self.peak.max(self.worth(quotes));
                    return Some(fill);
                }
            }
            self.is_buying = !self.is_buying;
        }
        None
    }

    fn buy(&mut self, index: usize, quotes: &Quotes) -> Option<Fill> {
        let (symbol, lot, digits) = self.venue.lots[index];
        let price = quotes.current(symbol)?.ask;
        let total = round(lot * price, 2);
        let fee = fee(total);
        if self.positions[index].lots >= self.venue.full || self.cash < total + fee {
            return None;
        }
        let position = &mut self.positions[index];
        (position.lots, position.cost) = (position.lots + 1, round(position.cost + total + fee, 2));
        self.cash = round(self.cash - total - fee, 2);
        let lots = (position.lots, self.venue.full);
        Some(Fill { symbol, side: "buy", quantity: number(lot, digits), price, total, fee, pnl: None, lots })
    }

    fn sell(&mut self, index: usize, quotes: &Quotes) -> Option<Fill> {
        let (symbol, lot, digits) = self.venue.lots[index];
        let price = quotes.current(symbol)?.bid;
        let position = &mut self.positions[index];
        if position.lots == 0 {
            return None;
        }
        let total = round(lot * price, 2);
        let fee = fee(total);
        let cost = round(position.cost / f64::from(position.lots), 2);
        let pnl = round(total - fee - cost, 2);
        position.lots -= 1;
        position.cost = if position.lots == 0 { 0.0 } else { round(position.cost - cost, 2) };
        let lots = (position.lots, self.venue.full);
        self.cash = round(self.cash + total - fee, 2);
        self.sales += 1;
        self.wins += u64::from(pnl > 0.0);
        Some(Fill { symbol, side: "sell", quantity: number(lot, digits), price, total, fee, pnl: Some(pnl), lots })
    }

    /// Resets the account if its worth is below the floor. Returns whether it did.
    pub(super) fn begin_again(&mut self, quotes: &Quotes, now: DateTime<Utc>) -> bool {
        let is_below = self.worth(quotes) < self.venue.floor;
        if is_below {
            *self = Self { last_trade: self.last_trade, ..Self::new(self.venue, now) };
        }
        is_below
    }

    /// Returns the quantity held of each symbol, with its decimals.
    pub(super) fn held(&self) -> impl Iterator<Item = (&'static str, f64, i32)> {
        let held = self.venue.lots.iter().zip(&self.positions);
        held.map(|((symbol, lot, digits), position)| (*symbol, lot * f64::from(position.lots), *digits))
    }

    /// Returns the market value of the positions without fees, or their cost where there is no price yet.
    fn invested(&self, quotes: &Quotes) -> f64 {
        let worth = |((symbol, lot, _), position): (&(&str, f64, i32), &DemoPosition)| match quotes.last(symbol) {
            Some(quote) => lot * f64::from(position.lots) * quote.bid,
            None => position.cost,
        };
        self.venue.lots.iter().zip(&self.positions).map(worth).sum()
    }

    pub(super) fn worth(&self, quotes: &Quotes) -> f64 {
        round(self.cash + self.invested(quotes), 2)
    }

    pub(super) fn exposure(&self, quotes: &Quotes) -> f64 {
        self.invested(quotes) / self.worth(quotes)
    }

    pub(super) fn pnl(&self, quotes: &Quotes) -> f64 {
        round(self.worth(quotes) - self.venue.capital, 2)
    }

    pub(super) fn pnl_percent(&self, quotes: &Quotes) -> f64 {
        self.pnl(quotes) / self.venue.capital * 100.0
    }

    pub(super) fn daily_pnl(&self, quotes: &Quotes) -> f64 {
        round(self.worth(quotes) - self.day_worth, 2)
    }

    /// Returns the share of winning sales.
    pub(super) fn win_rate(&self) -> f64 {
        if self.sales == 0 { 0.0 } else { self.wins as f64 / self.sales as f64 }
    }

    /// Returns the highest share of the profit that was paid out.
    pub(super) fn shared(&self) -> f64 {
        (self.peak - self.venue.capital) * SHARED
    }

    /// Returns what the rule does next with a symbol.
    pub(super) fn opinion(&self, symbol: &str) -> &'static str {
        let lots =
            self.venue.lots.iter().position(|(known, ..)| *known == symbol).map(|index| self.positions[index].lots);
        match (self.is_buying, lots) {
            (true, Some(lots)) if lots < self.venue.full => "buy",
            (false, Some(lots)) if lots > 0 => "sell",
            _ => "hold",
        }
    }
}

/// Returns the fee, at least one cent.
fn fee(total: f64) -> f64 {
    round(total * FEE, 2).max(0.01)
}
