//! Sentio 2.0.

pub mod publish;
pub(crate) mod rest;
pub(crate) mod stream;
pub mod wire;
