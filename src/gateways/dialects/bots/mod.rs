//! The bot platform's messages: `{type, data, ts}`, as its event bus reads them and its older dashboard.
//!
//! The two clients read different envelopes: the bus `data`, the dashboard the top level or `payload`. A message that both
//! read carries what each of them looks for. `sequence` counts the ordered messages, and only they have it; it and `cursor`
//! are what a client that comes back presents.
//!
//! | ours | the bot platform's |
//! |---|---|
//! | a new signal | `decisions`, with `bot_id` and `platform` `orion` and what is known of it |
//! | prices | `live_prices` and `prices_update`, all of them every few seconds |
//! | a trade | `trades`, and `trade_executed` for the dashboard's own socket, both spellings in each |
//! | the server's own state | `system_health`, with what only the platform knows from its own messages |

mod frames;
mod health;
pub mod publish;
pub mod rest;
mod signal;
mod spelling;
#[cfg(test)]
mod tests;
mod whale;

pub use frames::{
    Closing, Mode, connected, disconnected, error, frames, health_frame, ping, pong, price_map, prices, replayed,
};
pub use health::{ServerState, system_health};
pub use signal::decision_of;
pub use spelling::{Bot, spelled};

use crate::domain::MessageType;

/// The kinds of published messages that are read here.
pub const KINDS: [MessageType; 10] = [
    MessageType::Trades,
    MessageType::Bots,
    MessageType::Balances,
    MessageType::Decisions,
    MessageType::Metrics,
    MessageType::Whale,
    MessageType::Alerts,
    MessageType::SystemHealth,
    MessageType::Wallet,
    MessageType::AiTasks,
];
