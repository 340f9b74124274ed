//! Declares metrics: the macro that makes a struct of a table, and what it needs to create and register each of them.

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::MetricsError;

/// Builds a struct of metrics. Each field is declared once: its name is the metric's name, its documentation the metric's help,
/// and the list behind its type the labels, or the buckets of a histogram. The fields in front of the semicolon are no metrics.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        pub struct $Metrics:ident {
            $($(#[$doc:meta])* $vis:vis $other:ident: $Other:ty,)*
            ;
            $($(#[doc = $help:literal])+ $name:ident: $Kind:ident $(($($detail:expr),+))?,)+
        }
    ) => {
        $(#[$about])*
        pub struct $Metrics {
            $($(#[$doc])* $vis $other: $Other,)*
            $($(#[doc = $help])+ pub $name: $Kind,)+
        }

        impl $Metrics {
            /// Declares all metrics.
            ///
            /// # Errors
            /// When two metrics have the same name.
            pub fn new() -> Result<Self, MetricsError> {
                let registry = Registry::new();
                Ok(Self {
                    $($name: declare(&registry, stringify!($name), concat!($($help),+), &[$($($detail),+)?])?,)+
                    registry,
                    ..
                })
            }
        }
    };
}
