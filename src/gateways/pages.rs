//! The bot platform's pages, and up to which message each of them has been reached: two releases of the page have no cursor,
//! and show a trade only when it comes on their stream.
//!
//! Every connection without a cursor is a page. A message has reached it when the client has answered the protocol ping in
//! front of it. When the connection ends, the page is *away*, and the next connection of the same user from the same browser
//! takes its place and gets the rest. So each page gets each message once, however many of them a user has open. Nothing in a
//! handshake says which page it comes from; what is decided with less than certainty:
//!
//! - Of several pages that are away, the one that left last comes back first. Tabs that were cut together have the same rest.
//! - A page whose client closed with 1001 was left or loaded anew by its user, and does not come back.
//! - A connection that follows `GET /api/auth/me` is a page that has just been loaded, which asks for recent trades itself: it
//!   gets what is live, like the first connection of a user.
//! - A connection that has not answered for a second has been cut, whatever its socket says: its place is taken too.
//!
//! Pages are remembered in memory. The log keeps the last message that has reached each user ([`DeliveryTracker`]): after a
//! restart every connection within a minute of the user's first one goes on from there.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::USER_AGENT;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::delivery::DeliveryTracker;
use crate::telemetry::Metrics;

/// Pages of one user that may be away; beyond that the one that left first is forgotten.
const MAX_AWAY_PER_USER: usize = 16;
/// The same for all users together.
const MAX_AWAY: usize = 20_000;
/// How long a connection that joins waits for what is on its way to the user's other pages. One that has not answered by then
/// has been cut.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that follows `GET /api/auth/me` this soon is a page that has just been loaded.
const LOAD_WINDOW: Duration = Duration::from_secs(2);
/// How long a connection that would get something waits for that request: a page sends both at the same moment.
const LOAD_WAIT: Duration = Duration::from_millis(250);
/// After a restart, how long after a user's first connection others of theirs go on from what the log remembers. The slowest
/// page tries again every 30 s.
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// Connections of a page that has just been loaded follow each other within this time.
const LOADED_WINDOW: Duration = Duration::from_secs(10);

/// What a handshake says of the browser that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Browser {
    /// Its `User-Agent`, hashed. A client without one may be any.
    agent: Option<u64>,
    address: Option<IpAddr>,
    /// Its token stood in the path (`/api/ws&token=`), which one release of the page does.
    in_path: bool,
}

impl Browser {
    /// Reads the headers of a request.
    pub fn of(headers: &HeaderMap, address: Option<IpAddr>, in_path: bool) -> Self {
        let agent = headers.get(USER_AGENT).map(|agent| {
            let mut hasher = DefaultHasher::new();
            agent.as_bytes().hash(&mut hasher);
            hasher.finish()
        });
        Self { agent, address, in_path }
    }

    /// Whether its token stood in the path.
    pub fn in_path(&self) -> bool {
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
pub struct Pages {
    state: Mutex<State>,
    /// Something was confirmed, a page has left, or one is being loaded.
    changed: Notify,
    marks: Arc<DeliveryTracker>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    users: HashMap<Arc<str>, User>,
    /// The pages that are away, in the order in which they left.
    away: BTreeMap<u64, (Arc<str>, u64)>,
    /// Numbers pages and departures.
    counter: u64,
    /// What the log remembered at the start, of users who have not come back yet.
    restored: HashMap<Arc<str>, Restored>,
}

#[derive(Debug, Default)]
struct User {
    pages: BTreeMap<u64, Page>,
    /// When a page of this browser asked who it is, until it connects.
    loading: Option<(Instant, Browser)>,
    /// When a page that had just been loaded connected.
    loaded: Option<Instant>,
    /// When the last page connected.
    joined: Option<Instant>,
}

#[derive(Debug)]
struct Page {
    browser: Browser,
    /// The last message that the client has confirmed.
    reached: u64,
    /// The last message that was written to it.
    written: u64,
    /// Since when it has something to confirm.
    unconfirmed: Option<Instant>,
    /// Set when its connection has ended: its number in the order of departures.
    away: Option<u64>,
    /// Another connection has taken its place, although its own has not ended yet.
    replaced: bool,
}

#[derive(Debug, Clone, Copy)]
struct Restored {
    reached: u64,
    /// Known after the first connection.
    until: Option<Instant>,
}

/// Whose place a connection can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predecessor {
    Page(u64),
    Restored,
}

impl State {
    /// Whether a page of `browser` that the user has just loaded is about to connect.
    fn is_loading(&self, user: &str, browser: &Browser) -> bool {
        let loading = self.users.get(user).and_then(|user| user.loading);
        loading.is_some_and(|(at, of)| of.has_agent_of(browser) && at.elapsed() <= LOAD_WINDOW)
    }

    /// Whether something is on its way to a page of the same browser.
    fn is_unsettled(&self, user: &str, browser: &Browser) -> bool {
        let pages = self.users.get(user).into_iter().flat_map(|user| user.pages.values());
        let mut live = pages.filter(|page| page.away.is_none() && !page.replaced);
        live.any(|page| page.unconfirmed.is_some() && page.browser.may_be(browser))
    }

