//! The profile of an instrument: starting price, volatility, spread and correlation.

use chrono::{DateTime, Utc};

use crate::domain::{Instrument, InstrumentClass, Killzone, Session};

/// A factor that many instruments share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    /// Strength against the US dollar.
    Dollar,
    /// The stock market.
    Stocks,
    /// Crypto-currencies.
    Crypto,
}

impl Factor {
    pub(super) const COUNT: usize = 3;
}

/// How an instrument's price behaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    /// Name of the path that the price follows. A future follows the path of its index.
    pub(super) path: String,
    /// The price that the path returns to.
    pub(super) anchor: f64,
    /// Ratio of the price to its path. A future trades slightly above its index.
    pub(super) basis: f64,
    /// Standard deviation of the daily change, as a share of the price.
    pub(super) daily_volatility: f64,
    /// Typical difference between ask and bid.
    pub(super) spread: f64,
    /// The shared factor, and the correlation with it.
    pub(super) factor: (Factor, f64),
}

/// Path, anchor, daily volatility, spread, factor. Invented, with magnitudes of 2024.
type KnownProfile = (&'static str, f64, f64, f64, (Factor, f64));

const KNOWN: [KnownProfile; 28] = [
    ("EURUSD", 1.08, 0.006, 0.00003, (Factor::Dollar, 0.8)),
    ("GBPUSD", 1.27, 0.0065, 0.00005, (Factor::Dollar, 0.75)),
    ("USDJPY", 150.0, 0.007, 0.005, (Factor::Dollar, -0.6)),
    ("AUDUSD", 0.66, 0.007, 0.00004, (Factor::Dollar, 0.7)),
    ("NZDUSD", 0.6, 0.007, 0.00005, (Factor::Dollar, 0.65)),
    ("USDCHF", 0.88, 0.006, 0.00005, (Factor::Dollar, -0.7)),
    ("USDCAD", 1.36, 0.005, 0.00005, (Factor::Dollar, -0.6)),
    ("EURGBP", 0.85, 0.004, 0.00004, (Factor::Dollar, 0.1)),
    ("EURJPY", 163.0, 0.007, 0.007, (Factor::Dollar, 0.1)),
    ("GBPJPY", 191.0, 0.008, 0.012, (Factor::Dollar, 0.1)),
    ("XAUUSD", 2400.0, 0.011, 0.15, (Factor::Dollar, 0.4)),
    ("XAGUSD", 30.0, 0.018, 0.015, (Factor::Dollar, 0.4)),
    ("US30", 39_000.0, 0.010, 1.6, (Factor::Stocks, 0.85)),
    ("NAS100", 18_000.0, 0.015, 1.0, (Factor::Stocks, 0.9)),
    ("SPX500", 5200.0, 0.0125, 0.3, (Factor::Stocks, 0.92)),
    ("BTCUSD", 65_000.0, 0.03, 5.0, (Factor::Crypto, 0.85)),
    ("ETHUSD", 3300.0, 0.035, 0.5, (Factor::Crypto, 0.85)),
    ("SOLUSD", 150.0, 0.045, 0.02, (Factor::Crypto, 0.8)),
    ("XRPUSD", 0.6, 0.04, 0.0002, (Factor::Crypto, 0.7)),
    ("ADAUSD", 0.45, 0.045, 0.0002, (Factor::Crypto, 0.75)),
    ("DOGEUSD", 0.15, 0.05, 0.00005, (Factor::Crypto, 0.7)),
    ("LTCUSD", 80.0, 0.035, 0.02, (Factor::Crypto, 0.75)),
    ("BTCZAR", 1_200_000.0, 0.03, 70.0, (Factor::Crypto, 0.85)),
    ("ETHZAR", 61_000.0, 0.035, 4.0, (Factor::Crypto, 0.85)),
    ("AAPL", 190.0, 0.015, 0.01, (Factor::Stocks, 0.7)),
    ("GOOGL", 165.0, 0.017, 0.01, (Factor::Stocks, 0.7)),
    ("MSFT", 420.0, 0.014, 0.03, (Factor::Stocks, 0.75)),
    ("TSLA", 210.0, 0.035, 0.02, (Factor::Stocks, 0.6)),
];

/// Futures and the index whose path they follow.
const FOLLOWERS: [(&str, &str); 6] =
    [("MNQ", "NAS100"), ("NQ", "NAS100"), ("MES", "SPX500"), ("ES", "SPX500"), ("MYM", "US30"), ("YM", "US30")];

/// Ratio of a future's price to its index: some weeks of interest.
const FUTURES_BASIS: f64 = 1.0025;

impl Profile {
    /// Returns the profile of an instrument: a known one, or a plausible one for its class.
    pub(super) fn of(instrument: &Instrument) -> Self {
        // A coin in Tether follows the one in dollars.
        let symbol = instrument.symbol.as_str();
        let symbol = symbol.strip_suffix('T').filter(|dollar| dollar.ends_with("USD")).unwrap_or(symbol);
        let leader = FOLLOWERS.iter().find(|(follower, _)| *follower == symbol).map(|(_, leader)| *leader);
        let known = KNOWN.iter().find(|(name, ..)| *name == leader.unwrap_or(symbol));
        match known {
            Some(&(path, anchor, daily_volatility, spread, factor)) => {
                // A future's spread is one or two ticks, independent of the spread of a contract for difference on its
                // index.
                let (basis, spread) =
                    if leader.is_some() { (FUTURES_BASIS, 1.2 * instrument.tick_size) } else { (1.0, spread) };
                Self { path: path.into(), anchor, basis, daily_volatility, spread, factor }
            }
            None => Self::by_class(instrument),
        }
    }

    fn by_class(instrument: &Instrument) -> Self {
        let (anchor, daily_volatility, factor) = match instrument.class {
            // Pairs with the yen are quoted with three digits or fewer.
            InstrumentClass::Forex if instrument.digits <= 3 => (150.0, 0.007, (Factor::Dollar, -0.4)),
            InstrumentClass::Forex => (1.2, 0.007, (Factor::Dollar, 0.4)),
            InstrumentClass::Metal => (1000.0, 0.015, (Factor::Dollar, 0.4)),
            InstrumentClass::Index => (10_000.0, 0.012, (Factor::Stocks, 0.7)),
            InstrumentClass::Future => (5000.0, 0.014, (Factor::Stocks, 0.3)),
            InstrumentClass::Crypto => (100.0, 0.04, (Factor::Crypto, 0.7)),
            InstrumentClass::Stock => (180.0, 0.02, (Factor::Stocks, 0.6)),
        };
        // On a coarse grid the price must be high enough for moves to be visible.
        let anchor = f64::max(anchor, 15_000.0 * instrument.tick_size);
        Self {
            path: instrument.symbol.as_str().into(),
            anchor,
            basis: 1.0,
            daily_volatility,
            spread: anchor * daily_volatility * 0.006,
            factor,
        }
    }
}

/// The activity of all markets at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hour {
    forex: Mood,
    globex: Mood,
    always: Mood,
}

/// The activity of one market at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mood {
    /// Whether it is open.
    pub(super) open: bool,
    /// Activity relative to its average.
    pub(super) activity: f64,
}

impl Hour {
    /// Computes the activity at `at`, once for all instruments.
    pub(super) fn at(at: DateTime<Utc>) -> Self {
        let zone = Killzone::at(at);
        let lively = match zone {
            _ if !zone.is_active(at) => 0.9,
            Killzone::Asia => 0.85,
            Killzone::Lunch => 0.95,
            Killzone::Pm => 1.25,
            Killzone::London => 1.4,
            Killzone::NyAm => 1.7,
        };
        let mood = |session: Session| {
            let open = session.is_open(at);
            // Reduced, but not zero: a demo must also move at the weekend.
            Mood { open, activity: if open { lively } else { 0.7 } }
        };
        Self { forex: mood(Session::Forex), globex: mood(Session::Globex), always: mood(Session::Always) }
    }

    pub(super) fn of(&self, session: Session) -> Mood {
        match session {
            Session::Forex => self.forex,
            Session::Globex => self.globex,
            Session::Always => self.always,
        }
    }
}
