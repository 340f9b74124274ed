//! `POST /api/events` over the real pipeline: acknowledged events are stored, in order, and survive a restart.

use super::*;
use crate::hub::Audiences;
use crate::pipeline::Pipeline;
use crate::pipeline::clock::Clock;
use tokio_util::sync::CancellationToken;

/// A server with the real pipeline.
fn server(clock: Clock) -> Server {
    let mut server = Server::new();
    let state = &mut server.state;
    let (handle, requests) = Handle::channel();
    let engine = Engine::new(state.instruments.clone(), TTL, 5);
    let (store, hub, metrics) = (server.store.clone(), state.hub.clone(), state.metrics.clone());
    let pipeline = Pipeline::new(engine, clock, store, hub, metrics, Vec::new());
    Tasks::new().spawn_connection(async move {
        pipeline.run(requests, Duration::from_secs(1), CancellationToken::new()).await.unwrap();
    });
    state.push = Push::new(handle, state.instruments.clone(), Arc::new(now), state.metrics.clone());
    server.app = router(state.clone(), OpenApiRouter::new(), Router::new());
    server
}

async fn publish(server: &Server, body: Value) -> (StatusCode, Value) {
    server.write(Method::POST, "/api/events", body).await
}

fn wallet(user: &str, event: &str) -> Value {
    json!({"type": "wallet", "data": {"event": event}, "user": user})
}

fn bot(id: &str, pnl: i32) -> Value {
    json!({"type": "bots", "data": {"id": id, "status": "running", "pnl": pnl}})
}

#[tokio::test]
async fn published_events_keep_their_order_across_a_restart() {
    let server = server(Clock::system());
    let published = json!({
        "success": true, "message": "Event published", "type": "bots", "timestamp": "2026-01-15T10:30:00.000Z"
    });
    assert_eq!(publish(&server, bot("a", 1)).await, (StatusCode::OK, published));
    let batch = json!({"events": [wallet("u", "1"), bot("a", 2), wallet("v", "2"), bot("b", 3), wallet("u", "3")]});
    let accepted = json!({"success": true, "message": "Events published", "accepted": 5});
    assert_eq!(publish(&server, batch).await, (StatusCode::OK, accepted));
    publish(&server, wallet("u", "4")).await;

    let user = Audiences { user: Some("u".into()), ..Audiences::default() };
    let (messages, states) = server.state.hub.with_snapshot(|present| {
        (present.messages_after(&user, 0).0, present.states(|message| message.kind.name() == "bots"))
    });
    let data = |publications: Vec<Arc<Envelope>>| -> Vec<String> {
        let data = publications.iter().map(|publication| match publication.event() {
            Event::RelayedMessage(published) => published.data.to_string(),
            other => panic!("{other:?}"),
        });
        data.collect()
    };
    assert_eq!(data(messages), [r#"{"event":"1"}"#, r#"{"event":"3"}"#, r#"{"event":"4"}"#]);
    let bots = [r#"{"id":"a","status":"running","pnl":2}"#, r#"{"id":"b","status":"running","pnl":3}"#];
    assert_eq!(data(states), bots);
    let counted = |kind| server.state.metrics.events_in_total.with_label_values(&[kind, "push"]).get();
    assert_eq!((counted("wallet"), counted("bots")), (4, 3));

    server.store.close().await.unwrap();
    let Server { _dir: dir, store, state, app } = server;
    drop((store, state, app));
    let metrics = Arc::new(Metrics::new().unwrap());
    let year = Duration::from_hours(24 * 365);
    let options = store::Options {
        signal_retention: year,
        bar_retention: year,
        recent_since: now(),
        messages_per_user: 50,
        message_retention: year,
        max_messages: 1_000_000,
        upgrade_backup: true,
        message_type: crate::app::message_type,
        clock: now,
    };
    let (_store, recovered) = Store::open(dir.path(), options, metrics).unwrap();
    let kept: Vec<_> = recovered.published.iter().map(|m| format!("{} {} {}", m.audience, m.key, m.data)).collect();
    assert_eq!(
        kept,
        [
            r#"user:u  {"event":"1"}"#.to_owned(),
            format!("all a {}", bots[0]),
            r#"user:v  {"event":"2"}"#.to_owned(),
            format!("all b {}", bots[1]),
            r#"user:u  {"event":"3"}"#.to_owned(),
            r#"user:u  {"event":"4"}"#.to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_faulty_batch_publishes_nothing() {
    let server = server(Clock::system());
    let batch = json!({"events": [
        wallet("u", "1"), {"type": "bots", "data": {"id": "a", "status": "lost"}}, {"type": "bot", "data": {}}
    ]});
    let (status, body) = publish(&server, batch).await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("validation_failed")));
    assert_eq!(body["error"], "Invalid fields: events[1].data.status, events[2].type");
    let fields = &body["details"]["fields"];
    assert_eq!(fields["events[1].data.status"], "must be one of running, stopped, paused, error");
    assert!(server.state.hub.with_snapshot(|present| present.last_message() == 0));
    let rejected = server.state.metrics.rejected_total.with_label_values(&["event", "validation_failed"]).get();
    assert_eq!(rejected, 1);

    let (status, body) = publish(&server, json!({"type": "bots", "data": {}})).await;
    let error = "Missing required fields: data.id, data.status";
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!(error)));
    let (status, body) = publish(&server, json!({"events": vec![json!({}); 1001]})).await;
    let error = "Invalid field: events must be a list of 1 to 1000 events";
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!(error)));
    let (status, body) = publish(&server, wallet("u", &"x".repeat(256 * 1024))).await;
    assert_eq!((status, &body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("payload_too_large")));
}

#[tokio::test]
async fn publishing_needs_write_access_and_no_replay() {
    let replaying = server(Clock::recording());
    let request = request(Method::POST, "/api/events").body(Body::from(wallet("u", "1").to_string())).unwrap();
    let (status, body) = answer(replaying.send(request).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthorized")));
    let (status, body) = publish(&replaying, wallet("u", "1")).await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("replaying")));
    let (status, _) = replaying.get("/api/events").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}