    /// Whose place a connection from `browser` takes, and the last message that has reached it.
    fn predecessor(&self, user: &str, browser: &Browser) -> Option<(Predecessor, u64)> {
        let known = self.users.get(user);
        let is_cut = |page: &Page| {
            page.away.is_some() || page.unconfirmed.is_some_and(|since| since.elapsed() >= SETTLE_TIMEOUT)
        };
        let pages = known.into_iter().flat_map(|user| &user.pages);
        let cut = pages.filter(|(_, page)| !page.replaced && page.browser.may_be(browser) && is_cut(page));
        let best = cut.max_by_key(|(id, page)| (page.browser.address == browser.address, page.away, **id));
        if let Some((id, page)) = best {
            return Some((Predecessor::Page(*id), page.reached));
        }
        let just_loaded = known.and_then(|user| user.loaded).is_some_and(|at| at.elapsed() <= LOADED_WINDOW);
        let restored = self.restored.get(user).filter(|_| !just_loaded)?;
        let in_time = restored.until.is_none_or(|until| Instant::now() <= until);
        in_time.then_some((Predecessor::Restored, restored.reached))
    }

    /// Takes the place of `predecessor`, if there is one; without one the connection is of a page that was not there before.
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
                Some(Page { away: Some(departure), .. }) => {
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

    /// Forgets pages that are away beyond those that are kept. Returns how many.
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
    /// Begins with what the log remembers in `marks`.
    pub fn new(marks: Arc<DeliveryTracker>, metrics: Arc<Metrics>) -> Self {
        let restored = marks.all().into_iter().map(|(user, reached)| (user, Restored { reached, until: None }));
        let state = State { restored: restored.collect(), ..State::default() };
        Self { state: Mutex::new(state), changed: Notify::new(), marks, metrics }
    }

    /// What has reached each user, as the log keeps it.
    pub fn marks(&self) -> &Arc<DeliveryTracker> {
        &self.marks
    }

    /// Notes that a page of `user` is being loaded.
    pub fn loading(&self, user: &str, browser: &Browser) {
        let mut state = self.state.lock();
        // Of users without a page there is nothing to tell apart.
        let restored = state.restored.get_key_value(user).map(|(user, _)| user.clone());
        let known = match restored {
            Some(user) => state.users.entry(user).or_default(),
            None => match state.users.get_mut(user) {
                Some(known) => known,
                None => return,
            },
        };
        // Its connection may have come first.
        if known.joined.is_none_or(|at| at.elapsed() > LOAD_WAIT) {
            known.loading = Some((Instant::now(), *browser));
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// A connection of `user`. `misses` says whether anything is kept after a message.
    pub async fn arrive(self: &Arc<Self>, user: &Arc<str>, browser: Browser, misses: impl Fn(u64) -> bool) -> Arrival {
        timeout(SETTLE_TIMEOUT, self.until(|state| !state.is_unsettled(user, &browser))).await.ok();
        let predecessor = self.state.lock().predecessor(user, &browser);
        if predecessor.is_some_and(|(_, reached)| misses(reached)) {
            let deadline = Instant::now() + LOAD_WAIT;
            timeout_at(deadline, self.until(|state| state.is_loading(user, &browser))).await.ok();
        }
        let mut state = self.state.lock();
        let is_new = state.is_loading(user, &browser);
        // It may have been taken meanwhile.
        let predecessor = state.predecessor(user, &browser).filter(|_| !is_new);
        state.enter(user, &browser, predecessor.map(|(predecessor, _)| predecessor));
        let after = predecessor.map(|(_, reached)| reached);
        self.gauge(&state);
        Arrival { pages: self.clone(), user: user.clone(), browser, after }
    }

    /// Waits until `holds`.
    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn gauge(&self, state: &State) {
        self.metrics.pages_away.set(i64::try_from(state.away.len()).unwrap_or(i64::MAX));
    }
}

/// A connection that has not joined what is live yet.
#[derive(Debug)]
pub struct Arrival {
    pages: Arc<Pages>,
    user: Arc<str>,
    browser: Browser,
    after: Option<u64>,
}

impl Arrival {
    /// The last message that has reached the page; what comes after it is due. `None` for a page that is new.
    pub fn after(&self) -> Option<u64> {
        self.after
    }

    /// The page is there, from message `last` on if it is new.
    pub fn begin(self, last: u64) -> PageConnection {
        let Self { pages, user, browser, after } = self;
        let reached = after.map_or(last, |after| after.min(last));
        let mut state = pages.state.lock();
        state.counter += 1;
        let id = state.counter;
        let page = Page { browser, reached, written: reached, unconfirmed: None, away: None, replaced: false };
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
pub struct PageConnection {
    pages: Arc<Pages>,
    user: Arc<str>,
    id: u64,
    is_gone: bool,
}

impl PageConnection {
    fn with<R>(&self, change: impl FnOnce(&mut Page) -> R) -> Option<R> {
        let mut state = self.pages.state.lock();
        state.users.get_mut(&self.user)?.pages.get_mut(&self.id).map(change)
    }

    /// A message is being written.
    pub fn write(&mut self, message: u64) {
        self.with(|page| {
            page.written = page.written.max(message);
            if page.written > page.reached {
                page.unconfirmed.get_or_insert_with(Instant::now);
            }
        });
    }

    /// The client has confirmed everything up to `message`. It cannot confirm what was not written.
    pub fn confirm(&mut self, message: u64) {
        let reached = self.with(|page| {
            page.reached = page.reached.max(message.min(page.written));
            page.unconfirmed = (page.written > page.reached).then(Instant::now);
            page.reached
        });
        if let Some(reached) = reached {
            self.pages.marks.reach(&self.user, reached);
            self.pages.changed.notify_waiters();
        }
    }

    /// The user has left the page, which will not come back.
    pub fn leave(&mut self) {
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
        self.pages.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
