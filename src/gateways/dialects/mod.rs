//! The words of each dashboard: pure functions from an event to its wire form. Nothing outside of a dialect's file knows
//! the names of its fields.

pub mod aria;
pub mod bots;
pub mod orion;
pub mod published;
pub mod sentio;
pub mod shape;
