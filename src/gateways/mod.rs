//! The ways out: transports, and one dialect for each dashboard.

pub mod dialects;
