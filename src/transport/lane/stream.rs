//! The socket as the engine sees it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::frame::{self, BINARY, CLOSE, FrameHeader, TEXT};
use super::inbound::InboundFrames;
use super::marker::is_marker;
use super::write::Flushed;
use super::{EngineState, Lane, LaneState, OnOverflow};
use crate::listener::UpgradedSocket;

/// A ping of Engine.IO 4, as a server sends it.
const PING: &[u8] = &[0x81, 1, b'2'];
/// Its answer, as a client sends it: masked, with zeros.
const PONG: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'3'];
/// The packet with which Engine.IO closes a session.
const CLOSE_PACKET: &[u8] = &[0x81, 1, b'1'];

/// The connection of an engine. Dropping it ends the lane.
#[derive(Debug)]
pub struct LaneStream {
    lane: Arc<Lane>,
    /// Watches the first packets; `None` once there is nothing to watch. Boxed, because the engine's task holds the stream
    /// several times.
    first: Option<Box<FirstPackets>>,
}

/// How a stream begins.
#[derive(Debug)]
pub enum SessionStart {
    /// Nothing is special about the first packets.
    Plain,
    /// A session of Engine.IO 4: its ping at the start is answered here, and the client's first ping comes after the interval.
    HoldPing,
    /// A session that began as long polling. Tells when the client has completed the upgrade.
    Upgrade(oneshot::Sender<()>),
}

#[derive(Debug)]
struct FirstPackets {
    /// Bytes that were read together with the handshake.
    early: Bytes,
    inbound: InboundFrames,
    /// Whether the engine's first ping is still to come.
    holds_ping: bool,
    /// Whether the engine waits for the answer to that ping.
    owes_pong: bool,
    /// The task that reads, to be woken for the pong.
    reader: Option<Waker>,
    upgraded: Option<oneshot::Sender<()>>,
}

impl LaneStream {
    /// Returns the stream of an upgraded connection. `early` is what was read behind the handshake, `shard` the task of the
    /// fan-out that delivers to it.
    pub fn new(
        (socket, early): (UpgradedSocket, Bytes),
        shard: usize,
        opening: SessionStart,
        on_overflow: OnOverflow,
    ) -> Self {
        let (holds_ping, upgraded) = match opening {
            SessionStart::Plain => (false, None),
            SessionStart::HoldPing => (true, None),
            SessionStart::Upgrade(upgraded) => (false, Some(upgraded)),
        };
        let first = (holds_ping || upgraded.is_some() || !early.is_empty()).then(|| {
            Box::new(FirstPackets {
                early,
                inbound: InboundFrames::default(),
                holds_ping,
                owes_pong: false,
                reader: None,
                upgraded,
            })
        });
        Self { lane: Arc::new(Lane::new(socket, shard, on_overflow)), first }
    }

    /// Returns the lane. It has to be held weakly, or it would keep the socket open.
    pub fn lane(&self) -> Weak<Lane> {
        Arc::downgrade(&self.lane)
    }

    /// Records for the statistics of the listener what is served, and the lane as its queue.
    pub fn serves(&self, endpoint: &'static str) {
        let queue = Arc::<Lane>::downgrade(&self.lane);
        self.lane.socket.kill().serves(endpoint, Some(queue));
    }

    /// Follows what the client has sent.
    fn follow(&mut self, bytes: &[u8]) {
        let Some(first) = &mut self.first else { return };
        if first.inbound.follow(bytes)
            && let Some(upgraded) = first.upgraded.take()
        {
            upgraded.send(()).ok();
        }
        self.forget_first_packets();
    }

    /// Frees what watches the first packets, unless something is still to come.
    fn forget_first_packets(&mut self) {
        let is_over = |first: &mut Box<FirstPackets>| {
            first.early.is_empty() && !first.holds_ping && !first.owes_pong && first.upgraded.is_none()
        };
        self.first.take_if(is_over);
    }

    /// Fails when the connection was killed, and ends the lane then.
    fn check(&self) -> io::Result<()> {
        self.lane.socket.check().inspect_err(|_| self.lane.state.lock().close())
    }
}

