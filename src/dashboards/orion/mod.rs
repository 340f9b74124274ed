//! ORION.

pub(crate) mod stream;
