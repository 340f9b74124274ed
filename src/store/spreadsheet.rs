//! CSV cells for spreadsheets: a sender's text never becomes a formula, and times are recognized.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

/// The first characters of formulas, also in full width, and the control characters that Excel skips before one.
const TRIGGERS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
/// Characters after which a new cell may begin: line breaks, and separators of other locales.
const ENDS: [char; 4] = ['\n', '\r', '\t', ';'];

/// Returns the text with an apostrophe before each character that could begin a formula.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(TRIGGERS) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 1);
    let mut begins = true;
    for c in text.chars() {
        if begins && TRIGGERS.contains(&c) {
            safe.push('\'');
            begins = false;
        } else {
            // A spreadsheet may skip blanks, quotes and a byte-order mark.
            begins &= c.is_whitespace() || c == '"' || c == '\u{feff}';
        }
        safe.push(c);
        begins |= ENDS.contains(&c);
    }
    if safe.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(safe) }
}

/// Formats a time in UTC as `2026-01-15 07:00:00.123`. Excel and `LibreOffice` recognize it as a time, but not ISO 8601
/// with `T` and `Z`.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn formulas_become_text() {
        for (raw, safe) in [
            ("=1+1", "'=1+1"),
            ("+cmd", "'+cmd"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\n=1", "\n'=1"),
            ("  =1", "  '=1"),
            ("\"=1\"", "\"'=1\""),
            ("＝1+1", "'＝1+1"),
            ("＠SUM(A1)", "'＠SUM(A1)"),
            ("sweep;=HYPERLINK(\"http://evil.example\")", "sweep;'=HYPERLINK(\"http://evil.example\")"),
            ("two\nlines\n-1", "two\nlines\n'-1"),
            ("MSS + FVG, R=2", "MSS + FVG, R=2"),
            ("TP1 30%|TP2 40%", "TP1 30%|TP2 40%"),
            ("", ""),
        ] {
            assert_eq!(text(raw), safe, "{raw:?}");
        }
    }

    #[test]
    fn times_are_formatted_for_spreadsheets() {
        assert_eq!(time(parse_time("2026-01-15T07:00:00.123Z").unwrap()), "2026-01-15 07:00:00.123");
    }

    proptest! {
        #[test]
        fn no_cell_begins_with_a_trigger(raw in "[=+@a;\t\r\n \"'＝-]{0,12}") {
            let safe = text(&raw);
            for cell in safe.split(['\n', '\r', '\t', ';']) {
                let cell = cell.trim_start_matches(|c: char| c.is_whitespace() || c == '"');
                prop_assert!(!cell.starts_with(['=', '+', '-', '@', '＝']), "{:?} -> {:?}", raw, safe);
            }
            prop_assert_eq!(safe.chars().filter(|c| *c != '\'').collect::<String>(), raw.replace('\'', ""));
        }
    }
}
