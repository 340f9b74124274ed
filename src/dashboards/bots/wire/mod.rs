//! The bot platform: `{type, data, ts}`, as its event bus and its older dashboard read it.
//!
//! The two clients read different envelopes: the bus reads `data`, the dashboard the top level or `payload`. A message
//! for both carries the fields of each. `sequence` counts the ordered messages, and only these have it; a client that
//! reconnects presents it or `cursor`.
//!
//! | ours | the bot platform's |
//! |---|---|
//! | a new signal | `decisions`, with `bot_id` and `platform` `orion` and the signal's known fields |
//! | prices | `live_prices` and `prices_update`, all of them every few seconds |
//! | a trade | `trades`, and `trade_executed` for the dashboard's own socket, both spellings in each |
//! | the server's own state | `system_health`, together with what the platform publishes in its own messages |

mod decision;
mod frames;
mod health;
pub(super) mod lists;
mod spelling;
#[cfg(test)]
mod tests;
mod whale;

pub(super) use decision::decision_of;
pub(super) use frames::{
    Closing, ENCODING, Mode, connected, disconnected, error, frames, health_frame, ping, pong, price_map, prices,
    replayed,
};
pub(super) use health::{ServerState, system_health};
pub(super) use spelling::{Bot, spelled};
