//! The life of one native connection: it writes what is due, reads what is said, and notices silence.

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

use super::guard::{ConnectionGuard, End};
use crate::auth::{AuthError, TokenKind, UserSession};
use crate::gateways::Gateway;
use crate::gateways::close::Close;
use crate::gateways::command::fault;
use crate::gateways::dialects::orion::{self, ErrorObject};
use crate::gateways::pace::{Pace, TOO_FAST, Verdict};
use crate::gateways::resume::Gone;
use crate::hub::{Envelope, Ordered, Outbox, OutboxBatch, OutboxClosed};
use crate::listener::KillSwitch;

/// How long we wait for the peer's half of the close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// What is particular about a dashboard: what a newcomer gets, how events are written, and what may be said.
pub(super) trait Protocol: Send {
    /// The path it is held on: a label of metrics and logs.
    fn endpoint(&self) -> &'static str;

    /// Puts what a newcomer gets into the client's outbox and joins it to what is live.
    fn open(&mut self, client: &mut Client) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Adds the frames that an event is for this client: none, one, or several.
    fn encode(&mut self, publication: &Arc<Envelope>, frames: &mut Vec<Utf8Bytes>);

    /// A number for an event whose arrival has to be known: a ping with it is written in front of the event's frames. In
    /// front, because they leave together, and a client that reads the frames and goes has answered the ping by then.
    fn delivery_probe(&self, _publication: &Envelope) -> Option<u64> {
        None
    }

    /// The client has answered the ping with this number.
    fn received(&mut self, _receipt: u64) {}

    /// The client has closed the connection with this code, before it broke and before we closed it.
    fn left(&mut self, _code: Option<u16>) {}

    /// When [`on_deadline`](Self::on_deadline) is called; `None` for never.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Does what was put off until the deadline, unless the client has said something by then: that comes first.
    fn on_deadline(&mut self, _client: &mut Client) {}

    /// Adds what follows from all events of a batch together, after their own frames.
    fn batch_end(&mut self, _frames: &mut Vec<Utf8Bytes>) {}

    /// Takes what the client said; answers go into its outbox. An error ends the connection.
    fn on_text(&mut self, client: &mut Client, text: &str) -> impl Future<Output = Result<(), Close>> + Send;

    /// Whether the client has shown a token to push with: its pushes have a limit of their own.
    fn may_push(&self) -> bool {
        false
    }

    /// What a client is told that speaks too fast.
    fn too_fast(&self) -> Utf8Bytes {
        orion::encode(&orion::Typed { kind: "error", fields: &fault(TOO_FAST.0, TOO_FAST.1) })
    }

    /// How often [`beat`](Self::beat) is called; `None` for never.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Puts what is due at regular times into the client's outbox.
    fn on_interval(&mut self, _client: &mut Client) {}

    /// What the client is told before we close.
    fn closing_frame(&self, _close: Close) -> Option<Utf8Bytes> {
        None
    }
}

/// The writing side of a connection.
#[derive(Debug)]
pub(super) struct Client {
    /// What waits for this client.
    pub(super) outbox: Arc<Outbox>,
    gateway: Arc<Gateway>,
    sink: SplitSink<WebSocket, Message>,
    login: Option<UserSession>,
    address: Option<IpAddr>,
    /// Pings with a receipt that have no answer yet.
    unanswered: usize,
}

impl Client {
    /// The connection rests on this user token from now on, and ends with it.
    pub(super) fn log_in(&mut self, login: UserSession) {
        self.login = Some(login);
    }

    /// What the client is told whose token was not taken: why, or that its address has presented too many wrong ones.
    pub(super) fn token_fault(&self, kind: TokenKind, error: AuthError) -> ErrorObject {
        self.gateway.token_fault(kind, error, self.address)
    }

    /// Why the user token that the connection rests on has ended.
    fn login_end(&self) -> Close {
        Close::of_login(self.login.as_ref().map_or(Ok(()), |login| self.gateway.tokens.still_good(login)))
    }

    /// Writes one of this client's own frames at once and waits until it is out: for replays, which must not pile up.
    pub(super) async fn write(&mut self, frames: impl IntoIterator<Item = Utf8Bytes>) -> Result<(), Gone> {
        for frame in frames {
            self.sink.feed(Message::Text(frame)).await.map_err(|_| Gone)?;
        }
        self.sink.flush().await.map_err(|_| Gone)
    }

