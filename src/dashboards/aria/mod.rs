//! ARIA PRO.

pub mod catch_up;
pub mod publish;
pub(crate) mod rest;
#[cfg(test)]
mod rest_tests;
pub(crate) mod stream;
pub mod wire;
