//! Live prices and trading signals for dashboards.
pub mod domain;
