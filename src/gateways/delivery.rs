//! What has reached whom on the streams that have no cursor: Sentio's notifications, and the bot platform's messages, whose
//! pages are told apart in [`pages`](super::pages).
//!
//! A notification has reached its user when one of his connections has confirmed it; until then each of them that joins
//! gets it. So nothing is lost when a connection dies with something on its way, and nothing comes twice unless the
//! confirmation is lost. What has reached whom is kept in the log, a moment later: after a `kill -9` what was confirmed
//! within the last [`PAUSE`] comes again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::domain::{Input, UserNote};
use crate::pipeline::{Handle, SubmitError};

/// Users that are remembered, as many as the log remembers; beyond that, those who were longest reached by nothing are
/// forgotten, and get again what is kept for them.
const MAX_USERS: usize = 100_000;
/// Time between two commits of what has reached whom. The first is made at once.
pub const PAUSE: Duration = Duration::from_millis(500);
/// The same while the log cannot be written: the streams go on meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long a connection that joins waits for what is on its way to the user's others: a page that changes its socket, or
/// has two, gets nothing twice. Whoever confirms later than this has gone, and his connection was not yet missed.
const PATIENCE: Duration = Duration::from_secs(1);

/// The streams without a cursor. What has reached a user is kept for each of them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Sentio's notifications.
    Notifications,
    /// The bot platform's messages.
    Bots,
}

/// Stands before the user in the log's marks of the bot platform's stream. No login service makes such an id.
const BOTS: &str = "bots\u{1f}";

impl Stream {
    /// Under which name the log keeps the mark of `user`; `None` where it would be taken for another stream's.
    fn name_of(self, user: &Arc<str>) -> Option<Arc<str>> {
        match self {
            Self::Notifications => Some(user.clone()).filter(|user| !user.starts_with(BOTS)),
            Self::Bots => Some(format!("{BOTS}{user}").into()),
        }
    }

    /// Whose mark it is that the log keeps under `name`, if it is one of this stream.
    fn user_of(self, name: &Arc<str>) -> Option<Arc<str>> {
        match self {
            Self::Notifications => Some(name.clone()).filter(|name| !name.starts_with(BOTS)),
            Self::Bots => name.strip_prefix(BOTS).map(Into::into),
        }
    }
}

/// The last message that has reached each user.
#[derive(Debug)]
pub struct DeliveryTracker {
    stream: Stream,
    state: Mutex<State>,
    unsaved: Notify,
    /// Something was confirmed, or a connection has ended.
    settled: Notify,
    handle: Handle,
}

#[derive(Debug, Default)]
struct State {
    reached: HashMap<Arc<str>, Reached>,
    by_age: BTreeMap<u64, Arc<str>>,
    age: u64,
    /// What the log does not know yet.
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

impl State {
    fn reached(&self, user: &str) -> u64 {
        self.reached.get(user).map_or(0, |reached| reached.message)
    }

    /// Whether nothing is on its way to the user.
    fn is_settled(&self, user: &str) -> bool {
        let reached = self.reached(user);
        self.written.get(user).is_none_or(|written| written.values().all(|message| *message <= reached))
    }

    /// Whether that is news.
    fn reach(&mut self, user: &Arc<str>, message: u64, most: usize) -> bool {
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
        if self.reached.len() > most
            && let Some((_, longest)) = self.by_age.pop_first()
        {
            self.reached.remove(&longest);
        }
        true
    }
}

impl DeliveryTracker {
    /// Begins with what the log remembers of `stream`, and keeps it there through `handle`.
    pub fn new(stream: Stream, handle: Handle, notes: &[UserNote]) -> Self {
        let mut state = State::default();
        for (user, seen) in notes.iter().filter_map(|note| Some((stream.user_of(&note.user)?, note.seen?))) {
            state.reach(&user, seen, MAX_USERS);
        }
        Self { stream, state: Mutex::new(state), unsaved: Notify::new(), settled: Notify::new(), handle }
    }

    /// The last message that has reached each user.
    pub(super) fn all(&self) -> Vec<(Arc<str>, u64)> {
        self.state.lock().reached.iter().map(|(user, reached)| (user.clone(), reached.message)).collect()
    }

