//! `/asyncapi.json`: every message that the server sends is as it says, and it says nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::{fs, iter};

use jsonschema::Validator;
use orion_server::app::published_types;
use orion_server::transport::close::Close;
use proc_macro2::{TokenStream, TokenTree};
use serde_json::{Map, Value, json};

use crate::support::users::{SECRET, token};
use crate::support::{Native, Server, Socket, signal, soon, until};

const ADMIN: &str = "the-shared-admin-token";

/// The schema of a message as the document says, and without any other field.
type Schemas = Arc<(Validator, Validator)>;

/// The document, with the schemas of its messages compiled.
struct Described {
    document: Value,
    /// By the name of the channel and of the message.
    messages: BTreeMap<(String, String), Schemas>,
}

impl Described {
    async fn of(server: &Server) -> Self {
        let (status, document) = server.get("/asyncapi.json").await;
        assert_eq!(status, 200, "{document}");
        let (mut messages, mut compiled) = (BTreeMap::new(), BTreeMap::<_, Schemas>::new());
        for (channel, described) in document["channels"].as_object().unwrap() {
            for (key, message) in described["messages"].as_object().unwrap() {
                let schemas = compiled.entry(message.to_string()).or_insert_with(|| {
                    let schema = &resolved(&document, message)["payload"];
                    let open = jsonschema::draft7::new(&inlined(&document, schema)).unwrap();
                    Arc::new((open, jsonschema::draft202012::new(&closed(inlined(&document, schema), true)).unwrap()))
                });
                messages.insert((channel.clone(), key.clone()), schemas.clone());
            }
        }
        Self { document, messages }
    }

    /// Finds the message that a frame is. A frame without a type has no other field than the described ones.
    fn message(&self, channel: &str, frame: &Value) -> Result<String, String> {
        let of_channel = || self.messages.iter().filter(|((of, key), _)| of == channel && !key.starts_with("client."));
        if let Some(kind) = frame["type"].as_str()
            && let Some(((_, key), schemas)) = of_channel().find(|((_, key), _)| key == kind)
        {
            let faults: Vec<_> = schemas.0.iter_errors(frame).map(|fault| fault.to_string()).collect();
            return if faults.is_empty() { Ok(key.clone()) } else { Err(format!("{channel}: {faults:?} in {frame}")) };
        }
        let fits = of_channel().find(|(_, schemas)| schemas.1.is_valid(frame)).map(|((_, key), _)| key.clone());
        fits.ok_or_else(|| format!("{channel}: not described: {frame}"))
    }

    fn schemas(&self, channel: &str, key: &str) -> &Schemas {
        &self.messages[&(channel.to_owned(), key.to_owned())]
    }

    /// The channels of a dashboard, or of the transport.
    fn channels(&self, prefix: &str) -> Vec<&str> {
        let names = self.document["channels"].as_object().unwrap().keys().map(String::as_str);
        names.filter(|name| name.starts_with(prefix)).collect()
    }
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str();
    reference.map_or(value, |reference| document.pointer(reference.trim_start_matches('#')).unwrap())
}

