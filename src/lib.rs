//! Live prices and trading signals for dashboards.
pub mod domain;
pub mod gateways;
pub mod pipeline;
pub mod sources;
pub mod tasks;
pub mod telemetry;
