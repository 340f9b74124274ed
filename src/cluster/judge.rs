//! The readers' rule: what a message of the stream means to a copy that stands at a place. Every node judges alike,
//! because it depends on nothing but the stream.

use super::message::{Message, MessageContent, WireHeads};
use crate::store::ReplicaPlace;

/// What a node does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was applied before.
    Known,
    /// A message before it is missing here.
    Gap,
    /// It does not count: its writer had been replaced before it was stored.
    Void,
    /// The log begins.
    Genesis,
    /// Its term begins.
    Term,
    /// Its entries are applied.
    Entries,
}

/// A message that cannot be where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {seq} of the stream {what}")]
pub(super) struct Damage {
    pub(super) seq: u64,
    pub(super) what: String,
}

/// Judges message `seq` of the stream.
///
/// # Errors
/// [`Damage`]. Entries of the current term that do not continue the log are found when they are applied.
pub(super) fn judge(place: &ReplicaPlace, seq: u64, message: &Message) -> Result<Verdict, Damage> {
    if seq <= place.stream_seq {
        return Ok(Verdict::Known);
    }
    if seq > place.stream_seq + 1 {
        return Ok(Verdict::Gap);
    }
    let damage = |what: String| Err(Damage { seq, what });
    if message.epoch != place.epoch {
        return damage(format!("belongs to the log {}, and this copy to {}", message.epoch, place.epoch));
    }
    match message.content {
        MessageContent::Genesis(_) if seq == 1 => Ok(Verdict::Genesis),
        MessageContent::Genesis(_) => damage("begins the log, and is not its first one".to_owned()),
        MessageContent::Term if message.term > place.term => Ok(Verdict::Term),
        MessageContent::Batch(_) if message.term > place.term => {
            damage(format!("is of term {}, which has not begun", message.term))
        }
        MessageContent::Batch(_) if message.term == place.term && message.node == place.writer => Ok(Verdict::Entries),
        MessageContent::Term | MessageContent::Batch(_) => Ok(Verdict::Void),
    }
}

/// Returns the place after a message with this verdict.
pub(super) fn advance(
    place: &ReplicaPlace,
    seq: u64,
    message: &Message,
    verdict: Verdict,
    digest: String,
) -> ReplicaPlace {
    let mut next = ReplicaPlace { stream_seq: seq, digest, ..place.clone() };
    match (&message.content, verdict) {
        (_, Verdict::Term) => {
            next.term = message.term;
            next.writer.clone_from(&message.node);
        }
        (MessageContent::Batch(batch), Verdict::Entries) => next.stored_at = next.stored_at.max(batch.stored_at),
        _ => {}
    }
    next
}

/// Returns the heads that the first message of the stream names.
pub(super) fn base(message: &Message) -> Option<&WireHeads> {
    match &message.content {
        MessageContent::Genesis(heads) => Some(heads),
        MessageContent::Term | MessageContent::Batch(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{LogBatch, VERSION};
    use super::*;
    use crate::store::LogHeads;

    fn place() -> ReplicaPlace {
        ReplicaPlace { stream_seq: 9, term: 3, writer: "a".into(), ..ReplicaPlace::start("log") }
    }

    fn message(term: u64, node: &str, content: MessageContent) -> Message {
        Message { v: VERSION, epoch: "log".into(), term, node: node.into(), content }
    }

    fn batch() -> MessageContent {
        let empty = r#"{"after":HEADS,"stored_at":7}"#;
        let heads = serde_json::to_string(&WireHeads::from(LogHeads::START)).unwrap();
        MessageContent::Batch(Box::new(serde_json::from_str::<LogBatch>(&empty.replace("HEADS", &heads)).unwrap()))
    }

    #[test]
    fn only_the_writer_of_the_current_term_counts() {
        let judged = |term, node, content| judge(&place(), 10, &message(term, node, content));
        assert_eq!(judged(3, "a", batch()), Ok(Verdict::Entries));
        assert_eq!(judged(2, "a", batch()), Ok(Verdict::Void));
        assert_eq!(judged(3, "b", batch()), Ok(Verdict::Void));
        assert_eq!(judged(4, "b", MessageContent::Term), Ok(Verdict::Term));
        assert_eq!(judged(3, "b", MessageContent::Term), Ok(Verdict::Void));
        assert!(judged(4, "b", batch()).is_err());
        assert!(judged(0, "b", MessageContent::Genesis(LogHeads::START.into())).is_err());
    }

    #[test]
    fn messages_are_taken_in_their_order() {
        let at = |seq| judge(&place(), seq, &message(3, "a", batch()));
        assert_eq!([at(9), at(10), at(11)], [Ok(Verdict::Known), Ok(Verdict::Entries), Ok(Verdict::Gap)]);
        let other = Message { epoch: "other".into(), ..message(3, "a", batch()) };
        assert!(judge(&place(), 10, &other).is_err());
    }

    #[test]
    fn a_void_message_moves_the_place_only() {
        let stale = message(2, "b", batch());
        let next = advance(&place(), 10, &stale, Verdict::Void, "d".into());
        assert_eq!(next, ReplicaPlace { stream_seq: 10, digest: "d".into(), ..place() });
        let next = advance(&place(), 10, &message(4, "b", MessageContent::Term), Verdict::Term, "d".into());
        assert_eq!((next.term, &*next.writer, next.stored_at), (4, "b", 0));
        let next = advance(&place(), 10, &message(3, "a", batch()), Verdict::Entries, "d".into());
        assert_eq!((next.term, next.stored_at), (3, 7));
    }
}
