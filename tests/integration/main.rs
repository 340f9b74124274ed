//! The one integration binary: promises of the README, tried on real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests run their own tasks and measure time")]
#![allow(clippy::print_stderr, reason = "what a test measured is shown with --nocapture")]

mod absent;
mod abuse;
mod advisories;
mod alerts;
mod aria;
mod backtesting;
mod below_a_path;
mod bots;
mod client_logs;
mod clocks;
mod cluster;
mod commands;
mod damage;
mod demo;
mod deploy;
mod disk;
mod doctor;
mod draining;
mod durability;
mod failover;
mod frames;
mod full_house;
mod gibibyte;
mod goldens;
mod health;
mod hostile;
mod hosts;
mod joining;
mod leaks;
mod life;
mod limits;
mod login_services;
mod metatrader;
mod namespaces;
mod orion_page;
mod overview;
mod personal;
mod places;
mod polling_answers;
mod polling_sessions;
mod private;
mod process;
mod providers;
mod pushing;
mod quiet_logs;
mod rates;
mod reads;
mod recordings;
mod records;
mod replaying;
mod required;
mod resume;
mod rooms;
mod sentio_users;
mod simulated_restart;
mod slow_clients;
mod support;
mod tokens;
mod tradingview;
mod whole;
mod wrong_tokens;
