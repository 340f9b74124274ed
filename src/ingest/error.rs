//! The errors of a push.

use serde_json::{Map, Value, json};

use super::fault::PushFault;
use super::fields::Written;
use super::messages::ErrorBody;
use crate::domain::{Contradiction, Fault, Rejection, SignalStatus, Symbol};
use crate::pipeline::SubmitError;

/// Why a push failed. The texts are for the sender.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PushError {
    /// The body is invalid.
    #[error(transparent)]
    Fault(#[from] PushFault),
    /// The signal has ended, and the push contradicts its end.
    #[error("The signal is {} already and cannot change any more", .0.name())]
    Terminal(SignalStatus),
    /// The signal does not exist, and the push does not create one.
    #[error("No signal has this id, and this does not make a new one")]
    UnknownSignal,
    /// Another source is active for these prices.
    #[error("{0} has prices from a real source")]
    SourceReplaced(Symbol),
    /// The push could not be stored, and nothing was published. The cause is only logged, because it can name files.
    #[error("Cannot be stored now, and was not published; please send it again later")]
    NotStored(String),
    /// The pipeline did not answer in time.
    #[error("Took too long to be stored; send it again: what is known already is not taken twice")]
    TimedOut,
    /// The queue is full, or too many signals are pending.
    #[error("The server has too much to do; please send it again later")]
    Overloaded,
    /// A recording is being replayed.
    #[error("A recording is being replayed; pushes are off meanwhile")]
    Replaying,
    /// The process is shutting down.
    #[error("The server is stopping; please send it again")]
    Draining,
}

impl PushError {
    /// Returns the error code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Fault(PushFault::UnknownSymbol(_)) => "unknown_symbol",
            Self::Fault(PushFault::Invalid(_)) => "validation_failed",
            Self::Terminal(_) => "signal_terminal",
            Self::UnknownSignal => "signal_not_found",
            Self::SourceReplaced(_) => "source_replaced",
            Self::NotStored(_) | Self::TimedOut => "not_stored",
            Self::Overloaded => "overloaded",
            Self::Replaying => "replaying",
            Self::Draining => "draining",
        }
    }

    /// Returns the error object for the sender.
    pub fn body(&self) -> ErrorBody {
        let details = match self {
            Self::Fault(fault) => Some(field_details(fault.faults())),
            Self::Terminal(status) => Some(json!({ "status": status.name() })),
            _ => None,
        };
        ErrorBody { error: self.to_string(), code: self.code(), details }
    }

    /// Renames faults of the domain to the sender's field names.
    pub(super) fn faults(faults: Vec<Fault>, written: &Written) -> Self {
        PushFault::Invalid(faults.into_iter().map(|fault| written.name(fault)).collect()).into()
    }

    pub(super) fn submitting(error: SubmitError, written: &Written) -> Self {
        match error {
            SubmitError::Rejected(rejection) => Self::rejected(rejection, written),
            SubmitError::NotStored(reason) => Self::NotStored(reason),
            SubmitError::Overloaded => Self::Overloaded,
            SubmitError::Stopped => Self::Draining,
        }
    }

    fn rejected(rejection: Rejection, written: &Written) -> Self {
        match rejection {
            Rejection::Faults(faults) | Rejection::Contradiction(Contradiction::Faults(faults)) => {
                Self::faults(faults, written)
            }
            Rejection::Contradiction(Contradiction::Terminal { status, .. }) => Self::Terminal(status),
            Rejection::UnknownSignal(_) => Self::UnknownSignal,
            Rejection::SourceReplaced(symbol) => Self::SourceReplaced(symbol),
            Rejection::TooManyPending => Self::Overloaded,
            Rejection::Replaying => Self::Replaying,
        }
    }
}

/// Returns `{"fields":{"confidence":"must be …"}}`; several faults of a field are joined in one text.
pub fn field_details(faults: &[Fault]) -> Value {
    let mut fields = Map::new();
    for fault in faults {
        match fields.get_mut(&fault.field) {
            Some(Value::String(reasons)) => {
                reasons.push_str("; ");
                reasons.push_str(&fault.reason);
            }
            _ => {
                fields.insert(fault.field.clone(), Value::String(fault.reason.clone()));
            }
        }
    }
    json!({ "fields": fields })
}
