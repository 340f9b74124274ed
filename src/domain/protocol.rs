//! The version of the interface: of the routes, the messages and the cursors. `docs/messages.md` says what may change
//! within a version.

/// The version that this server speaks.
pub const PROTOCOL: u32 = 1;
