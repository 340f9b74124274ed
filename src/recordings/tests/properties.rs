//! Invariants for any file: the format does not change the result, and every result is in the file.

use std::fmt::Write;

use chrono::NaiveDate;
use proptest::prelude::*;

use super::layouts::SAMPLES;
use super::*;

/// Bars of five minutes from a minute of 2026 on: the open, and the distances of high, low and close in points.
fn bars() -> impl Strategy<Value = (i64, Vec<[i64; 4]>)> {
    let bar = (100_001i64..130_000, 1i64..99, 1i64..99, 0i64..99)
        .prop_map(|(open, up, down, part)| [open, open + up, open - down, open - down + part * (up + down) / 99]);
    (0i64..300 * 288, prop::collection::vec(bar, 3..8))
}

/// Formats of a time. The flag says whether only a late day distinguishes day and month.
const TIMES: [(&str, bool); 16] = [
    ("%Y-%m-%dT%H:%M:%SZ", false),
    ("%Y-%m-%d %H:%M:%S", false),
    ("%Y-%m-%dT%H:%M", false),
    ("%Y.%m.%d %H:%M", false),
    ("%Y/%m/%d %H:%M:%S%.3f", false),
    ("%d.%m.%Y %H:%M:%S%.3f", false),
    ("%d/%m/%Y %H:%M", true),
    ("%m/%d/%Y %I:%M %p", true),
    ("%d-%b-%Y %H:%M", false),
    ("%b %d, %Y %H:%M:%S", false),
    ("%Y%m%d %H%M%S", false),
    ("%Y%m%d%H%M%S", false),
    ("%s", false),
    ("%s000", false),
    ("%s000000", false),
    ("%s000000000", false),
];

