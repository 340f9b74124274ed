//! Layouts without a header, detected by the shape of the rows. The numbers must agree: in a bar, high and low are the
//! extremes; in a quote, the bid is below the ask.

use chrono::NaiveDate;

use super::vendors::{self, Vendor};
use super::{Draft, FileContext, PriceColumns, TimeColumns, is_number, is_time};
use crate::recordings::error::RecordingError;
use crate::recordings::number::NumberStyle;
use crate::recordings::stamp::{self, TimeStyle};

/// `column 1`, `column 2`, …
pub(super) fn names(count: usize) -> Vec<String> {
    (1..=count).map(|place| format!("column {place}")).collect()
}

/// The rows of the sample.
struct Rows<'a> {
    rows: &'a [Vec<String>],
    style: NumberStyle,
}

impl Rows<'_> {
    fn field(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|row| row.get(column)).map(String::as_str).unwrap_or_default()
    }

    /// Returns whether nine of ten rows have the property.
    fn mostly(&self, is: impl Fn(&dyn Fn(usize) -> Option<f64>) -> bool) -> bool {
        let fits = |row: &&Vec<String>| {
            let number = |column: usize| row.get(column).and_then(|field| self.style.read(field).ok());
            is(&number)
        };
        self.rows.iter().filter(fits).count() * 10 >= self.rows.len() * 9
    }

    fn is_bar(&self, from: usize) -> bool {
        self.mostly(|number| {
            let [Some(open), Some(high), Some(low), Some(close)] = [0, 1, 2, 3].map(|n| number(from + n)) else {
                return false;
            };
            low > 0.0 && high >= open.max(close).max(low) && low <= open.min(close)
        })
    }

    /// Returns whether the columns are a bid and an ask, which are always close.
    fn is_quote(&self, bid: usize, ask: usize) -> bool {
        self.is_pair(bid, ask, 1.05)
    }

    /// Returns whether the second column is at least the first, and at most `widest` times as high.
    fn is_pair(&self, bid: usize, ask: usize, widest: f64) -> bool {
        self.mostly(|number| {
            let (Some(bid), Some(ask)) = (number(bid), number(ask)) else { return false };
            bid > 0.0 && bid <= ask && ask <= bid * widest
        })
    }
}

/// The format of the time in the first column that is not a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeForm {
    /// `20260115 070000`.
    Compact,
    /// `20260115 070000051`.
    CompactMillis,
    /// `20260115 070000 0510000`.
    CompactTicks,
    /// `2026.01.15`.
    Dotted,
    /// `01/15/2026`.
    Slashed,
    Epoch,
    Other,
}

fn time_form(field: &str) -> TimeForm {
    let parts: Vec<&str> = field.split(' ').collect();
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [date, clock] if digits(date, 8) && digits(clock, 6) => TimeForm::Compact,
        [date, clock] if digits(date, 8) && digits(clock, 9) => TimeForm::CompactMillis,
        [date, clock, ticks] if digits(date, 8) && digits(clock, 6) && digits(ticks, 7) => TimeForm::CompactTicks,
        [date, ..] if date.matches('.').count() == 2 && date.find('.') == Some(4) => TimeForm::Dotted,
        [date, ..] if date.matches('/').count() == 2 && date.find('/') != Some(4) => TimeForm::Slashed,
        [epoch] if matches!(stamp::read(epoch, TimeStyle::default()), Ok(stamp::Stamp::Epoch(_))) => TimeForm::Epoch,
        _ => TimeForm::Other,
    }
}

/// Returns whether a field next to a date is a time of day.
fn is_clock(field: &str, next: Option<f64>) -> bool {
    if field.contains(':') {
        return stamp::read_split("2026-01-15", field, TimeStyle::default()).is_ok();
    }
    // 070000 is a time; 49412 may be a price, and then the next number is similar.
    let is_time = stamp::is_bare_clock(field) && stamp::read_split("2026-01-15", field, TimeStyle::default()).is_ok();
    let unlike = match (field.parse::<f64>(), next) {
        (Ok(this), Some(next)) if next > 0.0 => !(0.5..=2.0).contains(&(this / next)),
        _ => true,
    };
    is_time && matches!(field.len(), 3..=6) && (unlike || (field.starts_with('0') && !field.starts_with("0.")))
}

