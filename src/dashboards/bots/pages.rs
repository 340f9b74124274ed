//! The bot platform's pages, and which message has reached each of them: two releases of the page have no cursor, and
//! show a trade only when it arrives on their stream.
//!
//! Every connection without a cursor belongs to a page. A message has reached the page when the client has answered the
//! protocol ping in front of it. When the connection ends, the page is *away*: the next connection of the same user
//! from the same browser continues it and gets the rest. So each page gets each message once, however many pages the
//! user has open. A handshake does not say which page it comes from; these rules are approximations:
//!
//! - Of several pages that are away, the one that left last is continued first. Tabs that were disconnected together
//!   miss the same messages.
//! - A page whose client closed with 1001 was left or reloaded by its user, and is not continued.
//! - A connection that follows `GET /api/auth/me` belongs to a page that has just been loaded, which asks for recent
//!   trades itself: it gets live messages only, like the first connection of a user.
//! - A connection that has not answered for a second counts as broken, whatever its socket says: its page may be
//!   continued.
//!
//! Pages are remembered in memory. The log keeps the last message that has reached each user ([`DeliveryTracker`]):
//! after a restart every connection within a minute of the user's first one resumes from there.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::USER_AGENT;
use tokio::time::Instant;

use crate::dashboards::DeliveryTracker;
use crate::dashboards::watched::Watched;
use crate::telemetry::Metrics;

/// Largest number of pages of one user that are away. Beyond it the page that left first is forgotten.
const MAX_AWAY_PER_USER: usize = 16;
/// Largest number of pages of all users that are away.
const MAX_AWAY: usize = 20_000;
/// How long a joining connection waits for messages on their way to the user's other pages. A connection that has not
/// answered by then counts as broken.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that follows `GET /api/auth/me` this soon belongs to a page that has just been loaded.
const LOAD_WINDOW: Duration = Duration::from_secs(2);
/// How long a connection with missed messages waits for that request. A page sends both at the same moment.
const LOAD_WAIT: Duration = Duration::from_millis(250);
/// After a restart, how long after a user's first connection others of theirs resume from the log's mark. The slowest
/// page reconnects every 30 s.
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// The connections of a page that has just been loaded follow each other within this time.
const LOADED_WINDOW: Duration = Duration::from_secs(10);

/// What a handshake shows of the client's browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Browser {
    /// Hash of its `UserPages-Agent`. A client without one matches any browser.
    agent: Option<u64>,
    address: Option<IpAddr>,
    /// Whether the token stood in the path (`/api/ws&token=`), as one release of the page sends it.
    in_path: bool,
}

impl Browser {
    /// Reads the headers of a request.
    pub(super) fn of(headers: &HeaderMap, address: Option<IpAddr>, in_path: bool) -> Self {
        let agent = headers.get(USER_AGENT).map(|agent| {
            let mut hasher = DefaultHasher::new();
            agent.as_bytes().hash(&mut hasher);
            hasher.finish()
        });
        Self { agent, address, in_path }
    }

    /// Whether the token stood in the path.
    pub(super) fn in_path(&self) -> bool {
        self.in_path
    }

    fn has_agent_of(&self, other: &Self) -> bool {
        self.agent.is_none() || other.agent.is_none() || self.agent == other.agent
    }

    fn may_be(&self, other: &Self) -> bool {
        self.has_agent_of(other) && self.in_path == other.in_path
    }
}

/// The pages of all users.
#[derive(Debug)]
pub(super) struct Pages {
    /// Changes when a message was confirmed, or a page has left or is being loaded.
    state: Watched<PagesState>,
    marks: Arc<DeliveryTracker>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct PagesState {
    users: HashMap<Arc<str>, UserPages>,
    /// The pages that are away, in the order in which they left.
    away: BTreeMap<u64, (Arc<str>, u64)>,
    /// Last number assigned to a page or a departure.
    counter: u64,
    /// Marks of the log at the start, of users who have not returned yet.
    restored: HashMap<Arc<str>, Restored>,
}

#[derive(Debug, Default)]
struct UserPages {
    pages: BTreeMap<u64, TrackedPage>,
    /// When a page of this browser sent `GET /api/auth/me`, until it connects.
    loading: Option<(Instant, Browser)>,
    /// When a page that had just been loaded connected.
    loaded: Option<Instant>,
    /// When the last page connected.
    joined: Option<Instant>,
}

#[derive(Debug)]
struct TrackedPage {
    browser: Browser,
    /// The last message that the client has confirmed.
    reached: u64,
    /// The last message that was written to the client.
    written: u64,
    /// Since when a message is not confirmed.
    unconfirmed: Option<Instant>,
    /// Number of its departure, once its connection has ended.
    away: Option<u64>,
    /// Whether another connection continues it, although its own has not ended yet.
    replaced: bool,
}

#[derive(Debug, Clone, Copy)]
struct Restored {
    reached: u64,
    /// Set by the first connection.
    until: Option<Instant>,
}

/// What a connection can continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predecessor {
    Page(u64),
    Restored,
}

