//! Splits a pasted text into words, numbers and marks.

use crate::ingest::values::written_number;

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A word. It may contain digits and the separators of symbols: `TP1`, `XAU/USD`, `US30.cash`.
    Word(&'a str),
    /// A number, as it is written.
    Number(&'a str),
    /// A number with a unit of distance: `50pips`, `2R`.
    Distance(&'a str),
    /// A number that is not a price: `85%`, `1:3`, `10x`, `1️⃣`.
    Other(&'a str),
    /// The dash of a range.
    Dash,
    /// The comma of a list.
    Comma,
    /// Any other mark: `:`, `@`, `(`.
    Mark(char),
    /// An emoji.
    Emoji(char),
    /// The end of a line.
    LineEnd,
}

/// Units of numbers that are not prices.
const OTHER_UNITS: [&str; 16] =
    ["x", "st", "nd", "rd", "th", "m", "min", "mins", "h", "hr", "hrs", "d", "k", "lot", "lots", "usd"];

pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for line in text.lines() {
        let mut at = 0;
        while let Some(c) = line[at..].chars().next() {
            let (token, length) = token(&line[at..], c);
            tokens.extend(token);
            at += length;
        }
        tokens.push(Token::LineEnd);
    }
    tokens
}

/// Returns the token at the beginning of a text that starts with `c`, and its length in bytes.
fn token(text: &str, c: char) -> (Option<Token<'_>>, usize) {
    let one = c.len_utf8();
    match c {
        '0'..='9' => number(text),
        '.' | '+' | '#' | '$' => (None, one),
        c if c.is_alphabetic() => {
            let length = word_length(text);
            (Some(Token::Word(&text[..length])), length)
        }
        '-' | '–' | '—' | '~' | '→' => (Some(Token::Dash), one),
        ',' | '/' | '|' | ';' | '&' => (Some(Token::Comma), one),
        // Variation selectors, joiners and formatting characters of chats.
        '\u{fe00}'..='\u{fe0f}' | '\u{200b}'..='\u{200f}' | '\u{20e3}' | '\u{feff}' | '*' | '_' | '`' => (None, one),
        c if c.is_whitespace() || c.is_control() => (None, one),
        c if c.is_ascii() || c.is_ascii_punctuation() => (Some(Token::Mark(c)), one),
        c => (Some(Token::Emoji(c)), one),
    }
}

/// A word continues over separators between letters or digits. A colon is only allowed after the name of an exchange.
fn word_length(text: &str) -> usize {
    let mut length = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        let goes_on = next.is_some_and(char::is_alphanumeric);
        let is_part = c.is_alphanumeric()
            || matches!(c, '.' | '/' | '_' | '&' | '=' | '\'' | '’') && goes_on
            || c == '-' && next.is_some_and(char::is_alphabetic)
            || c == ':' && at >= 2 && next.is_some_and(|next| next.is_ascii_uppercase()) && is_exchange(&text[..at])
            || c == '!';
        if !is_part {
            break;
        }
        length = at + c.len_utf8();
    }
    let word = text[..length].trim_end_matches('!');
    // `NQ1!` is a symbol, `BUY!` is not.
    let is_contract = word.ends_with(|c: char| c.is_ascii_digit()) && text[word.len()..].starts_with('!');
    if is_contract { word.len() + 1 } else { word.len() }
}

fn is_exchange(word: &str) -> bool {
    const EXCHANGES: [&str; 12] = [
        "OANDA",
        "FX",
        "FXCM",
        "FOREXCOM",
        "CAPITALCOM",
        "TVC",
        "CME_MINI",
        "CME",
        "PEPPERSTONE",
        "FX_IDC",
        "SP",
        "DJ",
    ];
    EXCHANGES.contains(&word) || (word.len() >= 5 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

fn number(text: &str) -> (Option<Token<'_>>, usize) {
    let mut end = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        let before_digit = letters.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        if !(c.is_ascii_digit() || matches!(c, '.' | ',' | '\'') && before_digit) {
            break;
        }
        end = at + c.len_utf8();
    }
    // `1.1651,1.1701` are two numbers.
    if let Some((first, rest)) = text[..end].split_once(',')
        && written_number(&text[..end], Some(0)).is_err()
        && first.contains('.')
        && rest.contains('.')
    {
        end = first.len();
    }
    let rest = &text[end..];
    if rest.starts_with(['\u{fe0f}', '\u{20e3}', '%']) {
        let mark = rest.chars().next().map_or(0, char::len_utf8);
        return (Some(Token::Other(&text[..end + mark])), end + mark);
    }
    let is_ratio = rest.strip_prefix(':').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if is_ratio {
        let tail = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'))).unwrap_or(rest.len());
        return (Some(Token::Other(&text[..end + tail])), end + tail);
    }
    let unit_at = rest.len() - rest.trim_start_matches(' ').len();
    let unit_text = &rest[unit_at..];
    let unit = &unit_text[..unit_text.find(|c: char| !c.is_alphabetic()).unwrap_or(unit_text.len())];
    let word = unit.to_ascii_lowercase();
    let is_distance = ["pip", "pips", "point", "points", "pts", "pt", "ticks", "atr"].contains(&word.as_str())
        || unit_at == 0 && ["r", "p"].contains(&word.as_str());
    let whole = end + unit_at + unit.len();
    if is_distance {
        (Some(Token::Distance(&text[..whole])), whole)
    } else if OTHER_UNITS.contains(&word.as_str()) && (unit_at == 0 || word.len() > 1) {
        (Some(Token::Other(&text[..whole])), whole)
    } else {
        (Some(Token::Number(&text[..end])), end)
    }
}
