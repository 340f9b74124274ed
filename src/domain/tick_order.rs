//! Filters duplicate and late ticks, which providers and terminals send after a reconnect.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Quote, Symbol, Tick};

/// A tick this far back is not late: the provider has corrected its clock.
const STRAGGLER: TimeDelta = TimeDelta::minutes(1);

/// Why a tick is filtered out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterReason {
    /// The same price at the same time as before.
    Duplicate,
    /// Older than the last tick, which had this time.
    Late(DateTime<Utc>),
}

impl FilterReason {
    /// Returns the metric label.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Late(_) => "late",
        }
    }
}

/// The last tick of every symbol. Bounded by the number of subscribed symbols.
#[derive(Debug, Default, Clone)]
pub struct TickOrder {
    last: HashMap<Symbol, (DateTime<Utc>, Quote)>,
}

impl TickOrder {
    /// Checks that a tick is new, and records it. Several different prices within one millisecond are all new.
    pub fn check(&mut self, tick: &Tick) -> Result<(), FilterReason> {
        if let Some((at, quote)) = self.last.get(&tick.symbol) {
            if tick.observed_at == *at && tick.quote == *quote {
                return Err(FilterReason::Duplicate);
            }
            if tick.observed_at < *at && *at - tick.observed_at < STRAGGLER {
                return Err(FilterReason::Late(*at));
            }
        }
        self.record(tick);
        Ok(())
    }

    /// Records a tick that was delivered.
    pub fn record(&mut self, tick: &Tick) {
        self.last.insert(tick.symbol.clone(), (tick.observed_at, tick.quote));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Feed, SourceName, parse_time};

    #[test]
    fn late_and_duplicate_ticks_are_filtered() {
        let mut order = TickOrder::default();
        let mut check = |symbol: &str, at: &str, price: f64| {
            order.check(&Tick {
                symbol: Symbol::new(symbol),
                quote: Quote::Last(price),
                volume: None,
                observed_at: parse_time(&format!("2026-01-15T{at}Z")).unwrap(),
                feed: Feed::Live,
                source: SourceName::new("test"),
            })
        };
        assert_eq!(check("EURUSD", "07:00:10.000", 1.1), Ok(()));
        assert_eq!(check("EURUSD", "07:00:10.000", 1.1), Err(FilterReason::Duplicate));
        assert_eq!(check("EURUSD", "07:00:10.000", 1.2), Ok(()), "another price in the same millisecond");
        assert_eq!(check("GBPUSD", "07:00:09.000", 1.1), Ok(()), "each symbol for itself");
        let last = parse_time("2026-01-15T07:00:10Z").unwrap();
        assert_eq!(check("EURUSD", "07:00:09.999", 1.1), Err(FilterReason::Late(last)));
        assert_eq!(check("EURUSD", "07:00:11.000", 1.2), Ok(()), "an unchanged price is still a new tick");
        assert_eq!(check("EURUSD", "06:00:00.000", 1.2), Ok(()), "a clock that was set");
        assert_eq!(check("EURUSD", "06:00:01.000", 1.3), Ok(()));
    }
}
