//! Cursors of published messages, in every accepted form.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::{CursorError, Position};

/// Distinguishes message cursors from those of the signal log.
const MARK: char = 'm';

/// A position among the published messages: `<epoch>:m<number>`, or the number alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageCursor {
    /// Log of the number; `None` for a number alone.
    pub epoch: Option<Arc<str>>,
    /// Number of the last message that was received; 0 before the first.
    pub seq: u64,
}

impl MessageCursor {
    /// Returns the cursor of message `seq` of the log at `head`.
    pub fn new(head: &Position, seq: u64) -> Self {
        Self { epoch: Some(head.epoch.clone()), seq }
    }

    /// Parses a cursor's text, such as in `?last_event_id=`.
    ///
    /// # Errors
    /// Fails when it is not a message cursor.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (epoch, seq) = match text.split_once(':') {
            Some((epoch, seq)) => (Some(epoch), seq.strip_prefix(MARK).ok_or(CursorError)?),
            None => (None, text),
        };
        // The two kinds of cursor differ in the mark only.
        let place: Position = format!("{}:{seq}", epoch.unwrap_or("x")).parse()?;
        Ok(Self { epoch: epoch.map(|_| place.epoch), seq: place.seq })
    }

    /// Parses a cursor in a message: text, or a number.
    ///
    /// # Errors
    /// Fails when it is not a message cursor.
    pub fn read(value: &Value) -> Result<Self, CursorError> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(CursorError),
        }
    }

    /// Returns the number after which to resume, if the cursor belongs to the log at `head`, whose last message is
    /// `last`.
    pub fn place(&self, head: &Position, last: u64) -> Option<u64> {
        let ours = self.epoch.as_ref().is_none_or(|epoch| *epoch == head.epoch);
        (ours && self.seq <= last).then_some(self.seq)
    }
}

impl fmt::Display for MessageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.epoch {
            Some(epoch) => write!(f, "{epoch}:{MARK}{}", self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

impl FromStr for MessageCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn head() -> Position {
        Position { epoch: "k3x9".into(), seq: 900 }
    }

    #[test]
    fn every_form_of_a_cursor_is_parsed() {
        let whole = MessageCursor::new(&head(), 42);
        assert_eq!(whole.to_string(), "k3x9:m42");
        assert_eq!(MessageCursor::read(&json!("k3x9:m42")), Ok(whole));
        let number = MessageCursor { epoch: None, seq: 42 };
        assert_eq!(number.to_string(), "42");
        assert_eq!(MessageCursor::read(&json!("42")), Ok(number.clone()));
        assert_eq!(MessageCursor::read(&json!(42)), Ok(number));
    }

    #[test]
    fn malformed_and_signal_cursors_are_rejected() {
        for text in
            ["", "m", "m1", ":m1", "k3x9:42", "k3x9:m", "k3x9:m-1", "k3x9:m4:2", "+1", "-1", "1.5", " 1", "ä:m1"]
        {
            assert_eq!(MessageCursor::parse(text), Err(CursorError), "{text}");
        }
        for value in [json!(null), json!(-1), json!(1.5), json!([1]), json!({"seq": 1}), json!(true), json!(1e300)] {
            assert_eq!(MessageCursor::read(&value), Err(CursorError), "{value}");
        }
    }

    #[test]
    fn only_a_cursor_of_this_log_is_accepted() {
        let place = |text: &str| MessageCursor::parse(text).unwrap().place(&head(), 10);
        assert_eq!(place("k3x9:m10"), Some(10));
        assert_eq!(place("10"), Some(10));
        assert_eq!(place("0"), Some(0));
        assert_eq!(place("11"), None, "ahead");
        assert_eq!(place("k3x9:m11"), None, "ahead");
        assert_eq!(place("k3x8:m5"), None, "of another log");
    }

    proptest! {
        #[test]
        fn a_cursor_round_trips(epoch in proptest::option::of("[a-z0-9]{1,32}"), seq: u64) {
            let cursor = MessageCursor { epoch: epoch.map(Into::into), seq };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_cursor_panics(text in "\\PC{0,60}", number in any::<f64>()) {
            drop(MessageCursor::parse(&text));
            drop(MessageCursor::read(&json!(number)));
        }
    }
}
