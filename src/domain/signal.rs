//! Signals and their life: `pending` → `confirmed` or `invalidated(reason)`. A terminal state never changes.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    AppliedCalibration, Direction, Fault, Instrument, Invalidation, Killzone, Now, SignalId, SignalState, SignalStatus,
    SourceName, Symbol,
};

/// A complete trading signal. Prices are on the instrument's grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The id, unique in the log.
    pub id: SignalId,
    /// The state.
    #[serde(flatten)]
    pub state: SignalState,
    /// The direction.
    pub direction: Direction,
    /// The instrument.
    pub symbol: Symbol,
    /// When it began, according to the sender; otherwise when it was accepted.
    pub entry_time: DateTime<Utc>,
    /// The entry price.
    pub entry_price: Option<f64>,
    /// The stop loss.
    pub stop_loss: Option<f64>,
    /// The targets, from near to far.
    pub take_profits: Vec<f64>,
    /// The label of each target, such as `TP1 30%`.
    pub tp_modes: Vec<String>,
    /// The setup in words.
    pub reason: String,
    /// The model score, 0–1; with `calibration`, what a mapping made of it.
    pub confidence: f64,
    /// The mapping that was applied to the model score, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<AppliedCalibration>,
    /// The reward of the last target in units of the risk.
    pub rr_target: f64,
    /// The window of the trading day.
    pub killzone: Killzone,
    /// The model that made it, if the sender names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The source.
    pub source: SourceName,
    /// When the server accepted it.
    pub accepted_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// The deadline of a pending signal: acceptance plus time to live.
    pub expires_at: DateTime<Utc>,
}

/// A sender's input for a signal: a new one, new content for a pending one, or its end. Absent fields stay unchanged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of `Signal`")]
pub struct SignalDraft {
    pub status: Option<SignalStatus>,
    pub invalidation: Option<Invalidation>,
    pub direction: Option<Direction>,
    pub symbol: Option<Symbol>,
    pub entry_time: Option<DateTime<Utc>>,
    pub entry_price: Option<f64>,
    pub stop_loss: Option<f64>,
    pub take_profits: Option<Vec<f64>>,
    pub tp_modes: Option<Vec<String>>,
    pub reason: Option<String>,
    pub confidence: Option<f64>,
    pub rr_target: Option<f64>,
    pub killzone: Option<Killzone>,
    pub model: Option<String>,
}

impl SignalDraft {
    /// Returns a draft that only ends a signal.
    pub fn ending(status: SignalStatus, invalidation: Option<Invalidation>) -> Self {
        Self { status: Some(status), invalidation, ..Self::default() }
    }

    /// Whether it has more than a status.
    pub fn has_content(&self) -> bool {
        *self != Self { status: self.status, invalidation: self.invalidation.clone(), ..Self::default() }
    }
}

/// Why a draft cannot be applied to an existing signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Contradiction {
    /// The signal has ended, and the draft would change it.
    #[error("signal '{id}' is {} and cannot change any more", .status.name())]
    Terminal {
        /// The signal.
        id: SignalId,
        /// How it ended.
        status: SignalStatus,
    },
    /// The content would make the signal inconsistent.
    #[error("the signal has {} invalid field(s)", .0.len())]
    Faults(Vec<Fault>),
}

/// A change of a signal, which is appended to the log and published.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The complete signal after the change.
    pub signal: Arc<Signal>,
    /// The signal before the change; `None` for a new one.
    pub previous: Option<Arc<Signal>>,
}

impl Signal {
    /// Whether it is pending, or had ended already when it was sent. Dashboards that do not get the ends of signals get
    /// only these.
    pub fn is_news(&self) -> bool {
        self.state.is_pending() || self.updated_at == self.accepted_at
    }

