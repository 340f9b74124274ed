//! Direction words, and the other words that senders put in a direction field.

use serde_json::Value;

use super::values::FaultReason;
use crate::domain::{Direction, SignalStatus};

/// The meaning of a word in a direction field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TradeWord {
    /// Buy or sell.
    Direction(Direction),
    /// A position is closed or reduced.
    Exit,
    /// No action.
    Hold,
    /// A limit or stop order.
    PendingOrder,
}

const LONG: &[&str] = &[
    "buy",
    "long",
    "bull",
    "bullish",
    "longentry",
    "entrylong",
    "enterlong",
    "openlong",
    "golong",
    "buyentry",
    "entrybuy",
    "buysignal",
    "longsignal",
    "strongbuy",
    "buymarket",
    "marketbuy",
    "buynow",
    "buytoopen",
];
const SHORT: &[&str] = &[
    "sell",
    "short",
    "bear",
    "bearish",
    "shortentry",
    "entryshort",
    "entershort",
    "openshort",
    "goshort",
    "sellentry",
    "entrysell",
    "sellsignal",
    "shortsignal",
    "strongsell",
    "sellmarket",
    "marketsell",
    "sellnow",
    "selltoopen",
    "sellshort",
];
const EXIT: &[&str] = &[
    "exit",
    "close",
    "closed",
    "flat",
    "closelong",
    "closeshort",
    "exitlong",
    "exitshort",
    "longexit",
    "shortexit",
    "longclose",
    "shortclose",
    "closebuy",
    "closesell",
    "closeall",
    "closeposition",
    "exitall",
    "selltoclose",
    "buytoclose",
    "buytocover",
    "cover",
    "liquidate",
    "tphit",
    "slhit",
    "stophit",
    "targethit",
    "takeprofithit",
    "stoplosshit",
];
const HOLD: &[&str] =
    &["hold", "wait", "neutral", "none", "nothing", "noaction", "notrade", "nosignal", "skip", "stay"];
const PENDING: &[&str] = &[
    "limit",
    "stoplimit",
    "pending",
    "buylimit",
    "selllimit",
    "buystop",
    "sellstop",
    "buystoplimit",
    "sellstoplimit",
    "limitbuy",
    "limitsell",
    "stopbuy",
    "stopsell",
    "limitorder",
    "pendingorder",
];
const TOKENS: [&str; 8] = ["buy", "sell", "long", "short", "bull", "bullish", "bear", "bearish"];

/// Longest accepted word, in bytes.
const MAX_WORD: usize = 32;

/// Parses a word in any case and with any separators: `BUY`, `long_entry`, `Close Long`.
pub(super) fn trade_word(text: &str) -> Option<TradeWord> {
    if text.len() > MAX_WORD {
        return None;
    }
    let word: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let is_in = |list: &[&str]| list.contains(&word.as_str());
    Some(match () {
        () if is_in(LONG) => TradeWord::Direction(Direction::Long),
        () if is_in(SHORT) => TradeWord::Direction(Direction::Short),
        () if is_in(EXIT) => TradeWord::Exit,
        () if is_in(HOLD) => TradeWord::Hold,
        () if is_in(PENDING) => TradeWord::PendingOrder,
        () => return None,
    })
}

/// Returns the first direction word anywhere in a text: `LOOK_FOR_LONG`, `MssBullish`, `buy now`.
pub(super) fn direction_token(text: &str) -> Option<&'static str> {
    let letters: Vec<char> = text.chars().collect();
    let is_end = |at: usize| {
        let (here, next) = (letters[at], letters.get(at + 1));
        next.is_none_or(|next| !next.is_alphabetic() || (here.is_lowercase() && next.is_uppercase()))
    };
    let mut word = String::new();
    for (at, letter) in letters.iter().enumerate() {
        if !letter.is_alphabetic() {
            continue;
        }
        word.extend(letter.to_lowercase());
        if is_end(at) {
            if let Some(token) = TOKENS.into_iter().find(|token| *token == word) {
                return Some(token);
            }
            word.clear();
        }
    }
    None
}

/// Parses the direction of a signal.
pub(super) fn direction(value: &Value) -> Result<Direction, FaultReason> {
    let word = value.as_str().and_then(trade_word);
    let wrong = match word {
        Some(TradeWord::Direction(direction)) => return Ok(direction),
        Some(TradeWord::Exit) => {
            "must be long, short, buy or sell; to end a signal send its id with the status confirmed or invalidated"
        }
        Some(TradeWord::Hold) => "is not a signal: send buy, sell, long or short, or send nothing",
        Some(TradeWord::PendingOrder) => PENDING_ORDER,
        None => "must be long, short, buy or sell",
    };
    Err(wrong.to_owned())
}

/// Why a pending order is rejected.
pub(super) const PENDING_ORDER: &str = "is a pending order, not an entry: send buy or sell once the order is filled";

/// Parses the status of a signal.
pub(super) fn status(value: &Value) -> Result<SignalStatus, FaultReason> {
    let word = value.as_str().map(|word| word.trim().to_ascii_lowercase());
    match word.as_deref() {
        Some("pending") => Ok(SignalStatus::Pending),
        Some("confirmed") => Ok(SignalStatus::Confirmed),
        Some("invalidated") => Ok(SignalStatus::Invalidated),
        _ => Err("must be pending, confirmed or invalidated".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_separators() {
        for (text, word) in [
            (" Buy ", Some(TradeWord::Direction(Direction::Long))),
            ("LONG_ENTRY", Some(TradeWord::Direction(Direction::Long))),
            ("enter-short", Some(TradeWord::Direction(Direction::Short))),
            ("Close Long", Some(TradeWord::Exit)),
            ("HOLD", Some(TradeWord::Hold)),
            ("BUY LIMIT", Some(TradeWord::PendingOrder)),
            ("LOOK_FOR_LONG", None),
            ("market", None),
            ("", None),
        ] {
            assert_eq!(trade_word(text), word, "{text}");
        }
    }

    #[test]
    fn a_direction_word_is_found_anywhere() {
        for text in ["LOOK_FOR_LONG", "MSS_BULLISH", "buy now", "goShort", "a,sell.b", "x1long"] {
            assert!(direction_token(text).is_some(), "{text}");
        }
        for text in ["SWEEP_LOW", "along", "buyer", "longer", "belong", "", "EURUSD", "sellside"] {
            assert_eq!(direction_token(text), None, "{text}");
        }
    }
}
