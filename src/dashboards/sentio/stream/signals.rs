//! `/ws/trade-signals`: the complete list of current signals, sent after each change that concerns the client.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;

use super::ClientFrame;
use crate::dashboards::sentio::wire::{self, Watchlist};
use crate::domain::Instruments;
use crate::hub::{Audiences, Envelope, Outbox, Selection, Topics};
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::resume::Gone;
use crate::transport::ws::{Client, Protocol};

/// One panel of trade signals.
#[derive(Debug)]
pub(super) struct TradeSignals {
    gateway: Arc<Gateway>,
    outbox: Arc<Outbox>,
    wanted: SignalSubscription,
    /// The list that the client has.
    sent: String,
    /// Whether an event may have changed the list.
    changed: bool,
}

/// What a client is subscribed to.
#[derive(Debug)]
enum SignalSubscription {
    /// Nothing: it has not sent a frame.
    Nothing,
    /// Everything: it named no symbols.
    Everything,
    /// These symbols. The list stays empty after the last one was removed.
    Only(Watchlist),
}

impl SignalSubscription {
    fn watchlist(&self) -> Option<&Watchlist> {
        match self {
            Self::Only(watchlist) => Some(watchlist),
            Self::Nothing | Self::Everything => None,
        }
    }

    fn topics(&self) -> Topics {
        let signals = match self {
            Self::Nothing => return Topics::default(),
            Self::Everything => Selection::All,
            Self::Only(watchlist) => watchlist.selection(),
        };
        Topics { signals, published: Audiences { all: true, ..Audiences::default() }, ..Topics::default() }
    }

    fn add(&mut self, symbols: Vec<&str>, instruments: &Instruments) {
        match self {
            Self::Only(watchlist) => watchlist.add(symbols, instruments),
            // A client that names symbols after it got everything narrows its subscription.
            Self::Nothing | Self::Everything => {
                let watchlist = Watchlist::of(symbols, instruments);
                *self = if watchlist.is_empty() { Self::Everything } else { Self::Only(watchlist) };
            }
        }
    }

    fn remove(&mut self, symbols: Vec<&str>, instruments: &Instruments) {
        if let Self::Only(watchlist) = self {
            watchlist.remove(symbols, instruments);
        }
    }
}

impl TradeSignals {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        let outbox = Arc::new(Outbox::new(gateway.metrics.clone()));
        Self { gateway, outbox, wanted: SignalSubscription::Nothing, sent: String::new(), changed: false }
    }

    /// Joins the client to its subscription and sends the current list.
    fn show(&mut self, client: &Client) {
        let topics = self.wanted.topics();
        let sources = self.gateway.hub.with_snapshot(|snapshot| {
            client.set_topics(topics);
            wire::signal_sources(snapshot, self.wanted.watchlist())
        });
        self.sent.clear();
        if let Some(frame) = self.list(&sources) {
            client.answer(frame);
        }
    }

    /// Returns the list, unless it is empty or the client already has it.
    fn list(&mut self, sources: &[Arc<Envelope>]) -> Option<Utf8Bytes> {
        let entries = wire::signal_list(sources, self.wanted.watchlist(), &self.gateway.instruments);
        let list = wire::array(&entries);
        if entries.is_empty() || list == self.sent {
            return None;
        }
        let frame = wire::frame("trade_signals", &list, clock::wall());
        self.sent = list;
        Some(frame)
    }
}

impl Protocol for TradeSignals {
    fn endpoint(&self) -> &'static str {
        "/ws/trade-signals"
    }

    fn outbox(&self) -> Option<&Arc<Outbox>> {
        Some(&self.outbox)
    }

    async fn open(&mut self, _: &mut Client) -> Result<(), Gone> {
        Ok(())
    }

    fn encode(&mut self, publication: &Arc<Envelope>, _: &mut Vec<Utf8Bytes>) {
        self.changed |= wire::concerns_signals(publication.event());
    }

    /// Sends one list for the whole batch.
    fn batch_end(&mut self, frames: &mut Vec<Utf8Bytes>) {
        if std::mem::take(&mut self.changed) {
            let sources =
                self.gateway.hub.with_snapshot(|snapshot| wire::signal_sources(snapshot, self.wanted.watchlist()));
            frames.extend(self.list(&sources));
        }
    }

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let Some(frame) = ClientFrame::read(client, text) else { return Ok(()) };
        let (symbols, gateway) = (frame.symbols(), self.gateway.clone());
        if matches!(self.wanted, SignalSubscription::Nothing) {
            self.wanted.add(symbols, &gateway.instruments);
            self.show(client);
            frame.answer_ping(client);
            return Ok(());
        }
        match frame.action() {
            Some("subscribe") if !symbols.is_empty() => self.wanted.add(symbols, &gateway.instruments),
            Some("unsubscribe") if !symbols.is_empty() => self.wanted.remove(symbols, &gateway.instruments),
            _ => {
                frame.answer(client);
                return Ok(());
            }
        }
        self.show(client);
        Ok(())
    }
}
