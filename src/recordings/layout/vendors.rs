//! The vendors whose files are detected by header or shape, and the conventions of their files.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::Side;
use crate::domain::{BarLabel, InstrumentClass, Timezone};

/// The conventions of a vendor's files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::recordings) struct Vendor {
    /// The name in reports and in `docs/recordings.md`.
    pub(in crate::recordings) name: &'static str,
    /// The clock of times without a timezone.
    pub(super) clock: VendorClock,
    /// Which side a single price is.
    pub(super) side: Side,
    /// Whether a bar's time is its start or its end.
    pub(super) label: BarLabel,
}

/// The clock of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VendorClock {
    /// Unknown; UTC is assumed.
    Unknown,
    /// Documented by the vendor.
    Zone(Timezone),
    /// The exchange's timezone for exchange-traded instruments, UTC for currencies and metals.
    Exchange,
}

impl VendorClock {
    /// Returns the timezone for an instrument, and whether the vendor documents it.
    pub(super) fn zone(self, class: InstrumentClass) -> (Timezone, bool) {
        match (self, class) {
            (Self::Unknown, _) => (Timezone::UTC, false),
            (Self::Zone(zone), _) => (zone, true),
            (Self::Exchange, InstrumentClass::Forex | InstrumentClass::Metal | InstrumentClass::Crypto) => {
                (Timezone::UTC, true)
            }
            (Self::Exchange, _) => (NEW_YORK, true),
        }
    }
}

const NEW_YORK: Timezone = Timezone::Named(Tz::America__New_York);
/// Eastern Standard Time all year, without daylight saving.
const EST: Timezone = Timezone::Named(Tz::Etc__GMTPlus5);

const fn vendor(name: &'static str, clock: VendorClock, side: Side) -> Vendor {
    Vendor { name, clock, side, label: BarLabel::Start }
}

const UTC: VendorClock = VendorClock::Zone(Timezone::UTC);

/// A file in the format of this server's documentation.
pub(in crate::recordings) const OWN: Vendor = vendor("", VendorClock::Unknown, Side::Last);
pub(in crate::recordings) const METATRADER_5: Vendor =
    vendor("MetaTrader 5", VendorClock::Zone(Timezone::Broker), Side::Bid);
pub(in crate::recordings) const METATRADER_4: Vendor =
    vendor("MetaTrader 4", VendorClock::Zone(Timezone::Broker), Side::Bid);
/// <https://www.histdata.com/f-a-q/data-files-detailed-specification/>: EST without daylight saving, bids.
pub(in crate::recordings) const HISTDATA: Vendor = vendor("HistData", VendorClock::Zone(EST), Side::Bid);
pub(in crate::recordings) const TRUEFX: Vendor = vendor("TrueFX", UTC, Side::Bid);
pub(in crate::recordings) const DUKASCOPY: Vendor = vendor("Dukascopy", UTC, Side::Bid);
pub(in crate::recordings) const FOREX_TESTER: Vendor = vendor("Forex Tester", UTC, Side::Bid);
pub(in crate::recordings) const FINAM: Vendor =
    vendor("Finam", VendorClock::Zone(Timezone::Named(Tz::Europe__Moscow)), Side::Last);
pub(in crate::recordings) const STOOQ: Vendor =
    vendor("Stooq", VendorClock::Zone(Timezone::Named(Tz::Europe__Warsaw)), Side::Last);
pub(in crate::recordings) const YFINANCE: Vendor = vendor("yfinance", VendorClock::Unknown, Side::Last);
pub(in crate::recordings) const INVESTING: Vendor = vendor("Investing.com", VendorClock::Unknown, Side::Last);
/// The chart's timezone, which is by default the exchange's.
pub(in crate::recordings) const SIERRA_CHART: Vendor = vendor("Sierra Chart", VendorClock::Zone(NEW_YORK), Side::Last);
/// <https://ninjatrader.com/support/helpguides/nt8/importing.htm>: exports are in UTC; bars carry the time of their end.
pub(in crate::recordings) const NINJATRADER: Vendor =
    Vendor { label: BarLabel::End, ..vendor("NinjaTrader 8", UTC, Side::Last) };
