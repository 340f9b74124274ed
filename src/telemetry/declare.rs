//! Declares metrics: the macro that makes a struct of a table, and how each kind of metric is created and registered.

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::MetricsError;

/// Defines a struct of metrics, and its `new`. A field declares its metric: the name is the metric's name, the documentation its
/// help, and what follows the type are its labels, or the buckets of a histogram. Before the metrics come fields of the struct
/// that are none: they begin empty.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        pub struct $Metrics:ident {
            registry: Registry,
            $($(#[$doc:meta])* $vis:vis $other:ident: $Other:ty,)*
        }
        $($(#[doc = $help:literal])+ $name:ident: $Kind:ident $([$($detail:expr),+])?,)+
    ) => {
        $(#[$about])*
        pub struct $Metrics {
            registry: Registry,
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
                    $($other: Default::default(),)*
                    registry,
                })
            }

            /// Returns what is declared: also of metrics that have no series yet.
            pub fn descriptions(&self) -> Vec<&Desc> {
                [$(self.$name.desc()),+].concat()
            }
        }
    };
}
pub(super) use metrics;

/// A kind of metric.
pub(super) trait Kind: Collector + Clone + Sized + 'static {
    /// What has to be said about a metric besides its name and help: its labels, or its buckets.
    type Detail;

    fn create(opts: Opts, details: &[Self::Detail]) -> Result<Self, MetricsError>;
}

/// Creates and registers a metric. The names that Prometheus has for processes stay as they are; ours begin with `orion_`.
pub(super) fn declare<K: Kind>(
    registry: &Registry,
    name: &str,
    help: &str,
    details: &[K::Detail],
) -> Result<K, MetricsError> {
    let name = if name.starts_with("process_") { name.to_owned() } else { format!("orion_{name}") };
    let metric = K::create(Opts::new(name, help.trim()), details)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

macro_rules! without_labels {
    ($($Metric:ident)+) => {
        $(impl Kind for $Metric {
            type Detail = &'static str;

            fn create(opts: Opts, _: &[Self::Detail]) -> Result<Self, MetricsError> {
                Self::with_opts(opts)
            }
        })+
    };
}
without_labels!(Counter Gauge IntCounter IntGauge);

macro_rules! with_labels {
    ($($Metric:ident)+) => {
        $(impl Kind for $Metric {
            type Detail = &'static str;

            fn create(opts: Opts, labels: &[Self::Detail]) -> Result<Self, MetricsError> {
                Self::new(opts, labels)
            }
        })+
    };
}
with_labels!(GaugeVec IntCounterVec IntGaugeVec);

impl Kind for Histogram {
    type Detail = &'static [f64];

    fn create(opts: Opts, buckets: &[Self::Detail]) -> Result<Self, MetricsError> {
        Self::with_opts(HistogramOpts::from(opts).buckets(buckets.concat()))
    }
}
