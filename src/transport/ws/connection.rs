//! The loop of one native connection: it writes what is due, reads what the client sends, and detects silent peers.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::auth::{AuthError, TokenKind, UserSession};
use crate::hub::{Envelope, Ordered, Outbox, OutboxBatch, OutboxClosed};
use crate::listener::KillSwitch;
use crate::transport::Gateway;
use crate::transport::channels::ChannelSlot;
use crate::transport::close::Close;
use crate::transport::command::fault;
use crate::transport::connection_guard::{ConnectionEnd, ConnectionGuard, Opening};
use crate::transport::messages::{self, ErrorObject};
use crate::transport::pace::{MessageRate, RateVerdict, TOO_FAST};
use crate::transport::resume::Gone;

/// How long the server waits for the peer's half of the close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The protocol of one dashboard: what a new client gets, how events are encoded, and which messages it may send.
pub(crate) trait Protocol: Send {
    /// Path of the endpoint: a label of metrics and logs.
    fn endpoint(&self) -> &'static str;

    /// Puts the initial messages into the client's outbox and joins it to live events.
    fn open(&mut self, client: &mut Client) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Appends the frames of an event for this client: none, one, or several.
    fn encode(&mut self, publication: &Arc<Envelope>, frames: &mut Vec<Utf8Bytes>);

    /// Returns a number for an event whose arrival has to be confirmed. A ping with this number is written in front of
    /// the event's frames: they leave together, so a client that reads the frames and then disconnects has already
    /// answered the ping.
    fn delivery_probe(&self, _publication: &Envelope) -> Option<u64> {
        None
    }

    /// Called when the client has answered the ping with this number.
    fn on_receipt(&mut self, _receipt: u64) {}

    /// Called when the client has closed the connection with this code, before it broke and before the server closed
    /// it.
    fn on_close(&mut self, _code: Option<u16>) {}

    /// When [`on_deadline`](Self::on_deadline) is called; `None` for never.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Does what was postponed until the deadline. A message that has arrived by then is handled first.
    fn on_deadline(&mut self, _client: &mut Client) {}

    /// Appends the frames that follow from a batch as a whole, after the frames of its events.
    fn batch_end(&mut self, _frames: &mut Vec<Utf8Bytes>) {}

    /// Handles a text message of the client. Answers go into its outbox; an error ends the connection.
    fn on_text(&mut self, client: &mut Client, text: &str) -> impl Future<Output = Result<(), Close>> + Send;

    /// Whether the client has presented a token that may push. Pushes have a limit of their own.
    fn may_push(&self) -> bool {
        false
    }

    /// The frame that warns a client that sends too fast.
    fn rate_warning(&self) -> Utf8Bytes {
        messages::encode(&messages::Typed { kind: "error", fields: &fault(TOO_FAST.0, TOO_FAST.1) })
    }

    /// How often [`on_interval`](Self::on_interval) is called; `None` for never.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Puts what is due at regular intervals into the client's outbox.
    fn on_interval(&mut self, _client: &mut Client) {}

    /// The last frame before the server closes the connection.
    fn closing_frame(&self, _close: Close) -> Option<Utf8Bytes> {
        None
    }
}

/// The writing side of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Queue of what is to be written.
    pub(crate) outbox: Arc<Outbox>,
    gateway: Arc<Gateway>,
    guard: ConnectionGuard,
    sink: SplitSink<WebSocket, Message>,
    login: Option<UserSession>,
    /// Number of pings with a receipt that have not been answered.
    unanswered: usize,
}

impl Client {
    /// Ties the connection to this user token: it ends with the token.
    pub(crate) fn log_in(&mut self, login: UserSession) {
        self.guard.log_in(login.identity().user.clone());
        self.login = Some(login);
    }

    /// Returns the error for a token that was rejected: the reason, or that the client's address has presented too many
    /// wrong tokens.
    pub(crate) fn token_fault(&self, kind: TokenKind, error: AuthError) -> ErrorObject {
        self.gateway.token_fault(kind, error, self.guard.peer())
    }

    /// Returns why the connection's user token has ended.
    fn login_end(&self) -> Close {
        Close::of_login(self.login.as_ref().map_or(Ok(()), |login| self.gateway.tokens.still_good(login)))
    }

    /// Writes frames at once and waits until they are flushed. Replays use this, because they must not fill the outbox.
    pub(crate) async fn write(&mut self, frames: impl IntoIterator<Item = Utf8Bytes>) -> Result<(), Gone> {
        for frame in frames {
            self.sink.feed(Message::Text(frame)).await.map_err(|_| Gone)?;
        }
        self.sink.flush().await.map_err(|_| Gone)
    }

