//! A strict client behind small buffers, an engine that writes everything an engine can, and the fan-out beside it: not one
//! byte out of place, every ordered frame once and in order, the last state of each key.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::*;
use crate::domain::{
    Direction, Event, Instruments, Now, Position, PriceUpdate, Quality, Signal, SignalDraft, SignalId, SourceName,
    Symbol, parse_time,
};
use crate::hub::{Envelope, Outbox, Selection};
use crate::listener::{KillSwitch, UpgradedSocket};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

const LONG: Duration = Duration::from_secs(20);
const SLOT: Slot = Slot(0);

#[derive(Debug)]
struct Plain;

impl Encode for Plain {
    fn encode(&self, envelope: &Arc<Envelope>, message: &mut dyn FnMut(&str)) {
        let padding = "x".repeat(rand::random_range(0..300));
        message(&match envelope.event() {
            Event::Price(update) => format!("P {} {} {padding}", update.symbol, update.price),
            Event::Signal(signal) => format!("S {} {padding}", signal.id),
            Event::Cursor(position) => format!("C {position}"),
            Event::RelayedMessage(_) | Event::Killzone(_) | Event::Presence(..) => return,
        });
    }

    fn labels(&self) -> (&'static str, &'static str) {
        ("test", "test")
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new().unwrap())
}

