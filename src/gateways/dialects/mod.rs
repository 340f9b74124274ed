//! The wire formats of the dashboards: pure functions from an event to its encoding. The names of a dialect's fields
//! are used only in its own files.

pub mod aria;
pub mod bots;
pub mod orion;
pub mod published;
pub mod sentio;
pub mod shape;
