//! A lenient JSON parser for pasted and generated text: typographic or single quotes, trailing commas, `NaN`, bare
//! words, line breaks within texts. Ambiguous text is an error with its cause.
//!
//! TradingView's alerts are parsed with it, because no person sees the answer. For pushes it only explains what is
//! wrong.

mod reader;

use serde_json::Value;

use reader::{LooseReader, is_double};

/// A parsed text, with its deviations from JSON.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::ingest) struct Loose {
    /// The value; words for an absent value are null.
    pub value: Value,
    /// The paths of `NaN` and infinities: `take_profits[1]`.
    pub not_numbers: Vec<String>,
    /// Other deviations from JSON, one of each type.
    pub oddities: Vec<Oddity>,
}

/// A deviation from JSON that the parser accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Oddity {
    /// `“action”`
    TypographicQuotes,
    /// `'action'`
    SingleQuotes,
    /// `{"a": 1,}`
    ExtraComma,
    /// `{"a": }`
    MissingValue,
    /// `{action: buy}`, `True`, `None`
    BareWord,
    /// A line break or another control character within a text.
    RawControl,
}

impl Oddity {
    /// Returns what the sender has to change.
    pub(in crate::ingest) const fn remedy(self) -> &'static str {
        match self {
            Self::TypographicQuotes => "these are typographic quotes: use the plain \"",
            Self::SingleQuotes => "single quotes are not JSON: use \" (in Python json.dumps)",
            Self::ExtraComma => "there is a comma too many before a bracket",
            Self::MissingValue => "a value is missing: send null",
            Self::BareWord => "a word stands without quotes (JSON has only true, false and null)",
            Self::RawControl => "a line break stands within a text: write \\n",
        }
    }
}

/// Why a text cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::ingest) enum LooseError {
    /// A text contains unescaped quotes.
    #[error("there are quotes within the quotes of {0}")]
    QuotesWithinQuotes(String),
    /// A text contains JSON with unescaped quotes.
    #[error(
        "{0} holds JSON within JSON whose quotes are not escaped: send the inner object alone as the whole message"
    )]
    JsonWithinJson(String),
    /// The nesting is too deep.
    #[error("it is nested too deep")]
    TooDeep,
    /// The text ends too early.
    #[error("it ends before its last bracket or quote is closed")]
    Unclosed,
    /// Two different values for one name.
    #[error("{0} stands there twice with different values")]
    Twice(String),
    /// Any other error.
    #[error("line {line} column {column} is not what JSON has there")]
    Unexpected {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
}

/// Returns whether a word is `NaN` or an infinity, in the spelling of any language.
pub(in crate::ingest) fn is_not_a_number(word: &str) -> bool {
    let word = word.trim().trim_start_matches(['+', '-']);
    ["nan", "inf", "infinity", "1.#inf", "1.#qnan", "1.#ind"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// Parses a whole text.
///
/// # Errors
/// [`LooseError`], which quotes only field names of the text.
pub(in crate::ingest) fn read(text: &str) -> Result<Loose, LooseError> {
    match LooseReader::new(text, false).whole() {
        // A text that begins with a plain quote and ends with a typographic one.
        Err(error) if text.contains(is_double) => LooseReader::new(text, true).whole().map_err(|_| error),
        read => read,
    }
}

#[cfg(test)]
mod tests;
