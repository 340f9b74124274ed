//! Every setting, one struct per concern, with its default in the field's doc.
//!
//! Settings come from the defaults, then a TOML file, then the environment; they are validated as a whole and do not
//! change after that.

mod secret;
mod settings;

pub use secret::Secret;
pub use settings::{
    Auth, Data, Heartbeat, InstrumentEntry, InstrumentSet, Log, LogFormat, Publish, ReadAuth, Replay, ReplaySpeed, Server,
    Settings, Signals, Simulator, Socketio, SourceKind,
};
