//! The one integration binary: promises of the README, tried on real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod durability;
mod harness;
mod resume;
mod rooms;
