//! Massive's (formerly Polygon's) WebSocket: currency pairs with bid and ask, and optionally the values of cash
//! indices. Each cluster is a source with its own connection. Massive allows one connection for each key and cluster,
//! and closes the *older* one. Two programs with one key would disconnect each other forever, so a source that gets
//! this status stops.
//!
//! Channels are subscribed one by one, because a rejection does not name the channel, and an unknown channel gets no
//! answer. Frames go into the pipeline's bounded channel as they arrive. While that is full, the source does not read
//! from the connection, and Massive may close it.

mod client;
mod doctor;
mod messages;
mod parse;
mod settings;

pub use client::{Cluster, Massive, Options};
pub use settings::MassiveSettings;
