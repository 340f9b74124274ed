//! What a client is subscribed to.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::{Audience, Event, Signal, SignalFilter, StateKey, Symbol, TradeOutcome};

/// The selected symbols of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// No symbol: the client is not subscribed to the channel.
    #[default]
    None,
    /// Every symbol, including those that are added later.
    All,
    /// These symbols.
    Only(BTreeSet<Symbol>),
}

impl Selection {
    /// Whether it selects `symbol`.
    pub fn contains(&self, symbol: &Symbol) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(symbols) => symbols.contains(symbol),
        }
    }

    /// Whether it selects nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Returns the union with `more`.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        match (self, more) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, other) | (other, Self::None) => other.clone(),
            (Self::Only(one), Self::Only(other)) => Self::Only(one.union(other).cloned().collect()),
        }
    }

    /// Returns the difference to `less`. `All` stays `All` unless `less` is `All`, too, because it includes later
    /// symbols.
    #[must_use]
    pub fn without(&self, less: &Self) -> Self {
        match (self, less) {
            (_, Self::All) => Self::None,
            (Self::Only(one), Self::Only(other)) => {
                let rest: BTreeSet<Symbol> = one.difference(other).cloned().collect();
                if rest.is_empty() { Self::None } else { Self::Only(rest) }
            }
            _ => self.clone(),
        }
    }
}

/// A client's subscription.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Topics {
    /// Symbols whose prices the client gets.
    pub prices: Selection,
    /// Symbols whose signals the client gets.
    pub signals: Selection,
    /// Which of these signals the client gets; `None` for all. Shared, because most clients have none.
    pub filter: Option<Arc<SignalFilter>>,
    /// Whether the client gets the killzone clock.
    pub clock: bool,
    /// Whether the client gets the counts of clients.
    pub presence: bool,
    /// Audiences whose relayed messages the client gets.
    pub published: Audiences,
}

/// The audiences whose relayed messages a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audiences {
    /// Messages for all users.
    pub all: bool,
    /// Messages for administrators.
    pub admin: bool,
    /// Messages for this user.
    pub user: Option<Arc<str>>,
}

impl Audiences {
    /// Returns only the audience of all users.
    pub fn everybody() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Returns only this audience.
    pub fn only(audience: &Audience) -> Self {
        match audience {
            Audience::All => Self::everybody(),
            Audience::Admin => Self { admin: true, ..Self::default() },
            Audience::User(user) => Self { user: Some(user.clone()), ..Self::default() },
        }
    }

    /// Returns all audiences that a user may read.
    pub fn of_user(user: Arc<str>, admin: bool) -> Self {
        Self { all: true, admin, user: Some(user) }
    }

    /// Iterates over the audiences.
    pub fn each(&self) -> impl Iterator<Item = Audience> {
        let (all, admin) = (self.all.then_some(Audience::All), self.admin.then_some(Audience::Admin));
        all.into_iter().chain(admin).chain(self.user.clone().map(Audience::User))
    }

    /// Whether it includes `audience`.
    pub fn contain(&self, audience: &Audience) -> bool {
        match audience {
            Audience::All => self.all,
            Audience::Admin => self.admin,
            Audience::User(user) => self.user.as_ref() == Some(user),
        }
    }
}

impl Topics {
    /// Returns all prices and signals.
    pub fn market() -> Self {
        Self { prices: Selection::All, signals: Selection::All, ..Self::default() }
    }

    /// Returns all prices and signals, and the messages for all users.
    pub fn public() -> Self {
        Self { published: Audiences { all: true, ..Audiences::default() }, ..Self::market() }
    }

    /// Whether the client gets `event`.
    pub fn contain(&self, event: &Event) -> bool {
        match event {
            Event::Price(update) => self.prices.contains(&update.symbol),
            Event::Signal(signal) => self.contain_signal(signal),
            Event::RelayedMessage(published) => self.published.contain(&published.audience),
            Event::Cursor(_) => self.filter.is_some() && !self.signals.is_none(),
            Event::Killzone(_) => self.clock,
            Event::Presence(..) => self.presence,
        }
    }

    /// Whether the client gets a signal in its present state.
    pub fn contain_signal(&self, signal: &Signal) -> bool {
        self.signals.contains(&signal.symbol) && self.filter.as_ref().is_none_or(|filter| filter.admits(signal))
    }

    /// Whether the client gets the record of a signal.
    pub fn contain_outcome(&self, outcome: &TradeOutcome) -> bool {
        self.signals.contains(&outcome.symbol)
            && self.filter.as_ref().is_none_or(|filter| filter.admits_outcome(outcome))
    }

    /// Whether `other` has signals that are filtered in another way.
    pub fn refilters(&self, other: &Self) -> bool {
        !self.signals.is_none() && !other.signals.is_none() && self.filter != other.filter
    }

    /// Whether the client gets the state with this key.
    pub fn contain_key(&self, key: &StateKey) -> bool {
        match key {
            StateKey::Price(symbol) => self.prices.contains(symbol),
            StateKey::RelayedMessage(audience, ..) => self.published.contain(audience),
            StateKey::Killzone => self.clock,
            StateKey::Presence => self.presence,
        }
    }

    /// Returns the union with the prices, signals, clock and presence of `more`. The filter is that of `more`, if it has signals.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        Self {
            prices: self.prices.with(&more.prices),
            signals: self.signals.with(&more.signals),
            filter: if more.signals.is_none() { self.filter.clone() } else { more.filter.clone() },
            clock: self.clock || more.clock,
            presence: self.presence || more.presence,
            published: self.published.clone(),
        }
    }

    /// Returns the topics without the prices, signals, clock and presence of `less`.
    #[must_use]
    pub fn without(&self, less: &Self) -> Self {
        let signals = self.signals.without(&less.signals);
        Self {
            prices: self.prices.without(&less.prices),
            filter: self.filter.clone().filter(|_| !signals.is_none()),
            signals,
            clock: self.clock && !less.clock,
            presence: self.presence && !less.presence,
            published: self.published.clone(),
        }
    }
}
