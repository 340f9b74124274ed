//! `/ws/market-data`: the quotes of the subscribed symbols, at once and then at regular intervals.

use std::sync::Arc;
use std::time::Duration;

use super::ClientFrame;
use crate::dashboards::sentio::wire::{self, Watchlist};
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::resume::Gone;
use crate::transport::ws::{Client, Protocol};

/// One panel of prices. It reads the prices at its interval, so it adds no cost to publishing.
#[derive(Debug)]
pub(super) struct MarketData {
    gateway: Arc<Gateway>,
    /// Time between two lists of quotes.
    interval: Duration,
    /// Subscribed symbols; `None` before the first frame.
    watchlist: Option<Watchlist>,
}

impl MarketData {
    pub(super) fn new(gateway: Arc<Gateway>, interval: Duration) -> Self {
        Self { gateway, interval, watchlist: None }
    }

    /// Sends the quotes of `watchlist`, if there are any. Unknown symbols have none.
    fn send(&self, client: &Client, kind: &str, watchlist: &Watchlist) {
        if watchlist.is_empty() {
            return;
        }
        let prices =
            self.gateway.hub.with_snapshot(|snapshot| snapshot.prices(|symbol| watchlist.contains(symbol.as_str())));
        let quotes = wire::quote_list(&prices, watchlist);
        if !quotes.is_empty() {
            client.answer(wire::frame(kind, &wire::array(&quotes), clock::wall()));
        }
    }
}

impl Protocol for MarketData {
    fn endpoint(&self) -> &'static str {
        "/ws/market-data"
    }

    async fn open(&mut self, _: &mut Client) -> Result<(), Gone> {
        Ok(())
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.interval)
    }

    fn on_interval(&mut self, client: &mut Client) {
        if let Some(watchlist) = &self.watchlist {
            self.send(client, "update", watchlist);
        }
    }

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let Some(frame) = ClientFrame::read(client, text) else { return Ok(()) };
        let symbols = frame.symbols();
        let instruments = &self.gateway.instruments;
        match (&mut self.watchlist, frame.action()) {
            (None, _) => {
                let watchlist = Watchlist::of(symbols, instruments);
                self.send(client, "quotes", &watchlist);
                self.watchlist = Some(watchlist);
                frame.answer_ping(client);
            }
            (Some(watchlist), Some("subscribe")) if !symbols.is_empty() => {
                watchlist.add(symbols.iter().copied(), instruments);
                self.send(client, "quotes", &Watchlist::of(symbols, instruments));
            }
            (Some(watchlist), Some("unsubscribe")) if !symbols.is_empty() => watchlist.remove(symbols, instruments),
            _ => frame.answer(client),
        }
        Ok(())
    }
}
