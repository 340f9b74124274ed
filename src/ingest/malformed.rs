//! Explains why a body is not valid JSON, and what to send instead.

use serde_json::{Value, json};

use super::loose::{self, LooseError};

/// Trims zero bytes, blanks and a byte-order mark at both ends: MetaTrader's `StringToCharArray` appends zero bytes,
/// and editors add the others.
pub fn trimmed(body: &[u8]) -> &[u8] {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let is_nothing = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let start = body.iter().position(|byte| !is_nothing(byte)).unwrap_or(body.len());
    let end = body.iter().rposition(|byte| !is_nothing(byte)).map_or(start, |last| last + 1);
    &body[start..end]
}

/// The explanation for a body that is not valid JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedBody {
    /// What to send instead.
    pub remedy: String,
    /// `fields`: each path that holds `NaN` or an infinity.
    pub details: Option<Value>,
}

impl MalformedBody {
    /// Explains why a body is not valid JSON; `None` if the parser's message is all there is to say.
    pub fn of(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(trimmed(body)).ok()?;
        let of = |remedy: &str| Some(Self { remedy: remedy.to_owned(), details: None });
        if text.starts_with("```") {
            return of("it stands in a code fence: leave out the lines with ```");
        }
        if !text.starts_with(['{', '[', '"', '\'', '“', '‘']) {
            let is_text = text.chars().next().is_some_and(|c| !c.is_ascii_digit() && c != '<');
            return if is_text {
                of("a signal as text goes as Content-Type: text/plain to POST /api/signals")
            } else {
                None
            };
        }
        match loose::read(text) {
            Ok(read) if !read.not_numbers.is_empty() => {
                let places = read.not_numbers.join(", ");
                let fields = read.not_numbers.into_iter();
                let fields = fields.map(|place| (place, "is NaN or Infinity: send null".into()));
                let details = json!({ "fields": fields.collect::<serde_json::Map<_, Value>>() });
                let remedy = format!("NaN and Infinity are not JSON: send null for {places}");
                Some(Self { remedy, details: Some(details) })
            }
            Ok(read) => of(read.oddities.first()?.remedy()),
            Err(LooseError::Unexpected { .. } | LooseError::Unclosed) => None,
            Err(error) => of(&error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bytes_and_outer_blanks_are_trimmed() {
        for body in ["{}", "{}\0", "{}\0\0\0", "\u{feff}{} \r\n\0", " {}\n\n"] {
            assert_eq!(trimmed(body.as_bytes()), b"{}", "{body:?}");
        }
        assert_eq!(trimmed(b"\0 \0"), b"");
    }

    #[test]
    fn invalid_json_gets_its_remedy() {
        for (body, remedy) in [
            ("{\"a\": 1,}", "comma too many"),
            ("{'a': 1}", "single quotes"),
            ("{“a”: 1}", "typographic quotes"),
            ("```json\n{}\n```", "code fence"),
            ("BUY EURUSD", "text/plain"),
            ("{\"a\": buy}", "without quotes"),
            ("{\"a\": \"b\"c\"}", "quotes within the quotes of a"),
            ("{\"sl\": 1.1, \"sl\": 1.2}", "sl stands there twice"),
        ] {
            assert!(MalformedBody::of(body.as_bytes()).is_some_and(|found| found.remedy.contains(remedy)), "{body}");
        }
        for body in ["", "{1}", "{\"id\":", "\u{0}", "<a/>"] {
            assert_eq!(MalformedBody::of(body.as_bytes()), None, "{body}");
        }
        let nan = MalformedBody::of(b"{\"stop_loss\": NaN, \"tp\": [1, -Infinity]}").unwrap();
        assert_eq!(nan.remedy, "NaN and Infinity are not JSON: send null for stop_loss, tp[1]");
        let why = "is NaN or Infinity: send null";
        assert_eq!(nan.details, Some(json!({"fields": {"stop_loss": why, "tp[1]": why}})));
    }
}