pub(in crate::recordings) const DATABENTO: Vendor = vendor("Databento", UTC, Side::Last);
pub(in crate::recordings) const MASSIVE: Vendor = vendor("Massive flat file", UTC, Side::Last);
pub(in crate::recordings) const BINANCE: Vendor = vendor("Binance", UTC, Side::Last);
pub(in crate::recordings) const TRADINGVIEW: Vendor = vendor("TradingView", VendorClock::Unknown, Side::Last);
pub(in crate::recordings) const ALPHA_VANTAGE: Vendor = vendor("Alpha Vantage", VendorClock::Exchange, Side::Last);
pub(in crate::recordings) const KIBOT: Vendor = vendor("Kibot", VendorClock::Zone(NEW_YORK), Side::Last);
pub(in crate::recordings) const LEAN: Vendor = vendor("QuantConnect Lean", VendorClock::Exchange, Side::Last);

/// All vendors, for the table in the documentation.
#[cfg(test)]
pub(in crate::recordings) const VENDORS: [Vendor; 19] = [
    HISTDATA,
    TRUEFX,
    DUKASCOPY,
    METATRADER_4,
    METATRADER_5,
    FOREX_TESTER,
    FINAM,
    STOOQ,
    YFINANCE,
    INVESTING,
    SIERRA_CHART,
    NINJATRADER,
    DATABENTO,
    MASSIVE,
    BINANCE,
    TRADINGVIEW,
    ALPHA_VANTAGE,
    KIBOT,
    LEAN,
];

/// Known headers: a file must have every key of a row. The first matching row decides.
pub(super) const HEADERS: [(&[&str], Vendor); 20] = [
    (&["date", "time", "bid", "ask", "flags"], METATRADER_5),
    (&["open", "tickvol"], METATRADER_5),
    (&["open", "tickvolume"], METATRADER_5),
    (&["dtyyyymmdd", "open"], FOREX_TESTER),
    (&["ticker", "per", "date", "open", "openint"], STOOQ),
    (&["ticker", "per", "date", "open"], FINAM),
    (&["ask", "bid", "askvolume", "bidvolume"], DUKASCOPY),
    (&["askprice", "bidprice", "askvolume", "bidvolume"], DUKASCOPY),
    (&["gmttime", "open"], DUKASCOPY),
    (&["localtime", "open"], DUKASCOPY),
    (&["gmttime", "bid"], DUKASCOPY),
    (&["localtime", "bid"], DUKASCOPY),
    (&["tsevent"], DATABENTO),
    (&["windowstart", "open"], MASSIVE),
    (&["participanttimestamp"], MASSIVE),
    (&["opentime", "closetime", "open"], BINANCE),
    (&["date", "time", "open", "high", "low", "last"], SIERRA_CHART),
    (&["date", "price", "open", "high", "low"], INVESTING),
    (&["open", "high", "low", "close", "adjclose"], YFINANCE),
    (&["timestamp", "open", "high", "low", "close"], ALPHA_VANTAGE),
];

/// Returns the words of a file's name, in lower case.
pub(super) fn words(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// Returns the side in a file's name: `EURUSD_Candlestick_1_M_BID.csv`, `NQ 03-26.Last.txt`.
pub(super) fn side_in_name(name: &str) -> Option<Side> {
    words(name).iter().find_map(|word| match word.as_str() {
        "bid" => Some(Side::Bid),
        "ask" => Some(Side::Ask),
        _ => None,
    })
}

/// Returns whether the name is that of a `NinjaTrader` export: `NQ 03-26.Last.txt`.
pub(super) fn is_ninjatrader_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    [".last.", ".bid.", ".ask."].iter().any(|side| lower.contains(side))
}

