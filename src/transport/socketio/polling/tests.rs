use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use futures_util::poll;

use super::registry::RECENT_POLL;
use super::*;

const LIMITS: PollingLimits =
    PollingLimits { sessions: 3, per_address: 2, waiting_bytes: 1 << 20, poll_timeout: Duration::from_secs(20) };

fn address(last: u8) -> IpAddr {
    [203, 0, 113, last].into()
}

fn opened(sessions: &PollingSessions, id: &str) -> Arc<PollingSession> {
    let session = sessions.open(None, 4, None).unwrap();
    session.register(id);
    session
}

fn ended(sessions: &PollingSessions) -> Vec<(String, &'static str)> {
    sessions.overdue().1.into_iter().map(|overdue| (overdue.session.id().to_owned(), overdue.reason)).collect()
}

#[tokio::test]
async fn sessions_are_limited_in_all_and_per_address() {
    let sessions = PollingSessions::new(LIMITS);
    let open = |last| sessions.open(Some(address(last)), 4, None);
    let first = open(1).unwrap();
    let _second = open(1).unwrap();
    assert_eq!(open(1).unwrap_err(), SessionLimit::Address);
    let third = open(2).unwrap();
    assert_eq!(open(2).unwrap_err(), SessionLimit::Sessions);
    drop((first, third));
    assert_eq!(sessions.count(), 1);
    open(1).unwrap();
    assert_eq!(sessions.0.counts.lock().by_address.len(), 1, "addresses without a session are forgotten");
}

