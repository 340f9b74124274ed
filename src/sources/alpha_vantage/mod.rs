//! Alpha Vantage over REST: a few calls a day, so the prices of this last resort are hours old. They are always marked
//! as delayed.
//!
//! The instruments are requested in turn, within a daily budget that survives a restart. Errors come in the body with
//! status 200, and some of them repeat the key, so no body is ever logged.

mod budget;
mod client;
mod doctor;
mod messages;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

pub use client::{AlphaVantage, Options};
pub use settings::AlphaVantageSettings;
