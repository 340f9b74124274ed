//! Fewer prices on request: `max_hz` in `subscribe`.

use serde_json::{Value, json};

use crate::support::{Native, Packet, Polling, Protocol, Server, Socket, soon};

const LAST: f64 = 1.2;

/// Prices of one symbol that came up to the last one, with the time between the first two as the server stamped them.
async fn prices(mut next: impl AsyncFnMut() -> Value) -> Vec<f64> {
    let mut told = Vec::new();
    soon("the last price", async {
        loop {
            let price = next().await;
            if price["symbol"] == "EURUSD" {
                told.push(price["price"].as_f64().unwrap());
                if told.last() == Some(&LAST) {
                    return;
                }
            }
        }
    })
    .await;
    told
}

async fn native(mut client: Native) -> Vec<f64> {
    prices(async || client.frame("price_update").await["payload"].clone()).await
}

async fn polled(mut client: Polling) -> Vec<f64> {
    prices(async || client.event("price_update").await.remove(0)).await
}

async fn socket(mut client: Socket) -> Vec<f64> {
    prices(async || client.event("price_update").await.remove(0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn slower_subscribers_always_get_the_last_price() {
    let server = Server::push_only().await;
    let subscribe = |max_hz: Value| json!({"type": "subscribe", "channels": ["prices"], "max_hz": max_hz});
    let natively = async |max_hz: Value| {
        let mut client = Native::connect(server.addr, "/ws/signals").await;
        client.frame("subscribed").await;
        client.send(&subscribe(max_hz.clone())).await;
        assert_eq!(client.frame("subscribed").await["max_hz"], max_hz);
        client
    };
    let over_socketio = async |asked: Value, given: Value| {
        let mut client = Socket::open(server.addr).await;
        client.subscribe(&subscribe(asked)).await;
        assert_eq!(client.event("subscribed").await[0]["max_hz"], given);
        client
    };
    let all = [natively(Value::Null).await, natively(json!(10.0)).await];
    let few = [natively(json!(1.0)).await, natively(json!(0.5)).await];
    let all_socketio = [over_socketio(Value::Null, Value::Null).await, over_socketio(json!(20), json!(20.0)).await];
    let few_socketio = [
        over_socketio(json!(1.5), json!(1.5)).await,
        over_socketio(json!({"a": 1}), Value::Null).await,
        over_socketio(json!(0.3), json!(0.3)).await,
    ];
    let mut polling = Polling::open(server.addr, Protocol::Eio4).await;
    polling.subscribe(&subscribe(json!(0.7))).await;
    assert_eq!(polling.event("subscribed").await[0]["max_hz"], 0.7);
    let push = async {
        let mut price = 1.1;
        loop {
            price += 0.0005;
            let price = if price > LAST { LAST } else { price };
            let (status, told) = server.post("/api/prices", &json!({"symbol": "EURUSD", "price": price})).await;
            assert_eq!(status, 200, "{told}");
            if (price - LAST).abs() < 1e-9 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    };
    let [one, two] = all;
    let [three, four] = few;
    let [five, six] = all_socketio;
    let [seven, eight, nine] = few_socketio;
    let ((), one, two, three, four, five, six, seven, eight, nine, ten) = tokio::join!(
        push,
        native(one),
        native(two),
        native(three),
        native(four),
        socket(five),
        socket(six),
        socket(seven),
        socket(eight),
        socket(nine),
        polled(polling)
    );
    for whole in [&one, &two, &five, &six, &eight] {
        for part in [&three, &four, &seven, &nine, &ten] {
            assert!(part.len() * 2 < whole.len(), "{} of {}", part.len(), whole.len());
            assert!(part.is_sorted(), "{part:?}");
        }
    }
    assert!(four.len() < three.len() && nine.len() < seven.len(), "{four:?} {three:?} {nine:?} {seven:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_polling_client_may_change_its_rate() {
    let server = Server::push_only().await;
    let mut client = Polling::open(server.addr, Protocol::Eio4).await;
    client.subscribe(&json!({"channels": ["prices"], "max_hz": 0.1})).await;
    client.event("subscribed").await;
    for max_hz in [Value::Null, json!(20)] {
        client.emit("subscribe", &json!({"channels": ["prices"], "max_hz": max_hz})).await;
        client.event("subscribed").await;
        for price in [1.1, 1.2, 1.3] {
            server.post("/api/prices", &json!({"symbol": "EURUSD", "price": price})).await;
            assert_eq!(client.event("price_update").await[0]["price"], price);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn an_invalid_rate_is_named_without_unsubscribing() {
    let server = Server::push_only().await;
    let mut client = Socket::open(server.addr).await;
    client.subscribe(&json!({"channels": ["prices"], "max_hz": 50})).await;
    let fault = client.event("error").await.remove(0);
    assert!(fault["error"].as_str().unwrap().contains("max_hz must be a number from 0.1 to 20"), "{fault}");
    assert_eq!(client.event("subscribed").await[0]["channels"], json!(["prices"]));
    // From few prices back to all of them.
    client.emit("subscribe", &json!({"channels": ["prices"], "max_hz": 0.2})).await;
    client.event("subscribed").await;
    client.emit("subscribe", &json!({"channels": ["prices"]})).await;
    client.event("subscribed").await;
    for price in [1.1, 1.2, 1.3] {
        server.post("/api/prices", &json!({"symbol": "EURUSD", "price": price})).await;
        assert_eq!(client.event("price_update").await[0]["price"], price);
    }
    client.emit("unsubscribe", &json!(["prices"])).await;
    client.event("unsubscribed").await;
    server.post("/api/prices", &json!({"symbol": "EURUSD", "price": 1.4})).await;
    client.emit("ping", &json!({"timestamp": 1})).await;
    assert!(matches!(soon("pong", client.next()).await, Ok(Packet::Event(event, _)) if event == "pong"));
    server.stop().await;
}
