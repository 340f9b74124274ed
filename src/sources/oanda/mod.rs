//! OANDA's v20 pricing stream: one endless HTTP response with a JSON object per line.
//!
//! OANDA sends a heartbeat every 5 s; after 10 s without a line the connection is dead. Each connection begins with the
//! last price of every instrument (`snapshot`), of which only new ones are delivered. Prices are not throttled: OANDA
//! sends at most four a second for each instrument. A stream with heartbeats but without prices, while one of its
//! instruments should trade, is stalled.

mod client;
mod doctor;
mod messages;
mod parse;
mod settings;

pub use client::{Oanda, Options};
pub use settings::{OandaEnvironment, OandaSettings};