/// Returns the day in the name of a Lean file: `20140508_quote.csv`.
fn date_in_name(name: &str) -> Option<NaiveDate> {
    vendors::words(name).iter().find_map(|word| match stamp::read(word, TimeStyle::default()) {
        Ok(stamp::Stamp::Local(at)) if word.len() == 8 => Some(at.date()),
        _ => None,
    })
}

/// Returns whether the first column counts milliseconds of a day.
fn counts_milliseconds(rows: &[Vec<String>]) -> bool {
    let millis = |row: &Vec<String>| {
        let field = row.first()?;
        let plain = field.len() <= 8 && field.bytes().all(|b| b.is_ascii_digit());
        field.parse::<u64>().ok().filter(|millis| plain && *millis < 86_400_000)
    };
    let counted: Option<Vec<u64>> = rows.iter().map(millis).collect();
    counted.is_some_and(|counted| counted.is_sorted())
        && !rows.iter().all(|row| row.first().is_some_and(|field| is_time(field)))
}

pub(super) fn read(rows: &[Vec<String>], delimiter: u8, about: FileContext<'_>) -> Result<Draft, RecordingError> {
    let mut style = NumberStyle::default();
    rows.iter().flatten().for_each(|field| style.observe(field));
    let rows = Rows { rows, style };
    let width =
        rows.rows.iter().map(|row| row.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1)).max();
    let width = width.unwrap_or(0);
    let mut draft = Draft::new(vendors::OWN, 0, names(width));
    let refused = |what: &str| RecordingError::Shape(format!("it has {width}, {what}"));
    if counts_milliseconds(rows.rows) {
        draft.time = Some(TimeColumns::SinceMidnight(0, date_in_name(about.name).ok_or(RecordingError::NoDateInName)?));
        draft.vendor = vendors::LEAN;
        draft.prices = lean_prices(&rows, width);
        draft.volume = (width == 6).then_some(5);
        return if draft.prices.is_some() { Ok(draft) } else { Err(refused("which are not those of Lean")) };
    }
    let has_symbol = !is_time(rows.field(0, 0)) && !is_number(rows.field(0, 0)) && is_time(rows.field(0, 1));
    draft.symbol = has_symbol.then_some(0);
    let at = usize::from(has_symbol);
    if !is_time(rows.field(0, at)) {
        return Err(refused("of which the first is not a time"));
    }
    let form = time_form(rows.field(0, at));
    let next = rows.style.read(rows.field(0, at + 2)).ok();
    let split = !rows.field(0, at).contains(':') && form != TimeForm::Epoch && is_clock(rows.field(0, at + 1), next);
    draft.time = Some(if split { TimeColumns::Split(at, at + 1) } else { TimeColumns::Whole(at) });
    let from = at + 1 + usize::from(split);
    prices(&mut draft, &rows, from, width.saturating_sub(from), form).ok_or_else(|| {
        refused("which are neither ticks (time,bid,ask) nor bars (time,open,high,low,close[,volume]) by what their numbers show")
    })?;
    draft.vendor = vendor(&draft, form, split, delimiter, about.name);
    if draft.vendor.name == vendors::HISTDATA.name && !vendors::is_histdata_name(about.name) {
        draft.notes.push(
            "this shape is HistData's; NinjaTrader and converters of Dukascopy's data write it in other time zones: if it is one \
             of theirs, say so with --timezone"
                .into(),
        );
    }
    Ok(draft)
}