impl PagesState {
    /// Whether a page of `browser` that the user has just loaded is about to connect.
    fn is_loading(&self, user: &str, browser: &Browser) -> bool {
        let loading = self.users.get(user).and_then(|user| user.loading);
        loading.is_some_and(|(at, of)| of.has_agent_of(browser) && at.elapsed() <= LOAD_WINDOW)
    }

    /// Whether a message is on its way to a page of the same browser.
    fn is_unsettled(&self, user: &str, browser: &Browser) -> bool {
        let pages = self.users.get(user).into_iter().flat_map(|user| user.pages.values());
        let mut live = pages.filter(|page| page.away.is_none() && !page.replaced);
        live.any(|page| page.unconfirmed.is_some() && page.browser.may_be(browser))
    }

    /// Returns what a connection from `browser` continues, and the last message that has reached it.
    fn predecessor(&self, user: &str, browser: &Browser) -> Option<(Predecessor, u64)> {
        let known = self.users.get(user);
        let is_disconnected = |page: &TrackedPage| {
            page.away.is_some() || page.unconfirmed.is_some_and(|since| since.elapsed() >= SETTLE_TIMEOUT)
        };
        let pages = known.into_iter().flat_map(|user| &user.pages);
        let candidates =
            pages.filter(|(_, page)| !page.replaced && page.browser.may_be(browser) && is_disconnected(page));
        let best = candidates.max_by_key(|(id, page)| (page.browser.address == browser.address, page.away, **id));
        if let Some((id, page)) = best {
            return Some((Predecessor::Page(*id), page.reached));
        }
        let just_loaded = known.and_then(|user| user.loaded).is_some_and(|at| at.elapsed() <= LOADED_WINDOW);
        let restored = self.restored.get(user).filter(|_| !just_loaded)?;
        let in_time = restored.until.is_none_or(|until| Instant::now() <= until);
        in_time.then_some((Predecessor::Restored, restored.reached))
    }

    /// Removes or marks the `predecessor` that a connection continues. Without one the connection belongs to a new
    /// page.
    fn enter(&mut self, user: &Arc<str>, browser: &Browser, predecessor: Option<Predecessor>) {
        let is_loading = self.is_loading(user, browser);
        let known = self.users.entry(user.clone()).or_default();
        known.joined = Some(Instant::now());
        if is_loading {
            known.loaded = known.joined;
            known.loading = None;
        }
        match predecessor {
            Some(Predecessor::Page(id)) => match known.pages.get_mut(&id) {
                Some(TrackedPage { away: Some(departure), .. }) => {
                    self.away.remove(departure);
                    known.pages.remove(&id);
                }
                Some(page) => page.replaced = true,
                None => {}
            },
            Some(Predecessor::Restored) => {
                if let Some(restored) = self.restored.get_mut(user) {
                    restored.until.get_or_insert_with(|| Instant::now() + RESTART_WINDOW);
                }
            }
            None => {}
        }
        if self.restored.get(user).is_some_and(|it| it.until.is_some_and(|until| Instant::now() > until)) {
            self.restored.remove(user);
        }
    }

    /// Forgets the pages that are away beyond the limits. Returns their number.
    fn prune(&mut self, user: &str) -> u64 {
        let mut forgotten = 0;
        let of_user = self.users.get(user).into_iter().flat_map(|user| user.pages.values());
        let mut departures: Vec<u64> = of_user.filter_map(|page| page.away).collect();
        departures.sort_unstable();
        departures.truncate(departures.len().saturating_sub(MAX_AWAY_PER_USER));
        let oldest = self.away.keys().take(self.away.len().saturating_sub(MAX_AWAY)).copied();
        departures.extend(oldest.collect::<Vec<_>>());
        for departure in departures {
            if let Some((user, id)) = self.away.remove(&departure) {
                self.remove(&user, id);
                forgotten += 1;
            }
        }
        forgotten
    }

    fn remove(&mut self, user: &Arc<str>, id: u64) {
        let Some(known) = self.users.get_mut(user) else { return };
        known.pages.remove(&id);
        if known.pages.is_empty() && !self.restored.contains_key(user) {
            self.users.remove(user);
        }
    }
}

impl Pages {
    /// Creates the tracker with the `marks` that the log remembers.
    pub(super) fn new(marks: Arc<DeliveryTracker>, metrics: Arc<Metrics>) -> Self {
        let restored = marks.all().into_iter().map(|(user, reached)| (user, Restored { reached, until: None }));
        let state = PagesState { restored: restored.collect(), ..PagesState::default() };
        Self { state: Watched::new(state), marks, metrics }
    }

