//! Where a client stopped among the published messages, in every form in which it says so.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::{CursorError, Position};

/// Sets message cursors apart from those of the signal log.
const MARK: char = 'm';

/// A place among the published messages: `<epoch>:m<number>`, or the number alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageCursor {
    /// Which log the number is of; `None` where only the number was said.
    pub epoch: Option<Arc<str>>,
    /// The number of the last message that was seen; 0 before the first.
    pub seq: u64,
}

impl MessageCursor {
    /// The cursor of message `seq` of the log at `head`.
    pub fn new(head: &Position, seq: u64) -> Self {
        Self { epoch: Some(head.epoch.clone()), seq }
    }

    /// Reads the text of a cursor, such as `?last_event_id=` has it.
    ///
    /// # Errors
    /// When it can be none of ours.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (epoch, seq) = match text.split_once(':') {
            Some((epoch, seq)) => (Some(epoch), seq.strip_prefix(MARK).ok_or(CursorError)?),
            None => (None, text),
        };
        // The two kinds of cursor differ in the mark alone.
        let place: Position = format!("{}:{seq}", epoch.unwrap_or("x")).parse()?;
        Ok(Self { epoch: epoch.map(|_| place.epoch), seq: place.seq })
    }

    /// Reads a cursor out of a message: text, or a number.
    ///
    /// # Errors
    /// When it can be none of ours.
    pub fn read(value: &Value) -> Result<Self, CursorError> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(CursorError),
        }
    }

    /// The number to go on after, if the cursor is one of the log at `head`, whose last message is `last`.
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
    fn a_cursor_is_a_number_its_text_or_both_with_the_log() {
        let whole = MessageCursor::new(&head(), 42);
        assert_eq!(whole.to_string(), "k3x9:m42");
        assert_eq!(MessageCursor::read(&json!("k3x9:m42")), Ok(whole));
        let number = MessageCursor { epoch: None, seq: 42 };
        assert_eq!(number.to_string(), "42");
        assert_eq!(MessageCursor::read(&json!("42")), Ok(number.clone()));
        assert_eq!(MessageCursor::read(&json!(42)), Ok(number));
    }

    #[test]
    fn nonsense_and_the_cursors_of_signals_are_none() {
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
    fn only_a_cursor_of_this_log_has_a_place() {
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
        fn what_is_read_is_written_the_same(epoch in proptest::option::of("[a-z0-9]{1,32}"), seq: u64) {
            let cursor = MessageCursor { epoch: epoch.map(Into::into), seq };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn nothing_that_is_said_panics(text in "\\PC{0,60}", number in any::<f64>()) {
            drop(MessageCursor::parse(&text));
            drop(MessageCursor::read(&json!(number)));
        }
    }
}