async fn pair(send_buffer: u32) -> (TcpStream, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(send_buffer).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    let client = client.connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// One frame as the client reads it.
#[derive(Debug)]
struct Read {
    opcode: u8,
    is_final: bool,
    payload: Vec<u8>,
}

struct StrictClient {
    stream: TcpStream,
    stalls: bool,
    buffer: Vec<u8>,
}

impl StrictClient {
    async fn frame(&mut self) -> Option<Read> {
        loop {
            if let Some(header) = frame::FrameHeader::read(&self.buffer)
                && self.buffer.len() >= header.total
            {
                let payload = self.buffer[header.length..header.total].to_vec();
                self.buffer.drain(..header.total);
                assert!([0, 1, 2, 8, 9].contains(&header.opcode), "{header:?}");
                return Some(Read { opcode: header.opcode, is_final: header.is_final, payload });
            }
            if self.stalls && rand::random_bool(0.01) {
                sleep(Duration::from_millis(rand::random_range(0..20))).await;
            }
            let mut chunk = vec![0; rand::random_range(1..4000)];
            let read = self.stream.read(&mut chunk).await.unwrap();
            if read == 0 {
                assert!(self.buffer.is_empty(), "half a frame at the end");
                return None;
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// Reads the next message. Fragments and attachments belong to it; only control frames may come between.
    async fn message(&mut self) -> Option<String> {
        let mut message: Option<(Vec<u8>, u32)> = None;
        loop {
            let Some(read) = self.frame().await else {
                assert!(message.is_none(), "half a message at the end");
                return None;
            };
            match (read.opcode, &mut message) {
                (8, None) => return Some("CLOSE".into()),
                (9, _) => continue,
                (1, None) => message = Some((read.payload, 0)),
                (0, Some((text, 0))) => text.extend(read.payload),
                (2, Some((_, attachments @ 1..))) => *attachments -= 1,
                (opcode, message) => panic!("a frame of opcode {opcode} within {message:?}"),
            }
            let Some((text, attachments)) = &mut message else { unreachable!() };
            if read.opcode == 1 && read.is_final {
                *attachments = frame::attachments(text);
            }
            if *attachments == 0 && (read.is_final) {
                let (text, _) = message.take().unwrap();
                return Some(String::from_utf8(text).unwrap());
            }
        }
    }
}

/// Frames that an engine writes.
fn fragment(opcode: u8, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = text(payload).to_vec();
    frame[0] = opcode | if is_final { 0x80 } else { 0 };
    frame
}

fn engine_message(number: u64) -> Vec<u8> {
    let padding = "y".repeat(rand::random_range(0..600));
    let body = format!("E {number} {padding}");
    match rand::random_range(0..6) {
        0 => [fragment(1, false, body.as_bytes()), fragment(9, true, b"ping"), fragment(0, true, b"-end")].concat(),
        1 => [fragment(9, true, b"12345678"), text(body.as_bytes()).to_vec()].concat(),
        2 => {
            let packet = format!("452-[\"E {number} \"]");
            [text(packet.as_bytes()).to_vec(), fragment(2, true, padding.as_bytes()), fragment(2, true, b"")].concat()
        }
        _ => text(body.as_bytes()).to_vec(),
    }
}

/// Writes whole frames in several calls, as an engine does whose frames come one by one or whose writes are partial.
async fn write_in_pieces(stream: &mut LaneStream, mut buffer: &[u8]) {
    while !buffer.is_empty() {
        // Ends with a whole frame.
        let mut end = frame::FrameHeader::read(buffer).unwrap().total;
        while end < buffer.len() && rand::random_bool(0.5) {
            end += frame::FrameHeader::read(&buffer[end..]).unwrap().total;
        }
        let (mut frames, rest) = buffer.split_at(end);
        while !frames.is_empty() {
            let written = stream.write(frames).await.unwrap();
            frames = &frames[written..];
            if rand::random_bool(0.3) {
                sleep(Duration::from_micros(rand::random_range(0..400))).await;
            }
        }
        buffer = rest;
    }
}

/// What the engine is asked to write.
enum Task {
    Snapshot(u64),
    End,
}

struct Publisher {
    fanout: Fanout,
    published: Mutex<u64>,
}

impl Publisher {
    fn publish(&self, has_signal: bool) {
        let mut published = self.published.lock();
        let mut events = Vec::new();
        for symbol in ["A", "B", "C", "D", "E", "F", "G"] {
            events.push(price(symbol, *published + 1));
        }
        if has_signal {
            events.insert(3, signal(*published + 1));
        }
        self.fanout.publish(&events);
        *published += 1;
    }
}

#[expect(clippy::too_many_lines, clippy::disallowed_methods, reason = "one conversation, of tasks that end with it")]
async fn strict(rounds: u64, chop: bool, stalls: bool, topics: Topics) {
    let (client, server) = pair(4096).await;
    let metrics = metrics();
    let fanout = Fanout::new(2, vec![Box::new(Plain)], metrics.clone());
    let tasks = Tasks::new();
    fanout.spawn(&tasks);
    let publisher = Arc::new(Publisher { fanout, published: Mutex::new(0) });
    let mut stream = LaneStream::new(
        (raw(server, LONG, chop), Bytes::new()),
        0,
        SessionStart::Plain,
        OnOverflow::Kill(metrics.clone()),
    );
    let lane = stream.lane();
    let (ask, mut asked) = mpsc::unbounded_channel();
    let engine = tokio::spawn(async move {
        let mut number = 0;
        loop {
            let task = if rand::random_bool(0.1) {
                timeout(Duration::from_millis(20), asked.recv()).await.ok().flatten()
            } else {
                asked.try_recv().ok()
            };
            let mut buffer = Vec::new();
            for _ in 0..rand::random_range(0..3) {
                number += 1;
                buffer.extend(engine_message(number));
            }
            match task {
                Some(Task::Snapshot(seq)) => {
                    buffer.extend_from_slice(&text(format!("SNAP {seq}").as_bytes()));
                    if rand::random_bool(0.5) {
                        write_in_pieces(&mut stream, &std::mem::take(&mut buffer)).await;
                    }
                    let marker = format!("42[\"{}\"]", MARKER.as_str());
                    buffer.extend_from_slice(&text(marker.as_bytes()));
                    number += 1;
                    buffer.extend(engine_message(number));
                }
                Some(Task::End) => {
                    // What waits in the lane goes out before the engine closes the connection.
                    while lane_waits(&stream) {
                        sleep(Duration::from_millis(1)).await;
                    }
                    buffer.extend_from_slice(&text(format!("LAST {number}").as_bytes()));
                    buffer.extend(fragment(8, true, b""));
                    stream.write_all(&buffer).await.unwrap();
                    return;
                }
                None => {}
            }
            write_in_pieces(&mut stream, &buffer).await;
            tokio::task::yield_now().await;
        }
    });
    let publishing = tokio::spawn({
        let (publisher, topics, lane, ask) = (publisher.clone(), topics.clone(), lane.clone(), ask.clone());
        async move {
            let subscribe = || {
                let published = publisher.published.lock();
                let Some(lane) = lane.upgrade() else { return };
                publisher.fanout.settle(&lane);
                lane.close_gate();
                ask.send(Task::Snapshot(*published)).ok();
                publisher.fanout.subscribe(&lane, SLOT, topics.clone());
            };
            subscribe();
            for round in 0..rounds {
                publisher.publish(round % 3 == 0);
                if round % 50 == 25 {
                    subscribe();
                }
                if round % 7 == 0 {
                    sleep(Duration::from_micros(300)).await;
                }
            }
            let total = *publisher.published.lock();
            // The fan-out has delivered everything once its inboxes were empty for a while.
            sleep(Duration::from_millis(300)).await;
            ask.send(Task::End).ok();
            total
        }
    });
    let mut client = StrictClient { stream: client, stalls, buffer: Vec::new() };
    let (mut engine_number, mut signal, mut snapshots) = (0, None::<u64>, 0);
    let mut prices: HashMap<String, u64> = HashMap::new();
    let mut last = None;
    while let Some(message) = timeout(LONG, client.message()).await.expect("the stream goes on") {
        let words: Vec<_> = message.split(' ').collect();
        match words[..] {
            ["SNAP", seq] => {
                let seq: u64 = seq.parse().unwrap();
                // Signals come with every third batch, beginning with the first.
                if let Some(signal) = signal {
                    assert!(signal <= seq && seq < signal.max(1) + 3, "signal {signal} before the snapshot at {seq}");
                }
                assert!(prices.values().all(|price| *price <= seq), "a price later than the snapshot at {seq}");
                for price in prices.values_mut() {
                    *price = seq;
                }
                signal = Some(if seq == 0 { 0 } else { (seq - 1) / 3 * 3 + 1 });
                snapshots += 1;
            }
            ["S", number, _] => {
                let number: u64 = number.parse().unwrap();
                let before = signal.expect("a snapshot comes first");
                assert_eq!(number, if before == 0 { 1 } else { before + 3 }, "a signal is missing or doubled");
                signal = Some(number);
            }
            ["P", symbol, number, _] => {
                let number = number.parse().unwrap();
                let before = prices.insert(symbol.to_owned(), number).unwrap_or(0);
                assert!(number > before, "{symbol} went from {before} to {number}");
            }
            ["E" | "452-[\"E", number, _] => {
                engine_number += 1;
                assert_eq!(number.parse(), Ok(engine_number));
            }
            ["LAST", number] => last = Some(number.parse().unwrap()),
            ["CLOSE"] => break,
            _ => panic!("{message:?}"),
        }
    }
    let total = publishing.await.unwrap();
    engine.await.unwrap();
    assert_eq!(last, Some(engine_number), "every frame of the engine arrived");
    assert!(snapshots > 1);
    assert!(signal.is_some_and(|signal| signal + 3 > total), "{signal:?} of {total}");
    let symbols = if topics.prices == Selection::All { 7 } else { 2 };
    assert_eq!(prices.len(), symbols);
    assert!(prices.values().all(|price| *price == total), "{prices:?} of {total}");
    tasks.drain(LONG).await;
    assert!(metrics.deliveries_total.with_label_values(&["ordered", "test"]).get() >= total / 3);
}

fn lane_waits(stream: &LaneStream) -> bool {
    let lane = stream.lane().upgrade().unwrap();
    let state = lane.state.lock();
    state.waiting.is_some() || state.gates > 0
}

fn everything() -> Topics {
    Topics::market()
}

fn some() -> Topics {
    let prices = Selection::Only(["B", "E"].map(Symbol::new).into());
    Topics { prices, ..Topics::market() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_is_out_of_place() {
    for (chop, stalls, topics) in
        [(false, false, everything()), (true, false, everything()), (true, true, some()), (false, true, everything())]
    {
        strict(1500, chop, stalls, topics).await;
    }
}

fn price(symbol: &str, number: u64) -> Arc<Envelope> {
    Arc::new(Envelope::unplaced(Event::Price(Arc::new(PriceUpdate {
        symbol: Symbol::new(symbol),
        price: number as f64,
        timestamp: parse_time("2026-01-14T15:00:00Z").unwrap(),
        change: 0.0,
        change_percent: 0.0,
        volume: None,
        bid_ask: None,
        day: None,
        quality: Quality::Live,
        source: SourceName::new("push"),
    }))))
}

fn signal(number: u64) -> Arc<Envelope> {
    let instrument = Instruments::documented().swap_remove(0);
    let draft = SignalDraft { direction: Some(Direction::Long), ..SignalDraft::default() };
    let now = Now { wall: parse_time("2026-01-14T15:00:00Z").unwrap(), mono: Duration::ZERO };
    let (id, source) = (SignalId::new(&number.to_string()).unwrap(), SourceName::new("push"));
    let signal = Signal::create(id, &draft, &instrument, source, now, Duration::from_secs(300)).unwrap();
    Arc::new(Envelope::placed(Event::Signal(Arc::new(signal)), Position { epoch: "e".into(), seq: number }))
}

/// A socket that accepts everything it can, or random small parts.
fn raw(tcp: TcpStream, write_timeout: Duration, chop: bool) -> UpgradedSocket {
    UpgradedSocket::of(tcp, KillSwitch::new(), write_timeout, chop)
}

/// A lane whose engine is silent.
async fn silent() -> (StrictClient, LaneStream, Arc<Lane>) {
    silent_behind(4096).await
}

/// The same with this send buffer in bytes.
async fn silent_behind(send_buffer: u32) -> (StrictClient, LaneStream, Arc<Lane>) {
    let (client, server) = pair(send_buffer).await;
    let socket = raw(server, Duration::from_millis(300), false);
    let stream = LaneStream::new((socket, Bytes::new()), 0, SessionStart::Plain, OnOverflow::Notify);
    let lane = stream.lane().upgrade().unwrap();
    lane.subscribe(SLOT, everything(), 0);
    (StrictClient { stream: client, stalls: false, buffer: Vec::new() }, stream, lane)
}

fn deliver(lane: &Arc<Lane>, events: &[Arc<Envelope>]) -> (DeliveryOutcome, Tally) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let mut tally = Tally::default();
    let batch = Batch::new(NUMBER.fetch_add(events.len() as u64, Ordering::Relaxed), events);
    let frames = EncodedFrames::of(&batch, &Plain);
    let delivery = lane.deliver(SLOT, &batch, &frames, Instant::now(), &mut tally);
    (delivery, tally)
}

/// Delivers until the socket is full, and more waits than the client's buffer accepts. Returns the number of the last batch.
fn fill(lane: &Arc<Lane>) -> u64 {
    let mut number = 0;
    while lane.behind().ordered < 100 {
        number += 1;
        assert_eq!(deliver(lane, &[signal(number), price("A", number)]).0, DeliveryOutcome::Done);
    }
    number
}

#[tokio::test]
async fn a_slow_client_gets_every_signal_and_the_last_price() {
    let (mut client, _stream, lane) = silent().await;
    let full = fill(&lane);
    let mut conflated = 0;
    for number in full + 1..=full + 100 {
        conflated += deliver(&lane, &[signal(number), price("A", number)]).1.conflated;
    }
    assert!(conflated >= 98, "{conflated}");
    assert!(lane.behind().ordered >= 200 && lane.behind().states <= 1, "{:?}", lane.behind());
    let (mut signals, mut last) = (0, 0);
    while (signals, last) != (full + 100, full + 100) {
        let message = timeout(LONG, client.message()).await.unwrap().unwrap();
        let words: Vec<_> = message.split(' ').collect();
        match words[..] {
            ["S", number, _] => {
                signals += 1;
                assert_eq!(number.parse(), Ok(signals));
            }
            ["P", "A", number, _] => last = number.parse().unwrap(),
            _ => panic!("{message}"),
        }
    }
    assert!(lane.behind().conflated >= conflated);
    assert_eq!(Behind { conflated: 0, ..lane.behind() }, Behind::default());
}

/// Also when it has more frames than one system call takes.
#[tokio::test]
async fn a_selection_keeps_the_order_of_its_batch() {
    let (mut client, _stream, lane) = silent_behind(1 << 20).await;
    lane.subscribe(SLOT, some(), 0);
    let events: Vec<_> =
        (1..=100).flat_map(|number| [price("B", number), price("A", number), signal(number)]).collect();
    let (delivery, tally) = deliver(&lane, &events);
    assert_eq!((delivery, tally.ordered, tally.states), (DeliveryOutcome::Done, 100, 100));
    for number in 1..=100 {
        for wanted in [format!("P B {number} "), format!("S {number} ")] {
            let message = timeout(LONG, client.message()).await.unwrap().unwrap();
            assert!(message.starts_with(&wanted), "{message} instead of {wanted}");
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected() {
    let (_client, mut stream, lane) = silent().await;
    fill(&lane);
    let error = timeout(LONG, stream.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Reason::SlowReader));
    assert_eq!(deliver(&lane, &[signal(1)]).0, DeliveryOutcome::Gone);
}

#[tokio::test]
async fn too_many_signals_end_a_lane() {
    let (mut client, mut stream, lane) = silent().await;
    let full = fill(&lane);
    for number in full + 1..full + 3000 {
        deliver(&lane, &[signal(number)]);
    }
    timeout(LONG, lane.overflowed()).await.unwrap();
    // What was half written is completed, and the engine's last frames follow.
    let goodbye = async {
        stream.write_all(&text(b"E 1 ")).await.unwrap();
        drop(stream);
    };
    let read = async {
        let mut last = String::new();
        while let Some(message) = client.message().await {
            last = message;
        }
        last
    };
    drop(lane);
    let ((), last) = timeout(LONG, async { tokio::join!(goodbye, read) }).await.unwrap();
    assert_eq!(last, "E 1 ");
}

#[tokio::test]
async fn the_rate_of_states_is_limited() {
    let (mut client, _stream, lane) = silent().await;
    let interval = Duration::from_millis(200);
    lane.set_price_interval(SLOT, Some(interval));
    let DeliveryOutcome::Later(_) = deliver(&lane, &[price("A", 1), signal(1), price("A", 2), price("B", 3)]).0 else {
        panic!("a price is held")
    };
    assert_eq!(deliver(&lane, &[price("A", 4)]).0, DeliveryOutcome::Done, "it is scheduled already");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(client.message().await.unwrap());
    }
    assert!(seen[0].starts_with("P A 1") || seen[1].starts_with("P A 1"), "{seen:?}");
    assert!(matches!(lane.deliver_due(Instant::now()), DeliveryOutcome::Later(_)), "not due");
    assert_eq!(lane.deliver_due(Instant::now() + interval), DeliveryOutcome::Done);
    assert!(client.message().await.unwrap().starts_with("P A 4"));
    // Without the limit, what is held goes out.
    deliver(&lane, &[price("A", 5)]);
    lane.set_price_interval(SLOT, None);
    assert!(client.message().await.unwrap().starts_with("P A 5"));
}

#[tokio::test]
async fn nothing_follows_the_last_word() {
    let (mut client, mut stream, lane) = silent().await;
    stream.write_all(&text(b"1")).await.unwrap();
    assert_eq!(deliver(&lane, &[signal(1)]).0, DeliveryOutcome::Gone);
    lane.send([text(b"late")]);
    drop((lane, stream));
    assert_eq!(client.message().await.as_deref(), Some("1"));
    assert_eq!(client.message().await, None);
}

#[tokio::test]
async fn the_first_ping_is_answered_for_the_client() {
    let (client, server) = pair(4096).await;
    let socket = raw(server, LONG, false);
    let mut stream = LaneStream::new((socket, Bytes::new()), 0, SessionStart::HoldPing, OnOverflow::Kill(metrics()));
    let mut client = StrictClient { stream: client, stalls: false, buffer: Vec::new() };
    stream.write_all(&text(b"0{\"sid\":\"x\"}")).await.unwrap();
    // Half a frame of the client is there before the ping.
    client.stream.write_all(&[0x81, 0x82, 0, 0, 0]).await.unwrap();
    let mut frame = [0; 5];
    stream.read_exact(&mut frame).await.unwrap();
    stream.write_all(&text(b"2")).await.unwrap();
    client.stream.write_all(&[0, b'4', b'0']).await.unwrap();
    let mut rest = [0; 10];
    timeout(LONG, stream.read_exact(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, [0, b'4', b'0', 0x81, 0x81, 0, 0, 0, 0, b'3']);
    // The second ping is the client's.
    stream.write_all(&text(b"2")).await.unwrap();
    assert_eq!(client.message().await.unwrap(), "0{\"sid\":\"x\"}");
    assert_eq!(client.message().await.unwrap(), "2");
}

#[tokio::test]
async fn an_upgrade_is_told_when_it_is_complete() {
    let (mut client, server) = pair(4096).await;
    let (upgraded, mut told) = tokio::sync::oneshot::channel();
    let socket = raw(server, LONG, false);
    let early = Bytes::from_static(&[0x81, 0x86, 0, 0, 0, 0, b'2', b'p', b'r', b'o', b'b']);
    let mut stream = LaneStream::new((socket, early), 0, SessionStart::Upgrade(upgraded), OnOverflow::Kill(metrics()));
    let mut bytes = [0; 19];
    client.write_all(&[b'e', 0x81, 0x81, 1, 2, 3, 4, b'5' ^ 1]).await.unwrap();
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(told.try_recv(), Ok(()));
}

#[tokio::test]
async fn batches_that_wait_become_one() {
    let fanout = Fanout::new(1, vec![Box::new(Plain)], metrics());
    for number in 1..=1000 {
        fanout.publish(&[price("A", number), signal(number), price("B", number)]);
    }
    let (waiting, events) = fanout.waiting();
    assert!(waiting < 300, "{waiting}");
    assert!((1000..1600).contains(&events), "every signal, and few prices: {events}");
}

#[tokio::test]
async fn a_writer_waits_until_its_frames_are_out() {
    let (mut client, _stream, lane) = silent().await;
    fill(&lane);
    assert!(lane.waits(16));
    assert!(lane.written(16).now_or_never().is_none() && lane.emptied().now_or_never().is_none());
    let read = async { while client.message().await.is_some() {} };
    let written = async {
        lane.written(16).await.unwrap();
        assert!(!lane.waits(16));
        lane.emptied().await.unwrap();
        assert_eq!((lane.behind().ordered, lane.behind().states), (0, 0));
    };
    timeout(LONG, async {
        tokio::select! { () = read => panic!("it goes on"), () = written => {} }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_gets_only_what_it_may() {
    for keeps in [true, false] {
        let (mut client, mut stream, lane) = silent().await;
        let full = fill(&lane);
        assert_eq!(lane.topics(SLOT), everything());
        lane.leave(keeps);
        assert_eq!(lane.topics(SLOT), Topics::default());
        deliver(&lane, &[signal(full + 1)]);
        let goodbye = async {
            lane.emptied().await.unwrap();
            stream.write_all(&text(b"E 1 ")).await.unwrap();
            drop((stream, lane));
        };
        let read = async {
            let (mut signals, mut last) = (0, String::new());
            while let Some(message) = client.message().await {
                signals += u64::from(message.starts_with('S'));
                last = message;
            }
            (signals, last)
        };
        let ((), (signals, last)) = timeout(LONG, async { tokio::join!(goodbye, read) }).await.unwrap();
        assert_eq!(last, "E 1 ");
        assert_eq!(signals == full, keeps, "{signals} of {full}");
    }
}

#[tokio::test]
async fn an_outbox_gets_every_event_once() {
    let (fanout, tasks) = (Fanout::new(2, Vec::new(), metrics()), Tasks::new());
    let outbox = Arc::new(Outbox::new(metrics()));
    fanout.join(&outbox);
    fanout.publish(&[signal(1)]);
    fanout.settle_outbox(&outbox);
    outbox.set_topics(everything());
    fanout.publish(&[price("A", 1), signal(2), price("A", 3)]);
    fanout.settle_outbox(&outbox);
    fanout.spawn(&tasks);
    fanout.publish(&[signal(3)]);
    let (mut states, mut ordered) = (0, 0);
    while ordered < 2 {
        let batch = timeout(LONG, outbox.due()).await.unwrap().unwrap();
        (states, ordered) = (states + batch.states.len(), ordered + batch.ordered.len());
    }
    tasks.drain(LONG).await;
    assert!(outbox.drain().unwrap().is_empty());
    assert_eq!(
        (states, ordered, outbox.behind().conflated),
        (1, 2, 1),
        "what was published before it had topics is not due"
    );
}
