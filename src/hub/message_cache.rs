//! The cache of relayed messages: the latest value of every state, and the last ordered messages of each audience.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Audiences, Envelope};
use crate::domain::{Audience, Event, MessageType, PrunedMessages, RelayedMessage, StateKey};

/// Ordered messages that are kept for the audience of all users. It has more message types and readers than a single
/// user.
const MAX_MESSAGES_FOR_ALL: usize = 500;
/// Maximum number of states, and of users with messages. Beyond it the one that is unchanged for the longest time is
/// dropped.
const MAX_ENTRIES: usize = 20_000;

#[derive(Debug)]
pub(super) struct MessageCache {
    states: BTreeMap<StateKey, Arc<Envelope>>,
    messages: BTreeMap<Audience, AudienceMessages>,
    messages_per_user: usize,
    /// The keys of `states` by message number: the first one is dropped first.
    by_age: BTreeMap<u64, StateKey>,
    /// Users by the number of their last message: the first one is dropped first.
    users_by_age: BTreeMap<u64, Audience>,
    /// The number of the last message of any user that was dropped, here or in the log. A user that is not in the cache
    /// may have lost messages up to it.
    forgotten_users: u64,
    last: u64,
}

/// The last ordered messages of one audience.
#[derive(Debug)]
struct AudienceMessages {
    kept: VecDeque<Arc<Envelope>>,
    /// The number of the last dropped message; 0 when none was dropped.
    forgotten: u64,
}

impl MessageCache {
    pub(super) fn new(messages_per_user: usize) -> Self {
        Self {
            states: BTreeMap::new(),
            messages: BTreeMap::new(),
            messages_per_user,
            by_age: BTreeMap::new(),
            users_by_age: BTreeMap::new(),
            forgotten_users: 0,
            last: 0,
        }
    }

    /// Returns how many ordered messages of each user are kept.
    pub(super) fn per_user(&self) -> usize {
        self.messages_per_user
    }

    /// Adds a message that has just been published.
    pub(super) fn append(&mut self, published: &RelayedMessage, publication: &Arc<Envelope>) {
        self.last = self.last.max(published.seq);
        let Some(key) = publication.event().state_key() else {
            return self.append_ordered(&published.audience, publication);
        };
        self.by_age.insert(published.seq, key.clone());
        if let Some(before) = self.states.insert(key, publication.clone())
            && let Event::RelayedMessage(before) = before.event()
        {
            self.by_age.remove(&before.seq);
        }
        if self.states.len() > MAX_ENTRIES
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.states.remove(&oldest);
        }
    }

    fn append_ordered(&mut self, audience: &Audience, publication: &Arc<Envelope>) {
        let limit_of = self.limit_of(audience);
        let unknown = self.unknown(audience);
        let messages = self.messages.entry(audience.clone()).or_insert(unknown);
        if let (Audience::User(_), newest) = (audience, messages.kept.back().map_or(0, |newest| seq_of(newest))) {
            self.users_by_age.remove(&newest);
            self.users_by_age.insert(seq_of(publication), audience.clone());
        }
        messages.kept.push_back(publication.clone());
        if messages.kept.len() > limit_of {
            messages.forgotten = messages.kept.pop_front().map_or(0, |oldest| seq_of(&oldest));
        }
        if self.users_by_age.len() > MAX_ENTRIES
            && let Some((newest, user)) = self.users_by_age.pop_first()
        {
            self.messages.remove(&user);
            self.forgotten_users = newest;
        }
    }

    fn limit_of(&self, audience: &Audience) -> usize {
        if *audience == Audience::All { MAX_MESSAGES_FOR_ALL } else { self.messages_per_user }
    }

    /// Returns an empty entry for an audience that is not in the cache. A user's earlier messages may have been
    /// dropped.
    fn unknown(&self, audience: &Audience) -> AudienceMessages {
        let forgotten = if matches!(audience, Audience::User(_)) { self.forgotten_users } else { 0 };
        AudienceMessages { kept: VecDeque::new(), forgotten }
    }

    /// Records which messages the log has pruned.
    pub(super) fn forget(&mut self, forgotten: &PrunedMessages) {
        self.forgotten_users = forgotten.users;
        self.last = self.last.max(forgotten.users);
        for (audience, last) in &forgotten.of {
            let unknown = self.unknown(audience);
            let messages = self.messages.entry(audience.clone()).or_insert(unknown);
            messages.forgotten = messages.forgotten.max(*last);
            self.last = self.last.max(*last);
        }
    }

    pub(super) fn states(&self, wanted: impl Fn(&RelayedMessage) -> bool) -> Vec<Arc<Envelope>> {
        let is_wanted = |publication: &&Arc<Envelope>| matches!(publication.event(), Event::RelayedMessage(published) if wanted(published));
        self.states.values().filter(is_wanted).cloned().collect()
    }

    pub(super) fn states_of(&self, audience: &Audience, kind: MessageType) -> impl Iterator<Item = &Arc<Envelope>> {
        let first = StateKey::RelayedMessage(audience.clone(), kind, "".into());
        let of_kind = move |key: &StateKey| matches!(key, StateKey::RelayedMessage(whose, what, _) if whose == audience && *what == kind);
        self.states.range(first..).take_while(move |(key, _)| of_kind(key)).map(|(_, publication)| publication)
    }

    pub(super) fn messages_after(&self, audiences: &Audiences, seq: u64) -> (Vec<Arc<Envelope>>, bool) {
        let (mut found, mut is_complete) = (Vec::new(), true);
        for audience in audiences.each() {
            let Some(messages) = self.messages.get(&audience) else {
                is_complete &= self.unknown(&audience).forgotten <= seq;
                continue;
            };
            is_complete &= messages.forgotten <= seq;
            found.extend(messages.kept.iter().rev().take_while(|message| seq_of(message) > seq).cloned());
        }
        found.sort_unstable_by_key(|message| seq_of(message));
        (found, is_complete)
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }
}

fn seq_of(publication: &Envelope) -> u64 {
    match publication.event() {
        Event::RelayedMessage(published) => published.seq,
        _ => 0,
    }
}
