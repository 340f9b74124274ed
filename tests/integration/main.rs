//! The one integration binary: promises of the README, tried on real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests run their own tasks and measure time")]
#![allow(clippy::print_stderr, reason = "what a test measured is shown with --nocapture")]

mod absent;
mod abuse;
mod alerts;
mod backtesting;
mod bots;
mod clocks;
mod commands;
mod demo;
mod deploy;
mod disk;
mod doctor;
mod draining;
mod durability;
mod failover;
mod frames;
mod goldens;
mod health;
mod hostile;
mod joining;
mod leaks;
mod life;
mod limits;
mod metatrader;
mod overview;
mod personal;
mod private;
mod process;
mod providers;
mod quiet_logs;
mod rates;
mod recordings;
mod records;
mod replaying;
mod required;
mod resume;
mod rooms;
mod sentio_users;
mod slow_clients;
mod support;
mod tokens;
mod tradingview;
mod whole;
