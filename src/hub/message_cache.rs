//! What is passed on for others: the latest of every published state, and the last ordered messages of each audience.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Audiences, Envelope};
use crate::domain::{Audience, Event, Forgotten, MessageType, RelayedMessage, StateKey};

/// Ordered messages that are kept for everybody: more kinds, more readers.
const MAX_MESSAGES_FOR_ALL: usize = 500;
/// States and audiences that are kept; beyond that the longest unchanged leaves.
const MAX_KEPT: usize = 20_000;

#[derive(Debug)]
pub(super) struct MessageCache {
    states: BTreeMap<StateKey, Arc<Envelope>>,
    messages: BTreeMap<Audience, Messages>,
    messages_per_user: usize,
    /// What to forget first: the keys of `states` by the number of their message.
    by_age: BTreeMap<u64, StateKey>,
    /// Whose messages to forget first: users by the number of their last one.
    users_by_age: BTreeMap<u64, Audience>,
    /// Number of the last message of a user who was forgotten, here or in the log: whoever is not known may have had it.
    forgotten_users: u64,
    last: u64,
}

/// The last ordered messages of one audience.
#[derive(Debug)]
struct Messages {
    kept: VecDeque<Arc<Envelope>>,
    /// Number of the last message that is not kept any more; 0 when all are.
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

    /// Takes in what has just been published.
    pub(super) fn remember(&mut self, published: &RelayedMessage, publication: &Arc<Envelope>) {
        self.last = self.last.max(published.seq);
        let Some(key) = publication.event().state_key() else {
            return self.remember_message(&published.audience, publication);
        };
        self.by_age.insert(published.seq, key.clone());
        if let Some(before) = self.states.insert(key, publication.clone())
            && let Event::RelayedMessage(before) = before.event()
        {
            self.by_age.remove(&before.seq);
        }
        if self.states.len() > MAX_KEPT
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.states.remove(&oldest);
        }
    }

    fn remember_message(&mut self, audience: &Audience, publication: &Arc<Envelope>) {
        let most = self.most(audience);
        let unknown = self.unknown(audience);
        let messages = self.messages.entry(audience.clone()).or_insert(unknown);
        if let (Audience::User(_), newest) = (audience, messages.kept.back().map_or(0, |newest| number(newest))) {
            self.users_by_age.remove(&newest);
            self.users_by_age.insert(number(publication), audience.clone());
        }
        messages.kept.push_back(publication.clone());
        if messages.kept.len() > most {
            messages.forgotten = messages.kept.pop_front().map_or(0, |oldest| number(&oldest));
        }
        if self.users_by_age.len() > MAX_KEPT
            && let Some((newest, user)) = self.users_by_age.pop_first()
        {
            self.messages.remove(&user);
            self.forgotten_users = newest;
        }
    }

    fn most(&self, audience: &Audience) -> usize {
        if *audience == Audience::All { MAX_MESSAGES_FOR_ALL } else { self.messages_per_user }
    }

    /// An audience of which nothing is kept: of a user there may have been something.
    fn unknown(&self, audience: &Audience) -> Messages {
        let forgotten = if matches!(audience, Audience::User(_)) { self.forgotten_users } else { 0 };
        Messages { kept: VecDeque::new(), forgotten }
    }

    /// Notes what the log has forgotten.
    pub(super) fn forget(&mut self, forgotten: &Forgotten) {
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
        let (mut found, mut whole) = (Vec::new(), true);
        for audience in audiences.each() {
            let Some(messages) = self.messages.get(&audience) else {
                whole &= self.unknown(&audience).forgotten <= seq;
                continue;
            };
            whole &= messages.forgotten <= seq;
            found.extend(messages.kept.iter().rev().take_while(|message| number(message) > seq).cloned());
        }
        found.sort_unstable_by_key(|message| number(message));
        (found, whole)
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }
}

fn number(publication: &Envelope) -> u64 {
    match publication.event() {
        Event::RelayedMessage(published) => published.seq,
        Event::Signal(_) | Event::Price(_) => 0,
    }
}
