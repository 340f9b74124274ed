//! The columns that the user chooses.

use super::header::key;
use super::{Draft, PriceColumns, TimeColumns};
use crate::domain::{ColumnChoice, ColumnRole, RecordingOptions, Spread};
use crate::recordings::error::RecordingError;

/// Replaces detected columns by those that the user chooses.
pub(super) fn apply(mut draft: Draft, options: &RecordingOptions) -> Result<Draft, RecordingError> {
    let place = |choice: &ColumnChoice| match choice {
        ColumnChoice::Absent => Ok(None),
        ColumnChoice::Place(place) if *place <= draft.names.len() => Ok(Some(place - 1)),
        ColumnChoice::Place(place) => {
            Err(RecordingError::NoColumn { wanted: format!("#{place}"), listed: draft.names.join(", ") })
        }
        ColumnChoice::Named(name) => {
            let exact = draft.names.iter().position(|other| other.eq_ignore_ascii_case(name));
            let wanted = key(name).0;
            let alike = || draft.names.iter().position(|other| !wanted.is_empty() && key(other).0 == wanted);
            let found = exact.or_else(alike);
            let missing = || RecordingError::NoColumn { wanted: name.clone(), listed: draft.names.join(", ") };
            found.map(Some).ok_or_else(missing)
        }
    };
    let mut chosen = Vec::new();
    for (role, choice) in &options.columns.roles {
        chosen.push((*role, place(choice)?));
    }
    let given = |role: ColumnRole| chosen.iter().find(|(of, _)| *of == role).map(|(_, place)| *place);
    let column = |role: ColumnRole| given(role).flatten();

    draft.time = match (column(ColumnRole::Date), column(ColumnRole::Time), draft.time) {
        (Some(date), Some(time), _) | (Some(date), None, Some(TimeColumns::Split(_, time))) => {
            Some(TimeColumns::Split(date, time))
        }
        (None, Some(time), _) => Some(TimeColumns::Whole(time)),
        (Some(date), None, _) => Some(TimeColumns::Whole(date)),
        (None, None, recognized) => recognized,
    };
    draft.prices = prices(&column, draft.prices);
    for (role, place) in [
        (ColumnRole::Volume, &mut draft.volume),
        (ColumnRole::Spread, &mut draft.spread),
        (ColumnRole::Symbol, &mut draft.symbol),
    ] {
        if let Some(chosen) = given(role) {
            *place = chosen;
        }
    }
    if options.spread == Some(Spread::Column) && draft.spread.is_none() {
        return Err(RecordingError::NoSpreadColumn(draft.listed()));
    }
    Ok(draft)
}

/// Returns the price columns, if the user chooses some; others of the same kind stay as detected.
fn prices(column: &impl Fn(ColumnRole) -> Option<usize>, recognized: Option<PriceColumns>) -> Option<PriceColumns> {
    let roles = [ColumnRole::Open, ColumnRole::High, ColumnRole::Low, ColumnRole::Close];
    let bids = [0, 1, 2, 3].map(ColumnRole::BidBar);
    let asks = [0, 1, 2, 3].map(ColumnRole::AskBar);
    let any = |roles: &[ColumnRole]| roles.iter().any(|role| column(*role).is_some());
    let four = |roles: [ColumnRole; 4], before: Option<[usize; 4]>| {
        let mut found = before.unwrap_or_default();
        for (place, role) in found.iter_mut().zip(roles) {
            match (column(role), before) {
                (Some(chosen), _) => *place = chosen,
                (None, Some(_)) => {}
                (None, None) => return None,
            }
        }
        Some(found)
    };
    let (bar, quote_bar, quote) = match recognized {
        Some(PriceColumns::Bar(bar)) => (Some(bar), None, None),
        Some(PriceColumns::QuoteBar(bids, asks)) => (None, Some((bids, asks)), None),
        Some(PriceColumns::Quote(bid, ask)) => (None, None, Some((bid, ask))),
        _ => (None, None, None),
    };
    if any(&roles) {
        four(roles, bar).map(PriceColumns::Bar)
    } else if any(&bids) || any(&asks) {
        let bids = four(bids, quote_bar.map(|(bids, _)| bids))?;
        Some(PriceColumns::QuoteBar(bids, four(asks, quote_bar.map(|(_, asks)| asks))?))
    } else if any(&[ColumnRole::Bid, ColumnRole::Ask]) {
        let bid = column(ColumnRole::Bid).or(quote.map(|(bid, _)| bid))?;
        Some(PriceColumns::Quote(bid, column(ColumnRole::Ask).or(quote.map(|(_, ask)| ask))?))
    } else if let Some(price) = column(ColumnRole::Price) {
        Some(PriceColumns::Last(price))
    } else {
        recognized
    }
}
