use std::time::Duration;

use chrono::DateTime;

use super::*;
use crate::domain::{Audience, MessageType, Position};
use crate::hub::Hub;
use crate::telemetry::Metrics;

/// A hub that retains the last three ordered messages of each user.
fn hub() -> Hub {
    let metrics = Arc::new(Metrics::new().unwrap());
    Hub::new(Position { epoch: "e".into(), seq: 0 }, Duration::from_secs(600), 3, metrics)
}

fn kind(name: &str) -> MessageType {
    crate::app::message_type(name).unwrap()
}

fn publish(hub: &Hub, messages: &[(u64, MessageType, Audience, &str)]) {
    for (seq, kind, audience, key) in messages {
        let message = RelayedMessage {
            seq: *seq,
            kind: *kind,
            audience: audience.clone(),
            key: (*key).into(),
            data: "{}".into(),
            at: DateTime::UNIX_EPOCH,
        };
        hub.publish(&[Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))))]);
    }
}

fn user(id: &str) -> Audience {
    Audience::User(id.into())
}

fn missed(admin: bool, presented: Option<&str>) -> Backlog {
    let types = Arc::new(crate::app::published_types());
    Backlog::new(types, Audiences::of_user("ann".into(), admin), presented.map(MessageCursor::parse))
}

/// Returns the number after which ordered messages are due, the due numbers, and whether that is all.
fn due(missed: &mut Backlog, hub: &Hub) -> (u64, Vec<u64>, Option<bool>) {
    let (place, due) = hub.with_snapshot(|snapshot| missed.due(snapshot));
    (place, due.iter().map(|publication| number(publication)).collect(), missed.recovered())
}

fn some_of_everything(hub: &Hub) {
    publish(
        hub,
        &[
            (1, kind("trades"), user("ann"), ""),
            (2, kind("bots"), user("ann"), "b1"),
            (3, kind("bots"), user("bob"), "b1"),
            (4, kind("trades"), user("bob"), ""),
            (5, kind("metrics"), Audience::All, ""),
            (6, kind("signal"), Audience::All, ""),
            (7, kind("tick"), Audience::All, "EURUSD"),
            (8, kind("admin_users"), Audience::Admin, ""),
            (9, kind("bots"), user("ann"), "b2"),
            (10, kind("notification"), user("ann"), ""),
            (11, kind("bots"), user("ann"), "b1"),
            (12, kind("alerts"), Audience::Admin, ""),
            (13, kind("whale"), Audience::All, ""),
        ],
    );
}

#[test]
fn without_a_cursor_only_current_states_are_due() {
    let hub = hub();
    some_of_everything(&hub);
    assert_eq!(due(&mut missed(false, None), &hub), (13, vec![5, 9, 11], None));
    assert_eq!(due(&mut missed(true, None), &hub), (13, vec![5, 8, 9, 11], None));
}

#[test]
fn states_and_later_messages_come_in_order() {
    let hub = hub();
    some_of_everything(&hub);
    for cursor in ["1", "e:m1"] {
        assert_eq!(due(&mut missed(false, Some(cursor)), &hub), (1, vec![5, 9, 10, 11, 13], Some(true)));
    }
    assert_eq!(due(&mut missed(true, Some("10")), &hub), (10, vec![5, 8, 9, 11, 12, 13], Some(true)));
    assert_eq!(due(&mut missed(false, Some("13")), &hub), (13, vec![5, 9, 11], Some(true)));
}

#[test]
fn a_cursor_of_another_log_replays_retained_messages() {
    let hub = hub();
    some_of_everything(&hub);
    for cursor in ["f:m13", "e:m14", "14", "e:13", "nonsense"] {
        let all = vec![1, 5, 9, 10, 11, 13];
        assert_eq!(due(&mut missed(false, Some(cursor)), &hub), (0, all, Some(false)), "{cursor}");
    }
}

#[test]
fn an_outdated_cursor_is_reported_as_unrecovered() {
    let hub = hub();
    for seq in 1..=5 {
        publish(&hub, &[(seq, kind("trades"), user("ann"), "")]);
    }
    assert_eq!(due(&mut missed(false, Some("1")), &hub), (1, vec![3, 4, 5], Some(false)));
    assert_eq!(due(&mut missed(false, Some("2")), &hub), (2, vec![3, 4, 5], Some(true)));
}

#[test]
fn a_full_queue_is_continued_where_it_stopped() {
    let hub = hub();
    some_of_everything(&hub);
    let mut ann = missed(false, Some("1"));
    due(&mut ann, &hub);
    ann.reached = 10;
    assert_eq!(due(&mut ann, &hub), (1, vec![11, 13], Some(true)));
    publish(&hub, &[(14, kind("bots"), user("ann"), "b1"), (15, kind("trades"), user("ann"), "")]);
    assert_eq!(due(&mut ann, &hub), (1, vec![13, 14, 15], Some(true)), "of a state the latest only");

    let mut backlog = missed(false, None);
    assert_eq!(due(&mut backlog, &hub), (15, vec![5, 9, 14], None));
    publish(&hub, &[(16, kind("trades"), user("ann"), "")]);
    backlog.reached = 9;
    assert_eq!(due(&mut backlog, &hub), (15, vec![14, 16], None), "what comes while it waits is its first");
}

#[test]
fn no_message_type_has_a_reserved_name() {
    // Names used by this server, by Socket.IO, and by its old and new clients.
    let reserved = [
        "signal",
        "price_update",
        "subscribed",
        "unsubscribed",
        "message",
        "subscribe",
        "unsubscribe",
        "error",
        "ping",
        "pong",
        "connection",
        "connect",
        "connecting",
        "connect_error",
        "connect_timeout",
        "connect_failed",
        "disconnect",
        "disconnecting",
        "reconnect",
        "reconnecting",
        "reconnect_attempt",
        "reconnect_error",
        "reconnect_failed",
        "newListener",
        "removeListener",
    ];
    for declared in crate::app::published_types().iter() {
        let name = declared.kind.name();
        assert!(declared.on_user_streams.is_none() || !reserved.contains(&name), "{name}");
    }
}
