//! Live prices and trading signals for dashboards.
