//! Live prices and trading signals for dashboards.
pub mod domain;
pub mod gateways;
pub mod pipeline;
pub mod store;
pub mod tasks;
pub mod telemetry;