    /// Makes a new signal from a draft.
    ///
    /// # Errors
    /// All faults: missing fields, and levels that contradict the direction after rounding.
    pub fn create(
        id: SignalId,
        draft: &SignalDraft,
        instrument: &Instrument,
        source: SourceName,
        now: Now,
        ttl: Duration,
    ) -> Result<Self, Vec<Fault>> {
        let Some(direction) = draft.direction else {
            return Err(vec![Fault::required_for_signal("direction")]);
        };
        let entry_time = draft.entry_time.unwrap_or(now.wall);
        let blank = Self {
            id,
            state: SignalState::Pending,
            direction,
            symbol: instrument.symbol.clone(),
            entry_time,
            entry_price: None,
            stop_loss: None,
            take_profits: Vec::new(),
            tp_modes: Vec::new(),
            reason: String::new(),
            confidence: 0.0,
            calibration: None,
            rr_target: 0.0,
            killzone: Killzone::at(entry_time),
            model: None,
            source,
            accepted_at: now.wall,
            updated_at: now.wall,
            expires_at: now.wall + ttl,
        };
        let mut signal = blank.with_content(draft, instrument)?;
        if let Some(status) = draft.status {
            signal.state = draft.state(status);
        }
        Ok(signal)
    }

    /// Returns this signal after `draft`, or `None` when the draft changes nothing (a retry). All transitions by
    /// senders go through this function.
    ///
    /// # Errors
    /// [`Contradiction`] when the signal has ended and the draft would change it, or when the content is inconsistent.
    pub fn amend(&self, draft: &SignalDraft, instrument: &Instrument, now: Now) -> Result<Option<Self>, Contradiction> {
        let amended = self.with_content(draft, instrument).map_err(Contradiction::Faults)?;
        let same_content = amended == *self;
        let status = draft.status.unwrap_or(self.state.status());
        match (&self.state, status) {
            (SignalState::Pending, SignalStatus::Pending) => {
                Ok((!same_content).then_some(Self { updated_at: now.wall, ..amended }))
            }
            (SignalState::Pending, end) => Ok(Some(amended.ended(draft.state(end), now.wall))),
            (ended, status) if same_content && ended.status() == status => Ok(None),
            // A retry of the push that made the signal, because the sender lost the answer.
            (_, SignalStatus::Pending) if same_content && draft.has_content() => Ok(None),
            (ended, _) => Err(Contradiction::Terminal { id: self.id.clone(), status: ended.status() }),
        }
    }

    /// Returns this signal with a terminal state, dated `at`.
    #[must_use]
    pub fn ended(self, state: SignalState, at: DateTime<Utc>) -> Self {
        debug_assert!(self.state.is_pending() && !state.is_pending(), "terminal is terminal");
        Self { state, updated_at: at, ..self }
    }

    fn with_content(&self, draft: &SignalDraft, instrument: &Instrument) -> Result<Self, Vec<Fault>> {
        let mut signal = self.clone();
        let mut faults = Vec::new();
        if draft.symbol.as_ref().is_some_and(|symbol| *symbol != self.symbol) {
            faults.push(Fault::new("symbol", format!("is {} and cannot change", self.symbol)));
        }
        if draft.direction.is_some_and(|direction| direction != self.direction) {
            faults.push(Fault::new("direction", format!("is {} and cannot change", self.direction.name())));
        }
        set(&mut signal.entry_time, draft.entry_time);
        set(&mut signal.entry_price, draft.entry_price.map(|price| Some(instrument.round_from_source(price))));
        set(&mut signal.stop_loss, draft.stop_loss.map(|price| Some(instrument.round_from_source(price))));
        set(
            &mut signal.take_profits,
            draft
                .take_profits
                .as_ref()
                .map(|prices| prices.iter().map(|price| instrument.round_from_source(*price)).collect()),
        );
        set(&mut signal.tp_modes, draft.tp_modes.clone());
        set(&mut signal.reason, draft.reason.clone());
        set(&mut signal.confidence, draft.confidence.map(|score| round_to(score, 4)));
        if signal.confidence != self.confidence {
            signal.calibration = None;
        }
        set(&mut signal.killzone, draft.killzone);
        set(&mut signal.model, draft.model.clone().map(Some));
        let levels_changed = (signal.entry_price, signal.stop_loss, &signal.take_profits)
            != (self.entry_price, self.stop_loss, &self.take_profits);
        match draft.rr_target {
            Some(ratio) => signal.rr_target = round_to(ratio, 4),
            None if levels_changed => signal.rr_target = signal.reward_to_risk(),
            None => {}
        }
        faults.extend(signal.level_faults());
        if faults.is_empty() { Ok(signal) } else { Err(faults) }
    }

