//! Starts orion-server.
fn main() {}