    /// Writes a protocol ping; its answer is [`received`](Conversation::received) with this number.
    pub(super) async fn ping(&mut self, receipt: u64) -> Result<(), Gone> {
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
    gateway: Arc<Gateway>,
    login: Option<UserSession>,
    mut protocol: C,
) {
    let guard = ConnectionGuard::new(&gateway, protocol.endpoint(), connection);
    let (sink, mut stream) = socket.split();
    let outbox = Arc::new(Outbox::new(gateway.metrics.clone()));
    let _membership = gateway.clients.join(outbox.clone());
    guard.connection.serves(protocol.endpoint(), Some(Arc::<Outbox>::downgrade(&outbox)));
    let mut client = Client { outbox, gateway, sink, login, address, unanswered: 0 };
    let end = talk(&mut client, &mut stream, &mut protocol).await;
    match end {
        End::Ours(close) => say_goodbye(&mut client, &mut stream, &mut protocol, close).await,
        // It may have confirmed something before it went, although a write has failed since.
        End::Peer => {
            timeout(CLOSE_PATIENCE, hear_out(&mut stream, &mut protocol, End::Peer)).await.ok();
        }
    }
    guard.ended(end);
}

async fn talk<C: Protocol>(client: &mut Client, stream: &mut SplitStream<WebSocket>, protocol: &mut C) -> End {
    let gateway = client.gateway.clone();
    let heartbeat = gateway.heartbeat.clone();
    if protocol.open(client).await.is_err() {
        return End::Peer;
    }
    let mut ping = interval_at(Instant::now() + heartbeat.protocol_ping, heartbeat.protocol_ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beat = protocol.interval().map(|period| interval_at(Instant::now() + period, period));
    let mut heard = Instant::now();
    let mut pace = Pace::new(&gateway.limits);
    let outbox = client.outbox.clone();
    loop {
        let login_end = client.login.as_ref().map(|login| login.end().clone());
        // Reading waits while a write is blocked: what a peer says can fill no memory as long as it does not listen.
        let said = tokio::select! {
            () = gateway.draining.cancelled() => return End::Ours(Close::Restart),
            () = ended(login_end.as_ref()) => return End::Ours(client.login_end()),
            due = outbox.due() => {
                let batch = match due {
                    Ok(batch) => batch,
                    Err(OutboxClosed { waiting, behind }) => {
                        let (endpoint, seconds_behind) = (protocol.endpoint(), behind.as_secs_f64());
                        info!(endpoint, waiting, seconds_behind, "a WebSocket client is too slow: cut, to come back and catch up");
                        gateway.metrics.cut_slow("native", behind);
                        return End::Ours(Close::TooSlow);
                    }
                };
                if client.write_batch(batch, protocol).await.is_err() {
                    return End::Peer;
                }
                continue;
            }
            _ = ping.tick() => {
                if heard.elapsed() > heartbeat.peer_timeout {
                    return End::Ours(Close::Silent);
                }
                if client.sink.send(Message::Ping(axum::body::Bytes::new())).await.is_err() {
                    return End::Peer;
                }
                continue;
            }
            () = tick(beat.as_mut()) => {
                protocol.on_interval(client);
                continue;
            }
            () = reached(protocol.deadline()) => match stream.next().now_or_never() {
                Some(frame) => frame,
                None => {
                    protocol.on_deadline(client);
                    continue;
                }
            },
            frame = stream.next() => frame,
        };
        heard = Instant::now();
        let said = match said {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Close::of_error(error).map_or(End::Peer, End::Ours),
            None => return End::Peer,
        };
        // An answer to a ping of ours is not held against the client's pace.
        if let Message::Pong(payload) = &said
            && let Some(receipt) = receipt_of(payload)
            && client.unanswered > 0
        {
            client.unanswered -= 1;
            protocol.received(receipt);
            continue;
        }
        // Control frames cost as much as others do; a close is the last in any case.
        if !protocol.may_push() && !matches!(said, Message::Close(_)) {
            match pace.judge(&gateway.metrics) {
                Verdict::Take => {}
                Verdict::Warn => {
                    client.outbox.answer(protocol.too_fast());
                    continue;
                }
                Verdict::Ignore => continue,
                Verdict::Cut => return End::Ours(Close::TooFast),
            }
        }
        let text = match &said {
            Message::Text(text) => text.as_str(),
            // Refused by the protocol as no JSON, like any other text that it cannot read.
            Message::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            // The reply to a ping or a close is written by the library with the next flush; the stream ends after a close.
            Message::Ping(_) | Message::Close(_) => {
                if let Message::Close(frame) = &said {
                    protocol.left(frame.as_ref().map(|frame| frame.code));
                }
                if client.sink.flush().await.is_err() {
                    return End::Peer;
                }
                continue;
            }
            Message::Pong(_) => continue,
        };
        if let Err(close) = protocol.on_text(client, text).await {
            return End::Ours(close);
        }
    }
}

/// Reads to the end, for nothing but what the peer confirms, and whether it was the one to close.
async fn hear_out<C: Protocol>(stream: &mut SplitStream<WebSocket>, protocol: &mut C, end: End) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Pong(payload) => confirm(protocol, &payload),
            Message::Close(frame) if matches!(end, End::Peer) => {
                protocol.left(frame.map(|frame| frame.code));
            }
            _ => {}
        }
    }
}

/// Tells the protocol which receipt a pong is. Those that answer our other pings, or nothing, are none.
fn confirm<C: Protocol>(protocol: &mut C, pong: &[u8]) {
    if let Some(receipt) = receipt_of(pong) {
        protocol.received(receipt);
    }
}

fn receipt_of(pong: &[u8]) -> Option<u64> {
    pong.try_into().ok().map(u64::from_be_bytes)
}

async fn ended(login: Option<&CancellationToken>) {
    match login {
        Some(end) => end.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn tick(beat: Option<&mut Interval>) {
    match beat {
        Some(beat) => {
            beat.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Writes what is still due and the close frame, and waits for the peer's.
async fn say_goodbye<C: Protocol>(
    client: &mut Client,
    stream: &mut SplitStream<WebSocket>,
    protocol: &mut C,
    close: Close,
) {
    let farewell = protocol.closing_frame(close);
    let goodbye = async {
        // All of it, in order: an answer that went out without the events before it would move the client's cursor past
        // them. Whose token has ended gets nothing more.
        let is_welcome = !matches!(close, Close::Expired | Close::Revoked);
        if let Some(batch) = client.outbox.drain().ok().filter(|_| is_welcome) {
            client.write_batch(batch, protocol).await?;
        }
        client.write(farewell).await?;
        client.sink.send(Message::Close(Some(close.frame()))).await.map_err(|_| Gone)?;
        // Of a frame that is against the rules the library reads nothing more; the door throws away what still comes.
        if !close.is_about_frames() {
            hear_out(stream, protocol, End::Ours(close)).await;
        }
        Ok::<_, Gone>(())
    };
    // A peer that does not answer is dropped all the same.
    timeout(CLOSE_PATIENCE, goodbye).await.ok();
}