/// Finds the prices among `count` numbers that begin at `from`.
fn prices(draft: &mut Draft, rows: &Rows<'_>, from: usize, count: usize, form: TimeForm) -> Option<()> {
    let bar = [from, from + 1, from + 2, from + 3];
    let is_compact = matches!(form, TimeForm::CompactTicks | TimeForm::Compact);
    let (prices, volume) = match count {
        4 if form == TimeForm::CompactTicks && rows.is_quote(from + 1, from + 2) => {
            (PriceColumns::Quote(from + 1, from + 2), Some(from + 3))
        }
        // Two numbers alone are a quote, except in NinjaTrader's format of price and volume.
        2 if rows.is_quote(from, from + 1) || (!is_compact && rows.is_pair(from, from + 1, 2.0)) => {
            (PriceColumns::Quote(from, from + 1), None)
        }
        1 | 2 if is_compact => (PriceColumns::Last(from), (count == 2).then_some(from + 1)),
        3 if rows.is_quote(from, from + 1) => (PriceColumns::Quote(from, from + 1), Some(from + 2)),
        10 if rows.is_bar(from) && rows.is_bar(from + 5) => {
            (PriceColumns::QuoteBar(bar, bar.map(|column| column + 5)), None)
        }
        4.. if rows.is_bar(from) => (PriceColumns::Bar(bar), (count > 4).then_some(from + 4)),
        // Kibot: price, bid, ask, size. Dukascopy: ask, bid, and their volumes.
        4 if rows.is_quote(from + 1, from + 2) => (PriceColumns::Quote(from + 1, from + 2), Some(from + 3)),
        4 if rows.is_quote(from + 1, from) => (PriceColumns::Quote(from + 1, from), None),
        _ => return None,
    };
    // MetaTrader 5 without its header: tick volume, volume, spread.
    draft.spread = (count == 7 && form == TimeForm::Dotted).then_some(from + 6);
    (draft.prices, draft.volume) = (Some(prices), volume);
    Some(())
}

fn lean_prices(rows: &Rows<'_>, width: usize) -> Option<PriceColumns> {
    let bar = [1, 2, 3, 4];
    match width {
        11 if rows.is_bar(1) && rows.is_bar(6) => Some(PriceColumns::QuoteBar(bar, [6, 7, 8, 9])),
        5 | 6 if rows.is_bar(1) => Some(PriceColumns::Bar(bar)),
        3 if rows.is_quote(1, 2) => Some(PriceColumns::Quote(1, 2)),
        5.. if rows.is_quote(1, 3) => Some(PriceColumns::Quote(1, 3)),
        _ => None,
    }
}

fn vendor(draft: &Draft, form: TimeForm, split: bool, delimiter: u8, name: &str) -> Vendor {
    let bars = draft.prices.is_some_and(PriceColumns::is_bar);
    match form {
        _ if vendors::is_histdata_name(name) => vendors::HISTDATA,
        TimeForm::CompactTicks => vendors::NINJATRADER,
        TimeForm::Compact | TimeForm::Other if vendors::is_ninjatrader_name(name) => vendors::NINJATRADER,
        TimeForm::Compact if bars && delimiter == b';' => vendors::HISTDATA,
        TimeForm::CompactMillis if !bars => vendors::HISTDATA,
        TimeForm::Dotted if split && draft.spread.is_some() => vendors::METATRADER_5,
        TimeForm::Dotted if split => vendors::METATRADER_4,
        TimeForm::Slashed if delimiter == b',' && !matches!(draft.prices, Some(PriceColumns::QuoteBar(..))) => {
            vendors::KIBOT
        }
        TimeForm::Epoch if bars && draft.names.len() >= 11 => vendors::BINANCE,
        _ if draft.symbol.is_some() && matches!(draft.prices, Some(PriceColumns::Quote(..))) => vendors::TRUEFX,
        _ if matches!(draft.prices, Some(PriceColumns::QuoteBar(..))) => vendors::LEAN,
        _ if !bars && draft.names.len() == 5 && draft.volume.is_none() => vendors::DUKASCOPY,
        _ => vendors::OWN,
    }
}
