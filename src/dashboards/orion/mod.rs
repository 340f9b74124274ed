//! ORION.

pub(crate) mod stream;
pub mod wire;
