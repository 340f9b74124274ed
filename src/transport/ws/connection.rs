//! The loop of one native connection: it writes what is due, reads what the client sends, and detects silent peers.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Client;
use crate::auth::UserSession;
use crate::hub::{Envelope, Outbox, OutboxBatch, OutboxClosed};
use crate::telemetry::Behind;
use crate::transport::Gateway;
use crate::transport::channels::ChannelSlot;
use crate::transport::close::Close;
use crate::transport::command::fault;
use crate::transport::connection_guard::{ConnectionEnd, ConnectionGuard, Opening};
use crate::transport::lane::{self, Lane, LaneStream, Slot};
use crate::transport::messages;
use crate::transport::pace::{MessageRate, RateVerdict, TOO_FAST};
use crate::transport::resume::Gone;

/// How long the server waits for the peer's half of the close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// While more ordered frames than this wait for a client, it is not read: one that asks without reading the answers is
/// slowed down by TCP.
const MAX_UNREAD: usize = 16;

/// What the server reads from.
type Socket = WebSocketStream<LaneStream>;

/// The protocol of one dashboard: what a new client gets, how events are encoded, and which messages it may send.
pub(crate) trait Protocol: Send {
    /// Path of the endpoint: a label of metrics and logs.
    fn endpoint(&self) -> &'static str;

    /// Returns the encoding of the events that its clients share. The client gets all of its subscription in it; if it
    /// has an outbox as well, only the prices.
    fn encoding(&self) -> Option<Slot> {
        None
    }

    /// Returns the outbox of a client whose events are encoded by its own task, because they depend on what the client
    /// has got or confirmed.
    fn outbox(&self) -> Option<&Arc<Outbox>> {
        None
    }

    /// Sends the initial messages, and joins the client to live events.
    fn open(&mut self, client: &mut Client) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Appends the frames of an event from the outbox: none, one, or several.
    fn encode(&mut self, _publication: &Arc<Envelope>, _frames: &mut Vec<Utf8Bytes>) {}

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

    /// Handles a text message of the client. An error ends the connection.
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

    /// Sends what is due at regular intervals.
    fn on_interval(&mut self, _client: &mut Client) {}

    /// The last frame before the server closes the connection.
    fn closing_frame(&self, _close: Close) -> Option<Utf8Bytes> {
        None
    }
}

/// One connection, from the handshake to its end.
pub(super) struct NativeConnection<C> {
    client: Client,
    socket: Socket,
    protocol: C,
}

impl<C: Protocol> NativeConnection<C> {
    pub(super) fn new(
        lane: Arc<Lane>,
        socket: Socket,
        (slot, address): (ChannelSlot, Option<IpAddr>),
        gateway: Arc<Gateway>,
        login: Option<UserSession>,
        protocol: C,
    ) -> Self {
        let opening = Opening {
            transport: "native",
            endpoint: protocol.endpoint(),
            peer: address,
            user: login.as_ref().and_then(UserSession::user).map(|principal| principal.user.clone()),
            socketio: None,
            unless_noted: ConnectionEnd::Aborted,
            is_own_page: false,
        };
        let guard = ConnectionGuard::new(gateway.metrics.clone(), slot, opening);
        let connection = lane.kill_switch().clone();
        let mut client = Client::new(lane, gateway, guard, login, &protocol);
        let queue = client.queue();
        client.guard.serve_on(connection, queue);
        Self { client, socket, protocol }
    }

    /// Serves the connection until it ends.
    pub(super) async fn serve(mut self: Box<Self>) {
        let Self { client, socket, protocol } = &mut *self;
        client.guard.identity().run(run_and_close(client, socket, protocol)).await;
    }
}

/// The steps that take room are boxed: an idle connection keeps only what it waits for.
async fn run_and_close<C: Protocol>(client: &mut Client, socket: &mut Socket, protocol: &mut C) {
    let end = match run(client, socket, protocol).await {
        Err(close) => {
            Box::pin(close_connection(client, socket, protocol, close)).await;
            ConnectionEnd::Closed(close)
        }
        // The client may have confirmed events before it disconnected, even if a later write failed.
        Ok(()) => {
            timeout(CLOSE_TIMEOUT, Box::pin(read_to_end(socket, protocol, None))).await.ok();
            ConnectionEnd::Peer
        }
    };
    client.guard.ended(end);
}

/// Serves the connection until the client leaves or the connection breaks.
///
/// # Errors
/// Returns why the server has to close it.
async fn run<C: Protocol>(client: &mut Client, socket: &mut Socket, protocol: &mut C) -> Result<(), Close> {
    if Box::pin(protocol.open(client)).await.is_err() {
        return ended(client, protocol);
    }
    let mut rhythm = Rhythm::new(client, protocol);
    loop {
        // What has happened is moved into its handling: there is no room for it while the connection is idle.
        let handling = {
            let happened = next_step(client, socket, protocol, &mut rhythm).await;
            Box::pin(handle(client, socket, protocol, &mut rhythm, happened))
        };
        if let ControlFlow::Break(end) = handling.await {
            return end;
        }
    }
}

