//! The description of ORION's streams.

use std::borrow::Cow;

use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::stream::{DASHBOARD, PUSHER};
use crate::http::{EventsRequest, PricesRequest, SignalRequest};
use crate::ingest::{ErrorBody, EventsAnswer, PricesAnswer, SignalAnswer};
use crate::transport::close::Close;
use crate::transport::describe::{Messages, StreamAccess, StreamDescription, StreamKind};
use crate::transport::messages::{
    ErrorObject, KillzoneObject, Pong, PresenceObject, PriceObject, SignalObject, Subscribed, Unsubscribed,
};
use crate::transport::requests::{PingRequest, SubscribeRequest, UnsubscribeRequest};

/// What the server sends.
#[derive(Debug, ToSchema)]
#[schema(as = orion::Frame)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(dead_code, reason = "describes encoded text")]
enum OrionFrame {
    /// A signal is new or has changed.
    Signal {
        payload: NativeSignal,
        /// The position of the event in the log.
        cursor: String,
    },
    /// A new price.
    PriceUpdate { payload: PriceObject<'static> },
    /// The killzone clock: after `subscribe` with the channel `clock`, and at each change.
    Killzone { payload: KillzoneObject },
    /// How many clients are watching: after `subscribe` with the channel `presence`, and at each change, once a second at most.
    Presence { payload: PresenceObject },
    /// With filters: the position behind what they have left out.
    Cursor { cursor: String },
    /// The answer to `subscribe`, after the snapshot.
    Subscribed(Subscribed),
    /// The answer to `unsubscribe`.
    Unsubscribed(Unsubscribed),
    /// The answer to `ping`.
    Pong(Pong),
    /// A frame, or a part of it, was invalid; the connection stays open.
    Error(ErrorObject),
}

/// A signal, with null in place of an empty list of targets.
#[derive(Debug)]
struct NativeSignal;

impl PartialSchema for NativeSignal {
    fn schema() -> RefOr<Schema> {
        let mut schema = SignalObject::schema();
        if let RefOr::T(Schema::Object(signal)) = &mut schema
            && let Some(RefOr::T(Schema::Array(targets))) = signal.properties.get_mut("take_profits")
        {
            targets.schema_type = SchemaType::Array(vec![Type::Array, Type::Null]);
        }
        schema
    }
}

impl ToSchema for NativeSignal {
    fn name() -> Cow<'static, str> {
        "orion.Signal".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        SignalObject::schemas(schemas);
    }
}

/// What a client sends.
#[derive(Debug, ToSchema)]
#[schema(as = orion::Command)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(dead_code, reason = "only described")]
enum OrionCommand {
    /// Subscribes to channels, in place of the previous subscription.
    Subscribe(SubscribeRequest),
    /// Unsubscribes from channels.
    Unsubscribe(UnsubscribeRequest),
    /// Asks whether the connection is alive.
    Ping(PingRequest),
    /// Presents the token for writing, if the handshake had none.
    Auth { token: String },
    /// Pushes a signal.
    Signal { data: SignalRequest },
    /// Pushes a price, or a batch.
    PriceUpdate { data: PricesRequest },
    /// Publishes a message, or a batch.
    Event { data: EventsRequest },
}

/// The answer to `auth`.
#[derive(Debug, ToSchema)]
#[schema(as = orion::Authenticated)]
#[expect(dead_code, reason = "describes a value")]
struct Authenticated {
    success: bool,
    message: String,
}

const RESUME: &str = "Keep the cursor of the last frame that had one, of any type, and present it on the next connection: \
    `?since=` in the address, or `since` in the first `subscribe`. Exactly the signal events after it follow, each once \
    and in order, then live events. `recovered: false` in `subscribed` says that the snapshot was sent instead.";

const ANSWERED: &str = "Pushes are answered in order, by frames without a type.";

pub(super) fn streams() -> Vec<StreamDescription> {
    vec![
        StreamDescription {
            name: "orion_signals",
            group: "ORION",
            kind: StreamKind::WebSocket,
            address: DASHBOARD,
            aliases: &["/ws/signals/"],
            summary: "Signals and prices, for the dashboard and every native client",
            description: "Prices are sent at once. Signals wait for the first `subscribe`, for at most three seconds; \
                a client that does not subscribe gets everything.",
            access: StreamAccess::ReaderOrWriter,
            parameters: &[
                ("since", "Resumes after this cursor"),
                ("replay", "How far back the snapshot of ended signals reaches, such as `10m`"),
            ],
            resume: Some(RESUME),
            closes: &[Close::Policy, Close::Expired, Close::Revoked],
            messages: messages(),
        },
        StreamDescription {
            name: "orion_push",
            group: "ORION",
            kind: StreamKind::WebSocket,
            address: PUSHER,
            aliases: &[],
            summary: "The same for programs that push: nothing is sent before `subscribe`",
            description: ANSWERED,
            access: StreamAccess::ReaderOrWriter,
            parameters: &[],
            resume: Some(RESUME),
            closes: &[Close::Policy, Close::Expired, Close::Revoked],
            messages: messages(),
        },
    ]
}

fn messages() -> Messages {
    Messages::default()
        .sends::<OrionFrame>()
        .sends_untyped::<Authenticated>("authenticated")
        .sends_untyped::<SignalAnswer>("signal_answer")
        .sends_untyped::<PricesAnswer>("prices_answer")
        .sends_untyped::<EventsAnswer>("events_answer")
        .sends_untyped::<ErrorBody>("push_error")
        .accepts::<OrionCommand>()
        .accepts_untyped::<SignalRequest>("bare_signal")
        .answered("subscribe", &["subscribed", "error"])
        .answered("unsubscribe", &["unsubscribed", "error"])
        .answered("ping", &["pong"])
        .answered("auth", &["authenticated", "push_error"])
        .answered("signal", &["signal_answer", "push_error"])
        .answered("price_update", &["prices_answer", "push_error"])
        .answered("event", &["events_answer", "push_error"])
        .answered("bare_signal", &["signal_answer", "push_error"])
}
