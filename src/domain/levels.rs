//! Detects levels of signals that cannot be prices.

use super::{Direction, Fault, Instrument, InstrumentClass, Signal, SignalDraft};

/// The maximum distance of a level from the entry. Some senders send distances (points, pips, multiples of an average
/// range) instead of prices. A stop of 30 for gold at 4,050 is on the right side of the entry, but every statistic
/// based on it would be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelLimits {
    /// The maximum distance of a stop from the entry, in percent of the entry; 1 to 100.
    pub max_stop_percent: f64,
}

/// A target may be this many times further away than a stop.
const TARGET_FACTOR: f64 = 2.0;
/// A level on the wrong side of the entry counts as a distance only beyond this ratio. Below it, the side is the error.
const WRONG_SIDE_RATIO: f64 = 2.0;
/// The same factor for crypto-currencies and shares, whose prices can double.
const VOLATILE_TARGET_FACTOR: f64 = 10.0;

impl Default for LevelLimits {
    fn default() -> Self {
        Self { max_stop_percent: 20.0 }
    }
}

impl LevelLimits {
    /// Returns faults for stops and targets of `draft` that are too far from the entry to be prices. Without an entry
    /// they are compared with `last_price`; without both they are not checked. `known` is the signal that the draft
    /// changes; its unchanged levels are not checked again.
    pub fn faults(
        &self,
        draft: &SignalDraft,
        known: Option<&Signal>,
        instrument: &Instrument,
        last_price: Option<f64>,
    ) -> Vec<Fault> {
        let round_from_source = |price: f64| instrument.round_from_source(price);
        let entry = draft.entry_price.map(round_from_source).or(known.and_then(|known| known.entry_price));
        let stop = draft.stop_loss.map(round_from_source).or(known.and_then(|known| known.stop_loss));
        let drafted =
            draft.take_profits.as_ref().map(|targets| targets.iter().copied().map(round_from_source).collect());
        let targets: Vec<f64> = drafted.or_else(|| known.map(|known| known.take_profits.clone())).unwrap_or_default();
        let is_same =
            |known: &Signal| (known.entry_price, known.stop_loss, &known.take_profits) == (entry, stop, &targets);
        if known.is_some_and(is_same) {
            return Vec::new();
        }
        let Some(reference) = entry.or(last_price).filter(|price| *price > 0.0) else { return Vec::new() };
        let percent = |level: f64| (level - reference).abs() / reference * 100.0;
        let from = if entry.is_some() { "entry" } else { "last price" };
        let looks_like_a_distance = |what: &str, level: f64| {
            format!(
                "is a price; this looks like a distance (points, pips, ATR): {level} is {:.0} % away from the {from}, and \
                 signals.max_stop_distance_percent is {}; send the price of the {what}",
                percent(level),
                self.max_stop_percent
            )
        };
        let factor = match instrument.class {
            InstrumentClass::Crypto | InstrumentClass::Stock => VOLATILE_TARGET_FACTOR,
            _ => TARGET_FACTOR,
        };
        let direction = draft.direction.or(known.map(|known| known.direction)).map_or(1.0, Direction::sign);
        // `side` is -1 for a level that belongs against the direction.
        let is_far = |level: f64, side: f64, most: f64| {
            let is_on_its_side = direction * side * (level - reference) > 0.0;
            percent(level) > most && (is_on_its_side || (level / reference).max(reference / level) > WRONG_SIDE_RATIO)
        };
        let far_stop = stop.filter(|stop| is_far(*stop, -1.0, self.max_stop_percent));
        let far_target = targets.into_iter().find(|target| is_far(*target, 1.0, self.max_stop_percent * factor));
        let stop = far_stop.map(|stop| Fault::new("stop_loss", looks_like_a_distance("stop", stop)));
        let target = far_target.map(|target| Fault::new("take_profits", looks_like_a_distance("target", target)));
        stop.into_iter().chain(target).collect()
    }

    /// Appends other faults, except those of fields that are in `far` already: a level that is not a price is not also
    /// reported as on the wrong side.
    pub fn joined(mut far: Vec<Fault>, others: Vec<Fault>) -> Vec<Fault> {
        for fault in others {
            if !far.iter().any(|known| known.field == fault.field) {
                far.push(fault);
            }
        }
        far
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Instruments, Symbol};

    fn faults(symbol: &str, draft: &SignalDraft, last_price: Option<f64>) -> Vec<String> {
        let catalogue = Instruments::new(Instruments::documented()).unwrap();
        let instrument = catalogue.get(&Symbol::new(symbol)).unwrap();
        let faults = LevelLimits::default().faults(draft, None, instrument, last_price);
        faults.into_iter().map(|fault| fault.field).collect()
    }

    fn draft(entry: Option<f64>, stop: f64, target: f64) -> SignalDraft {
        SignalDraft {
            direction: Some(Direction::Long),
            entry_price: entry,
            stop_loss: Some(stop),
            take_profits: Some(vec![target]),
            ..SignalDraft::default()
        }
    }

    #[test]
    fn a_distance_is_not_accepted_as_a_price() {
        assert_eq!(faults("XAUUSD", &draft(Some(4050.1), 30.0, 60.0), None), ["stop_loss", "take_profits"]);
        assert_eq!(faults("EURUSD", &draft(Some(1.1601), 300.0, 600.0), None), ["stop_loss", "take_profits"]);
        assert_eq!(faults("USDJPY", &draft(Some(155.2), 100.0, 157.0), None), ["stop_loss"]);
        assert_eq!(faults("XAUUSD", &draft(Some(4050.1), 3300.0, 5500.0), None), Vec::<String>::new());
    }

    #[test]
    fn wrong_side_levels_are_no_distances() {
        assert_eq!(faults("EURUSD", &draft(Some(1.085), 2.0, 1.09), None), Vec::<String>::new());
        let short = SignalDraft { direction: Some(Direction::Short), ..draft(Some(4050.1), 30.0, 4000.0) };
        assert_eq!(faults("XAUUSD", &short, None), ["stop_loss"]);
    }

    #[test]
    fn without_an_entry_the_last_price_decides() {
        assert_eq!(faults("XAUUSD", &draft(None, 30.0, 4100.0), Some(4050.1)), ["stop_loss"]);
        assert_eq!(
            faults("XAUUSD", &draft(None, 30.0, 4100.0), None),
            Vec::<String>::new(),
            "there is nothing to compare with"
        );
    }
}