    /// Notes that a page of `user` is being loaded.
    pub(super) fn loading(&self, user: &str, browser: &Browser) {
        let mut state = self.state.lock();
        // For users without pages there is nothing to distinguish.
        let restored = state.restored.get_key_value(user).map(|(user, _)| user.clone());
        let known = match restored {
            Some(user) => state.users.entry(user).or_default(),
            None => match state.users.get_mut(user) {
                Some(known) => known,
                None => return,
            },
        };
        // The page's connection may have arrived before this request.
        if known.joined.is_none_or(|at| at.elapsed() > LOAD_WAIT) {
            known.loading = Some((Instant::now(), *browser));
            drop(state);
            self.state.changed();
        }
    }

    /// Registers a connection of `user`. `misses` returns whether any message is retained after a number.
    pub(super) async fn arrive(
        self: &Arc<Self>,
        user: &Arc<str>,
        browser: Browser,
        misses: impl Fn(u64) -> bool,
    ) -> Arrival {
        self.state.until(SETTLE_TIMEOUT, |state| !state.is_unsettled(user, &browser)).await;
        let predecessor = self.state.lock().predecessor(user, &browser);
        if predecessor.is_some_and(|(_, reached)| misses(reached)) {
            self.state.until(LOAD_WAIT, |state| state.is_loading(user, &browser)).await;
        }
        let mut state = self.state.lock();
        let is_new = state.is_loading(user, &browser);
        // Another connection may have continued it meanwhile.
        let predecessor = state.predecessor(user, &browser).filter(|_| !is_new);
        state.enter(user, &browser, predecessor.map(|(predecessor, _)| predecessor));
        let after = predecessor.map(|(_, reached)| reached);
        self.gauge(&state);
        Arrival { pages: self.clone(), user: user.clone(), browser, after }
    }

    fn gauge(&self, state: &PagesState) {
        self.metrics.pages_away.set(i64::try_from(state.away.len()).unwrap_or(i64::MAX));
    }
}

/// A connection that has not joined live events yet.
#[derive(Debug)]
pub(super) struct Arrival {
    pages: Arc<Pages>,
    user: Arc<str>,
    browser: Browser,
    after: Option<u64>,
}

impl Arrival {
    /// Returns the last message that has reached the page; later ones are due. `None` for a new page.
    pub(super) fn after(&self) -> Option<u64> {
        self.after
    }

    /// Opens the page. A new page starts after message `last`.
    pub(super) fn open(self, last: u64) -> PageConnection {
        let Self { pages, user, browser, after } = self;
        let reached = after.map_or(last, |after| after.min(last));
        let mut state = pages.state.lock();
        state.counter += 1;
        let id = state.counter;
        let page = TrackedPage { browser, reached, written: reached, unconfirmed: None, away: None, replaced: false };
        state.users.entry(user.clone()).or_default().pages.insert(id, page);
        drop(state);
        if after.is_none() {
            pages.marks.reach(&user, last);
        }
        PageConnection { pages, user, id, is_gone: false }
    }
}

/// The connection of a page. When it is dropped, the page is away.
#[derive(Debug)]
pub(super) struct PageConnection {
    pages: Arc<Pages>,
    user: Arc<str>,
    id: u64,
    is_gone: bool,
}

impl PageConnection {
    fn with<R>(&self, change: impl FnOnce(&mut TrackedPage) -> R) -> Option<R> {
        let mut state = self.pages.state.lock();
        state.users.get_mut(&self.user)?.pages.get_mut(&self.id).map(change)
    }

    /// Notes that a message is being written.
    pub(super) fn write(&mut self, message: u64) {
        self.with(|page| {
            page.written = page.written.max(message);
            if page.written > page.reached {
                page.unconfirmed.get_or_insert_with(Instant::now);
            }
        });
    }

    /// Notes that the client has confirmed everything up to `message`. Unwritten messages cannot be confirmed.
    pub(super) fn confirm(&mut self, message: u64) {
        let reached = self.with(|page| {
            page.reached = page.reached.max(message.min(page.written));
            page.unconfirmed = (page.written > page.reached).then(Instant::now);
            page.reached
        });
        if let Some(reached) = reached {
            self.pages.marks.reach(&self.user, reached);
            self.pages.state.changed();
        }
    }

    /// Notes that the user has left the page, which is then not continued.
    pub(super) fn leave(&mut self) {
        self.is_gone = true;
    }
}

impl Drop for PageConnection {
    fn drop(&mut self) {
        let mut state = self.pages.state.lock();
        state.counter += 1;
        let departure = state.counter;
        let page = state.users.get_mut(&self.user).and_then(|user| user.pages.get_mut(&self.id));
        match page {
            Some(page) if !page.replaced && !self.is_gone => {
                page.away = Some(departure);
                state.away.insert(departure, (self.user.clone(), self.id));
                let forgotten = state.prune(&self.user);
                self.pages.metrics.dropped_total.with_label_values(&["pages_away"]).inc_by(forgotten);
            }
            _ => state.remove(&self.user, self.id),
        }
        self.pages.gauge(&state);
        drop(state);
        self.pages.state.changed();
    }
}

#[cfg(test)]
mod tests;
