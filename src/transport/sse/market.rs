//! The public stream of prices, signals, the killzone clock and the presence, with standard event names and ids.

use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use serde_json::json;

use super::{EventSender, SseConnection};
use crate::config::duration_text;
use crate::domain::{self, PROTOCOL, Position, Signal};
use crate::hub::{Envelope, Ordered, OutboxBatch, Snapshot};
use crate::transport::close::Close;
use crate::transport::command::SubscriptionRequest;
use crate::transport::connection_guard::ConnectionEnd;
use crate::transport::messages::{SignalMeta, SignalObject, Subscribed, current_states, encode, object};
use crate::transport::resume::{self, Gone, NoRoom, ResumeRequest, Resumed};

/// One client's stream.
#[derive(Debug)]
pub(crate) struct MarketStream {
    connection: SseConnection,
    request: SubscriptionRequest,
    events: EventSender,
}

impl MarketStream {
    /// Serves a subscription until the client leaves or the server ends it.
    pub(crate) async fn serve(connection: SseConnection, request: SubscriptionRequest, events: EventSender) {
        let identity = connection.guard.identity();
        let stream = Self { connection, request, events };
        // A client that is gone needs no answer.
        identity.run(async move { stream.run().await.ok() }).await;
    }

    async fn run(&self) -> Result<(), Gone> {
        let joined = tokio::select! {
            begins = self.join() => Ok(begins?),
            close = self.connection.ended() => Err(close),
        };
        let close = match joined {
            Ok(begins) => loop {
                match self.connection.due().await {
                    Ok(batch) => self.send(batch, &begins).await?,
                    Err(close) => break close,
                }
            },
            Err(close) => {
                self.connection.guard.ended(ConnectionEnd::Closed(close));
                close
            }
        };
        self.events.send(closing(close)).await
    }

    /// Joins live events: behind what was missed, or behind the snapshot. Returns where they begin.
    async fn join(&self) -> Result<Position, Gone> {
        let (gateway, request) = (&self.connection.gateway, &self.request);
        let since = request.since.as_deref().filter(|_| !request.topics.signals.is_none());
        if let Some(seq) = since.and_then(|since| resume::reachable(since, &gateway.hub.position())) {
            let mut resumer = Resumer { stream: self, begins: gateway.hub.position() };
            match resume::resume(&gateway.hub, &gateway.log, seq, &mut resumer).await {
                Ok(Resumed::Joined) => return Ok(resumer.begins),
                Ok(Resumed::Gone) => return Err(Gone),
                Ok(Resumed::Impossible) => {}
                Err(error) => resume::log_unreadable(&error),
            }
        }
        Ok(gateway.hub.with_snapshot(|snapshot| {
            // The snapshot is complete when it stands in for a gap that was not filled.
            let replay = request.replay.filter(|_| since.is_none());
            let signals = snapshot.signals_by_age(|signal, age| {
                request.topics.contain_signal(signal)
                    && (signal.state.is_pending() || replay.is_none_or(|replay| age <= replay))
            });
            self.go_live(snapshot, signals, since.map(|_| false))
        }))
    }

    /// Puts the prices, these signals and the answer in line, and joins live events. Returns where they begin. Call it under
    /// the hub's lock.
    fn go_live(&self, snapshot: &Snapshot, signals: Vec<Arc<Envelope>>, recovered: Option<bool>) -> Position {
        let (SseConnection { gateway, outbox, membership, .. }, request) = (&self.connection, &self.request);
        gateway.fanout.settle_outbox(outbox);
        outbox.put(snapshot.prices(|symbol| request.topics.prices.contains(symbol)));
        outbox.put(signals);
        outbox.set_price_interval(request.max_hz.map(|hz| Duration::from_secs_f64(1.0 / hz)));
        outbox.set_topics(request.topics.clone());
        membership.set(&request.topics);
        outbox.answer(encode(&Subscribed {
            channels: request.channels(),
            symbols: request.symbol_list(),
            unfed: request.unfed(snapshot),
            cursor: snapshot.position().to_string(),
            recovered,
            protocol: PROTOCOL,
            replay: request.granted_replay(snapshot).map(duration_text),
            max_hz: request.max_hz,
            filters: request.filters(),
            last_event_id: None,
        }));
        snapshot.position().clone()
    }

    /// Sends what is due: states, then ordered events. The only frame among them is the answer to the subscription.
    async fn send(&self, batch: OutboxBatch, begins: &Position) -> Result<(), Gone> {
        self.events.send_all(batch.states.iter().filter_map(event)).await?;
        for ordered in &batch.ordered {
            match ordered {
                Ordered::Event(envelope) => self.events.send_all(event(envelope)).await?,
                Ordered::Frame(subscribed) => {
                    self.events.send(placed("subscribed", subscribed, begins)).await?;
                    let states = current_states(&self.request.topics, &self.connection.gateway.hub);
                    self.events.send_all(states.filter_map(|state| event(&state))).await?;
                }
                Ordered::Ping(_) => {}
            }
        }
        Ok(())
    }
}

/// A client that resumes. It gets no live events until its gap is filled.
struct Resumer<'a> {
    stream: &'a MarketStream,
    /// Where live events begin, once it has joined them.
    begins: Position,
}

impl ResumeRequest for Resumer<'_> {
    async fn send(&mut self, page: Vec<(Position, Signal)>) -> Result<(), Gone> {
        let (topics, events) = (&self.stream.request.topics, &self.stream.events);
        for (position, signal) in page.iter().filter(|(_, signal)| topics.contain_signal(signal)) {
            events.send(placed("signal", &encode(&SignalObject::from(signal)), position)).await?;
        }
        match page.last() {
            // A client that comes back among what its filters leave out need not begin again.
            Some((position, signal)) if !topics.contain_signal(signal) => events.send(moved(position)).await,
            _ => Ok(()),
        }
    }

    fn join(&mut self, snapshot: &Snapshot, mut rest: Vec<Arc<Envelope>>) -> Result<(), NoRoom> {
        // The rest of the log has room in the outbox, which is empty.
        rest.retain(|envelope| self.stream.request.topics.contain(envelope.event()));
        self.begins = self.stream.go_live(snapshot, rest, Some(true));
        Ok(())
    }
}

/// Returns an event whose id is a cursor.
fn placed(name: &str, data: &str, position: &Position) -> Event {
    Event::default().id(position.to_string()).event(name).data(data)
}

/// Returns the event that only moves the cursor.
fn moved(position: &Position) -> Event {
    placed("cursor", &encode(&SignalMeta { cursor: position.to_string() }), position)
}

/// Returns a published event.
fn event(envelope: &Arc<Envelope>) -> Option<Event> {
    let (name, data) = (envelope.event().kind(), object(envelope)?);
    let position = match envelope.event() {
        domain::Event::Cursor(position) => Some(position),
        _ => envelope.position(),
    };
    Some(match position {
        Some(position) => placed(name, data, position),
        None => Event::default().event(name).data(data.as_str()),
    })
}

/// Returns the last event: why the stream ends.
pub(super) fn closing(close: Close) -> Event {
    let reason = json!({ "code": close.code(), "reason": close.reason() });
    Event::default().event("close").data(reason.to_string())
}
