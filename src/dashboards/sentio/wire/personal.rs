//! One user's data on Sentio's pages: earnings, notifications, and both in one object.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{ENCODING, frame};
use crate::dashboards::bots::types::TRADES;
use crate::dashboards::sentio::types;
use crate::domain::{Audience, Event, MessageType, RelayedMessage};
use crate::hub::{Audiences, Envelope, Snapshot};
use crate::transport::messages::encode;

/// Largest number of notifications that a joining client gets, and of entries in a list: as many as the page keeps.
const MAX_ENTRIES: usize = 50;

/// Fields of the earnings with the state of the portfolio.
const PORTFOLIO: [&str; 5] = ["portfolio_value", "daily_pnl", "profit_sharing", "timestamp", "simulated"];
/// Fields of the earnings with the performance.
const PERFORMANCE: [&str; 7] =
    ["total_return", "total_return_pct", "daily_pnl", "win_rate", "total_trades", "timestamp", "simulated"];

/// The complete object that a user's raw stream sends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DashboardObject<'a> {
    portfolio: Map<String, Value>,
    performance: Map<String, Value>,
    notifications: Vec<&'a RawValue>,
    trades: Vec<&'a RawValue>,
    portfolio_stocks: [(); 0],
}

/// Returns the frame of a message for one user or all users, encoded once; empty for other types.
pub fn personal_frames(publication: &Arc<Envelope>, kind: MessageType) -> &[Utf8Bytes] {
    match personal(publication, kind) {
        Some(published) => {
            publication.encoded(ENCODING, |_| vec![frame(published.kind.name(), &published.data, published.at)])
        }
        None => &[],
    }
}

/// Whether an event is a message of this type for users.
pub fn is_personal(publication: &Envelope, kind: MessageType) -> bool {
    personal(publication, kind).is_some()
}

fn personal(publication: &Envelope, kind: MessageType) -> Option<&RelayedMessage> {
    match publication.event() {
        Event::RelayedMessage(published) if published.kind == kind && published.audience != Audience::Admin => {
            Some(published)
        }
        _ => None,
    }
}

/// Returns the current earnings of a user: the user's own or those of all users, whichever were published last.
pub fn earnings(snapshot: &Snapshot, user: &Arc<str>) -> Option<Arc<Envelope>> {
    let (own, all) = (Audience::User(user.clone()), Audience::All);
    let states = snapshot.states_of(&own, types::EARNINGS).chain(snapshot.states_of(&all, types::EARNINGS));
    states.max_by_key(|state| personal(state, types::EARNINGS).map(|published| published.seq)).cloned()
}

/// Returns the retained notifications for a user after message number `seq`, oldest first: the last 50.
pub fn missed_notifications(snapshot: &Snapshot, user: &Arc<str>, seq: u64) -> Vec<Arc<Envelope>> {
    last(snapshot, user, seq, types::NOTIFICATION)
}

fn last(snapshot: &Snapshot, user: &Arc<str>, seq: u64, kind: MessageType) -> Vec<Arc<Envelope>> {
    let (mut messages, _) = snapshot.messages_after(&Audiences::of_user(user.clone(), false), seq);
    messages.retain(|message| is_personal(message, kind));
    messages.drain(..messages.len().saturating_sub(MAX_ENTRIES));
    messages
}

/// The messages that a user's raw stream consists of.
#[derive(Debug)]
pub struct DashboardSources {
    earnings: Option<Arc<Envelope>>,
    notifications: Vec<Arc<Envelope>>,
    trades: Vec<Arc<Envelope>>,
}

/// Returns the current messages of a user.
pub fn dashboard_sources(snapshot: &Snapshot, user: &Arc<str>) -> DashboardSources {
    DashboardSources {
        earnings: earnings(snapshot, user),
        notifications: last(snapshot, user, 0, types::NOTIFICATION),
        trades: last(snapshot, user, 0, TRADES),
    }
}

/// Encodes the object of a user's raw stream, which has no type. `portfolio` and `performance` hold the published
/// fields of the user's earnings. `notifications` and `trades` hold the published messages, the latest first, at most
/// 50 each. `portfolioStocks` is always empty, because no message contains it.
pub fn dashboard(sources: &DashboardSources) -> Utf8Bytes {
    let earnings = sources.earnings.as_deref().and_then(|state| personal(state, types::EARNINGS));
    let earnings: Map<String, Value> =
        earnings.and_then(|earnings| serde_json::from_str(&earnings.data).ok()).unwrap_or_default();
    let fields = |names: &[&str]| {
        let known = names.iter().filter_map(|name| earnings.get_key_value(*name));
        known.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let dashboard = DashboardObject {
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
        _ => None,
    }
}
