//! The query of a reading route: every bad parameter is named at once.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use http::request::Parts;

use super::AppState;
use super::error::ApiError;
use crate::auth::{self, TokenKind};
use crate::domain::{Fault, Instruments, Symbol};
use crate::sources::push::PushFault;

/// The query as it was sent, or what was wrong with it.
pub(super) type RawQuery = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Proof that the request may read.
#[derive(Debug)]
pub(super) struct Reader;

impl FromRequestParts<AppState> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // Where no token is needed, a strange header does no harm.
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

/// The parameters of a query, and what was found wrong with them. Unknown ones are ignored, empty ones are absent.
#[derive(Debug)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
    unknown_symbols: usize,
}

impl Params {
    pub(super) fn new(query: RawQuery) -> Result<Self, ApiError> {
        Ok(Self { pairs: query?.0, faults: Vec::new(), unknown_symbols: 0 })
    }

    /// Reads a parameter; `expected` says what it must be.
    pub(super) fn read<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.faults.push(Fault::new(name, format!("must be {expected}")));
        }
        read
    }

    /// Reads `limit`, from 1 to `max`.
    pub(super) fn limit(&mut self, default: usize, max: usize) -> usize {
        let within = |text: &str| text.parse().ok().filter(|limit| (1..=max).contains(limit));
        self.read("limit", &format!("a number from 1 to {max}"), within).unwrap_or(default)
    }

    /// Reads `symbol` in any spelling.
    pub(super) fn symbol(&mut self, instruments: &Instruments) -> Option<Symbol> {
        match instruments.resolve(self.get("symbol")?) {
            Ok(instrument) => Some(instrument.symbol.clone()),
            Err(unknown) => {
                self.unknown_symbols += 1;
                self.faults.push(Fault::new("symbol", unknown.to_string()));
                None
            }
        }
    }

    /// Names a parameter that has to be there.
    pub(super) fn require(&mut self, name: &str) {
        if self.get(name).is_none() {
            self.faults.push(Fault::new(name, "is required"));
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish(self) -> Result<(), PushFault> {
        PushFault::of(self.faults, self.unknown_symbols).map_or(Ok(()), Err)
    }

    /// A parameter as it was sent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}
