//! The error of every push, by whatever way it comes.

use serde_json::{Map, Value, json};

use super::fields::SentNames;
use super::messages::ErrorBody;
use crate::domain::{Contradiction, Fault, FaultKind, Rejection, SignalStatus, Symbol};
use crate::pipeline::SubmitError;

/// How many names a sentence lists; the details contain all of them.
const MAX_NAMED: usize = 10;

/// Why a push failed. The texts are for the sender.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PushError {
    /// Only the symbol is unknown, or the symbols of a batch. The faults have the sender's field names.
    #[error("{}", sentence(.0, true))]
    UnknownSymbol(Vec<Fault>),
    /// The body is invalid. All faults at once, with the sender's field names.
    #[error("{}", sentence(.0, false))]
    Invalid(Vec<Fault>),
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
    /// Creates the error from faults; `None` without faults.
    pub fn of_faults(faults: Vec<Fault>) -> Option<Self> {
        let only_unknown = faults.iter().all(|fault| fault.kind == FaultKind::UnknownSymbol);
        let error = if only_unknown { Self::UnknownSymbol } else { Self::Invalid };
        (!faults.is_empty()).then(|| error(faults))
    }

    /// Returns the error of a body that is invalid as a whole.
    pub(super) fn whole(reason: &str) -> Self {
        Self::Invalid(vec![Fault::new("body", reason)])
    }

    /// Returns the faults of the body, in reading order; none for errors of another kind.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::UnknownSymbol(faults) | Self::Invalid(faults) => faults,
            _ => &[],
        }
    }

    /// Returns the error code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownSymbol(_) => "unknown_symbol",
            Self::Invalid(_) => "validation_failed",
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
            Self::UnknownSymbol(faults) | Self::Invalid(faults) => Some(field_details(faults)),
            Self::Terminal(status) => Some(json!({ "status": status.name() })),
            _ => None,
        };
        ErrorBody { error: self.to_string(), code: self.code(), details }
    }

    /// Renames faults of the domain to the sender's field names.
    pub(super) fn named(faults: Vec<Fault>, sent_names: &SentNames) -> Self {
        Self::Invalid(faults.into_iter().map(|fault| sent_names.name(fault)).collect())
    }

    pub(super) fn submitting(error: SubmitError, sent_names: &SentNames) -> Self {
        match error {
            SubmitError::Rejected(rejection) => Self::rejected(rejection, sent_names),
            SubmitError::NotStored(reason) => Self::NotStored(reason),
            SubmitError::Overloaded => Self::Overloaded,
            SubmitError::Stopped => Self::Draining,
        }
    }

    fn rejected(rejection: Rejection, sent_names: &SentNames) -> Self {
        match rejection {
            Rejection::Faults(faults) | Rejection::Contradiction(Contradiction::Faults(faults)) => {
                Self::named(faults, sent_names)
            }
            Rejection::Contradiction(Contradiction::Terminal { status, .. }) => Self::Terminal(status),
            Rejection::UnknownSignal(_) => Self::UnknownSignal,
            Rejection::SourceReplaced(symbol) => Self::SourceReplaced(symbol),
            Rejection::TooManyPending => Self::Overloaded,
            Rejection::Replaying => Self::Replaying,
        }
    }
}

/// Returns the sentence about faults: what is missing, or what is invalid.
fn sentence(faults: &[Fault], is_unknown_symbol: bool) -> String {
    let plural = if faults.len() == 1 { "" } else { "s" };
    let missing = faults.iter().all(|fault| fault.kind == FaultKind::Missing);
    match faults {
        _ if missing => format!("Missing required field{plural}: {}", names(faults)),
        [fault] if is_unknown_symbol => format!("U{}", fault.reason.trim_start_matches('u')),
        [fault] => format!("Invalid field: {} {}", fault.field, fault.reason),
        _ => format!("Invalid fields: {}", names(faults)),
    }
}

fn names(faults: &[Fault]) -> String {
    let mut names: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    names.dedup();
    match names.len().checked_sub(MAX_NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MAX_NAMED].join(", ")),
        _ => names.join(", "),
    }
}

/// Returns `{"fields":{"confidence":"must be …"}}`; several faults of a field are joined in one text.
fn field_details(faults: &[Fault]) -> Value {
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
