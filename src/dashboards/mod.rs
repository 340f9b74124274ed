//! One folder for each dashboard: its wire formats, what may be published for it, its streams and its routes.

pub mod aria;
pub mod bots;
pub mod delivery;
pub mod orion;
pub mod published;
pub mod sentio;
