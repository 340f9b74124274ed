//! The one integration binary: promises of the README, tried on real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests run their own tasks and measure time")]
#![allow(clippy::print_stderr, reason = "what a test measured is shown with --nocapture")]

mod backtesting;
mod commands;
mod demo;
mod disk;
mod draining;
mod durability;
mod goldens;
mod harness;
mod joining;
mod life;
mod limits;
mod metatrader;
mod process;
mod replaying;
mod resume;
mod rooms;
mod slow_clients;
mod support;
mod tradingview;
mod whole;
