//! What is passed on for others: the latest of every published state, and the last ordered messages of each audience.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Publication;
use crate::domain::{Audience, Event, Kind, Published, StateKey};

/// Ordered messages that are kept for one audience.
const MAX_MESSAGES: usize = 50;
/// Ordered messages that are kept for everybody: more kinds, more readers.
const MAX_MESSAGES_FOR_ALL: usize = 500;
/// States and audiences that are kept; beyond that the longest unchanged leaves.
const MAX_KEPT: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Passing {
    states: BTreeMap<StateKey, Arc<Publication>>,
    messages: BTreeMap<Audience, VecDeque<Arc<Publication>>>,
    /// What to forget first: the keys of `states` by the number of their message.
    by_age: BTreeMap<u64, StateKey>,
}

impl Passing {
    pub(super) fn remember(&mut self, published: &Published, publication: &Arc<Publication>) {
        let Some(key) = publication.event().state_key() else {
            return self.remember_message(&published.audience, publication);
        };
        self.by_age.insert(published.seq, key.clone());
        if let Some(before) = self.states.insert(key, publication.clone())
            && let Event::Published(before) = before.event()
        {
            self.by_age.remove(&before.seq);
        }
        if self.states.len() > MAX_KEPT
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.states.remove(&oldest);
        }
    }

    fn remember_message(&mut self, audience: &Audience, publication: &Arc<Publication>) {
        let most = if *audience == Audience::All { MAX_MESSAGES_FOR_ALL } else { MAX_MESSAGES };
        let messages = self.messages.entry(audience.clone()).or_default();
        messages.push_back(publication.clone());
        if messages.len() > most {
            messages.pop_front();
        }
        if self.messages.len() > MAX_KEPT {
            self.messages.pop_last();
        }
    }

    pub(super) fn states(&self, wanted: impl Fn(&Published) -> bool) -> Vec<Arc<Publication>> {
        self.states.values().filter(|publication| is_wanted(publication, &wanted)).cloned().collect()
    }

    pub(super) fn states_of(&self, audience: &Audience, kind: Kind) -> impl Iterator<Item = &Arc<Publication>> {
        let first = StateKey::Published(audience.clone(), kind, "".into());
        let of_kind = move |key: &StateKey| matches!(key, StateKey::Published(whose, what, _) if whose == audience && *what == kind);
        self.states.range(first..).take_while(move |(key, _)| of_kind(key)).map(|(_, publication)| publication)
    }

    pub(super) fn messages(&self, wanted: impl Fn(&Published) -> bool) -> Vec<Arc<Publication>> {
        let messages = self.messages.values().flatten();
        let mut wanted: Vec<_> = messages.filter(|publication| is_wanted(publication, &wanted)).cloned().collect();
        wanted.sort_by_key(|publication| match publication.event() {
            Event::Published(published) => published.seq,
            _ => 0,
        });
        wanted
    }
}

fn is_wanted(publication: &Publication, wanted: impl Fn(&Published) -> bool) -> bool {
    matches!(publication.event(), Event::Published(published) if wanted(published))
}