    /// Returns `dir·(last TP − entry)/|entry − stop|` with two decimals; 0 when a level is missing.
    fn reward_to_risk(&self) -> f64 {
        let (Some(entry), Some(stop), Some(target)) = (self.entry_price, self.stop_loss, self.take_profits.last())
        else {
            return 0.0;
        };
        let ratio = self.direction.sign() * (target - entry) / (entry - stop).abs();
        if ratio.is_finite() { round_to(ratio, 2) } else { 0.0 }
    }

    /// Returns the faults of levels in the wrong order: stop < entry < TP1 < TP2 … for a long, mirrored for a short.
    fn level_faults(&self) -> Vec<Fault> {
        let rises = |from: f64, to: f64| self.direction.sign() * (to - from) > 0.0;
        let (below, above) = match self.direction {
            Direction::Long => ("below", "above"),
            Direction::Short => ("above", "below"),
        };
        let direction = self.direction.name();
        let mut faults = Vec::new();
        if let (Some(entry), Some(stop)) = (self.entry_price, self.stop_loss)
            && !rises(stop, entry)
        {
            faults.push(Fault::new("stop_loss", format!("must be {below} the entry price of a {direction} signal")));
        }
        if let (Some(base), Some(first)) = (self.entry_price.or(self.stop_loss), self.take_profits.first())
            && !rises(base, *first)
        {
            faults.push(Fault::new("take_profits", format!("must be {above} the entry price of a {direction} signal")));
        }
        if self.take_profits.windows(2).any(|pair| !rises(pair[0], pair[1])) {
            faults.push(Fault::new("take_profits", "must go from near to far, each one only once"));
        }
        faults
    }
}

impl SignalDraft {
    fn state(&self, status: SignalStatus) -> SignalState {
        match status {
            SignalStatus::Pending => SignalState::Pending,
            SignalStatus::Confirmed => SignalState::Confirmed,
            SignalStatus::Invalidated => {
                SignalState::Invalidated(self.invalidation.clone().unwrap_or(Invalidation::MANUAL))
            }
        }
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn round_to(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale + 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Instruments, parse_time};

    const TTL: Duration = Duration::from_secs(300);

    fn now() -> Now {
        Now { wall: parse_time("2024-09-01T10:30:00.000Z").unwrap(), mono: Duration::from_secs(1) }
    }

    fn eurusd() -> Instrument {
        Instruments::documented().swap_remove(0)
    }

    fn draft() -> SignalDraft {
        SignalDraft {
            direction: Some(Direction::Long),
            symbol: Some(Symbol::new("EURUSD")),
            entry_price: Some(1.085),
            stop_loss: Some(1.082),
            take_profits: Some(vec![1.088, 1.092, 1.096]),
            confidence: Some(0.85),
            ..SignalDraft::default()
        }
    }

    fn create(draft: &SignalDraft) -> Result<Signal, Vec<Fault>> {
        Signal::create(SignalId::new("a").unwrap(), draft, &eurusd(), SourceName::new("push"), now(), TTL)
    }

    fn fields(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.field.as_str()).collect()
    }

    #[test]
    fn a_new_signal_is_filled_with_defaults() {
        let signal = create(&draft()).unwrap();
        assert_eq!(signal.state, SignalState::Pending);
        assert_eq!(signal.entry_time, now().wall);
        assert_eq!(signal.expires_at, now().wall + TTL);
        assert_eq!(signal.rr_target, 3.67);
        assert_eq!(signal.killzone, Killzone::London, "06:30 in New York: the window that ended last");
        assert_eq!(signal.tp_modes, Vec::<String>::new());
    }

    #[test]
    fn levels_on_the_wrong_side_are_rejected() {
        let long = SignalDraft { stop_loss: Some(1.085_001), take_profits: Some(vec![1.088, 1.087]), ..draft() };
        assert_eq!(fields(&create(&long).unwrap_err()), ["stop_loss", "take_profits"]);
        let short = SignalDraft { direction: Some(Direction::Short), ..draft() };
        assert_eq!(fields(&create(&short).unwrap_err()), ["stop_loss", "take_profits", "take_profits"]);
        let no_entry = SignalDraft { entry_price: None, take_profits: Some(vec![1.08]), ..draft() };
        assert_eq!(fields(&create(&no_entry).unwrap_err()), ["take_profits"]);
    }

