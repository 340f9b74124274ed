//! What the server talks about, as plain data with its rules: instruments, prices, bars, signals and time.
//!
//! This room uses nothing else of ours and does no I/O; every other room may use it.

mod bar;
mod event;
mod holidays;
mod input;
mod instrument;
mod killzone;
pub mod number;
mod price;
mod published;
mod session;
mod signal;
mod time;

pub use bar::{Bar, BarInterval, aggregate};
pub use event::{Class, Cursor, CursorError, Event, Position, StateKey};
pub use input::{Accepted, Input, Rejection};
pub use instrument::{Instrument, InstrumentClass, Instruments, InstrumentsError, Symbol, UnknownSymbol};
pub use killzone::Killzone;
pub use price::{Feed, PriceUpdate, Quality, Quote, SourceName, Tick, TickFault};
pub use published::{Audience, Kind, Published, UnknownKind};
pub use session::Session;
pub use signal::{
    Change, Contradiction, Direction, Fault, Invalidation, Signal, SignalDraft, SignalId, SignalState, SignalStatus,
};
pub use time::{Now, iso, parse_epoch_millis, parse_time};