/// The format of a file.
#[derive(Debug, Clone)]
struct Style {
    columns: Vec<usize>,
    separator: char,
    time: (&'static str, bool),
    decimal_comma: bool,
    quotes: bool,
    newest_first: bool,
    names: [&'static str; 6],
}

fn style() -> impl Strategy<Value = Style> {
    let names = prop::sample::select(vec![
        ["time", "open", "high", "low", "close", "volume"],
        ["Datetime", "O", "H", "L", "C", "V"],
        ["<DATE>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>"],
    ]);
    (
        Just((0..6).collect::<Vec<usize>>()).prop_shuffle(),
        prop::sample::select(vec![',', ';', '\t', '|']),
        prop::sample::select(TIMES.to_vec()),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        names,
    )
        .prop_map(|(columns, separator, time, decimal_comma, quotes, newest_first, names)| Style {
            columns,
            separator,
            time,
            decimal_comma,
            // A comma in a number or a date needs quotation marks.
            quotes: quotes || (separator == ',' && (decimal_comma || time.0.contains(','))),
            newest_first,
            names,
        })
}

fn write(first: i64, bars: &[[i64; 4]], style: &Style) -> String {
    let line = |fields: [String; 6]| {
        let quoted = |field: &String| if style.quotes { format!("\"{field}\"") } else { field.clone() };
        let fields: Vec<_> = style.columns.iter().map(|column| quoted(&fields[*column])).collect();
        fields.join(&style.separator.to_string()) + "\n"
    };
    let mut rows: Vec<String> = bars
        .iter()
        .enumerate()
        .map(|(place, prices)| {
            let number = |points: &i64| {
                let text = format!("{}.{:05}", points / 100_000, points % 100_000);
                if style.decimal_comma { text.replace('.', ",") } else { text }
            };
            let [open, high, low, close] = prices.each_ref().map(number);
            line([at(first + place as i64).format(style.time.0).to_string(), open, high, low, close, "7".into()])
        })
        .collect();
    if style.newest_first {
        rows.reverse();
    }
    line(style.names.map(ToOwned::to_owned)) + &rows.concat()
}

fn at(place: i64) -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(2026, 1, 5).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc() + TimeDelta::minutes(5 * place)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_format_does_not_change_the_result((first, bars) in bars(), style in style()) {
        let expected: Vec<String> = bars.iter().enumerate().map(|(place, prices)| {
            let prices: Vec<_> = prices.iter().map(|points| (*points as f64 / 1e5).to_string()).collect();
            format!("{} {}", iso(at(first + place as i64)).replace(":00.000Z", "Z"), prices.join(" "))
        }).collect();
        let text = write(first, &bars, &style);
        match file("recording.csv", &text).read() {
            Ok(read) => {
                prop_assert_eq!(read.rows, expected, "{}", text);
                prop_assert_eq!(read.summary.bar_seconds, Some(300.0));
            }
            Err(RecordingError::AmbiguousDate { .. }) => prop_assert!(style.time.1, "{}", text),
            Err(error) => prop_assert!(false, "{}: {}", error, text),
        }
    }

    /// Times of all lengths and shapes: every parsed time is in the plausible range.
    #[test]
    fn no_time_is_invented(
        header in prop::sample::select(vec!["time,bid,ask\n", "", "time,open,high,low,close,volume\n", "<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>\n"]),
        rows in prop::collection::vec(
            ("([0-9]{1,19}|[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}( [0-9]{1,2}:[0-9]{2})?|[0-9]{1,2}[./-][0-9]{1,2}[./-](19|20|26)[0-9]{2}|[0-9]\\.[0-9]{1,5}E\\+[0-9]{1,2}|20260[1-9][0-2][0-9] [0-9]{4,9}|17[0-9]{8})", "1\\.1,1\\.2(,1\\.0,1\\.1)?(,7)?"),
            0..12,
        ),
        zone in prop::sample::select(vec!["UTC", "broker", "America/New_York", "+14:00", "-14:00"]),
        label in prop::sample::select(vec!["start", "end"]),
    ) {
        let rows = rows.iter().map(|(time, rest)| format!("{time},{rest}\n"));
        let text = format!("{header}{}", rows.collect::<String>());
        let file = file("recording.csv", &text).with("timezone", zone).with("bar-label", label);
        if let Ok((steps, counts)) = file.steps() {
            let range = parse_time("1990-01-01T00:00:00Z").unwrap()..=now() + TimeDelta::days(1);
            prop_assert!(steps.iter().all(|step| range.contains(&step.tick.observed_at)), "{}", text);
            prop_assert!(steps.is_sorted_by_key(|step| step.tick.observed_at), "{}", text);
            prop_assert!(counts.left_out < counts.rows);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        File { bytes, ..file("recording.csv", "") }.steps().ok();
    }

    /// Vendors' files with some bytes changed: every result is valid and in order.
    #[test]
    fn a_damaged_file_gives_sound_ticks(
        which in 0..SAMPLES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"0123456789,;.:-\"\n\t xZ\0\xff".to_vec())), 0..6),
        cut in any::<prop::sample::Index>(),
        again in 0..3usize,
    ) {
        let sample = &SAMPLES[which];
        let mut bytes = sample.text.as_bytes().to_vec();
        let last = sample.text.lines().last().unwrap_or_default().as_bytes().to_vec();
        for _ in 0..again {
            bytes.extend_from_slice(&last);
            bytes.push(b'\n');
        }
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if again == 0 {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        let damaged = File { bytes, ..file(sample.name, "") }.of(sample.symbol);
        if let Ok((steps, _)) = damaged.steps() {
            let mut text = String::new();
            for step in &steps {
                let (low, high) = match step.tick.quote {
                    Quote::BidAsk { bid, ask } => (bid, ask),
                    Quote::Last(price) => (price, price),
                };
                write!(text, "{low} {high} ").unwrap();
                prop_assert!(low > 0.0 && low <= high && high.is_finite(), "{:?}", damaged);
            }
            prop_assert!(steps.is_sorted_by_key(|step| step.tick.observed_at), "{:?}", damaged);
        }
    }
}
