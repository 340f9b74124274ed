//! Layouts that are detected by the header.

use std::collections::BTreeMap;

use super::vendors::{self, HEADERS, Vendor};
use super::{Draft, FileContext, PriceColumns, TimeColumns};
use crate::domain::Timezone;
use crate::recordings::error::RecordingError;

/// Names of a column with date and time together, in order of preference.
const WHOLE: [&str; 6] = ["datetime", "timestamp", "tsevent", "windowstart", "participanttimestamp", "siptimestamp"];
/// Further names, for files without a date and a time column.
const OTHER_WHOLE: [&str; 13] = [
    "gmttime",
    "utctime",
    "timeutc",
    "localtime",
    "opentime",
    "utc",
    "gmt",
    "eet",
    "unix",
    "unixtime",
    "unixtimestamp",
    "epoch",
    "ts",
];
const DATES: [&str; 3] = ["date", "dtyyyymmdd", "yyyymmdd"];
const SYMBOLS: [&str; 5] = ["ticker", "symbol", "sym", "pair", "instrument"];

/// Returns the form in which names are compared, and the timezone in brackets: `<TICKVOL>`, `Tick Volume` → `tickvol`,
/// `tickvolume`; `Time (EET)` → `time` and EET.
pub(super) fn key(name: &str) -> (String, Option<Timezone>) {
    let bracketed = name.split_once('(').and_then(|(before, rest)| {
        let zone = rest.trim_end().strip_suffix(')')?.trim().parse().ok()?;
        Some((before, Some(zone)))
    });
    let (name, zone) = bracketed.unwrap_or((name, None));
    let key = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    (key, zone)
}

/// The keys of a header.
struct Keys(Vec<String>);

impl Keys {
    /// Returns the first column with one of these names, in the order of the names.
    fn find(&self, wanted: &[&str]) -> Option<usize> {
        wanted.iter().find_map(|wanted| self.0.iter().position(|key| key == wanted))
    }

    fn has(&self, wanted: &[&str]) -> bool {
        wanted.iter().all(|wanted| self.0.iter().any(|key| key == wanted))
    }

    fn time(&self) -> Option<TimeColumns> {
        match (self.find(&WHOLE), self.find(&DATES), self.find(&["time"])) {
            (Some(whole), ..) | (None, Some(whole), None) | (None, None, Some(whole)) => {
                Some(TimeColumns::Whole(whole))
            }
            (None, Some(date), Some(time)) => Some(TimeColumns::Split(date, time)),
            (None, None, None) => self.find(&OTHER_WHOLE).map(TimeColumns::Whole),
        }
    }

    fn bar(&self, name: impl Fn(&str) -> String) -> Option<[usize; 4]> {
        let column = |price: &str| self.find(&[&name(price)]);
        Some([column("open")?, column("high")?, column("low")?, column("close")?])
    }

    fn prices(&self) -> Option<PriceColumns> {
        let quote = || {
            let bid = self.find(&["bid", "bidprice", "bidpx00"])?;
            Some(PriceColumns::Quote(bid, self.find(&["ask", "askprice", "askpx00", "offer"])?))
        };
        // The name of the close column differs where open, high and low have these names.
        let bar = || {
            let close = self.find(&["close", "last", "price", "closelast"])?;
            Some([self.find(&["open"])?, self.find(&["high"])?, self.find(&["low"])?, close])
        };
        let letters = || Some([self.find(&["o"])?, self.find(&["h"])?, self.find(&["l"])?, self.find(&["c"])?]);
        let quote_bar = || {
            let (bids, asks) = (self.bar(|price| format!("bid{price}")), self.bar(|price| format!("ask{price}")));
            let (bids, asks) = match (bids, asks) {
                (Some(bids), Some(asks)) => (bids, asks),
                _ => (self.bar(|price| format!("{price}bid"))?, self.bar(|price| format!("{price}ask"))?),
            };
            Some(PriceColumns::QuoteBar(bids, asks))
        };
        quote()
            .or_else(|| bar().or_else(letters).map(PriceColumns::Bar))
            .or_else(quote_bar)
            .or_else(|| self.find(&["price", "last"]).map(PriceColumns::Last))
    }
}

