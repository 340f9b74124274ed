//! JSON as people paste it and as their tools print it: with typographic or single quotes, trailing commas, `NaN`, bare words,
//! line breaks within texts. What it cannot mean is named.
//!
//! Alerts of TradingView are read with it, because nobody sees the answer; for pushes it explains what is wrong.

mod reader;

use serde_json::Value;

use reader::{Reader, is_double};

/// What was read, and how far it was from JSON.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sources) struct Loose {
    /// The value; what stands for nothing is null.
    pub value: Value,
    /// Where `NaN` and infinities stand: `take_profits[1]`.
    pub not_numbers: Vec<String>,
    /// What else is not JSON, the first of each kind.
    pub oddities: Vec<Oddity>,
}

/// What JSON does not allow, and is understood all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sources) enum Oddity {
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
    /// What the sender has to change.
    pub(in crate::sources) const fn remedy(self) -> &'static str {
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

/// Why a text cannot be read even so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::sources) enum LooseError {
    /// Quotes within a text end it.
    #[error("there are quotes within the quotes of {0}")]
    QuotesWithinQuotes(String),
    /// JSON stands in a text whose quotes end it.
    #[error(
        "{0} holds JSON within JSON whose quotes are not escaped: send the inner object alone as the whole message"
    )]
    JsonWithinJson(String),
    /// Nested without end.
    #[error("it is nested too deep")]
    TooDeep,
    /// It ends too early.
    #[error("it ends before its last bracket or quote is closed")]
    Unclosed,
    /// Two different values of one name.
    #[error("{0} stands there twice with different values")]
    Twice(String),
    /// Something else.
    #[error("line {line} column {column} is not what JSON has there")]
    Unexpected {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
}

/// Whether a word is `NaN` or an infinity, in the spelling of any language.
pub(in crate::sources) fn is_not_a_number(word: &str) -> bool {
    let word = word.trim().trim_start_matches(['+', '-']);
    ["nan", "inf", "infinity", "1.#inf", "1.#qnan", "1.#ind"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// Reads a whole text.
///
/// # Errors
/// [`LooseError`], without anything of what the text says but the names of its fields.
pub(in crate::sources) fn read(text: &str) -> Result<Loose, LooseError> {
    match Reader::new(text, false).whole() {
        // A text that begins with a plain quote and ends with a typographic one.
        Err(error) if text.contains(is_double) => Reader::new(text, true).whole().map_err(|_| error),
        read => read,
    }
}

#[cfg(test)]
mod tests;