impl Drop for LaneStream {
    fn drop(&mut self) {
        let state = &mut *self.lane.state.lock();
        state.close();
        self.lane.socket.forget_wakers();
        if state.is_flushing {
            // The flusher holds the socket, and is woken by this.
            self.lane.socket.shut_down();
        }
    }
}

impl AsyncRead for LaneStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check()?;
        if let Some(first) = &mut this.first
            && first.owes_pong
            && first.inbound.is_between()
            && buf.remaining() >= PONG.len()
        {
            buf.put_slice(PONG);
            first.owes_pong = false;
            this.forget_first_packets();
            return Poll::Ready(Ok(()));
        }
        if let Some(first) = this.first.as_mut().filter(|first| !first.early.is_empty()) {
            let bytes = first.early.split_to(first.early.len().min(buf.remaining()));
            buf.put_slice(&bytes);
            this.follow(&bytes);
            return Poll::Ready(Ok(()));
        }
        {
            let mut state = this.lane.state.lock();
            if state.engine.waits && !state.is_closed {
                this.lane.socket.pause_reading(cx);
                state.engine.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let before = buf.filled().len();
        let read = this.lane.socket.poll_read(cx, buf);
        match read {
            Poll::Pending => {
                if let Some(first) = &mut this.first {
                    first.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Poll::Ready(Ok(())) => {
                if this.first.is_some() {
                    this.follow(&buf.filled()[before..]);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for LaneStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            this.check()?;
            let lane = &this.lane;
            let state = &mut *lane.state.lock();
            // What is sealed goes first, as soon as the engine is between two messages.
            state.engine.waits = true;
            let mut is_full = state.has_sealed() && lane.flush(state) == Flushed::Full;
            if !is_full {
                let holds_ping = this.first.as_ref().is_some_and(|first| first.holds_ping);
                let buf = if state.has_sealed() { &buf[..state.engine.message_end(buf)?] } else { buf };
                let plan = Plan::of(buf, state, holds_ping)?;
                if let (0, Some((swallowed, length))) = (plan.write, plan.swallow) {
                    state.engine.resume_reading();
                    match swallowed {
                        Swallowed::Marker => {
                            state.pass_marker();
                            lane.flush_or_wait(state);
                        }
                        Swallowed::Ping => {
                            if let Some(first) = &mut this.first {
                                (first.holds_ping, first.owes_pong) = (false, true);
                                if let Some(reader) = first.reader.take() {
                                    reader.wake();
                                }
                            }
                        }
                    }
                    return Poll::Ready(Ok(length));
                }
                match lane.socket.try_write(&buf[..plan.write]) {
                    Ok(written) => {
                        state.engine.resume_reading();
                        if state.engine.advance(buf, written)? == Spoken::LastWord {
                            state.close();
                        }
                        lane.flush_or_wait(state);
                        return Poll::Ready(Ok(written));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => is_full = true,
                    Err(error) => {
                        state.close();
                        return Poll::Ready(Err(error));
                    }
                }
            }
            if is_full {
                // It also has the clock that ends a peer which accepts nothing.
                lane.start_flusher(state);
            }
            ready!(lane.socket.poll_write_ready(cx))?;
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lane.state.lock().close();
        Poll::Ready(self.lane.socket.shut_down_writing())
    }
}

/// A frame of the engine that does not go to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swallowed {
    Marker,
    /// The ping at the start of a session.
    Ping,
}

/// What becomes of the bytes that the engine writes.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// This many bytes go to the socket.
    write: usize,
    /// The frame behind them, and its length, if it is not for the client.
    swallow: Option<(Swallowed, usize)>,
}

impl Plan {
    /// Looks for frames to swallow, while any are expected.
    fn of(buf: &[u8], state: &LaneState, holds_ping: bool) -> io::Result<Self> {
        let mut at = if state.gates == 0 && !holds_ping { buf.len() } else { state.engine.left };
        while at < buf.len() {
            let header = read_header(&buf[at..])?;
            let frame = &buf[at..buf.len().min(at + header.total)];
            let swallowed = if holds_ping && frame == PING {
                Some(Swallowed::Ping)
            } else if state.gates > 0 && header.opcode == TEXT && is_marker(&frame[header.length..]) {
                Some(Swallowed::Marker)
            } else {
                None
            };
            if let Some(swallowed) = swallowed {
                return Ok(Self { write: at, swallow: Some((swallowed, header.total)) });
            }
            at += header.total;
        }
        Ok(Self { write: buf.len(), swallow: None })
    }
}

/// What the engine has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    More,
    /// It closes the connection: nothing may follow.
    LastWord,
}

impl LaneState {
    /// Opens the gate, unless another marker is under way.
    fn pass_marker(&mut self) {
        self.gates -= 1;
        if self.gates == 0 {
            self.gate_closed = None;
        } else if let Some(waiting) = &mut self.waiting {
            waiting.pass_marker();
        }
    }

    fn has_sealed(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.has_sealed())
    }
}

impl EngineState {
    /// Returns where the message ends that the engine is in the middle of.
    fn message_end(&self, buf: &[u8]) -> io::Result<usize> {
        let mut ahead = Self { reader: None, ..*self };
        let mut at = ahead.left.min(buf.len());
        ahead.advance(buf, at)?;
        while at < buf.len() && !ahead.is_between() {
            let end = at + read_header(&buf[at..])?.total;
            ahead.advance(&buf[at..], end - at)?;
            at = end;
        }
        Ok(at)
    }

    /// Notes that the socket accepted the first `written` bytes of `buf`, which ends with a whole frame.
    fn advance(&mut self, buf: &[u8], written: usize) -> io::Result<Spoken> {
        let (mut at, mut spoken) = (self.left, Spoken::More);
        while at < written {
            let header = read_header(&buf[at..])?;
            if !header.is_control() {
                self.in_message = !header.is_final;
                match header.opcode {
                    TEXT => self.attachments = frame::attachments(&buf[at + header.length..]),
                    BINARY => self.attachments = self.attachments.saturating_sub(1),
                    _ => {}
                }
            }
            if header.opcode == CLOSE || buf[at..].starts_with(CLOSE_PACKET) {
                spoken = Spoken::LastWord;
            }
            at += header.total;
        }
        self.left = at - written;
        Ok(spoken)
    }
}

fn read_header(bytes: &[u8]) -> io::Result<FrameHeader> {
    FrameHeader::read(bytes).ok_or_else(|| io::Error::other("the engine did not write a whole frame of a server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(frames: &[(u8, &[u8])]) -> Vec<u8> {
        frames.iter().flat_map(|(first, payload)| [&[*first, payload.len() as u8], *payload].concat()).collect()
    }

    #[test]
    fn a_message_ends_with_its_last_part() {
        let text = || frames(&[(0x81, b"42[1]")]);
        let fragmented = frames(&[(0x01, b"42"), (0x89, b"ping"), (0x80, b"[1]")]);
        let attached = frames(&[(0x81, b"452-[]"), (0x82, b"a"), (0x8a, b""), (0x82, b"b")]);
        for message in [text(), fragmented, attached] {
            let buf = [message.clone(), text()].concat();
            for written in 1..buf.len() {
                let mut engine = EngineState::default();
                assert_eq!(engine.advance(&buf, written).unwrap(), Spoken::More);
                let end = if written <= message.len() { message.len() } else { buf.len() };
                let rest = &buf[written..];
                assert_eq!(engine.message_end(rest).unwrap(), end - written, "{written} of {buf:?}");
                assert_eq!(engine.is_between(), written == end);
            }
        }
    }

    #[test]
    fn a_close_is_the_last_word() {
        for (close, spoken) in [
            (frames(&[(0x81, b"2"), (0x88, &[3, 232])]), Spoken::LastWord),
            (frames(&[(0x81, b"1")]), Spoken::LastWord),
            (frames(&[(0x81, b"11")]), Spoken::More),
        ] {
            assert_eq!(EngineState::default().advance(&close, close.len()).unwrap(), spoken);
        }
    }
}
