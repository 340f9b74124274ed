//! Parses Luno's answers. Pure.

use super::messages::{LunoAnswer, LunoTicker};
use crate::domain::Feed;
use crate::sources::listing::{Listing, MalformedPrice, ReadEvent, WireEvent, millis, number, sides};

/// Parses an answer. One invalid ticker does not affect the others.
pub(super) fn answer(body: &str, listing: &Listing) -> Vec<ReadEvent> {
    let Ok(answer) = serde_json::from_str::<LunoAnswer<'_>>(body) else { return vec![Err(MalformedPrice::Form)] };
    answer.tickers.iter().map(|item| ticker(item.get(), listing)).collect()
}

fn ticker(item: &str, listing: &Listing) -> ReadEvent {
    let ticker: LunoTicker<'_> = serde_json::from_str(item).map_err(|_| MalformedPrice::Form)?;
    let observed_at = millis(ticker.timestamp)?;
    let mut event = listing.tick(&ticker.pair, sides(number(&ticker.bid)?, number(&ticker.ask)?)?, observed_at)?;
    let is_active = ticker.status.as_deref().is_none_or(|status| status == "ACTIVE");
    if let WireEvent::Tick(tick) = &mut event
        && !is_active
    {
        tick.feed = Feed::Indicative;
    }
    Ok(event)
}
