//! The single writer: everything that happens goes through this loop, in one order.

mod handle;

pub use handle::{Accepted, Handle, Input, Rejection, Request, Stopped, SubmitError};
