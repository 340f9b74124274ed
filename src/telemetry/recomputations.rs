//! The recomputations of the last days: how many of their live signals a backtest over their ticks has otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use parking_lot::RwLock;

use super::Metrics;
use crate::domain::{DifferenceReason, Recomputation};

/// The recomputations by day. Cheap to clone; the metric follows the last day.
#[derive(Debug, Clone)]
pub struct Recomputations {
    days: Arc<RwLock<BTreeMap<NaiveDate, Arc<Recomputation>>>>,
    metrics: Arc<Metrics>,
}

impl Recomputations {
    /// Maximum number of days in memory; beyond it the oldest is dropped.
    const MAX_DAYS: usize = 31;

    /// Returns an empty list that updates `orion_recompute_differences`.
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self { days: Arc::default(), metrics: Arc::clone(metrics) }
    }

    /// Adds the recomputation of a day, and replaces an earlier one of the same day.
    pub fn add(&self, recomputation: Recomputation) {
        let mut days = self.days.write();
        days.insert(recomputation.day, Arc::new(recomputation));
        while days.len() > Self::MAX_DAYS {
            days.pop_first();
        }
        let Some(last) = days.values().next_back() else { return };
        for reason in DifferenceReason::ALL {
            let count = last.counts.get(&reason).copied().unwrap_or_default();
            self.metrics.recompute_differences.with_label_values(&[reason.name()]).set(count as i64);
        }
    }

    /// Returns the recomputations, the last day first.
    pub fn days(&self) -> Vec<Arc<Recomputation>> {
        self.days.read().values().rev().cloned().collect()
    }
}
