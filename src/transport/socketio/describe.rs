//! The description of Socket.IO's namespaces.

use super::personal::MessageMeta;
use crate::transport::describe::{Messages, StreamAccess, StreamDescription, StreamKind, schema_of};
use crate::transport::events::PublishedTypes;
use crate::transport::messages::{
    ErrorObject, KillzoneObject, Pong, PresenceObject, PriceObject, SignalMeta, SignalObject, Subscribed, Unsubscribed,
};
use crate::transport::requests::{PingRequest, SubscriptionForms, UnsubscriptionForms};

const RESUME: &str = "Signals: keep the `cursor` of the second argument (before the first signal that of `subscribed`) and send \
    it as `since`, in `auth` or in the first `subscribe`. The channel `user`: likewise `last_event_id`.";
const DESCRIPTION: &str = "Nothing is sent before `subscribe`; then the current state, or with a cursor what was missed, then \
    `subscribed`, then live events. `subscribe`, `unsubscribe` and `ping` acknowledge with their answer too, with `error` and \
    `code` beside it if a part of the request was invalid. Parts of a page that share a connection share its subscription.";

/// Describes the namespaces.
pub fn streams(published: &PublishedTypes) -> Vec<StreamDescription> {
    let stream = |name, address, aliases, summary| StreamDescription {
        name,
        group: "Socket.IO",
        kind: StreamKind::Namespace,
        address,
        aliases,
        summary,
        description: DESCRIPTION,
        access: StreamAccess::Reader,
        parameters: &[
            ("token", "A user's token, or the token for reading"),
            ("since", "Resumes the signals after this cursor"),
            ("last_event_id", "Resumes the channel `user` after this cursor"),
        ],
        resume: Some(RESUME),
        closes: &[],
        messages: messages(published),
    };
    vec![
        stream("socketio", "/", &[], "Signals, prices and users' messages over Socket.IO"),
        stream("socketio_signals", "/ws/signals", &["/ws/signals/"], "The same in a namespace of its own"),
    ]
}

fn messages(published: &PublishedTypes) -> Messages {
    let messages = Messages::default()
        .emits("signal", "A signal is new or has changed.", schema_of::<SignalObject<'_>>)
        .beside::<SignalMeta>()
        .emits("price_update", "A new price.", schema_of::<PriceObject<'_>>)
        .emits(
            "killzone",
            "The killzone clock, of the channel `clock`: now, and at each change.",
            schema_of::<KillzoneObject>,
        )
        .emits(
            "presence",
            "How many clients are watching, of the channel `presence`: now, and at each change, once a second at most.",
            schema_of::<PresenceObject>,
        )
        .emits("cursor", "With filters: the position behind what they have left out.", schema_of::<SignalMeta>)
        .emits("subscribed", "The answer to `subscribe`, after the snapshot.", schema_of::<Subscribed>)
        .emits("unsubscribed", "The answer to `unsubscribe`.", schema_of::<Unsubscribed>)
        .emits("pong", "The answer to `ping`.", schema_of::<Pong>)
        .emits("error", "A command, or a part of it, was invalid.", schema_of::<ErrorObject>)
        .listens("subscribe", "Subscribes to channels.", schema_of::<SubscriptionForms>)
        .listens("unsubscribe", "Unsubscribes from channels.", schema_of::<UnsubscriptionForms>)
        .listens("ping", "Asks whether the connection is alive.", schema_of::<PingRequest>)
        .answered("subscribe", &["subscribed", "error"])
        .answered("unsubscribe", &["unsubscribed", "error"])
        .answered("ping", &["pong"]);
    let of_users = published.iter().filter(|declared| declared.on_user_streams.is_some());
    of_users.fold(messages, |messages, declared| {
        let summary = "A message of the channel `user`, as it was published.";
        messages.emits(declared.kind.name(), summary, declared.data).beside::<MessageMeta>()
    })
}