/// Returns whether the name is that of a `HistData` file: `DAT_ASCII_EURUSD_M1_2026.csv`.
pub(super) fn is_histdata_name(name: &str) -> bool {
    name.to_ascii_uppercase().starts_with("DAT_")
}

/// Returns whether the name is that of a `TradingView` chart export: `OANDA_EURUSD, 5.csv`.
pub(super) fn is_tradingview_name(name: &str) -> bool {
    name.rsplit_once(", ").is_some_and(|(symbol, _)| symbol.contains('_'))
}

/// Returns the bar length in a file's name: `M5`, `H1`, `D1`, `5m`, `1h`, `15min`, `EURUSD60`, `, 5`.
pub(in crate::recordings) fn bar_length_in_name(name: &str) -> Option<TimeDelta> {
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    let number = |digits: &str| digits.parse::<i64>().ok().filter(|number| (1..=1440).contains(number));
    let worded = words(stem).iter().find_map(|word| {
        let letters_first =
            word.split_at(word.len() - word.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len());
        let digits_first = word.split_at(word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len());
        match (letters_first, digits_first) {
            (("m", digits), _) | (_, (digits, "m" | "min" | "mins" | "minute")) => {
                number(digits).map(TimeDelta::minutes)
            }
            (("h", digits), _) | (_, (digits, "h" | "hour")) => {
                number(digits).filter(|hours| *hours <= 24).map(TimeDelta::hours)
            }
            (("d", "1"), _) | (_, ("1", "d" | "day")) => Some(TimeDelta::days(1)),
            (("w", "1"), _) | (_, ("1", "w" | "week")) => Some(TimeDelta::weeks(1)),
            (("daily", ""), _) => Some(TimeDelta::days(1)),
            _ => None,
        }
    });
    // TradingView writes minutes after a comma, MetaTrader 4 directly after the symbol.
    let minutes = |digits: &str| match digits {
        "1" | "2" | "3" | "5" | "10" | "15" | "30" | "45" | "60" | "120" | "180" | "240" | "1440" => number(digits),
        _ => None,
    };
    worded.or_else(|| {
        let after_comma = stem.rsplit_once(", ").and_then(|(_, digits)| minutes(digits.trim()));
        let symbol = stem.trim_end_matches(|c: char| c.is_ascii_digit());
        let after_symbol = || {
            (symbol.len() >= 6 && symbol.bytes().all(|b| b.is_ascii_alphabetic()))
                .then(|| minutes(&stem[symbol.len()..]))?
        };
        after_comma.or_else(after_symbol).map(TimeDelta::minutes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_may_have_the_bar_length() {
        for (name, minutes) in [
            ("EURUSD_H1_server.csv", Some(60)),
            ("EURUSD_M5.csv.gz", Some(5)),
            ("DAT_ASCII_EURUSD_M1_2026.csv", Some(1)),
            ("EURUSD1.csv", Some(1)),
            ("XAUUSD1440.csv", Some(1440)),
            ("OANDA_EURUSD, 5.csv", Some(5)),
            ("EURUSD_D1.csv", Some(1440)),
            ("USDJPY_1 Min_Bid_2015.csv", None),
            ("BTCUSDT-1m-2026-01.csv", Some(1)),
            ("US30.csv", None),
            ("NQH26.txt", None),
            ("recording.csv", None),
        ] {
            assert_eq!(bar_length_in_name(name), minutes.map(TimeDelta::minutes), "{name}");
        }
    }

    #[test]
    fn a_file_name_may_have_the_side() {
        for (name, side) in [
            ("EURUSD_Candlestick_1_M_BID.csv", Some(Side::Bid)),
            ("NQ 03-26.Ask.txt", Some(Side::Ask)),
            ("bidding.csv", None),
        ] {
            assert_eq!(side_in_name(name), side, "{name}");
        }
    }
}
