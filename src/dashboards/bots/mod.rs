//! The bot platform.

pub mod feed;
pub mod pages;
pub mod publish;
pub(crate) mod rest;
pub mod sse;
pub(crate) mod stream;
pub mod wire;
