//! The single writer: everything that happens goes through this loop, in one order.

mod handle;

pub use crate::domain::{Accepted, Input, Rejection};
pub use handle::{Handle, Request, Stopped, SubmitError};