    /// Writes a protocol ping. Its answer calls [`received`](Protocol::on_receipt) with this number.
    pub(crate) async fn ping(&mut self, receipt: u64) -> Result<(), Gone> {
        self.feed_ping(receipt).await?;
        self.sink.flush().await.map_err(|_| Gone)
    }

    async fn feed_ping(&mut self, receipt: u64) -> Result<(), Gone> {
        self.unanswered += 1;
        let ping = Message::Ping(receipt.to_be_bytes().to_vec().into());
        self.sink.feed(ping).await.map_err(|_| Gone)
    }

    /// Writes a batch with one flush.
    async fn write_batch<C: Protocol>(&mut self, batch: OutboxBatch, protocol: &mut C) -> Result<(), Gone> {
        let (mut frames, mut receipts) = (Vec::new(), VecDeque::new());
        for publication in &batch.states {
            protocol.encode(publication, &mut frames);
        }
        let states = frames.len() as u64;
        let mut answers = 0;
        for ordered in batch.ordered {
            match ordered {
                Ordered::Event(publication) => {
                    receipts.extend(protocol.delivery_probe(&publication).map(|receipt| (frames.len(), receipt)));
                    protocol.encode(&publication, &mut frames);
                }
                Ordered::Frame(frame) => {
                    answers += 1;
                    frames.push(frame);
                }
                Ordered::Ping(number) => receipts.push_back((frames.len(), number)),
            }
        }
        protocol.batch_end(&mut frames);
        let ordered = frames.len() as u64 - states - answers;
        for (index, frame) in frames.into_iter().enumerate() {
            while let Some((_, receipt)) = receipts.pop_front_if(|(before, _)| *before == index) {
                self.feed_ping(receipt).await?;
            }
            self.sink.feed(Message::Text(frame)).await.map_err(|_| Gone)?;
        }
        for (_, receipt) in receipts {
            self.feed_ping(receipt).await?;
        }
        self.sink.flush().await.map_err(|_| Gone)?;
        self.outbox.wrote();
        let delivered = &self.gateway.metrics.deliveries_total;
        delivered.with_label_values(&["state", "native"]).inc_by(states);
        delivered.with_label_values(&["ordered", "native"]).inc_by(ordered);
        Ok(())
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve<C: Protocol>(
    socket: WebSocket,
    (connection, address): (KillSwitch, Option<IpAddr>),
    slot: ChannelSlot,
    gateway: Arc<Gateway>,
    login: Option<UserSession>,
    protocol: C,
) {
    let opening = Opening {
        transport: "native",
        endpoint: protocol.endpoint(),
        peer: address,
        user: login.as_ref().map(|login| login.identity().user.clone()),
        socketio: None,
        unless_noted: ConnectionEnd::Aborted,
    };
    let mut guard = ConnectionGuard::new(gateway.metrics.clone(), slot, opening);
    let (sink, stream) = socket.split();
    let outbox = Arc::new(Outbox::new(gateway.metrics.clone()));
    let _membership = gateway.clients.join(outbox.clone());
    guard.serve_on(connection, &outbox);
    let span = guard.identity();
    let client = Client { outbox, gateway, guard, sink, login, unanswered: 0 };
    span.run(run_and_close(client, stream, protocol)).await;
}

async fn run_and_close<C: Protocol>(mut client: Client, mut stream: SplitStream<WebSocket>, mut protocol: C) {
    let end = match run(&mut client, &mut stream, &mut protocol).await {
        Err(close) => {
            close_connection(&mut client, &mut stream, &mut protocol, close).await;
            ConnectionEnd::Closed(close)
        }
        // The client may have confirmed events before it disconnected, even if a later write failed.
        Ok(()) => {
            timeout(CLOSE_TIMEOUT, read_to_end(&mut stream, &mut protocol, None)).await.ok();
            ConnectionEnd::Peer
        }
    };
    client.guard.ended(end);
}

/// Serves the connection until the client leaves or the connection breaks.
///
/// # Errors
/// Returns why the server has to close it.
async fn run<C: Protocol>(
    client: &mut Client,
    stream: &mut SplitStream<WebSocket>,
    protocol: &mut C,
) -> Result<(), Close> {
    let gateway = client.gateway.clone();
    let heartbeat = gateway.heartbeat.clone();
    if protocol.open(client).await.is_err() {
        return Ok(());
    }
    let mut ping = interval_at(Instant::now() + heartbeat.protocol_ping, heartbeat.protocol_ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut interval = protocol.interval().map(|period| interval_at(Instant::now() + period, period));
    let mut last_received = Instant::now();
    let mut pace = MessageRate::new(&gateway.limits);
    let outbox = client.outbox.clone();
    loop {
        let login_end = client.login.as_ref().map(|login| login.end().clone());
        // Nothing is read while a write is blocked, so a peer that does not read cannot fill memory with its messages.
        let message = tokio::select! {
            () = gateway.draining.cancelled() => return Err(Close::Restart),
            () = login_ended(login_end.as_ref()) => return Err(client.login_end()),
            due = outbox.due() => {
                let batch = match due {
                    Ok(batch) => batch,
                    Err(OutboxClosed { waiting, behind }) => {
                        let (endpoint, seconds_behind) = (protocol.endpoint(), behind.as_secs_f64());
                        info!(endpoint, waiting, seconds_behind, "a WebSocket client is too slow: cut, to come back and catch up");
                        gateway.metrics.cut_slow("native", behind);
                        return Err(Close::TooSlow);
                    }
                };
                if client.write_batch(batch, protocol).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            _ = ping.tick() => {
                if last_received.elapsed() > heartbeat.peer_timeout {
                    return Err(Close::Silent);
                }
                if client.sink.send(Message::Ping(axum::body::Bytes::new())).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            () = tick(interval.as_mut()) => {
                protocol.on_interval(client);
                continue;
            }
            () = deadline_reached(protocol.deadline()) => match stream.next().now_or_never() {
                Some(frame) => frame,
                None => {
                    protocol.on_deadline(client);
                    continue;
                }
            },
            frame = stream.next() => frame,
        };
        last_received = Instant::now();
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Close::of_error(error).map_or(Ok(()), Err),
            None => return Ok(()),
        };
        // Answers to the server's own pings do not count against the client's rate limit.
        if let Message::Pong(payload) = &message
            && let Some(receipt) = receipt_of(payload)
            && client.unanswered > 0
        {
            client.unanswered -= 1;
            protocol.on_receipt(receipt);
            continue;
        }
        // Control frames count as well, because they cost as much. A close frame is the last one in any case.
        if !protocol.may_push() && !matches!(message, Message::Close(_)) {
            match pace.check(&gateway.metrics) {
                RateVerdict::Accept => {}
                RateVerdict::Warn => {
                    client.outbox.answer(protocol.rate_warning());
                    continue;
                }
                RateVerdict::Ignore => continue,
                RateVerdict::Disconnect => return Err(Close::TooFast),
            }
        }
        let text = match &message {
            Message::Text(text) => text.as_str(),
            // Invalid UTF-8 becomes an empty text, which the protocol rejects as invalid JSON.
            Message::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            // The library writes the reply to a ping or a close with the next flush. The stream ends after a close.
            Message::Ping(_) | Message::Close(_) => {
                if let Message::Close(frame) = &message {
                    protocol.on_close(frame.as_ref().map(|frame| frame.code));
                }
                if client.sink.flush().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            Message::Pong(_) => continue,
        };
        protocol.on_text(client, text).await?;
    }
}

/// Reads until the stream ends, and reports confirmed pings. A close frame is reported only if the peer closed first.
async fn read_to_end<C: Protocol>(stream: &mut SplitStream<WebSocket>, protocol: &mut C, ours: Option<Close>) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Pong(payload) => report_receipt(protocol, &payload),
            Message::Close(frame) if ours.is_none() => {
                protocol.on_close(frame.map(|frame| frame.code));
            }
            _ => {}
        }
    }
}

/// Reports the receipt of a pong to the protocol. Pongs without a receipt are ignored.
fn report_receipt<C: Protocol>(protocol: &mut C, pong: &[u8]) {
    if let Some(receipt) = receipt_of(pong) {
        protocol.on_receipt(receipt);
    }
}

fn receipt_of(pong: &[u8]) -> Option<u64> {
    pong.try_into().ok().map(u64::from_be_bytes)
}

async fn login_ended(login: Option<&CancellationToken>) {
    match login {
        Some(end) => end.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn deadline_reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Writes what is still due and the close frame, and waits for the peer's close frame.
async fn close_connection<C: Protocol>(
    client: &mut Client,
    stream: &mut SplitStream<WebSocket>,
    protocol: &mut C,
    close: Close,
) {
    let closing_frame = protocol.closing_frame(close);
    let closing = async {
        // The whole batch is written in order: an answer without the events before it would move the client's cursor
        // past them. A client whose token has ended gets nothing more.
        let is_welcome = !matches!(close, Close::Expired | Close::Revoked);
        if let Some(batch) = client.outbox.drain().ok().filter(|_| is_welcome) {
            client.write_batch(batch, protocol).await?;
        }
        client.write(closing_frame).await?;
        client.sink.send(Message::Close(Some(close.frame()))).await.map_err(|_| Gone)?;
        // After an invalid frame the library reads nothing more; the listener discards what still arrives.
        if !close.is_about_frames() {
            read_to_end(stream, protocol, Some(close)).await;
        }
        Ok::<_, Gone>(())
    };
    // A peer that does not answer in time is dropped.
    timeout(CLOSE_TIMEOUT, closing).await.ok();
}
