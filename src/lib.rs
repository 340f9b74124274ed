//! Live prices and trading signals for dashboards.
pub mod domain;
pub mod door;
pub mod gateways;
pub mod pipeline;
pub mod tasks;
pub mod telemetry;
