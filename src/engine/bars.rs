//! One-minute bars, built from the ticks as they arrive.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::{Bar, BarInterval, Instrument, Symbol, Tick};

/// The bar that each instrument is in, and those that ended since they were last asked for.
#[derive(Debug, Default)]
pub(super) struct BarBuilder {
    forming: BTreeMap<Symbol, (Bar, bool)>,
    ended: Vec<Bar>,
}

impl BarBuilder {
    /// Takes a tick in at the time of its arrival: a sender's own clock cannot bend the bars.
    pub(super) fn take(&mut self, instrument: &Instrument, tick: &Tick, at: DateTime<Utc>) {
        let price = instrument.round(tick.quote.mid());
        let volume = tick.volume.unwrap_or(0.0);
        let opened_at = BarInterval::OneMinute.floor(at);
        let opening = || Bar::opening(tick.symbol.clone(), opened_at, price, volume);
        match self.forming.get_mut(&tick.symbol) {
            // A clock that went back continues the bar it was in.
            Some((bar, changed)) if opened_at <= bar.opened_at => {
                bar.update(price, volume);
                *changed = true;
            }
            Some((bar, changed)) => {
                let ended = std::mem::replace(bar, opening());
                *changed = true;
                self.ended.push(ended);
            }
            None => {
                self.forming.insert(tick.symbol.clone(), (opening(), true));
            }
        }
    }

    /// Ended bars, then the forming ones that changed.
    pub(super) fn take_changed(&mut self) -> Vec<Bar> {
        let mut bars = std::mem::take(&mut self.ended);
        for (bar, changed) in self.forming.values_mut() {
            if std::mem::take(changed) {
                bars.push(bar.clone());
            }
        }
        bars
    }
}
