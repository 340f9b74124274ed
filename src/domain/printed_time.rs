//! Parses times in the formats that the standard libraries of other languages print.

use chrono::{DateTime, NaiveDateTime, Utc};

/// Maximum length of a text in bytes.
const MAX_CHARS: usize = 96;
/// Formats with an offset from UTC.
const ZONED: [&str; 9] = [
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M%#z",
    "%Y%m%dT%H%M%S%.f%#z",
    // Java's `Date` in an unnamed zone, and JavaScript's `Date`.
    "%a %b %d %H:%M:%S %#z %Y",
    "%a %b %d %Y %H:%M:%S %#z",
    "%a, %d %b %Y %H:%M:%S %#z",
];
/// Formats without an offset, which are UTC.
const NAIVE: [&str; 9] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y%m%dT%H%M%S%.f",
    "%Y.%m.%d %H:%M",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S",
];

/// Parses the times that Python, Java, JavaScript, Go and Ruby print: `2026-01-15T07:00Z`, `2026-01-15T07:00:00Z[UTC]`,
/// `2026-01-15 07:00:00+00`, `2026-01-15 07:00:00 +0000 UTC`, `Thu Jan 15 07:00:00 UTC 2026`,
/// `Thu Jan 15 2026 07:00:00 GMT+0000 (Coordinated Universal Time)`, `Thu, 15 Jan 2026 07:00:00 GMT`.
///
/// UTC, GMT and Z are the only accepted abbreviations of zones, because others are ambiguous. A time without a zone is
/// UTC.
pub(super) fn parse_printed(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if text.len() > MAX_CHARS || !text.is_ascii() {
        return None;
    }
    // The name of the zone, `[Europe/Berlin]` or `(Central European Standard Time)`, follows an offset, which is
    // enough.
    let (text, is_named) = match text.rsplit_once(['[', '(']) {
        Some((text, name)) if name.ends_with([']', ')']) => (text.trim_end(), true),
        _ => (text, false),
    };
    let offset = without_abbreviation(text);
    let text = offset.as_deref().unwrap_or(text);
    let zoned = ZONED.iter().find_map(|format| DateTime::parse_from_str(text, format).ok());
    if let Some(at) = zoned {
        return Some(at.to_utc());
    }
    if is_named && offset.is_none() {
        return None;
    }
    NAIVE.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).map(|at| at.and_utc())
}

/// Removes `UTC`, `GMT` or `Z`; what is left is UTC or has its own offset. Returns `None` without such an abbreviation.
fn without_abbreviation(text: &str) -> Option<String> {
    if let Some(text) = text.strip_suffix(['Z', 'z']).filter(|text| text.ends_with(|c: char| c.is_ascii_digit())) {
        return Some(text.to_owned());
    }
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_utc = |word: &str| ["UTC", "GMT"].iter().any(|name| word.eq_ignore_ascii_case(name));
    let at = words
        .iter()
        .rposition(|word| is_utc(word) || word.get(..3).is_some_and(is_utc) && word[3..].starts_with(['+', '-']))?;
    if is_utc(words[at]) {
        words.remove(at);
    } else {
        words[at] = &words[at][3..];
    }
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use crate::domain::{iso, parse_time};

    #[test]
    fn formats_of_other_languages_parse_alike() {
        for text in [
            "2026-01-15T07:00Z",
            "2026-01-15T08:00+01:00",
            "2026-01-15T07:00:00Z[UTC]",
            "2026-01-15T08:00:00+01:00[Europe/Berlin]",
            "2026-01-15T07:00+00:00[Etc/UTC]",
            "2026-01-15 07:00:00+00:00",
            "2026-01-15 07:00:00+00",
            "2026-01-15 07:00:00+0000",
            "2026-01-15T07:00:00+0000",
            "2026-01-15 07:00:00 +0000 UTC",
            "2026-01-15 07:00:00 UTC",
            "2026-01-15 07:00:00Z",
            "2026-01-15 07:00",
            "20260115T070000Z",
            "Thu Jan 15 07:00:00 UTC 2026",
            "Thu Jan 15 07:00:00 GMT 2026",
            "Thu Jan 15 08:00:00 GMT+01:00 2026",
            "Thu Jan 15 07:00:00 2026",
            "Thu Jan 15 2026 07:00:00 GMT+0000 (Coordinated Universal Time)",
            "Thu Jan 15 2026 14:00:00 GMT+0700 (Indochina Time)",
            "Thu, 15 Jan 2026 07:00:00 GMT",
            "Thu, 15 Jan 2026 07:00:00 +0000",
        ] {
            assert_eq!(parse_time(text).map(iso).as_deref(), Some("2026-01-15T07:00:00.000Z"), "{text}");
        }
        let precise = parse_time("2026-01-15T07:00:00.123456").map(iso);
        assert_eq!(precise.as_deref(), Some("2026-01-15T07:00:00.123Z"));
    }

    #[test]
    fn ambiguous_zones_are_rejected() {
        for text in [
            "Thu Jan 15 07:00:00 EST 2026",
            "Thu Jan 15 07:00:00 IST 2026",
            "2026-01-15 07:00:00 CST",
            "2026-01-15T07:00:00[Europe/Berlin]",
            "Fri Jan 15 07:00:00 UTC 2026",
            "2026-01-15",
            "01/02/2026 07:00",
            "UTC",
            "Z",
            "[",
            "GMT+",
            "é",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
