//! Tracks which messages have reached each user on the streams without a cursor.
//!
//! A message has reached its user when one of their connections has confirmed it; until then each of their new
//! connections gets it. So nothing is lost when a connection breaks with a message on its way, and nothing arrives
//! twice unless the confirmation is lost. The log keeps these marks with a short delay: after a `kill -9` the messages
//! confirmed within the last [`PAUSE`] are sent again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::watched::Watched;
use crate::domain::{Input, UserNote};
use crate::pipeline::{Handle, SubmitError};

/// Largest number of remembered users, the same as in the log. Beyond it the users whose last message is the longest
/// ago are forgotten, and get again what is retained for them.
const MAX_USERS: usize = 100_000;
/// Time between two commits of the marks. The first is made at once.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// Time until the next attempt while the log cannot be written. The streams continue meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long a joining connection waits for messages on their way to the user's other connections, so that a page with
/// two sockets, or with a new one, gets nothing twice. A client that has not confirmed by then is gone, and its
/// connection has not ended yet.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Between the name of a stream and the user in the log's marks. No login service creates such an id.
const SEPARATOR: char = '\u{1f}';

/// The name of a stream in the log's marks. One stream has none; each of the others has marks of its own.
#[derive(Debug, Clone, Copy)]
struct StreamName(Option<&'static str>);

impl StreamName {
    /// Returns the name under which the log keeps the mark of `user`; `None` where it would clash with another stream.
    fn mark_of(self, user: &Arc<str>) -> Option<Arc<str>> {
        match self.0 {
            None => Some(user.clone()).filter(|user| !user.contains(SEPARATOR)),
            Some(stream) => Some(format!("{stream}{SEPARATOR}{user}").into()),
        }
    }

    /// Returns the user whose mark the log keeps under `mark`, if it belongs to this stream.
    fn user_of(self, mark: &Arc<str>) -> Option<Arc<str>> {
        match self.0 {
            None => Some(mark.clone()).filter(|mark| !mark.contains(SEPARATOR)),
            Some(stream) => mark.strip_prefix(stream)?.strip_prefix(SEPARATOR).map(Into::into),
        }
    }
}

/// The last message that has reached each user.
#[derive(Debug)]
pub struct DeliveryTracker {
    stream: StreamName,
    /// Changes when a message was confirmed, or a connection has ended.
    state: Watched<DeliveryState>,
    unsaved: Notify,
    handle: Handle,
}

#[derive(Debug, Default)]
struct DeliveryState {
    reached: HashMap<Arc<str>, Reached>,
    by_age: BTreeMap<u64, Arc<str>>,
    age: u64,
    /// Marks that are not in the log yet.
    unsaved: BTreeMap<Arc<str>, u64>,
    /// The last message that was written to each live connection.
    written: BTreeMap<Arc<str>, BTreeMap<u64, u64>>,
    connections: u64,
}

#[derive(Debug, Clone, Copy)]
struct Reached {
    message: u64,
    age: u64,
}

impl DeliveryState {
    fn reached(&self, user: &str) -> u64 {
        self.reached.get(user).map_or(0, |reached| reached.message)
    }

    /// Whether every message written to the user has been confirmed.
    fn is_settled(&self, user: &str) -> bool {
        let reached = self.reached(user);
        self.written.get(user).is_none_or(|written| written.values().all(|message| *message <= reached))
    }

    /// Moves the user's mark forward to `message`. Returns whether it has changed.
    fn reach(&mut self, user: &Arc<str>, message: u64, max_users: usize) -> bool {
        let before = self.reached.get(user).copied();
        if message <= before.map_or(0, |before| before.message) {
            return false;
        }
        if let Some(before) = before {
            self.by_age.remove(&before.age);
        }
        self.age += 1;
        self.by_age.insert(self.age, user.clone());
        self.reached.insert(user.clone(), Reached { message, age: self.age });
        if self.reached.len() > max_users
            && let Some((_, longest)) = self.by_age.pop_first()
        {
            self.reached.remove(&longest);
        }
        true
    }
}

impl DeliveryTracker {
    /// Creates the tracker with the marks that the log has of the stream with this name, and saves changes
    /// through `handle`.
    pub fn new(stream: Option<&'static str>, handle: Handle, notes: &[UserNote]) -> Self {
        let (stream, mut state) = (StreamName(stream), DeliveryState::default());
        for (user, seen) in notes.iter().filter_map(|note| Some((stream.user_of(&note.user)?, note.seen?))) {
            state.reach(&user, seen, MAX_USERS);
        }
        Self { stream, state: Watched::new(state), unsaved: Notify::new(), handle }
    }

    /// Returns the last message that has reached each user.
    pub(super) fn all(&self) -> Vec<(Arc<str>, u64)> {
        self.state.lock().reached.iter().map(|(user, reached)| (user.clone(), reached.message)).collect()
    }

    /// Registers a connection of `user`. Waits a moment while messages are on their way to the user's other
    /// connections; call [`reached`](Self::reached) afterwards.
    pub async fn join(self: &Arc<Self>, user: &Arc<str>) -> DeliveryConnection {
        self.state.until(JOIN_TIMEOUT, |state| state.is_settled(user)).await;
        let mut state = self.state.lock();
        state.connections += 1;
        DeliveryConnection { id: state.connections, tracker: self.clone(), user: user.clone(), written: 0 }
    }

    /// Returns the last message that has reached `user`; 0 for none.
    pub fn reached(&self, user: &str) -> u64 {
        self.state.lock().reached(user)
    }

    /// Notes that everything up to `message` has reached `user`.
    pub(super) fn reach(&self, user: &Arc<str>, message: u64) {
        let mut state = self.state.lock();
        if state.reach(user, message, MAX_USERS) {
            state.unsaved.insert(user.clone(), message);
            drop(state);
            self.unsaved.notify_one();
            self.state.changed();
        }
    }

    /// Takes marks that another node of a cluster has saved.
    pub fn learn(&self, notes: &[UserNote]) {
        let mut state = self.state.lock();
        let mut has_changed = false;
        for (user, seen) in notes.iter().filter_map(|note| Some((self.stream.user_of(&note.user)?, note.seen?))) {
            has_changed |= state.reach(&user, seen, MAX_USERS);
        }
        drop(state);
        if has_changed {
            self.state.changed();
        }
    }

    /// Saves the changed marks in the log.
    ///
    /// # Errors
    /// Fails when the log cannot be written. The marks are saved with the next call.
    pub async fn save(&self) -> Result<(), SubmitError> {
        let unsaved = std::mem::take(&mut self.state.lock().unsaved);
        if unsaved.is_empty() {
            return Ok(());
        }
        let note = |(user, seen): (&Arc<str>, &u64)| {
            Some(UserNote { user: self.stream.mark_of(user)?, not_before: None, seen: Some(*seen) })
        };
        let notes = unsaved.iter().filter_map(note).collect();
        let saved = self.handle.submit(Input::Note(notes)).await;
        if saved.is_err() {
            let mut state = self.state.lock();
            for (user, seen) in unsaved {
                state.unsaved.entry(user).or_insert(seen);
            }
            self.unsaved.notify_one();
        }
        saved.map(drop)
    }

    /// Saves the marks whenever they change, until `stop`.
    pub async fn save_changes(self: Arc<Self>, stop: CancellationToken) {
        let save_loop = async {
            loop {
                self.unsaved.notified().await;
                let pause = match self.save().await {
                    Ok(()) => PAUSE,
                    Err(error) => {
                        debug!(%error, "cannot save the delivery marks of users: trying again");
                        RETRY_AFTER
                    }
                };
                sleep(pause).await;
            }
        };
        stop.run_until_cancelled(save_loop).await;
    }
}

/// A connection on which messages reach a user. Dropping it ends it.
#[derive(Debug)]
pub struct DeliveryConnection {
    tracker: Arc<DeliveryTracker>,
    user: Arc<str>,
    id: u64,
    /// The last message that was written.
    written: u64,
}

impl DeliveryConnection {
    /// Notes that a message is being written.
    pub fn write(&mut self, message: u64) {
        self.written = message;
        let mut state = self.tracker.state.lock();
        state.written.entry(self.user.clone()).or_default().insert(self.id, message);
    }

    /// Notes that the client has confirmed everything up to `message`. Unwritten messages cannot be confirmed.
    pub fn confirm(&mut self, message: u64) {
        self.tracker.reach(&self.user, message.min(self.written));
    }
}

impl Drop for DeliveryConnection {
    fn drop(&mut self) {
        let mut state = self.tracker.state.lock();
        if let Some(written) = state.written.get_mut(&self.user) {
            written.remove(&self.id);
            if written.is_empty() {
                state.written.remove(&self.user);
            }
        }
        drop(state);
        self.tracker.state.changed();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::domain::Accepted;
    use crate::pipeline::Request;

    fn tracker(notes: &[UserNote]) -> (Arc<DeliveryTracker>, tokio::sync::mpsc::Receiver<Request>) {
        let (handle, requests) = Handle::channel();
        (Arc::new(DeliveryTracker::new(None, handle, notes)), requests)
    }

    fn note(user: &str, seen: Option<u64>) -> UserNote {
        UserNote { user: user.into(), not_before: None, seen }
    }

    #[test]
    fn marks_start_from_the_log_and_only_grow() {
        let (tracker, _requests) = tracker(&[note("a", Some(7)), note("b", None)]);
        let of = |user: &str| tracker.reached(user);
        assert_eq!((of("a"), of("b"), of("c")), (7, 0, 0));
        for (message, reached) in [(6, 7), (9, 9), (8, 9), (9, 9)] {
            tracker.reach(&"a".into(), message);
            assert_eq!(of("a"), reached, "after {message}");
        }
        assert_eq!((of("b"), of("c")), (0, 0), "other users do not change");
    }

    #[test]
    fn each_stream_has_marks_of_its_own() {
        let notes = [note("a", Some(7)), note("bots\u{1f}a", Some(9)), note("b", Some(3))];
        let marks = |stream| {
            let (handle, _requests) = Handle::channel();
            let mut all = DeliveryTracker::new(stream, handle, &notes).all();
            all.sort_unstable();
            all
        };
        assert_eq!(marks(None), [("a".into(), 7), ("b".into(), 3)]);
        assert_eq!(marks(Some("bots")), [("a".into(), 9)]);
        for stream in [StreamName(None), StreamName(Some("bots"))] {
            let name = stream.mark_of(&"a".into()).unwrap();
            assert_eq!(stream.user_of(&name).as_deref(), Some("a"));
        }
        assert_eq!(StreamName(None).mark_of(&"bots\u{1f}a".into()), None, "another stream's mark stays");
    }

    /// A page closes its socket with a message on its way, and reconnects.
    #[tokio::test(start_paused = true)]
    async fn only_unconfirmed_messages_come_again() {
        let (tracker, _requests) = tracker(&[]);
        let user = "a".into();
        let mut first = tracker.join(&user).await;
        first.write(3);
        first.write(5);
        first.confirm(3);
        assert_eq!(tracker.reached("a"), 3);
        drop(first);
        assert_eq!(tracker.reached("a"), 3, "5 was on its way");
        let mut second = tracker.join(&user).await;
        second.write(5);
        second.confirm(u64::MAX);
        assert_eq!(tracker.reached("a"), 5, "unwritten messages cannot be confirmed");
        drop(second);
        assert!(tracker.state.lock().written.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_pending_confirmations() {
        let (tracker, _requests) = tracker(&[note("a", Some(4))]);
        let user = "a".into();
        let mut first = tracker.join(&user).await;
        let began = Instant::now();
        drop(tracker.join(&user).await);
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing is on its way");
        first.write(6);
        let (second, ()) = tokio::join!(tracker.join(&user), async {
            sleep(JOIN_TIMEOUT / 2).await;
            first.confirm(6);
        });
        assert_eq!((began.elapsed(), tracker.reached("a")), (JOIN_TIMEOUT / 2, 6));
        first.write(8);
        let (mut third, ()) = tokio::join!(tracker.join(&user), async {
            sleep(JOIN_TIMEOUT / 4).await;
            drop(first);
        });
        assert_eq!((began.elapsed(), tracker.reached("a")), (JOIN_TIMEOUT * 3 / 4, 6), "8 died with it");
        let began = Instant::now();
        third.write(8);
        drop(tracker.join(&user).await);
        assert_eq!((began.elapsed(), tracker.reached("a")), (JOIN_TIMEOUT, 6), "a silent connection counts as gone");
        drop((second, third));
    }

    #[test]
    fn the_longest_unreached_user_is_forgotten_first() {
        let mut state = DeliveryState::default();
        for (user, message) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5), ("e", 6)] {
            assert!(state.reach(&user.into(), message, 3));
        }
        let mut kept: Vec<_> = state.reached.iter().map(|(user, reached)| (&**user, reached.message)).collect();
        kept.sort_unstable();
        assert_eq!(kept, [("a", 4), ("d", 5), ("e", 6)]);
        assert_eq!(state.by_age.len(), 3);
    }

    #[tokio::test]
    async fn marks_are_saved_again_after_a_failure() {
        let (tracker, mut requests) = tracker(&[]);
        let mut saved = async |tracker: &DeliveryTracker, answer| {
            let notes = async {
                let Request { input, answer: to, .. } = requests.recv().await.unwrap();
                tracker.reach(&"a".into(), 9);
                to.unwrap().send(answer).unwrap();
                let Input::Note(notes) = input else { panic!("{input:?}") };
                notes
            };
            tokio::join!(tracker.save(), notes)
        };
        tracker.reach(&"a".into(), 5);
        tracker.reach(&"b".into(), 6);
        tracker.reach(&"a".into(), 8);
        let (failed, notes) = saved(&tracker, Err(SubmitError::Overloaded)).await;
        assert_eq!(failed, Err(SubmitError::Overloaded));
        assert_eq!(notes, [note("a", Some(8)), note("b", Some(6))]);
        let (saved, notes) = saved(&tracker, Ok(Accepted::Noted)).await;
        assert_eq!((saved, notes), (Ok(()), vec![note("a", Some(9)), note("b", Some(6))]), "the later mark wins");
        assert_eq!(tracker.save().await, Ok(()), "nothing is left to save");
    }
}