    /// A connection of `user`. Waits a moment if something is on its way to him on another one; what he is to get is asked
    /// after it ([`reached`](Self::reached)).
    pub async fn join(self: &Arc<Self>, user: &Arc<str>) -> Connection {
        let settled = async {
            loop {
                let mut settled = std::pin::pin!(self.settled.notified());
                settled.as_mut().enable();
                if self.state.lock().is_settled(user) {
                    return;
                }
                settled.await;
            }
        };
        timeout(PATIENCE, settled).await.ok();
        let mut state = self.state.lock();
        state.connections += 1;
        Connection { id: state.connections, presence: self.clone(), user: user.clone(), written: 0 }
    }

    /// The last message that has reached `user`; 0 when none has.
    pub fn reached(&self, user: &str) -> u64 {
        self.state.lock().reached(user)
    }

    /// Remembers that everything up to `message` has reached `user`.
    pub(super) fn reach(&self, user: &Arc<str>, message: u64) {
        let mut state = self.state.lock();
        if state.reach(user, message, MAX_USERS) {
            state.unsaved.insert(user.clone(), message);
            drop(state);
            self.unsaved.notify_one();
            self.settled.notify_waiters();
        }
    }

    /// Brings into the log what it does not know yet.
    ///
    /// # Errors
    /// When the log cannot be written; it is tried again the next time.
    pub async fn save(&self) -> Result<(), SubmitError> {
        let unsaved = std::mem::take(&mut self.state.lock().unsaved);
        if unsaved.is_empty() {
            return Ok(());
        }
        let note = |(user, seen): (&Arc<str>, &u64)| {
            Some(UserNote { user: self.stream.name_of(user)?, not_before: None, seen: Some(*seen) })
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

    /// Keeps the log up to date until `stop`.
    pub async fn keep_saved(self: Arc<Self>, stop: CancellationToken) {
        let keep = async {
            loop {
                self.unsaved.notified().await;
                let pause = match self.save().await {
                    Ok(()) => PAUSE,
                    Err(error) => {
                        debug!(%error, "what has reached whom is not in the log yet");
                        RETRY_AFTER
                    }
                };
                sleep(pause).await;
            }
        };
        stop.run_until_cancelled(keep).await;
    }
}

/// A connection on which messages reach a user. Its end is noted when it is dropped.
#[derive(Debug)]
pub struct Connection {
    presence: Arc<DeliveryTracker>,
    user: Arc<str>,
    id: u64,
    /// The last message that was written.
    written: u64,
}

impl Connection {
    /// A message is being written.
    pub fn write(&mut self, message: u64) {
        self.written = message;
        let mut state = self.presence.state.lock();
        state.written.entry(self.user.clone()).or_default().insert(self.id, message);
    }

    /// The client has confirmed everything up to `message`. It cannot confirm what was not written.
    pub fn confirm(&mut self, message: u64) {
        self.presence.reach(&self.user, message.min(self.written));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.presence.state.lock();
        if let Some(written) = state.written.get_mut(&self.user) {
            written.remove(&self.id);
            if written.is_empty() {
                state.written.remove(&self.user);
            }
        }
        drop(state);
        self.presence.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::domain::Accepted;
    use crate::pipeline::Request;

    fn presence(notes: &[UserNote]) -> (Arc<DeliveryTracker>, tokio::sync::mpsc::Receiver<Request>) {
        let (handle, requests) = Handle::channel();
        (Arc::new(DeliveryTracker::new(Stream::Notifications, handle, notes)), requests)
    }

    fn note(user: &str, seen: Option<u64>) -> UserNote {
        UserNote { user: user.into(), not_before: None, seen }
    }

    #[test]
    fn it_goes_on_from_what_the_log_remembers_and_only_forward() {
        let (presence, _requests) = presence(&[note("a", Some(7)), note("b", None)]);
        let of = |user: &str| presence.reached(user);
        assert_eq!((of("a"), of("b"), of("c")), (7, 0, 0));
        for (message, reached) in [(6, 7), (9, 9), (8, 9), (9, 9)] {
            presence.reach(&"a".into(), message);
            assert_eq!(of("a"), reached, "after {message}");
        }
        assert_eq!((of("b"), of("c")), (0, 0), "the others are who they were");
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
        assert_eq!(marks(Stream::Notifications), [("a".into(), 7), ("b".into(), 3)]);
        assert_eq!(marks(Stream::Bots), [("a".into(), 9)]);
        for stream in [Stream::Notifications, Stream::Bots] {
            let name = stream.name_of(&"a".into()).unwrap();
            assert_eq!(stream.user_of(&name).as_deref(), Some("a"));
        }
        assert_eq!(Stream::Notifications.name_of(&"bots\u{1f}a".into()), None, "another stream's mark stays");
    }

    /// The page closes its socket with something on its way, and comes back; what counts is what it confirmed.
    #[tokio::test(start_paused = true)]
    async fn what_died_with_its_connection_comes_again_and_what_was_confirmed_does_not() {
        let (presence, _requests) = presence(&[]);
        let user = "a".into();
        let mut first = presence.join(&user).await;
        first.write(3);
        first.write(5);
        first.confirm(3);
        assert_eq!(presence.reached("a"), 3);
        drop(first);
        assert_eq!(presence.reached("a"), 3, "5 was on its way");
        let mut second = presence.join(&user).await;
        second.write(5);
        second.confirm(u64::MAX);
        assert_eq!(presence.reached("a"), 5, "nobody confirms what was not written");
        drop(second);
        assert!(presence.state.lock().written.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_joins_beside_others_waits_a_moment_for_what_is_on_its_way_to_them() {
        let (presence, _requests) = presence(&[note("a", Some(4))]);
        let user = "a".into();
        let mut first = presence.join(&user).await;
        let began = Instant::now();
        drop(presence.join(&user).await);
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing is on its way");
        first.write(6);
        let (second, ()) = tokio::join!(presence.join(&user), async {
            sleep(PATIENCE / 2).await;
            first.confirm(6);
        });
        assert_eq!((began.elapsed(), presence.reached("a")), (PATIENCE / 2, 6));
        first.write(8);
        let (mut third, ()) = tokio::join!(presence.join(&user), async {
            sleep(PATIENCE / 4).await;
            drop(first);
        });
        assert_eq!((began.elapsed(), presence.reached("a")), (PATIENCE * 3 / 4, 6), "8 died with it");
        let began = Instant::now();
        third.write(8);
        drop(presence.join(&user).await);
        assert_eq!((began.elapsed(), presence.reached("a")), (PATIENCE, 6), "it has gone, whatever its socket says");
        drop((second, third));
    }

    #[test]
    fn whoever_was_longest_reached_by_nothing_is_forgotten_first() {
        let mut state = State::default();
        for (user, message) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5), ("e", 6)] {
            assert!(state.reach(&user.into(), message, 3));
        }
        let mut kept: Vec<_> = state.reached.iter().map(|(user, reached)| (&**user, reached.message)).collect();
        kept.sort_unstable();
        assert_eq!(kept, [("a", 4), ("d", 5), ("e", 6)]);
        assert_eq!(state.by_age.len(), 3);
    }

    #[tokio::test]
    async fn the_log_is_told_the_latest_once_and_again_after_it_refused() {
        let (presence, mut requests) = presence(&[]);
        let mut saved = async |presence: &DeliveryTracker, answer| {
            let told = async {
                let Request { input, answer: to } = requests.recv().await.unwrap();
                presence.reach(&"a".into(), 9);
                to.unwrap().send(answer).unwrap();
                let Input::Note(notes) = input else { panic!("{input:?}") };
                notes
            };
            tokio::join!(presence.save(), told)
        };
        presence.reach(&"a".into(), 5);
        presence.reach(&"b".into(), 6);
        presence.reach(&"a".into(), 8);
        let (failed, told) = saved(&presence, Err(SubmitError::Overloaded)).await;
        assert_eq!(failed, Err(SubmitError::Overloaded));
        assert_eq!(told, [note("a", Some(8)), note("b", Some(6))]);
        let (saved, told) = saved(&presence, Ok(Accepted::Noted)).await;
        assert_eq!((saved, told), (Ok(()), vec![note("a", Some(9)), note("b", Some(6))]), "what came meanwhile wins");
        assert_eq!(presence.save().await, Ok(()), "nothing is left to say");
    }
}
