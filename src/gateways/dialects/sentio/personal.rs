//! What Sentio's pages show of one user: his earnings, his notifications, and both in one object.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::frame;
use crate::domain::{Audience, Event, MessageType, RelayedMessage};
use crate::gateways::dialects::orion::encode;
use crate::hub::{Audiences, Encoding, Envelope, Snapshot};

/// Notifications that a client gets at most when it joins, and entries of a list: what the page keeps.
const MAX_ENTRIES: usize = 50;

/// The fields of the earnings that are the state of a portfolio.
const PORTFOLIO: [&str; 5] = ["portfolio_value", "daily_pnl", "profit_sharing", "timestamp", "simulated"];
/// Those that say how it did.
const PERFORMANCE: [&str; 7] =
    ["total_return", "total_return_pct", "daily_pnl", "win_rate", "total_trades", "timestamp", "simulated"];

/// The object that a user's raw stream sends, always whole.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dashboard<'a> {
    portfolio: Map<String, Value>,
    performance: Map<String, Value>,
    notifications: Vec<&'a RawValue>,
    trades: Vec<&'a RawValue>,
    portfolio_stocks: [(); 0],
}

/// The frame of something that was published for a user, or for everybody, encoded once; none for other kinds.
pub fn personal_frames(publication: &Arc<Envelope>, kind: MessageType) -> &[Utf8Bytes] {
    match personal(publication, kind) {
        Some(published) => {
            publication.encoded(Encoding::Sentio, |_| vec![frame(published.kind.name(), &published.data, published.at)])
        }
        None => &[],
    }
}

/// Whether it is of this kind, and for users.
pub fn is_personal(publication: &Envelope, kind: MessageType) -> bool {
    personal(publication, kind).is_some()
}

fn personal(publication: &Envelope, kind: MessageType) -> Option<&RelayedMessage> {
    match publication.event() {
        Event::RelayedMessage(published) if published.kind == kind && published.audience != Audience::Admin => {
            Some(published)
        }
        Event::RelayedMessage(_) | Event::Signal(_) | Event::Price(_) => None,
    }
}

/// The current earnings of a user: his own or everybody's, whichever were published last.
pub fn earnings(present: &Snapshot, user: &Arc<str>) -> Option<Arc<Envelope>> {
    let (his, all) = (Audience::User(user.clone()), Audience::All);
    let states = present.states_of(&his, MessageType::Earnings).chain(present.states_of(&all, MessageType::Earnings));
    states.max_by_key(|state| personal(state, MessageType::Earnings).map(|published| published.seq)).cloned()
}

/// The notifications for a user that were published after message number `seq` and are kept, oldest first: the last 50.
pub fn missed_notifications(present: &Snapshot, user: &Arc<str>, seq: u64) -> Vec<Arc<Envelope>> {
    last(present, user, seq, MessageType::Notification)
}

fn last(present: &Snapshot, user: &Arc<str>, seq: u64, kind: MessageType) -> Vec<Arc<Envelope>> {
    let (mut messages, _) = present.messages_after(&Audiences::of_user(user.clone(), false), seq);
    messages.retain(|message| is_personal(message, kind));
    messages.drain(..messages.len().saturating_sub(MAX_ENTRIES));
    messages
}

/// What a user's raw stream is made of.
#[derive(Debug)]
pub struct DashboardSources {
    earnings: Option<Arc<Envelope>>,
    notifications: Vec<Arc<Envelope>>,
    trades: Vec<Arc<Envelope>>,
}

/// What there is of a user.
pub fn dashboard_sources(present: &Snapshot, user: &Arc<str>) -> DashboardSources {
    DashboardSources {
        earnings: earnings(present, user),
        notifications: last(present, user, 0, MessageType::Notification),
        trades: last(present, user, 0, MessageType::Trades),
    }
}

/// What a user's raw stream sends, one object without a type: `portfolio` and `performance` hold those fields of his earnings
/// that were published; `notifications` and `trades` are what was published, the latest first, at most 50 each;
/// `portfolioStocks` is empty, because nobody publishes them.
pub fn dashboard(sources: &DashboardSources) -> Utf8Bytes {
    let earnings = sources.earnings.as_deref().and_then(|state| personal(state, MessageType::Earnings));
    let earnings: Map<String, Value> =
        earnings.and_then(|earnings| serde_json::from_str(&earnings.data).ok()).unwrap_or_default();
    let fields = |names: &[&str]| {
        let known = names.iter().filter_map(|name| earnings.get_key_value(*name));
        known.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let dashboard = Dashboard {
        portfolio: fields(&PORTFOLIO),
        performance: fields(&PERFORMANCE),
        notifications: entries(&sources.notifications),
        trades: entries(&sources.trades),
        portfolio_stocks: [],
    };
    encode(&dashboard)
}

fn entries(messages: &[Arc<Envelope>]) -> Vec<&RawValue> {
    messages.iter().rev().filter_map(|message| data(message)).collect()
}

fn data(message: &Envelope) -> Option<&RawValue> {
    match message.event() {
        Event::RelayedMessage(published) => serde_json::from_str(&published.data).ok(),
        Event::Signal(_) | Event::Price(_) => None,
    }
}
