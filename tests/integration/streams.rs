//! The public stream over HTTP, and long polling: standard events, exact resuming, filters, limits and ends.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::dashboard::EventStream;
use crate::support::users::get_as;
use crate::support::{Server, seq, signal, soon, until};

const ADMIN: &str = "the-admin-token-of-the-streams";

async fn stream(server: &Server, query: &str) -> EventStream {
    EventStream::open(server.addr, &format!("/api/stream?{query}"), "").await.unwrap()
}

/// Polls with a limit on the time.
async fn poll(server: &Server, query: &str) -> Value {
    let (status, answer) = soon("the answer to a poll", server.get(&format!("/api/signals?{query}"))).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["signals"].as_array().unwrap().iter().map(|signal| signal["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_standard_events_with_cursors() {
    let server = Server::push_only().await;
    server.push(&signal("a")).await;
    server.post("/api/prices", &json!({"symbol": "EURUSD", "bid": 1.0851, "ask": 1.08516})).await;
    server.until("orion_events_published_total", "price_update", |count| count > 0.0).await;
    let mut client = stream(&server, "channels=signals,prices,clock&symbols=EURUSD&max_hz=2").await;
    let price = client.next().await.unwrap();
    assert_eq!((price.name.as_str(), price.id.as_str(), &price.data["symbol"]), ("price_update", "", &json!("EURUSD")));
    let first = client.next().await.unwrap();
    assert_eq!((first.name.as_str(), &first.data["id"]), ("signal", &json!("a")));
    assert_eq!(seq(&json!(first.id)), 1);
    let subscribed = client.next().await.unwrap();
    assert_eq!((subscribed.name.as_str(), &json!(subscribed.id)), ("subscribed", &server.cursor().await));
    let told = &subscribed.data;
    assert_eq!((&told["channels"], &told["symbols"]), (&json!(["signals", "prices", "clock"]), &json!(["EURUSD"])));
    assert_eq!((&told["recovered"], &told["max_hz"]), (&Value::Null, &json!(2.0)));
    let clock = client.event("killzone").await;
    assert_eq!((clock.id.as_str(), clock.data["next"]["seconds"].is_i64()), ("", true));
    server.push(&json!({"id": "a", "status": "confirmed"})).await;
    let live = client.event("signal").await;
    assert_eq!((&live.data["status"], seq(&json!(live.id))), (&json!("confirmed"), 2));
    server.stop().await;
    assert_eq!(
        soon("the end", client.next()).await.map(|end| (end.name, end.data["code"].clone())),
        Some(("close".into(), json!(1012)))
    );
    assert_eq!(client.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_stream_resumes_from_any_of_its_ids() {
    let server = Server::push_only().await;
    let start = server.cursor().await;
    // More than a page of the log, most of it left out.
    for number in 0..450 {
        let mut body = signal(&format!("s{number:03}"));
        body["confidence"] = json!(if number % 100 == 0 { 0.9 } else { 0.5 });
        server.push(&body).await;
    }
    let wanted = ["s000", "s100", "s200", "s300", "s400"];
    for cut in 1..=5 {
        let path = format!("/api/stream?channels=signals&min_confidence=0.9&since={}", start.as_str().unwrap());
        let (mut seen, mut last) = (Vec::new(), String::new());
        for longest in [cut, usize::MAX] {
            // A browser repeats the first address, and its header is newer.
            let mut client = EventStream::open(server.addr, &path, &last).await.unwrap();
            for _ in 0..longest {
                let event = soon("an event", client.next()).await.unwrap();
                match event.name.as_str() {
                    "signal" => seen.push(event.data["id"].as_str().unwrap().to_owned()),
                    "subscribed" => {
                        assert_eq!((&event.data["recovered"], seq(&json!(event.id))), (&json!(true), 450));
                        break;
                    }
                    "cursor" => assert_eq!(event.data["cursor"], event.id),
                    _ => panic!("{event:?}"),
                }
            }
            last = client.last_id.clone();
        }
        assert_eq!(seen, wanted, "cut after {cut}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_cannot_give_is_refused() {
    let server = Server::start(&[("ORION_READ_TOKEN", "read-me"), ("ORION_READ_AUTH", "required")]).await;
    let get = async |query: &str| server.get(&format!("/api/stream?{query}")).await;
    assert_eq!(get("channels=signals").await.0, 401);
    assert_eq!(get("token=wrong").await.0, 401);
    for (query, status, field) in [
        ("channels=trades", 400, "channels"),
        ("channels=user", 400, "channels"),
        ("symbols=AAPL", 422, "symbols"),
        ("max_hz=100", 400, "max_hz"),
        ("replay=soon", 400, "replay"),
        ("statuses=open", 400, "statuses"),
        ("status=pending", 400, "status"),
    ] {
        let (found, body) = get(&format!("token=read-me&{query}")).await;
        assert_eq!(found, status, "{query}: {body}");
        assert!(body["details"]["fields"].get(field).is_some(), "{query}: {body}");
    }
    let mut client = stream(&server, "token=read-me&channels=signals").await;
    assert_eq!(client.event("subscribed").await.data["channels"], json!(["signals"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_answers_as_soon_as_something_comes() {
    let server = Server::push_only().await;
    server.push(&signal("a")).await;
    let snapshot = poll(&server, "wait=30s").await;
    assert_eq!((ids(&snapshot), snapshot.get("recovered")), (vec!["a"], None));
    let since = format!("since={}", snapshot["cursor"].as_str().unwrap());
    let (query, filtered) =
        (format!("{since}&wait=30s"), format!("{since}&wait=30s&status=confirmed&min_confidence=0.5"));
    let (answer, only, ()) = tokio::join!(poll(&server, &query), poll(&server, &filtered), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.push(&signal("b")).await;
        server.push(&json!({"id": "b", "status": "confirmed"})).await;
    });
    assert_eq!((ids(&answer)[0], &answer["recovered"]), ("b", &json!(true)));
    assert_eq!(answer["signals"][0]["status"], "pending");
    assert_eq!((ids(&only), &only["signals"][0]["status"]), (vec!["b"], &json!("confirmed")));
    assert_eq!(only["cursors"], json!([only["cursor"]]));
    // Every state, in order, as many as wanted; nothing twice.
    let first = poll(&server, &format!("{since}&wait=0s&limit=1")).await;
    assert_eq!((ids(&first), &first["signals"][0]["status"]), (vec!["b"], &json!("pending")));
    let second = poll(&server, &format!("since={}&wait=0s", first["cursor"].as_str().unwrap())).await;
    assert_eq!((ids(&second), &second["signals"][0]["status"]), (vec!["b"], &json!("confirmed")));
    let last = format!("since={}&wait=1s", second["cursor"].as_str().unwrap());
    let (began, nothing) = (Instant::now(), poll(&server, &last).await);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!((ids(&nothing).len(), &nothing["cursor"]), (0, &second["cursor"]));
    for (query, field) in [("wait=2m", "wait"), ("wait=1s&before=3", "before"), ("wait=1s&directions=up", "directions")]
    {
        let (status, body) = server.get(&format!("/api/signals?{query}")).await;
        assert!(status == 400 && body["details"]["fields"].get(field).is_some(), "{body}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_polls_are_answered_when_the_server_stops() {
    let server = Server::start(&[("ORION_ADMIN_TOKEN", ADMIN)]).await;
    let query = format!("/api/signals?wait=60s&since={}", server.cursor().await.as_str().unwrap());
    let url = server.url(&query);
    let polls: Vec<_> = (0..50)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { reqwest::get(url).await.unwrap().json::<Value>().await.unwrap() })
        })
        .collect();
    until("all of them wait", async || {
        let (_, overview) = get_as(server.addr, ADMIN, "/api/admin/overview").await;
        overview["presence"].as_array().unwrap().iter().any(|of| of["transport"] == "native" && of["signals"] == 50)
    })
    .await;
    server.stop().await;
    for poll in polls {
        let answer = soon("an answer", poll).await.unwrap();
        assert_eq!((&answer["signals"], &answer["recovered"]), (&json!([]), &json!(true)));
    }
}
