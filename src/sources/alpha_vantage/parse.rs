//! Parses responses. Pure.

use chrono::{DateTime, Utc};

use super::messages::{ExchangeRate, ResponseBody};
use crate::domain::{Quote, parse_time};

/// Why a response has no price. The texts do not repeat the response, because it can contain the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPrice {
    /// The documented form is not there.
    #[error("it is no answer of the documented form")]
    Malformed,
    /// The response is about another pair.
    #[error("it is about another pair")]
    Other,
    /// A price is not a number, or the bid is above the ask.
    #[error("its prices make no sense")]
    Number,
    /// The time is invalid or not in UTC.
    #[error("its time makes no sense")]
    Time,
    /// The key is rejected.
    #[error("the key is not accepted")]
    Key,
    /// The pair does not exist, or is not in this plan.
    #[error("the pair is not offered, or not by this plan")]
    NotOffered,
    /// Too many calls per minute or second.
    #[error("too much was asked")]
    TooMuch,
    /// The daily calls are used up.
    #[error("the calls of this day are spent")]
    DaySpent,
}

/// Parses the response about the pair `from`/`to`.
pub(super) fn answer(body: &[u8], (from, to): (&str, &str)) -> Result<(Quote, DateTime<Utc>), NoPrice> {
    let answer: ResponseBody<'_> = serde_json::from_slice(body).map_err(|_| NoPrice::Malformed)?;
    if let Some(text) = answer.error {
        return Err(if about_key(&text.to_lowercase()) { NoPrice::Key } else { NoPrice::NotOffered });
    }
    if answer.note.is_some() {
        return Err(NoPrice::TooMuch);
    }
    if let Some(text) = answer.information {
        return Err(information(&text.to_lowercase()));
    }
    let rate = answer.rate.ok_or(NoPrice::Malformed)?;
    if rate.from != from || rate.to != to {
        return Err(NoPrice::Other);
    }
    let observed_at = (rate.zone == "UTC").then(|| parse_time(&rate.refreshed)).flatten().ok_or(NoPrice::Time)?;
    Ok((quote(&rate)?, observed_at))
}

/// Classifies the text of a field that covers several errors. The texts of one error also mention the limits of the
/// others.
fn information(text: &str) -> NoPrice {
    if text.contains("per second") || text.contains("sparingly") {
        NoPrice::TooMuch
    } else if text.contains("per day") || text.contains("daily") {
        NoPrice::DaySpent
    } else if text.contains("premium") {
        NoPrice::NotOffered
    } else if about_key(text) || text.contains("demo") {
        NoPrice::Key
    } else {
        NoPrice::TooMuch
    }
}

fn about_key(text: &str) -> bool {
    text.contains("apikey") || text.contains("api key")
}

fn quote(rate: &ExchangeRate<'_>) -> Result<Quote, NoPrice> {
    let sides = (rate.bid.trim(), rate.ask.trim());
    if ["-", ""].contains(&sides.0) || ["-", ""].contains(&sides.1) {
        return Ok(Quote::Last(number(&rate.price)?));
    }
    let (bid, ask) = (number(sides.0)?, number(sides.1)?);
    if bid <= ask { Ok(Quote::BidAsk { bid, ask }) } else { Err(NoPrice::Number) }
}

fn number(text: &str) -> Result<f64, NoPrice> {
    text.trim().parse().ok().filter(|price: &f64| price.is_finite() && *price > 0.0).ok_or(NoPrice::Number)
}
