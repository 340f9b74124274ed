//! The server's own state for the performance page. The server tracks no models, so the counts of models are zero.

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::encode;
use crate::domain::number::{number, optional};
use crate::telemetry::Usage;

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// The load of the machine: `GET /monitoring/metrics`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Usage)]
pub struct UsageObject {
    /// Of this process, in percent of all processors.
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    cpu_usage: Option<f64>,
    /// Of the machine, in percent.
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    memory_usage: Option<f64>,
}

impl From<Usage> for UsageObject {
    fn from(usage: Usage) -> Self {
        Self {
            cpu_usage: usage.cpu_percent.map(tenths),
            memory_usage: usage.available_percent.map(|available| tenths(100.0 - available)),
        }
    }
}

/// `metrics` of `system_metrics`. The page reads `system.memory` without checking that it is present.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::SystemMetrics)]
pub struct MetricsObject {
    system: SystemObject,
    models_tracked: u32,
    total_inferences: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::System)]
struct SystemObject {
    #[serde(serialize_with = "number")]
    uptime_seconds: f64,
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    cpu_percent: Option<f64>,
    memory: MemoryObject,
    #[schema(required)]
    threads: Option<u64>,
    #[schema(required)]
    open_files: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Memory)]
struct MemoryObject {
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    rss_mb: Option<f64>,
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    vms_mb: Option<f64>,
    #[serde(serialize_with = "optional")]
    #[schema(required)]
    available_percent: Option<f64>,
}

impl From<Usage> for MetricsObject {
    fn from(usage: Usage) -> Self {
        let megabytes = |bytes: u64| tenths(bytes as f64 / MEGABYTE);
        let memory = MemoryObject {
            rss_mb: usage.resident_bytes.map(megabytes),
            vms_mb: usage.virtual_bytes.map(megabytes),
            available_percent: usage.available_percent.map(halves),
        };
        let system = SystemObject {
            uptime_seconds: tenths(usage.uptime.as_secs_f64()),
            cpu_percent: usage.cpu_percent.map(tenths),
            memory,
            threads: usage.threads,
            open_files: usage.open_files,
        };
        Self { system, models_tracked: 0, total_inferences: 0 }
    }
}

/// `GET /monitoring/performance/metrics`: `system` is the whole of `metrics`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::Performance)]
pub struct PerformanceObject {
    system: MetricsObject,
    #[schema(value_type = Object)]
    models: Map<String, Value>,
    #[schema(value_type = Object)]
    symbols: Map<String, Value>,
    #[schema(value_type = Object)]
    thresholds: Map<String, Value>,
}

impl From<Usage> for PerformanceObject {
    fn from(usage: Usage) -> Self {
        Self { system: usage.into(), models: Map::new(), symbols: Map::new(), thresholds: Map::new() }
    }
}

/// What the performance page gets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = aria::PerformanceFrame)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::dashboards::aria) enum SystemMetricsFrame<'a> {
    /// The load of this process.
    SystemMetrics { metrics: &'a MetricsObject, timestamp: &'a str },
}

/// Encodes the frame of the performance page.
pub fn system_metrics(usage: Usage, timestamp: &str) -> Utf8Bytes {
    encode(&SystemMetricsFrame::SystemMetrics { metrics: &usage.into(), timestamp })
}

/// Rounds to halves. The page prints `100 - available_percent` unrounded, and treats 0 as unknown. 100 − 93.1 is
/// 6.900000000000006; with a half it is exact.
fn halves(percent: f64) -> f64 {
    ((percent * 2.0).round() / 2.0).clamp(0.5, 100.0)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
