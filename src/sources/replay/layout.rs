//! What a recording looks like: its delimiter, whether it has a header, and which column is what.

use crate::domain::parse_time;

/// Which column is what, and what the columns are called in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// `,`, `;` or a tab.
    pub(super) delimiter: u8,
    /// Whether the first line names the columns.
    pub(super) has_header: bool,
    /// Names of all columns, as the file writes them.
    pub(super) names: Vec<String>,
    pub(super) time: Time,
    pub(super) prices: Prices,
    pub(super) volume: Option<usize>,
}

/// Where the time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// In one column.
    Whole(usize),
    /// In a column for the date and one for the time of day, as `MetaTrader` exports it.
    Split(usize, usize),
}

/// Where the prices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prices {
    /// Ticks: bid and ask.
    Quote(usize, usize),
    /// Ticks: one price.
    Last(usize),
    /// Bars: open, high, low, close.
    Bar([usize; 4]),
    /// Bars of bids and bars of asks, as Lean exports them.
    QuoteBar([usize; 4], [usize; 4]),
}

/// A first line that cannot be the beginning of a recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No delimiter was found.
    #[error("the columns of its first line are separated by neither comma, semicolon nor tab: '{0}'")]
    Delimiter(String),
    /// The header names no time.
    #[error("no column is a time (time, timestamp, datetime, date); its columns are {0}")]
    Time(String),
    /// The header names no prices.
    #[error(
        "its columns hold neither ticks (time,bid,ask or time,price) nor bars (time,open,high,low,close[,volume]); \
         they are {0}"
    )]
    Prices(String),
    /// Without a header the columns can only be counted.
    #[error("without a header 3 columns are ticks (time,bid,ask), 5 or 6 are bars; it has {0}")]
    Count(usize),
}

impl Layout {
    /// `time,bid,ask` without a header.
    pub(super) fn ticks() -> Self {
        let names = ["time", "bid", "ask"].map(String::from).to_vec();
        let (time, prices) = (Time::Whole(0), Prices::Quote(1, 2));
        Self { delimiter: b',', has_header: false, names, time, prices, volume: None }
    }

    /// Reads the layout off the first line of a file.
    pub(super) fn detect(line: &str) -> Result<Self, LayoutError> {
        let line = line.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        let shown = || line.chars().take(80).collect();
        // A comma may also be a decimal comma, so it is the last one looked for.
        let delimiter =
            *b"\t;,".iter().find(|d| line.as_bytes().contains(d)).ok_or_else(|| LayoutError::Delimiter(shown()))?;
        let names: Vec<String> = line.split(char::from(delimiter)).map(|field| trimmed(field).to_owned()).collect();
        let has_header = !names.iter().any(|field| number(field, delimiter).is_some() || parse_time(field).is_some());
        if has_header { Self::named(delimiter, names) } else { Self::counted(delimiter, names.len()) }
    }

    fn named(delimiter: u8, names: Vec<String>) -> Result<Self, LayoutError> {
        let keys: Vec<String> = names.iter().map(|name| key(name)).collect();
        let find = |wanted: &[&str]| wanted.iter().find_map(|wanted| keys.iter().position(|key| key == wanted));
        let bar = |prefix: &str| {
            let column = |name: &str| find(&[&format!("{prefix}{name}")]);
            Some([column("open")?, column("high")?, column("low")?, column("close")?])
        };
        let time = match (find(&["datetime", "timestamp"]), find(&["date"]), find(&["time"])) {
            (Some(whole), ..) | (None, Some(whole), None) | (None, None, Some(whole)) => Some(Time::Whole(whole)),
            (None, Some(date), Some(time)) => Some(Time::Split(date, time)),
            (None, None, None) => find(&["gmttime", "utctime", "opentime", "ts", "unix", "unixtime"]).map(Time::Whole),
        };
        let quote = || Some(Prices::Quote(find(&["bid", "bidprice"])?, find(&["ask", "askprice", "offer"])?));
        let quote_bar = || Some(Prices::QuoteBar(bar("bid")?, bar("ask")?));
        let letters = || Some([find(&["o"])?, find(&["h"])?, find(&["l"])?, find(&["c"])?]);
        let prices = quote()
            .or_else(|| bar("").or_else(letters).map(Prices::Bar))
            .or_else(quote_bar)
            .or_else(|| find(&["price", "last"]).map(Prices::Last));
        let volume = find(&["tickvol", "tickvolume", "volume", "vol", "v"]);
        let listed = || names.join(", ");
        let time = time.ok_or_else(|| LayoutError::Time(listed()))?;
        let prices = prices.ok_or_else(|| LayoutError::Prices(listed()))?;
        Ok(Self { delimiter, has_header: true, names, time, prices, volume })
    }

