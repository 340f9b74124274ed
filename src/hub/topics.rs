//! What a client asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::{Audience, Event, Symbol};

/// Which symbols of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// None: the client is not in the channel.
    #[default]
    None,
    /// Every symbol, those to come included.
    All,
    /// These.
    Only(BTreeSet<Symbol>),
}

impl Selection {
    /// Whether it holds `symbol`.
    pub fn contains(&self, symbol: &Symbol) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(symbols) => symbols.contains(symbol),
        }
    }

    /// Whether it holds nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// This and what `more` selects.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        match (self, more) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, other) | (other, Self::None) => other.clone(),
            (Self::Only(one), Self::Only(other)) => Self::Only(one.union(other).cloned().collect()),
        }
    }

    /// This without what `less` selects. From `All` nothing but all of it can be taken: symbols to come are part of it.
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topics {
    /// Symbols whose prices it gets.
    pub prices: Selection,
    /// Symbols whose signals it gets.
    pub signals: Selection,
    /// Whose published messages it gets.
    pub published: Audiences,
}

/// Whose published messages a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audiences {
    /// Those for everybody.
    pub all: bool,
    /// Those for administrators.
    pub admin: bool,
    /// Those for this user.
    pub user: Option<Arc<str>>,
}

impl Audiences {
    /// Those for everybody, and nothing else.
    pub fn everybody() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// One of them.
    pub fn only(audience: &Audience) -> Self {
        match audience {
            Audience::All => Self::everybody(),
            Audience::Admin => Self { admin: true, ..Self::default() },
            Audience::User(user) => Self { user: Some(user.clone()), ..Self::default() },
        }
    }

    /// All that one user may read.
    pub fn of_user(user: Arc<str>, admin: bool) -> Self {
        Self { all: true, admin, user: Some(user) }
    }

    /// Each of them.
    pub fn each(&self) -> impl Iterator<Item = Audience> {
        let (all, admin) = (self.all.then_some(Audience::All), self.admin.then_some(Audience::Admin));
        all.into_iter().chain(admin).chain(self.user.clone().map(Audience::User))
    }

    /// Whether it holds `audience`.
    pub fn contain(&self, audience: &Audience) -> bool {
        match audience {
            Audience::All => self.all,
            Audience::Admin => self.admin,
            Audience::User(user) => self.user.as_ref() == Some(user),
        }
    }
}

impl Topics {
    /// All prices and signals.
    pub fn market() -> Self {
        Self { prices: Selection::All, signals: Selection::All, published: Audiences::default() }
    }

    /// All prices and signals, and what is published for everybody.
    pub fn public() -> Self {
        Self { published: Audiences { all: true, ..Audiences::default() }, ..Self::market() }
    }

    /// Whether the client gets `event`.
    pub fn contain(&self, event: &Event) -> bool {
        match event {
            Event::Price(update) => self.prices.contains(&update.symbol),
            Event::Signal(signal) => self.signals.contains(&signal.symbol),
            Event::RelayedMessage(published) => self.published.contain(&published.audience),
        }
    }

    /// These and the prices and signals of `more`.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        Self {
            prices: self.prices.with(&more.prices),
            signals: self.signals.with(&more.signals),
            published: self.published.clone(),
        }
    }

    /// These without the prices and signals of `less`.
    #[must_use]
    pub fn without(&self, less: &Self) -> Self {
        Self {
            prices: self.prices.without(&less.prices),
            signals: self.signals.without(&less.signals),
            published: self.published.clone(),
        }
    }
}