    #[test]
    fn a_retry_changes_nothing() {
        let signal = create(&draft()).unwrap();
        assert_eq!(signal.amend(&draft(), &eurusd(), now()), Ok(None));
        let ended = signal.ended(SignalState::Confirmed, now().wall);
        assert_eq!(ended.amend(&draft(), &eurusd(), now()), Ok(None));
        let explicit = SignalDraft { status: Some(SignalStatus::Pending), ..draft() };
        assert_eq!(ended.amend(&explicit, &eurusd(), now()), Ok(None));
        assert_eq!(ended.amend(&SignalDraft::ending(SignalStatus::Confirmed, None), &eurusd(), now()), Ok(None));
    }

    #[test]
    fn terminal_is_terminal() {
        let ended = create(&draft()).unwrap().ended(SignalState::Confirmed, now().wall);
        for contradiction in [
            SignalDraft::ending(SignalStatus::Pending, None),
            SignalDraft::ending(SignalStatus::Invalidated, None),
            SignalDraft { reason: Some("other".into()), ..draft() },
        ] {
            let terminal = Contradiction::Terminal { id: ended.id.clone(), status: SignalStatus::Confirmed };
            assert_eq!(ended.amend(&contradiction, &eurusd(), now()), Err(terminal));
        }
    }

    #[test]
    fn new_content_keeps_the_deadline() {
        let signal = create(&draft()).unwrap();
        let later = now().plus(Duration::from_secs(60));
        let draft = SignalDraft { stop_loss: Some(1.08), ..SignalDraft::default() };
        let amended = signal.amend(&draft, &eurusd(), later).unwrap().unwrap();
        assert_eq!(amended, Signal { stop_loss: Some(1.08), rr_target: 2.2, updated_at: later.wall, ..signal });
    }

    #[test]
    fn an_end_may_bring_content_and_a_reason() {
        let signal = create(&draft()).unwrap();
        let end = SignalDraft { reason: Some("news".into()), ..SignalDraft::ending(SignalStatus::Invalidated, None) };
        let ended = signal.amend(&end, &eurusd(), now()).unwrap().unwrap();
        assert_eq!((ended.reason.as_str(), ended.state), ("news", SignalState::Invalidated(Invalidation::MANUAL)));
    }

    #[test]
    fn symbol_and_direction_cannot_change() {
        let signal = create(&draft()).unwrap();
        let other = SignalDraft {
            symbol: Some(Symbol::new("GBPUSD")),
            direction: Some(Direction::Short),
            ..SignalDraft::default()
        };
        let Err(Contradiction::Faults(faults)) = signal.amend(&other, &eurusd(), now()) else { panic!() };
        assert_eq!(fields(&faults), ["symbol", "direction"]);
    }

    #[test]
    fn the_stored_form_survives_a_round_trip() {
        let signal = create(&draft()).unwrap().ended(SignalState::Invalidated(Invalidation::TIMEOUT), now().wall);
        let stored = serde_json::to_string(&signal).unwrap();
        assert_eq!(serde_json::from_str::<Signal>(&stored).unwrap(), signal, "{stored}");
    }

    fn any_status() -> impl Strategy<Value = Option<SignalStatus>> {
        prop::option::of(prop::sample::select(vec![
            SignalStatus::Pending,
            SignalStatus::Confirmed,
            SignalStatus::Invalidated,
        ]))
    }

    proptest! {
        /// Whatever is sent in any order, a signal leaves `pending` at most once and never changes after that.
        #[test]
        fn a_signal_ends_at_most_once(steps in prop::collection::vec((any_status(), prop::option::of(1.08f64..1.0849)), 1..20)) {
            let mut signal = create(&draft()).unwrap();
            let mut end: Option<Signal> = None;
            for (status, stop_loss) in steps {
                let draft = SignalDraft { status, stop_loss, ..SignalDraft::default() };
                if let Ok(Some(amended)) = signal.amend(&draft, &eurusd(), now()) {
                    prop_assert!(end.is_none(), "changed after its end");
                    if !amended.state.is_pending() {
                        end = Some(amended.clone());
                    }
                    signal = amended;
                }
            }
        }
    }
}