/// The schema without references.
fn inlined(document: &Value, schema: &Value) -> Value {
    match resolved(document, schema) {
        Value::Object(keywords) => keywords
            .iter()
            .map(|(keyword, value)| (keyword.clone(), inlined(document, value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(parts) => parts.iter().map(|part| inlined(document, part)).collect(),
        other => other.clone(),
    }
}

/// The schema, where objects have no other fields than the described ones. `whole`: it is not a part of a schema that knows
/// more fields.
fn closed(mut schema: Value, whole: bool) -> Value {
    let Some(keywords) = schema.as_object_mut() else { return schema };
    for (keyword, value) in keywords.iter_mut() {
        let is_part = ["allOf", "oneOf"].contains(&keyword.as_str());
        *value = match (keyword.as_str(), value.take()) {
            ("properties", Value::Object(fields)) => {
                fields.into_iter().map(|(name, field)| (name, closed(field, true))).collect::<Map<_, _>>().into()
            }
            ("allOf" | "oneOf" | "items" | "additionalProperties", Value::Array(parts)) => {
                parts.into_iter().map(|part| closed(part, !is_part)).collect()
            }
            ("items" | "additionalProperties", part) => closed(part, true),
            (_, other) => other,
        };
    }
    if whole && ["properties", "allOf", "oneOf"].iter().any(|keyword| keywords.contains_key(*keyword)) {
        keywords.insert("unevaluatedProperties".into(), false.into());
    }
    schema
}

/// The goldens of ORION and of the core.
fn snapshots() -> Vec<Value> {
    let frames = ["conversation", "prices", "signals", "answers_to_pushes"].map(|name| {
        let path = format!("tests/integration/snapshots/integration__goldens__{name}.snap");
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    });
    frames.iter().flat_map(|text| text.lines()).filter_map(|line| serde_json::from_str(line.trim()).ok()).collect()
}

/// The goldens in the source of a dashboard's tests: texts that are objects with a type.
fn goldens(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let mut texts = Vec::new();
    literals(text.parse().unwrap(), &mut texts);
    let frames = texts.iter().flat_map(|text| text.lines()).filter_map(|line| serde_json::from_str(line.trim()).ok());
    // The data of a notification also has a type.
    let is_frame = |frame: &Value| frame.get("logs").is_some() || frame["type"].is_string() && frame["title"].is_null();
    frames.filter(is_frame).collect()
}

/// The texts among the tokens. Those of a `concat!` are one.
fn literals(tokens: TokenStream, texts: &mut Vec<String>) {
    let mut previous = String::new();
    for token in tokens {
        match &token {
            TokenTree::Group(group) if previous == "concat!" => {
                let mut parts = Vec::new();
                literals(group.stream(), &mut parts);
                texts.push(parts.concat());
            }
            TokenTree::Group(group) => literals(group.stream(), texts),
            TokenTree::Literal(literal) => {
                texts.extend(syn::parse_str::<syn::LitStr>(&literal.to_string()).ok().map(|text| text.value()));
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '!' => previous.push('!'),
            other => previous = other.to_string(),
        }
    }
}

/// Every object in a frame with the place of each of its fields.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.push(format!("{place}/{name}"));
                places(value, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{place}/{index}"), found));
        }
        _ => {}
    }
}

/// The frame with one field renamed.
fn renamed(frame: &Value, place: &str) -> Value {
    let (object, name) = place.rsplit_once('/').unwrap();
    let mut mutant = frame.clone();
    let fields = mutant.pointer_mut(object).unwrap().as_object_mut().unwrap();
    let value = fields.remove(name).unwrap();
    fields.insert(format!("{name}_"), value);
    mutant
}

/// Places where fields may have any name: the payload of an echo, numbers by tier.
const FREE: [&str; 2] = ["/payload/a/", "/data/revenue_by_tier/"];

/// A golden, with the channel and the message that it belongs to.
type Golden = (String, String, Value);

fn every_golden(described: &Described) -> Vec<Golden> {
    let dashboards = [
        ("aria", vec!["src/dashboards/aria/wire/tests.rs"]),
        ("sentio", vec!["src/dashboards/sentio/wire/tests.rs"]),
        ("bots", vec!["src/dashboards/bots/wire/tests.rs"]),
    ];
    let of_dashboards = dashboards
        .into_iter()
        .flat_map(|(name, files)| files.into_iter().flat_map(goldens).map(move |frame| (name, frame)));
    let mut found = Vec::new();
    for (dashboard, frame) in of_dashboards.chain(snapshots().into_iter().map(|frame| ("orion", frame))) {
        let channels = described.channels(dashboard);
        let fitting = channels.iter().find_map(|channel| Some((*channel, described.message(channel, &frame).ok()?)));
        // The bare objects of the core are arguments of events.
        let is_argument = || {
            let arguments = described.messages.iter().filter(|((channel, _), _)| channel == "socketio");
            let beside = frame.as_object().is_some_and(|meta| meta.len() == 1 && meta.contains_key("cursor"));
            beside || arguments.clone().any(|(_, schemas)| schemas.1.is_valid(&frame))
        };
        match fitting {
            Some((channel, key)) => found.push((channel.to_owned(), key, frame)),
            None if dashboard == "orion" && is_argument() => {}
            None => {
                let faults = channels.iter().map(|channel| described.message(channel, &frame).unwrap_err());
                panic!("{:#?}", faults.collect::<Vec<_>>());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_golden_fits_its_schema() {
    let server = Server::start(&[]).await;
    let described = Described::of(&server).await;
    let goldens = every_golden(&described);
    for (dashboard, least) in [("orion", 20), ("aria", 20), ("sentio", 4), ("bots", 10)] {
        let count = goldens.iter().filter(|(channel, ..)| channel.starts_with(dashboard)).count();
        assert!(count >= least, "{dashboard}: {count}");
    }
    // What the server adds nothing to may have further fields.
    let (mut mutants, mut open) = (0, Vec::new());
    for (channel, key, frame) in &goldens {
        if !described.schemas(channel, key).1.is_valid(frame) {
            open.push(frame);
            continue;
        }
        let mut fields = Vec::new();
        places(frame, "", &mut fields);
        for place in fields.iter().filter(|place| !FREE.iter().any(|free| format!("{place}/").starts_with(free))) {
            let is_known = described.messages.iter().any(|((of, key), schemas)| {
                of == channel && !key.starts_with("client.") && schemas.1.is_valid(&renamed(frame, place))
            });
            assert!(!is_known, "{channel}: {place} may be missing from {frame}");
            mutants += 1;
        }
    }
    assert!(mutants > 300, "{mutants}");
    assert!(open.len() <= 1, "{open:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_published_type_is_described() {
    let server = Server::start(&[]).await;
    let described = Described::of(&server).await;
    let types = published_types();
    for declared in types.iter() {
        let name = declared.kind.name();
        let on = |prefix: &str| {
            let is_on = |channel: &&str| described.messages.contains_key(&((*channel).to_owned(), name.to_owned()));
            described.channels(prefix).iter().any(is_on)
        };
        assert!(["aria", "sentio", "bots"].into_iter().any(on), "{name} is on no stream of a dashboard");
        let is_market = ["signal"].contains(&name);
        assert_eq!(on("socketio"), declared.on_user_streams.is_some() || is_market, "{name} over Socket.IO");
    }
    let closes = described.document["channels"].as_object().unwrap().values();
    let closes = closes.flat_map(|channel| channel["x-close-codes"].as_array().into_iter().flatten());
    let closes: BTreeSet<_> = closes.map(|close| (close["code"].as_u64(), close["label"].as_str())).collect();
    let all = Close::ALL.iter().map(|close| (Some(close.code().into()), Some(close.label())));
    assert_eq!(closes, all.collect());
}

/// A body of each type that may be published, for the user `ana` or for administrators.
fn bodies() -> Vec<Value> {
    let symbol = |more: Value| {
        let mut data = json!({"symbol": "AAPL"});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let levels = json!({"open": 1, "high": 2, "low": 1, "close": 2});
    let order = json!({"order_id": "1", "side": "buy", "status": "filled", "volume": 1, "price": 2});
    let trade = json!({"id": "t", "bot_id": "b", "platform": "luno", "side": "buy", "quantity": 1, "price": 2,
        "status": "filled", "pnl": 1.5});
    let decision = json!({"id": "d", "decision": "hold", "confidence": 60, "regime_state": "trend"});
    let whale = json!({"coin": "BTC", "platform": "luno", "flow_type": "inflow", "amount": 1});
    let balances = json!({"platform": "luno", "balances": {"ZAR": {"free": 1, "locked": 2}}});
    let events = [
        ("order_update", symbol(order)),
        ("idea", symbol(json!({}))),
        ("prepared_payload", symbol(json!({"side": "sell"}))),
        ("bar", symbol(levels)),
        ("tick", symbol(json!({"bid": 1, "ask": 2}))),
        ("signal", symbol(json!({"side": "buy", "strength": 0.5, "confidence": 50}))),
        ("trade_signals", json!([symbol(json!({"signal": "hold", "confidence": 0.5}))])),
        ("earnings", json!({"user_id": "ana", "portfolio_value": 7})),
        ("notification", json!({"type": "info", "message": "hello"})),
        ("admin_users", json!({"users": [{"user_id": "ana"}]})),
        ("admin_subscribers", json!({"subscribers": [{"user_id": "ana"}]})),
        ("admin_revenue", json!({"monthly_revenue": 7})),
        ("admin_user_analytics", json!({"total_users": 7, "by_tier": {"pro": 7}})),
        ("bots", json!({"id": "b", "status": "running", "capital": 7})),
        ("trades", symbol(trade)),
        ("balances", balances),
        ("decisions", symbol(decision)),
        ("metrics", json!({"total_pnl": 7, "active_bots": 1, "exposure": 0.5})),
        ("whale", whale),
        ("alerts", json!({"id": "a", "severity": "info", "message": "hello"})),
        ("system_health", json!({"redis": "connected"})),
        ("wallet", json!({"event": "deposit"})),
        ("ai_tasks", json!({"task_id": "k", "task_type": "scan", "status": "running", "progress": 50})),
    ];
    let of_all = ["order_update", "idea", "prepared_payload", "bar", "tick", "signal", "trade_signals"];
    let event = |(kind, data): (&str, Value)| {
        let mut event = json!({"type": kind, "data": data});
        if !(of_all.contains(&kind) || kind.starts_with("admin_")) {
            event["user"] = json!("ana");
        }
        event
    };
    events.into_iter().map(event).collect()
}

/// A client of a stream: the channel, and its frames.
struct Listener {
    channel: &'static str,
    client: Native,
    frames: Vec<Value>,
}

impl Listener {
    async fn of(server: &Server, (channel, path, said): (&'static str, &str, Vec<String>)) -> Self {
        let mut listener = Self { channel, client: Native::connect(server.addr, path).await, frames: Vec::new() };
        for text in said {
            listener.client.say(text).await;
        }
        listener.catch_up().await;
        listener
    }

    /// Reads everything up to the answer to a ping. The bare stream of administrators has no other frame than its own.
    async fn catch_up(&mut self) {
        if self.channel == "sentio_admin_status" {
            self.frames.push(soon("the state", self.client.next()).await.unwrap());
            return;
        }
        self.client.say(r#"{"type":"ping","action":"ping","timestamp":7}"#).await;
        loop {
            let frame = soon("a pong", self.client.next()).await.unwrap();
            let is_last = frame["type"] == "pong";
            self.frames.push(frame);
            if is_last {
                return;
            }
        }
    }
}

/// What is sent after a time, or at the end of a connection.
const LATER: [&str; 5] =
    ["aria_desk/ping", "sentio_market/update", "bots_stream/ping", "orion_signals/cursor", "orion_push/cursor"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sent_message_is_described() {
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET), ("ORION_ADMIN_TOKEN", ADMIN)]).await;
    let described = Described::of(&server).await;
    let price = json!({"symbol": "EURUSD", "bid": 1.16, "ask": 1.1602});
    let publish = async |id: &str| {
        server.push(&signal(id)).await;
        assert_eq!(server.post("/api/prices", &price).await.0, 200);
        let (status, answer) = server.post("/api/events", &json!({"events": bodies()})).await;
        assert_eq!(status, 200, "{answer}");
    };
    publish("a").await;
    // A price is answered before it is published.
    until("the price is known", async || server.get("/api/prices").await.1.to_string().contains("EURUSD")).await;
    let text = |frames: &[Value]| frames.iter().map(Value::to_string).collect::<Vec<_>>();
    let nonsense = json!({"type": "nonsense", "action": "nonsense"});
    let ana = format!("?token={}", token("ana"));
    let symbols = json!({"action": "subscribe", "symbols": ["EURUSD", "AAPL"]});
    let named = json!({"action": "subscribe", "user_id": "ana"});
    let auth = json!({"type": "auth", "token": crate::support::TOKEN});
    let unknown = json!({"type": "price_update", "data": {"symbol": "nothing", "price": 1}});
    let pushes = [
        auth,
        json!({"type": "subscribe"}),
        json!({"type": "signal", "data": signal("b")}),
        json!({"type": "price_update", "data": price}),
        json!({"type": "event", "data": bodies()[0]}),
        unknown,
    ];
    let narrowed = [
        json!({"type": "subscribe", "channels": ["signals", "clock", "presence"], "min_confidence": 0.5, "directions": ["long"]}),
        json!({"type": "subscribe", "channels": ["prices"], "max_hz": 1}),
        json!({"type": "unsubscribe"}),
    ];
    let desk = ["subscribe", "unsubscribe", "set_subscriptions", "whoami", "echo"]
        .map(|kind| json!({"type": kind, "channels": ["all"], "payload": 1}));
    let mut listeners = Vec::new();
    for stream in [
        ("orion_signals", "/ws/signals", text(&[&pushes[..], &narrowed[..], std::slice::from_ref(&nonsense)].concat())),
        ("orion_push", "/api/websocket", text(&[&pushes[..], &narrowed[..], std::slice::from_ref(&nonsense)].concat())),
        ("aria_desk", "/ws", text(&[&desk[..], std::slice::from_ref(&nonsense)].concat())),
        ("aria_performance", "/monitoring/ws/performance", vec![]),
        ("sentio_signals", "/ws/trade-signals", text(&[symbols.clone(), nonsense.clone()])),
        ("sentio_market", "/ws/market-data", text(&[symbols, nonsense.clone()])),
        ("sentio_earnings", &format!("/ws/earnings{ana}"), text(&[named.clone(), nonsense.clone()])),
        ("sentio_notifications", &format!("/ws/notifications{ana}"), text(&[named, nonsense.clone()])),
        ("sentio_user", &format!("/ws/user/ana{ana}"), text(std::slice::from_ref(&nonsense))),
        ("sentio_admin", "/ws/admin", text(&[json!({"action": "subscribe", "admin_token": ADMIN}), nonsense.clone()])),
        ("sentio_admin_status", "/ws/admin", vec![ADMIN.to_owned()]),
        (
            "bots_stream",
            &format!("/api/ws&token={}", token("ana")),
            text(&[json!({"type": "request_replay", "last_sequence": 0}), nonsense]),
        ),
    ] {
        listeners.push(Listener::of(&server, stream).await);
    }
    publish("c").await;
    let mut seen = BTreeSet::new();
    for listener in &mut listeners {
        listener.catch_up().await;
        let channel = listener.channel.trim_end_matches("_status");
        for frame in &listener.frames {
            let key = described.message(channel, frame).unwrap_or_else(|faults| panic!("{faults}"));
            seen.insert(format!("{channel}/{key}"));
        }
    }
    let known = described.messages.keys().filter(|(channel, key)| {
        !key.starts_with("client.") && !channel.starts_with("socketio") && channel != "bots_events"
    });
    let missing: BTreeSet<_> =
        known.map(|(channel, key)| format!("{channel}/{key}")).filter(|key| !seen.contains(key)).collect();
    assert_eq!(missing, LATER.map(ToOwned::to_owned).into());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_emitted_event_is_described() {
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET)]).await;
    let described = Described::of(&server).await;
    let mut client = Socket::with_auth(server.addr, &json!({"token": crate::support::users::admin_token("ana")})).await;
    client.connected().await;
    client
        .emit(
            "subscribe",
            &json!({"channels": ["signals", "prices", "clock", "presence", "user", "nonsense"], "min_confidence": 0.1}),
        )
        .await;
    let mut heard = client.until("subscribed").await;
    server.push(&signal("a")).await;
    assert_eq!(server.post("/api/prices", &json!({"symbol": "EURUSD", "price": 1.16})).await.0, 200);
    heard.extend(client.until("price_update").await);
    assert_eq!(server.post("/api/events", &json!({"events": bodies()})).await.0, 200);
    client.emit("unsubscribe", &json!(null)).await;
    heard.extend(client.until("unsubscribed").await);
    client.emit("ping", &json!({"timestamp": 7})).await;
    heard.extend(client.until("pong").await);
    let mut seen = BTreeSet::new();
    for (event, arguments) in &heard {
        let message = &described.document["channels"]["socketio"]["messages"][event];
        assert!(message.is_object(), "{event} is not described");
        let schemas = described.schemas("socketio", event);
        let faults: Vec<_> = schemas.0.iter_errors(&arguments[0]).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{event}: {faults:?} in {}", arguments[0]);
        let beside = &resolved(&described.document, message)["headers"];
        assert_eq!(beside.is_null(), arguments.len() == 1, "{event}: {arguments:?}");
        if let Some(meta) = arguments.get(1) {
            let closed = closed(inlined(&described.document, beside), true);
            assert!(jsonschema::draft202012::new(&closed).unwrap().is_valid(meta), "{event}: {meta}");
        }
        seen.insert(event.clone());
    }
    let known = described.messages.keys().filter(|(channel, key)| channel == "socketio" && !key.starts_with("client."));
    // Every 15 s at most.
    seen.insert("cursor".into());
    assert_eq!(seen, known.map(|(_, key)| key.clone()).collect());
    server.stop().await;
}

/// AsyncAPI reads schemas by draft 7, which does not know everything that Rust types could be described with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_stay_within_draft_seven() {
    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            found.insert(keyword.clone());
            let children: Box<dyn Iterator<Item = &Value>> = match (keyword.as_str(), value) {
                ("example" | "examples" | "enum" | "default", _) => continue,
                ("properties", Value::Object(fields)) => Box::new(fields.values()),
                (_, Value::Array(parts)) => Box::new(parts.iter()),
                (_, value) => Box::new(iter::once(value)),
            };
            children.for_each(|schema| keywords(schema, found));
        }
    }
    let server = Server::start(&[]).await;
    let document = server.get("/asyncapi.json").await.1;
    let components = &document["components"];
    let messages = components["messages"].as_object().unwrap().values().map(|message| &message["payload"]);
    let mut found = BTreeSet::new();
    messages.chain(components["schemas"].as_object().unwrap().values()).for_each(|schema| keywords(schema, &mut found));
    let known = "$ref additionalProperties allOf description enum example examples format items maxItems maxLength maximum minItems \
        minLength minimum oneOf properties propertyNames required title type uniqueItems";
    let known: BTreeSet<_> = known.split_whitespace().map(str::to_owned).collect();
    assert!(found.is_subset(&known), "{:?}", found.difference(&known));
}