    fn counted(delimiter: u8, count: usize) -> Result<Self, LayoutError> {
        let (names, prices, volume): (&[&str], _, _) = match count {
            3 => return Ok(Self { delimiter, ..Self::ticks() }),
            5 => (&["time", "open", "high", "low", "close"], Prices::Bar([1, 2, 3, 4]), None),
            6 => (&["time", "open", "high", "low", "close", "volume"], Prices::Bar([1, 2, 3, 4]), Some(5)),
            _ => return Err(LayoutError::Count(count)),
        };
        let names = names.iter().map(ToString::to_string).collect();
        Ok(Self { delimiter, has_header: false, names, time: Time::Whole(0), prices, volume })
    }
}

/// A field without its blanks and quotes.
pub(super) fn trimmed(field: &str) -> &str {
    field.trim().trim_matches('"').trim()
}

/// Reads a number; a decimal comma counts where it cannot be the delimiter.
pub(super) fn number(field: &str, delimiter: u8) -> Option<f64> {
    if delimiter != b',' && field.contains(',') { field.replace(',', ".").parse() } else { field.parse() }
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// The form in which names are compared: `<TICKVOL>`, `Tick Volume`, `tick_volume` → `tickvolume`.
fn key(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(line: &str) -> (Time, Prices, Option<usize>) {
        let Layout { time, prices, volume, has_header, .. } = Layout::detect(line).unwrap();
        assert!(has_header, "{line}");
        (time, prices, volume)
    }

    #[test]
    fn columns_are_found_by_their_names_in_any_order() {
        use Prices::{Bar, Last, Quote, QuoteBar};
        use Time::{Split, Whole};
        for (line, expected) in [
            ("time,bid,ask", (Whole(0), Quote(1, 2), None)),
            ("\u{feff}Ask;Bid;Timestamp\r\n", (Whole(2), Quote(1, 0), None)),
            ("\"Date\",\"Open\",\"High\",\"Low\",\"Close\"", (Whole(0), Bar([1, 2, 3, 4]), None)),
            ("Date,Open,High,Low,Close,Tickvol,Volume,Spread", (Whole(0), Bar([1, 2, 3, 4]), Some(5))),
            ("volume,close,low,high,open,datetime", (Whole(5), Bar([4, 3, 2, 1]), Some(0))),
            ("<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>", (Split(0, 1), Quote(2, 3), Some(5))),
            ("t ime,o,h,l,c,v", (Whole(0), Bar([1, 2, 3, 4]), Some(5))),
            ("time,price,volume", (Whole(0), Last(1), Some(2))),
            (
                "time,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close",
                (Whole(0), QuoteBar([1, 2, 3, 4], [5, 6, 7, 8]), None),
            ),
        ] {
            assert_eq!(layout(line), expected, "{line}");
        }
    }

    #[test]
    fn without_a_header_columns_are_counted() {
        for (line, prices, volume) in [
            ("2026-01-15T07:00:00Z,1.1,1.2", Prices::Quote(1, 2), None),
            ("1768460400000;1,1;1,2", Prices::Quote(1, 2), None),
            ("2026.01.15 07:00:00\t1.1\t1.2\t1.0\t1.1", Prices::Bar([1, 2, 3, 4]), None),
            ("2026-01-15 07:00:00,1.1,1.2,1.0,1.1,7", Prices::Bar([1, 2, 3, 4]), Some(5)),
        ] {
            let layout = Layout::detect(line).unwrap();
            assert_eq!((layout.prices, layout.volume, layout.has_header), (prices, volume, false), "{line}");
        }
    }

    #[test]
    fn what_is_no_recording_is_told_why() {
        for (line, part) in [
            ("hello", "neither comma, semicolon nor tab: 'hello'"),
            ("bid,ask", "no column is a time (time, timestamp, datetime, date); its columns are bid, ask"),
            ("time,name,city", "they are time, name, city"),
            ("time,bid_open,ask_close", "they are time, bid_open, ask_close"),
            ("2026-01-15T07:00:00Z,1.1", "it has 2"),
            ("2026-01-15T07:00:00Z,1,2,3,4,5,6", "it has 7"),
        ] {
            let error = Layout::detect(line).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
