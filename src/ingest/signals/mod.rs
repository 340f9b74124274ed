//! Pushed signals: as JSON, and as text from a chat.

pub(super) mod parse;
pub(super) mod pasted;
mod targets;