pub(super) fn read(rows: &[Vec<String>], about: FileContext<'_>) -> Result<Draft, RecordingError> {
    let head = rows.first().cloned().unwrap_or_default();
    let (keys, zones): (Vec<_>, Vec<_>) = head.iter().map(|name| key(name)).unzip();
    let keys = Keys(keys);
    let mut draft = if keys.0.first().is_some_and(|key| key == "price")
        && rows.get(1).and_then(|row| row.first()).is_some_and(|field| field.eq_ignore_ascii_case("ticker"))
    {
        yfinance(rows, about)?
    } else {
        let stamp = keys.time().and_then(|time| match time {
            TimeColumns::Whole(column) => rows.get(1)?.get(column),
            _ => None,
        });
        Draft::new(recognize(&keys, stamp.map(String::as_str), about), 1, head)
    };
    let keys = Keys(draft.names.iter().map(|name| key(name).0).collect());
    draft.time = keys.time();
    draft.prices = keys.prices();
    draft.zone = match draft.time {
        Some(TimeColumns::Whole(column)) => match keys.0[column].as_str() {
            "gmttime" | "utctime" | "timeutc" | "utc" | "gmt" => Some(Timezone::UTC),
            "eet" => "EET".parse().ok(),
            _ => zones.get(column).copied().flatten(),
        },
        Some(TimeColumns::Split(date, time)) => {
            zones.get(time).copied().flatten().or(zones.get(date).copied().flatten())
        }
        _ => None,
    };
    draft.volume = keys.find(&["tickvol", "tickvolume", "volume", "vol", "v"]);
    draft.spread = keys.find(&["spread"]);
    draft.symbol = keys.find(&SYMBOLS);
    repeated(&mut draft, &keys);
    Ok(draft)
}

fn recognize(keys: &Keys, stamp: Option<&str>, about: FileContext<'_>) -> Vendor {
    let prices = keys.prices();
    let known = HEADERS.iter().find(|(wanted, _)| keys.has(wanted)).map(|(_, vendor)| *vendor);
    // A chart export has more columns than prices; other files with these names have no known vendor.
    let is_chart = vendors::is_tradingview_name(about.name)
        || (keys.0.iter().take(5).eq(&["time", "open", "high", "low", "close"])
            && keys.0.iter().any(|key| key == "plot"));
    let known = known.filter(|vendor| {
        // Many programs use these names; Alpha Vantage writes its times as 2026-01-15 07:00:00.
        *vendor != vendors::ALPHA_VANTAGE
            || (keys.0.len() <= 6 && stamp.is_some_and(|stamp| stamp.len() <= 19 && stamp.contains('-')))
    });
    match known {
        Some(vendor) => vendor,
        None if keys.0.first().is_some_and(|key| matches!(key.as_str(), "time" | "timestamp" | "utc" | "eet"))
            && keys.bar(ToOwned::to_owned).is_some()
            && vendors::side_in_name(about.name).is_some() =>
        {
            vendors::DUKASCOPY
        }
        None if is_chart && matches!(prices, Some(PriceColumns::Bar(_))) => vendors::TRADINGVIEW,
        None => vendors::OWN,
    }
}

/// Three header lines: the column names, the ticker, and the name of the first column.
fn yfinance(rows: &[Vec<String>], about: FileContext<'_>) -> Result<Draft, RecordingError> {
    let (head, tickers) = (&rows[0], &rows[1]);
    let of = |place: usize| tickers.get(place).map(String::as_str).unwrap_or_default();
    let is_wanted =
        |ticker: &str| about.instruments.resolve(ticker).is_ok_and(|found| found.symbol == about.instrument.symbol);
    let mut spellings: Vec<&str> = (1..head.len()).map(of).filter(|ticker| !ticker.is_empty()).collect();
    spellings.sort_unstable();
    spellings.dedup();
    let one_unknown = matches!(spellings.as_slice(), [one] if about.instruments.resolve(one).is_err());
    if !one_unknown && !spellings.iter().any(|ticker| is_wanted(ticker)) && !spellings.is_empty() {
        let symbol = about.instrument.symbol.to_string();
        return Err(RecordingError::OtherInstruments { symbol, listed: spellings.join(", ") });
    }
    let name = |(place, name): (usize, &String)| match place {
        0 => rows
            .get(2)
            .and_then(|row| row.first())
            .filter(|first| !first.is_empty())
            .cloned()
            .unwrap_or("Datetime".into()),
        _ if one_unknown || spellings.is_empty() || is_wanted(of(place)) => name.clone(),
        _ => String::new(),
    };
    let names = head.iter().enumerate().map(name).collect();
    let third_is_header = rows.get(2).is_some_and(|row| super::is_header(row));
    let mut draft = Draft::new(vendors::YFINANCE, if third_is_header { 3 } else { 2 }, names);
    if one_unknown {
        let symbol = &about.instrument.symbol;
        draft.notes.push(format!(
            "the file calls its instrument '{}', which is not in the catalogue: taken for {symbol}",
            spellings[0]
        ));
    }
    Ok(draft)
}

/// Adds a note about columns that have the same name as a used one.
fn repeated(draft: &mut Draft, keys: &Keys) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for key in keys.0.iter().filter(|key| !key.is_empty()) {
        *counts.entry(key).or_default() += 1;
    }
    let names: Vec<_> = counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .take(5)
        .filter_map(|(key, count)| {
            let place = keys.0.iter().position(|other| other == key)?;
            Some(format!("'{}' ({count} times)", draft.names[place]))
        })
        .collect();
    if !names.is_empty() {
        draft.notes.push(format!(
            "column names that stand in the header more than once: {}; the first one counts",
            names.join(", ")
        ));
    }
}
