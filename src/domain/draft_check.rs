//! What a draft makes of a signal: the same rules for a push and for its dry run.

use std::time::Duration;

use super::{
    Contradiction, Fault, Instruments, LevelLimits, Now, Rejection, Signal, SignalDraft, SignalId, SourceName, Symbol,
};

/// What a draft is checked against.
#[derive(Debug, Clone, Copy)]
pub struct DraftCheck<'a> {
    /// The signal that has the draft's id.
    pub known: Option<&'a Signal>,
    /// The catalogue.
    pub instruments: &'a Instruments,
    /// The limits for levels.
    pub limits: LevelLimits,
}

impl<'a> DraftCheck<'a> {
    /// Returns the symbol that the draft is about.
    ///
    /// # Errors
    /// When neither the known signal nor the draft has one.
    pub fn symbol(&self, id: &SignalId, draft: &'a SignalDraft) -> Result<&'a Symbol, Rejection> {
        let symbol = self.known.map(|signal| &signal.symbol).or(draft.symbol.as_ref());
        symbol.ok_or_else(|| {
            if draft.has_content() || draft.status.is_none() {
                Rejection::Faults(missing(draft))
            } else {
                Rejection::UnknownSignal(id.clone())
            }
        })
    }

    /// Returns the signal after the draft, or `None` when the draft changes nothing. Levels of a draft without an entry are
    /// compared with `last_price`; a new signal lives for `ttl`.
    ///
    /// # Errors
    /// [`Rejection`] when the draft is incomplete, or contradicts itself or the known signal.
    pub fn apply(
        &self,
        id: &SignalId,
        draft: &SignalDraft,
        source: SourceName,
        last_price: Option<f64>,
        (now, ttl): (Now, Duration),
    ) -> Result<Option<Signal>, Rejection> {
        let symbol = self.symbol(id, draft)?;
        let instrument = self
            .instruments
            .get(symbol)
            .ok_or_else(|| Rejection::Faults(vec![Fault::new("symbol", format!("{symbol} is not served any more"))]))?;
        let far = self.limits.faults(draft, self.known, instrument, last_price);
        let Some(signal) = self.known else {
            if draft.direction.is_none() {
                return Err(Rejection::Faults(missing(draft)));
            }
            return match Signal::create(id.clone(), draft, instrument, source, now, ttl) {
                Ok(signal) if far.is_empty() => Ok(Some(signal)),
                made => Err(Rejection::Faults(LevelLimits::joined(far, made.err().unwrap_or_default()))),
            };
        };
        match signal.amend(draft, instrument, now) {
            Ok(Some(_)) if !far.is_empty() => Err(Rejection::Faults(far)),
            Err(Contradiction::Faults(faults)) => Err(Rejection::Faults(LevelLimits::joined(far, faults))),
            amended => Ok(amended?),
        }
    }
}

fn missing(draft: &SignalDraft) -> Vec<Fault> {
    let fields = [("symbol", draft.symbol.is_none()), ("direction", draft.direction.is_none())];
    let missing = fields.into_iter().filter(|(_, is_missing)| *is_missing);
    missing.map(|(field, _)| Fault::required_for_signal(field)).collect()
}
