//! Live prices and trading signals for dashboards.
pub mod cli;
pub mod config;
pub mod domain;
pub mod door;
pub mod engine;
pub mod gateways;
pub mod hub;
pub mod pipeline;
pub mod tasks;
pub mod telemetry;
