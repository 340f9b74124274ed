//! The domain: instruments, prices, bars, signals and time, as plain data with their rules.
//!
//! This module does no I/O and uses no other module of the crate. Every other module may use it.

mod bar;
mod builtin;
mod calibration;
mod catalogue;
mod clocks;
mod costs;
mod delay;
mod draft_check;
mod error_code;
mod event;
mod fault;
mod filter;
mod holidays;
mod input;
mod instrument;
mod killzone;
mod levels;
mod message;
mod notice;
pub mod number;
mod outcome;
mod presence;
mod price;
mod printed_time;
mod protocol;
mod recomputation;
mod recording;
mod session;
mod setup;
mod signal;
mod signal_state;
mod sizing;
mod spelling;
mod stats;
mod tick_order;
mod time;
mod venue;

pub use bar::{Bar, BarInterval, Candle, aggregate};
pub use calibration::{AppliedCalibration, CalibrationMap, CalibrationPoint};
pub use catalogue::{Instruments, InstrumentsError, UnknownSymbol};
pub use clocks::{new_york, weeks_apart};
pub use costs::{Cost, CostAmount, CostTable, EntryOrder, TradingCosts};
pub use delay::Delay;
pub use draft_check::DraftCheck;
pub use error_code::ErrorCode;
pub use event::{Class, Cursor, CursorError, Event, Position, StateKey};
pub use fault::{Fault, FaultKind};
pub use filter::SignalFilter;
pub use input::{Accepted, Input, Rejection};
pub use instrument::{Instrument, InstrumentClass, Symbol};
pub use killzone::Killzone;
pub use levels::LevelLimits;
pub use message::{Audience, MessageType, PrunedMessages, RelayedMessage, UserNote};
pub use notice::{NoticeLanguage, NoticeStep, NoticeTemplate, QuietHours, ZoneName};
pub use outcome::{NetResult, OutcomeClass, Progress, TradeOutcome, shares};
pub use presence::Presence;
pub use price::{DayRange, Feed, PriceUpdate, Quality, Quote, SourceName, Tick, TickFault, UsedTick};
pub use protocol::PROTOCOL;
pub use recomputation::{
    Difference, DifferenceKind, DifferenceReason, KeptEntry, Recomputation, RecomputedSignal, StoredDay,
};
pub use recording::{
    BarLabel, ColumnChoice, ColumnNames, ColumnRole, DateOrder, PriceSide, RecordingOptions, Spread, Timezone,
    UnknownTimezone, parse_offset,
};
pub use session::{Session, trading_day};
pub use setup::{BlackoutWindow, SetupKind, SetupRules, Target};
pub use signal::{Change, Contradiction, Signal, SignalDraft};
pub use signal_state::{Direction, Invalidation, SignalId, SignalState, SignalStatus};
pub use sizing::{Contract, PositionSize};
pub use stats::{Breakdown, BreakdownBuilder, FEW, NetStats, RateEstimate, Stats};
pub use tick_order::{FilterReason, TickOrder};
pub use time::{Now, WallClock, iso, parse_epoch_millis, parse_time};