#[tokio::test]
async fn an_upgraded_session_is_counted_by_its_connection() {
    let sessions = PollingSessions::new(LIMITS);
    let session = opened(&sessions, "a");
    let connection = KillSwitch::new();
    session.upgrade(connection.clone());
    session.upgrade(KillSwitch::new());
    assert_eq!(sessions.count(), 0);
    assert!(ended(&sessions).is_empty());
    drop(connection);
    // The upgrade never completed, and nothing else would end the session.
    assert_eq!(ended(&sessions), [("a".to_owned(), "upgrade")]);
    drop(session);
    assert_eq!(sessions.count(), 0);
    assert!(sessions.find("a").is_none() && sessions.0.open.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_without_polls_ends() {
    let sessions = PollingSessions::new(LIMITS);
    let (idle, polls) = (opened(&sessions, "idle"), opened(&sessions, "polls"));
    let poll = polls.clone().poll();
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(ended(&sessions), [("idle".to_owned(), "idle")]);
    drop(idle);
    drop(poll);
    tokio::time::advance(Duration::from_secs(19)).await;
    assert!(ended(&sessions).is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ended(&sessions), [("polls".to_owned(), "idle")]);
}

#[tokio::test(start_paused = true)]
async fn the_most_expensive_idle_session_goes_first() {
    let sessions = PollingSessions::new(LIMITS);
    let [large, small, polls] = ["large", "small", "polls"].map(|id| opened(&sessions, id));
    for (session, bytes) in [(&large, 700_000), (&small, 300_000), (&polls, 700_000)] {
        session.count_sent(bytes);
    }
    let poll = polls.poll();
    assert!(ended(&sessions).is_empty(), "all have polled a moment ago");
    tokio::time::advance(RECENT_POLL).await;
    assert_eq!(ended(&sessions), [("large".to_owned(), "memory"), ("small".to_owned(), "memory")]);
    poll.answered(65_000, 65_536);
    drop(large);
    assert!(ended(&sessions).is_empty(), "less than the limit waits");
}

#[tokio::test]
async fn data_waiting_for_all_sessions_is_bounded() {
    let sessions = PollingSessions::new(LIMITS);
    let [large, other] = ["large", "other"].map(|id| opened(&sessions, id));
    large.count_sent(LIMITS.waiting_bytes);
    assert!(other.has_room() && !other.may_ask(), "it does not poll");
    let poll = other.clone().poll();
    assert!(other.may_ask());
    large.count_sent(LIMITS.waiting_bytes);
    assert!(!other.has_room() && !other.may_ask());
    drop((large, poll));
    assert!(other.has_room() && other.may_ask());
    assert_eq!(sessions.0.waiting.load(Ordering::Relaxed), 0);
}

/// An answer of the engine with this many packets of three bytes.
fn answer(packets: usize) -> PollAnswer {
    PollAnswer { body: vec!["4ab"; packets].join("\u{1e}").into(), is_binary: false }
}

/// Polls; if the engine is asked, it answers with this many packets. Returns the number of packets.
fn polled(session: &Arc<PollingSession>, packets: usize) -> usize {
    let poll = session.clone().poll();
    let answer = match poll.answer_source() {
        AnswerSource::Held(answer) => answer,
        AnswerSource::Engine(engine_poll) => poll.split_answer(engine_poll, answer(packets), 65_536),
        AnswerSource::Nothing => return 0,
    };
    answer.body.split(|byte| *byte == 0x1e).count()
}

#[tokio::test]
async fn the_rest_is_held_and_accounted_for() {
    let sessions = PollingSessions::new(LIMITS);
    let session = opened(&sessions, "a");
    session.count_sent(100_000);
    assert_eq!(polled(&session, 40), 16);
    let waiting = || sessions.0.waiting.load(Ordering::Relaxed);
    assert_eq!(waiting(), 24 * 4 - 1);
    // The engine is not asked again before the rest is delivered.
    assert_eq!([polled(&session, 1), polled(&session, 1), polled(&session, 1)], [16, 8, 1]);
    assert_eq!(waiting(), 0);
    polled(&session, 40);
    drop(session);
    assert_eq!(waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_waits_for_the_rest() {
    let sessions = PollingSessions::new(LIMITS);
    let session = opened(&sessions, "a");
    polled(&session, 20);
    let prepare = || session.prepare_upgrade(|| ready(Leftover::Nothing));
    // A client that does not poll keeps its session unchanged.
    assert!(prepare().await.is_none());
    let mut preparing = pin!(prepare());
    assert!(poll!(&mut preparing).is_pending());
    assert_eq!(polled(&session, 1), 4);
    let upgrade = preparing.await.unwrap();
    assert_eq!(polled(&session, 1), 0, "polls do not reach the engine any more");
    drop(upgrade);
    assert_eq!(polled(&session, 1), 1, "it did not come to be");
}

#[tokio::test(start_paused = true)]
async fn packets_found_by_an_upgrade_are_polled_first() {
    let sessions = PollingSessions::new(LIMITS);
    let session = opened(&sessions, "a");
    assert_eq!(polled(&session, 16), 16);
    let mut finds = [Leftover::Answer(answer(3)), Leftover::Nothing].into_iter();
    let mut preparing = pin!(session.prepare_upgrade(|| ready(finds.next().unwrap())));
    assert!(poll!(&mut preparing).is_pending());
    assert_eq!(polled(&session, 1), 3);
    preparing.await.unwrap().done();
    assert_eq!(polled(&session, 1), 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_empty_poll_upgrades_skip_the_engine() {
    let sessions = PollingSessions::new(LIMITS);
    let session = opened(&sessions, "a");
    let prepare = || session.prepare_upgrade(|| async { panic!("the engine has nothing") });
    // Before the first poll, while a poll waits, and after it was answered.
    drop(prepare().await.unwrap());
    polled(&session, 16);
    let poll = session.clone().poll();
    let AnswerSource::Engine(mut engine_poll) = poll.answer_source() else { panic!("nothing is held") };
    engine_poll.park();
    drop(prepare().await.unwrap());
    poll.split_answer(engine_poll, answer(1), 65_536);
    drop(prepare().await.unwrap());
}

#[tokio::test]
async fn data_waiting_for_a_session_is_bounded() {
    let sessions = PollingSessions::new(PollingLimits { waiting_bytes: MAX_WAITING_BYTES, ..LIMITS });
    let session = opened(&sessions, "a");
    session.count_sent(MAX_WAITING_BYTES);
    assert!(!session.has_room());
    assert_eq!(session.registry.waiting.load(Ordering::Relaxed), session.waiting.load(Ordering::Relaxed));
    let poll = session.clone().poll();
    poll.answered(65_536, 65_536);
    assert!(session.has_room(), "a part of it was taken");
    poll.answered(100, 65_536);
    assert_eq!(session.waiting.load(Ordering::Relaxed), 0);
    drop(poll);
    assert!(session.may_connect(MAX_CONNECTS) && !session.may_connect(1));
    drop(session.clone().poll());
    assert!(!session.may_connect(1), "it has taken nothing");
    let poll = session.clone().poll();
    let AnswerSource::Engine(mut engine_poll) = poll.answer_source() else { panic!("nothing is held") };
    assert!(!session.may_connect(1), "the engine may still have something");
    engine_poll.park();
    assert!(session.may_connect(1), "nothing waits for a client that is waiting");
}
