//! The query of a reading route. The answer names all invalid parameters at once.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde_json::Value;

use super::AppState;
use super::error::ApiError;
use crate::auth::{self, TokenKind};
use crate::domain::{Fault, Instruments, SignalFilter, Symbol};
use crate::ingest::PushError;
use crate::transport::command::short;

/// Maximum number of unknown parameters that an answer names.
const MAX_UNKNOWN: usize = 8;

const DRY_RUN: &str = "dry_run";
/// Maximum number of edits by which a misspelt `dry_run` differs.
const MAX_EDITS: usize = 2;

/// The query as it was sent, or the error of parsing it.
pub(crate) type RawQuery = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Reads `dry_run`: `true`, `1` or an empty value, or `false`, `0` or nothing.
///
/// # Errors
/// Any other value.
pub(super) fn dry_run(sent: Option<&str>) -> Result<bool, ApiError> {
    match sent.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(_) => Err(ApiError::BadRequest("dry_run must be true or false".to_owned())),
    }
}

/// Whether the query of a writing route has `dry_run`. Other parameters are ignored, because pushers send their own, but a
/// misspelt `dry_run` is an error: it must not write what was only to be validated.
#[derive(Debug, Clone, Copy)]
pub(super) struct DryRun(pub(super) bool);

impl FromRequestParts<AppState> for DryRun {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await?;
        let (named, others): (Vec<_>, Vec<_>) = pairs.iter().partition(|(name, _)| name == DRY_RUN);
        let misspelt = others.iter().filter(|(name, _)| is_almost_dry_run(name)).take(MAX_UNKNOWN);
        let faults: Vec<_> =
            misspelt.map(|(name, _)| Fault::new(name, "is not a parameter here: did you mean dry_run?")).collect();
        match named[..] {
            _ if !faults.is_empty() => Err(ApiError::of_faults(faults)),
            [] => Ok(Self(false)),
            [(_, value)] => dry_run(Some(value)).map(Self),
            _ => Err(ApiError::BadRequest("dry_run must be sent once".to_owned())),
        }
    }
}

impl DryRun {
    /// Sets `dry_run` in the body if the query has it.
    pub(super) fn set_in(self, body: &mut Value) {
        if let Some(object) = body.as_object_mut().filter(|_| self.0) {
            object.insert(DRY_RUN.to_owned(), true.into());
        }
    }
}

/// Whether a name differs from `dry_run` by at most two edits: `dry_rum`, `dryRun`, `dry-run`.
fn is_almost_dry_run(name: &str) -> bool {
    strsim::levenshtein(&name.to_ascii_lowercase(), DRY_RUN) <= MAX_EDITS
}

/// Proof that the request has read access.
#[derive(Debug)]
pub(crate) struct ReadAccess;

impl FromRequestParts<AppState> for ReadAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // Where no token is required, a malformed `Authorization` header is ignored.
        let token = auth::bearer(&parts.headers);
        match state.tokens.reader(token.unwrap_or_default()) {
            Ok(_) => Ok(Self),
            Err(refused) => {
                let error = token.err().unwrap_or(refused);
                Err(ApiError::Token(TokenKind::of_reader(error), error))
            }
        }
    }
}

/// The parameters of a query, and the faults found so far. Unknown parameters are ignored; empty ones count as absent.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Params {
    pub(crate) fn new(query: RawQuery) -> Result<Self, ApiError> {
        Ok(Self { pairs: query?.0, faults: Vec::new() })
    }

    /// Reads a parameter; `expected` describes a valid value for the error text.
    pub(crate) fn read<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.faults.push(Fault::new(name, format!("must be {expected}")));
        }
        read
    }

    /// Reads `limit`, from 1 to `max`.
    pub(crate) fn limit(&mut self, default: usize, max: usize) -> usize {
        let within = |text: &str| text.parse().ok().filter(|limit| (1..=max).contains(limit));
        self.read("limit", &format!("a number from 1 to {max}"), within).unwrap_or(default)
    }

    /// Reads `symbol` in any spelling.
    pub(crate) fn symbol(&mut self, instruments: &Instruments) -> Option<Symbol> {
        match instruments.resolve(self.get("symbol")?) {
            Ok(instrument) => Some(instrument.symbol.clone()),
            Err(unknown) => {
                self.faults.push(Fault::unknown_symbol("symbol", &unknown));
                None
            }
        }
    }

    /// Adds a fault if a required parameter is absent.
    pub(crate) fn require(&mut self, name: &str) {
        if self.get(name).is_none() {
            self.faults.push(Fault::required(name));
        }
    }

    /// Reads the filters of signals; `None` without any.
    pub(crate) fn filter(&mut self) -> Option<SignalFilter> {
        let mut filter = SignalFilter::default();
        for name in SignalFilter::names() {
            let values: Vec<_> = self.pairs.iter().filter(|(key, value)| key == name && !value.is_empty()).collect();
            if values.is_empty() {
                continue;
            }
            let values: serde_json::Value = values.into_iter().map(|(_, value)| value.as_str()).collect();
            if let Err(reason) = filter.set(name, &values) {
                self.faults.push(Fault::new(name, reason));
            }
        }
        Some(filter).filter(|filter| !filter.is_empty())
    }

    /// Also takes `single` as a value of `filter`.
    pub(crate) fn also(&mut self, single: &str, filter: &str) {
        self.pairs.iter_mut().filter(|(name, _)| name == single).for_each(|(name, _)| filter.clone_into(name));
    }

    /// Adds a fault for each parameter that is none of these, and no filter either.
    pub(crate) fn allow_only(&mut self, known: &[&str]) {
        let names = self.pairs.iter().map(|(name, _)| name.as_str());
        let unknown = names.filter(|name| !known.contains(name) && !SignalFilter::has(name)).take(MAX_UNKNOWN);
        let faults: Vec<_> = unknown.map(|name| Fault::new(short(name), SignalFilter::unknown())).collect();
        self.faults.extend(faults);
    }

    /// Finishes reading.
    ///
    /// # Errors
    /// All faults that were found.
    pub(crate) fn finish(self) -> Result<(), PushError> {
        PushError::of_faults(self.faults).map_or(Ok(()), Err)
    }

    /// Returns a parameter as it was sent, even if it is empty.
    pub(crate) fn sent(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns a parameter as it was sent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}
