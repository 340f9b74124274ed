//! Pushed signals: as JSON, and as text from a chat.

pub(super) mod parse;
pub(super) mod pasted;
mod targets;

use std::time::Duration;

use serde_json::Value;

use super::fields::SentNames;
use super::{Answered, Push, PushError, SOURCE, SignalAnswer};
use crate::domain::{
    Accepted, DraftCheck, Fault, Feed, Input, Now, Signal, SignalDraft, SignalId, SignalStatus, SourceName, iso,
};

use parse::{PushedEnd, PushedSignal, parse_signal, read_dry_run};

impl Push {
    /// Receives a signal: a new one, a change of a pending one, or an end. `Ok` means that it is durable and published,
    /// except for a dry run, which is only validated.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn signal(&self, value: &Value) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_signal(value, &SourceName::new(SOURCE)).await)
    }

    /// Receives a signal as text from a chat, and answers how it was interpreted. Without an `id`, the id is derived
    /// from the text and the day, so that the same text is one signal for that day.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn pasted(
        &self,
        text: &str,
        id: Option<&str>,
        dry_run: bool,
    ) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_pasted(text, id, dry_run).await)
    }

    /// Receives a signal from another source, under the name of that source.
    pub(super) async fn signal_from(
        &self,
        source: &SourceName,
        value: &Value,
    ) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_signal(value, source).await)
    }

    /// Ends a signal: `{"status":"confirmed"}` or `{"status":"invalidated","reason"?}`.
    ///
    /// # Errors
    /// [`PushError`]; nothing was published then.
    pub async fn update(&self, id: &str, value: &Value) -> Result<Answered<SignalAnswer>, PushError> {
        self.noted("signal", self.accept_end(id, value).await)
    }

    /// Reads the `signal` of a body as a push does, without storing it. Returns it, if the body has one, and whether `dry_run` is
    /// set.
    ///
    /// # Errors
    /// [`PushError`] with every fault.
    pub fn described_signal(&self, value: &Value) -> Result<(Option<Signal>, bool), PushError> {
        if value.get("signal").is_none_or(Value::is_null) {
            return Ok((None, read_dry_run(value)?));
        }
        let mut value = value.clone();
        // The id plays no role, and a test has none.
        if let Some(signal) = value.get_mut("signal").and_then(Value::as_object_mut) {
            signal.entry("id").or_insert_with(|| "test".into());
        }
        let PushedSignal { id, draft, dry_run, sent_names, .. } = parse_signal(&value, &self.instruments)?;
        let instrument = draft.symbol.as_ref().and_then(|symbol| self.instruments.get(symbol));
        let missing = || PushError::Invalid(vec![Fault::required_for_signal("symbol")]);
        let (now, source) = (Now { wall: (self.clock)(), mono: Duration::ZERO }, SourceName::new(SOURCE));
        let signal = Signal::create(id, &draft, instrument.ok_or_else(missing)?, source, now, Duration::ZERO);
        signal.map(|signal| (Some(signal), dry_run)).map_err(|faults| PushError::named(faults, &sent_names))
    }

    async fn accept_signal(&self, value: &Value, source: &SourceName) -> Result<Answered<SignalAnswer>, PushError> {
        let PushedSignal { id, draft, dry_run, ignored, sent_names } = parse_signal(value, &self.instruments)?;
        let stored = if dry_run {
            (self.rehearse(&id, &draft, &sent_names).await?, false)
        } else {
            self.submit_signal(&id, draft, source, &sent_names).await?
        };
        Ok(Answered::new(self.signal_answer(&id, stored, dry_run), ignored))
    }

    async fn accept_pasted(
        &self,
        text: &str,
        id: Option<&str>,
        dry_run: bool,
    ) -> Result<Answered<SignalAnswer>, PushError> {
        let read = pasted::read(text, &self.instruments)?;
        let id = match id {
            Some(id) => id.to_owned(),
            None => read.id_of_day((self.clock)()).to_string(),
        };
        let mut signal = read.signal();
        signal["id"] = id.into();
        signal["dry_run"] = dry_run.into();
        let answered = self.accept_signal(&signal, &SourceName::new(SOURCE)).await?;
        Ok(Answered { read_as: Some(read.described()), ignored: read.ignored, ..answered })
    }

    async fn accept_end(&self, id: &str, value: &Value) -> Result<Answered<SignalAnswer>, PushError> {
        let PushedEnd { draft, dry_run, ignored } = parse::parse_end_of(value)?;
        let id = SignalId::new(id).ok_or(PushError::UnknownSignal)?;
        let stored = if dry_run {
            (self.rehearse(&id, &draft, &SentNames::default()).await?, false)
        } else {
            self.submit_signal(&id, draft, &SourceName::new(SOURCE), &SentNames::default()).await?
        };
        Ok(Answered::new(self.signal_answer(&id, stored, dry_run), ignored))
    }

    /// Checks a signal as the pipeline would, against the signal that has its id and the last price, and changes nothing.
    async fn rehearse(
        &self,
        id: &SignalId,
        draft: &SignalDraft,
        sent_names: &SentNames,
    ) -> Result<SignalStatus, PushError> {
        let found = (self.lookup)(id.clone(), draft.symbol.clone()).await.map_err(PushError::NotStored)?;
        let known = found.signal.as_ref();
        let check = DraftCheck { known, instruments: &self.instruments, limits: self.level_limits };
        let now = Now { wall: (self.clock)(), mono: Duration::ZERO };
        let made = check.apply(id, draft, SourceName::new(SOURCE), found.last_price, (now, Duration::ZERO));
        let made = made.map_err(|rejection| PushError::submitting(rejection.into(), sent_names))?;
        Ok(made.as_ref().or(known).map_or(SignalStatus::Pending, |signal| signal.state.status()))
    }

    /// Stores a signal. Returns its state, and whether a message about it goes to LINE.
    async fn submit_signal(
        &self,
        id: &SignalId,
        draft: SignalDraft,
        source: &SourceName,
        sent_names: &SentNames,
    ) -> Result<(SignalStatus, bool), PushError> {
        let said = draft.status.unwrap_or(SignalStatus::Pending);
        let input = Input::Signal { id: id.clone(), draft: Box::new(draft), source: source.clone(), feed: Feed::Live };
        match self.submit(input, sent_names).await? {
            Accepted::Signal(signal) => Ok((signal.state.status(), (self.notified)(&signal))),
            Accepted::Ticks(_) | Accepted::RelayedMessage | Accepted::Noted => Ok((said, false)),
        }
    }

    fn signal_answer(&self, id: &SignalId, (status, line_sent): (SignalStatus, bool), dry_run: bool) -> SignalAnswer {
        SignalAnswer {
            success: true,
            message: "Signal received successfully",
            signal_id: id.to_string(),
            status: status.name(),
            dry_run,
            line_sent,
            timestamp: iso((self.clock)()),
        }
    }
}