/// The clocks of a connection, and how fast its client sends.
struct Rhythm {
    ping: Interval,
    interval: Option<Interval>,
    last_received: Instant,
    pace: MessageRate,
}

impl Rhythm {
    fn new(client: &Client, protocol: &impl Protocol) -> Self {
        let (now, every) = (Instant::now(), client.gateway.heartbeat.protocol_ping);
        let mut ping = interval_at(now + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let interval = protocol.interval().map(|period| interval_at(now + period, period));
        Self { ping, interval, last_received: now, pace: MessageRate::new(&client.gateway.limits.get()) }
    }
}

/// What a connection has to do next.
enum Step {
    Close(Close),
    Write(OutboxBatch),
    Ping,
    Interval,
    Deadline,
    Receive(Option<Result<Message, tokio_tungstenite::tungstenite::Error>>),
}

/// Waits for what is to be done next.
async fn next_step<C: Protocol>(client: &Client, socket: &mut Socket, protocol: &mut C, rhythm: &mut Rhythm) -> Step {
    tokio::select! {
        () = client.gateway.draining.cancelled() => Step::Close(Close::Restart),
        () = login_ended(client.login.as_ref().map(|login| login.end())) => Step::Close(client.login_end()),
        behind = client.lane.overflowed() => Step::Close(overflowed(client, protocol, behind)),
        due = due(client.outbox.as_deref()) => match due {
            Ok(batch) => Step::Write(batch),
            Err(OutboxClosed { waiting, behind }) => {
                let behind = Behind { ordered: waiting, by: behind, ..Behind::default() };
                Step::Close(too_slow(client, protocol, behind))
            }
        },
        _ = rhythm.ping.tick() => Step::Ping,
        () = tick(rhythm.interval.as_mut()) => Step::Interval,
        () = deadline_reached(protocol.deadline()) => match socket.next().now_or_never() {
            Some(frame) => Step::Receive(frame),
            None => Step::Deadline,
        },
        frame = next(&client.lane, socket) => Step::Receive(frame),
    }
}

/// Does what is due. Breaks with the end of the connection: `Ok` when the client has left or the connection broke, or why
/// the server has to close it.
async fn handle<C: Protocol>(
    client: &mut Client,
    socket: &mut Socket,
    protocol: &mut C,
    rhythm: &mut Rhythm,
    step: Step,
) -> ControlFlow<Result<(), Close>> {
    let received = match step {
        Step::Close(close) => return ControlFlow::Break(Err(close)),
        Step::Write(batch) => {
            return match client.write_batch(batch, protocol).await {
                Ok(()) => ControlFlow::Continue(()),
                Err(Gone) => ControlFlow::Break(ended(client, protocol)),
            };
        }
        Step::Ping => {
            if client.lane.waits(MAX_UNREAD) {
                // It is not read meanwhile.
                rhythm.last_received = Instant::now();
            } else if rhythm.last_received.elapsed() > client.gateway.heartbeat.peer_timeout {
                return ControlFlow::Break(Err(Close::Silent));
            }
            client.lane.send([lane::PING]);
            return ControlFlow::Continue(());
        }
        Step::Interval => {
            protocol.on_interval(client);
            return ControlFlow::Continue(());
        }
        Step::Deadline => {
            protocol.on_deadline(client);
            return ControlFlow::Continue(());
        }
        Step::Receive(received) => received,
    };
    rhythm.last_received = Instant::now();
    let message = match received {
        Some(Ok(message)) => message,
        Some(Err(error)) => return ControlFlow::Break(Close::of_error(&error).map_or(Ok(()), Err)),
        None => return ControlFlow::Break(Ok(())),
    };
    // Answers to the server's own pings do not count against the client's rate limit.
    if let Message::Pong(payload) = &message
        && let Some(receipt) = receipt_of(payload)
        && client.unanswered > 0
    {
        client.unanswered -= 1;
        protocol.on_receipt(receipt);
        return ControlFlow::Continue(());
    }
    // Control frames count as well, because they cost as much. A close frame is the last one in any case.
    if !protocol.may_push() && !matches!(message, Message::Close(_)) {
        match rhythm.pace.check(&client.gateway.metrics) {
            RateVerdict::Accept => {}
            RateVerdict::Warn => {
                client.answer(protocol.rate_warning());
                return ControlFlow::Continue(());
            }
            RateVerdict::Ignore => return ControlFlow::Continue(()),
            RateVerdict::Disconnect => return ControlFlow::Break(Err(Close::TooFast)),
        }
    }
    let text = match &message {
        Message::Text(text) => text.as_str(),
        // Invalid UTF-8 becomes an empty text, which the protocol rejects as invalid JSON.
        Message::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        // The library writes the reply to a ping or a close with the next flush. The stream ends after a close.
        Message::Ping(_) | Message::Close(_) => {
            if let Message::Close(frame) = &message {
                protocol.on_close(frame.as_ref().map(|frame| frame.code.into()));
            }
            return match socket.flush().await {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(Ok(())),
            };
        }
        Message::Pong(_) | Message::Frame(_) => return ControlFlow::Continue(()),
    };
    match protocol.on_text(client, text).await {
        Ok(()) => ControlFlow::Continue(()),
        Err(close) => ControlFlow::Break(Err(close)),
    }
}

/// Returns what a write that failed means: the client is gone, or fell too far behind.
fn ended(client: &Client, protocol: &impl Protocol) -> Result<(), Close> {
    let behind = client.lane.overflowed().now_or_never();
    behind.map_or(Ok(()), |behind| Err(overflowed(client, protocol, behind)))
}

fn overflowed(client: &Client, protocol: &impl Protocol, behind: Behind) -> Close {
    let dropped = &client.gateway.metrics.dropped_total;
    dropped.with_label_values(&["outbox_ordered"]).inc_by(behind.ordered as u64);
    too_slow(client, protocol, behind)
}

fn too_slow(client: &Client, protocol: &impl Protocol, behind: Behind) -> Close {
    let (endpoint, waiting, seconds_behind) = (protocol.endpoint(), behind.ordered, behind.by.as_secs_f64());
    info!(endpoint, waiting, seconds_behind, "a WebSocket client is too slow: cut, to come back and catch up");
    client.gateway.metrics.cut_slow("native", behind.by);
    Close::TooSlow
}

async fn due(outbox: Option<&Outbox>) -> Result<OutboxBatch, OutboxClosed> {
    match outbox {
        // Boxed: most connections have none.
        Some(outbox) => Box::pin(outbox.due()).await,
        None => std::future::pending().await,
    }
}

/// Reads the next message, once few enough answers wait.
async fn next(lane: &Lane, socket: &mut Socket) -> Option<Result<Message, tokio_tungstenite::tungstenite::Error>> {
    if lane.waits(MAX_UNREAD) {
        Box::pin(async {
            tokio::select! {
                // A lane that has ended is read to its end.
                _ = lane.written(MAX_UNREAD) => {}
                _ = lane.kill_switch().wait() => {}
            }
        })
        .await;
    }
    socket.next().await
}

/// Reads until the stream ends, and reports confirmed pings. A close frame is reported only if the peer closed first.
async fn read_to_end<C: Protocol>(socket: &mut Socket, protocol: &mut C, ours: Option<Close>) {
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Pong(payload) => report_receipt(protocol, &payload),
            Message::Close(frame) if ours.is_none() => {
                protocol.on_close(frame.map(|frame| frame.code.into()));
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
        // Boxed: most connections have none.
        Some(end) => Box::pin(end.cancelled()).await,
        None => std::future::pending().await,
    }
}

async fn deadline_reached(deadline: Option<Instant>) {
    match deadline {
        // Boxed: most connections have none, and a timer is large.
        Some(deadline) => Box::pin(sleep_until(deadline)).await,
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
async fn close_connection<C: Protocol>(client: &mut Client, socket: &mut Socket, protocol: &mut C, close: Close) {
    let closing_frame = protocol.closing_frame(close);
    // A client whose token has ended gets nothing more.
    let is_welcome = !matches!(close, Close::Expired | Close::Revoked);
    let closing = async {
        // Everything that waits is written in order: an answer without the events before it would move the client's
        // cursor past them.
        client.gateway.fanout.settle(&client.lane);
        client.lane.leave(is_welcome);
        let due = client.outbox.as_ref().filter(|_| is_welcome).and_then(|outbox| {
            client.gateway.fanout.settle_outbox(outbox);
            outbox.drain().ok()
        });
        if let Some(batch) = due {
            client.write_batch(batch, protocol).await?;
        }
        if close != Close::TooSlow {
            client.lane.emptied().await?;
        }
        let frames = closing_frame.map(|frame| Message::Text(frame.as_str().into()));
        for frame in frames.into_iter().chain([Message::Close(Some(close.frame()))]) {
            socket.send(frame).await.map_err(|_| Gone)?;
        }
        // After an invalid frame the library reads nothing more; the listener discards what still arrives.
        if !close.is_about_frames() {
            read_to_end(socket, protocol, Some(close)).await;
        }
        Ok::<_, Gone>(())
    };
    // A peer that does not answer in time is dropped.
    timeout(CLOSE_TIMEOUT, closing).await.ok();
}
