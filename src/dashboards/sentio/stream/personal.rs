//! `/ws/earnings`, `/ws/notifications` and `/ws/user/{id}`: what is published for one user.
//!
//! A client identifies its user by the handshake's token, by `token` in its first frame, or by a bare `user_id` where
//! that suffices ([`OpenUsers`](crate::auth::OpenUsers)). A client that may not read gets an error and stays connected:
//! after a close the page would only reconnect, and a later frame may carry a token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;

use super::{ClientFrame, StreamState};
use crate::auth::{Principal, TokenKind, UserAccessError};
use crate::dashboards::bots::types::TRADES;
use crate::dashboards::delivery::DeliveryConnection;
use crate::dashboards::sentio::wire;
use crate::dashboards::sentio::{EARNINGS, types};
use crate::domain::Event;
use crate::hub::{Audiences, Envelope, Hub, Outbox, Spacing, Topics};
use crate::pipeline::clock;
use crate::transport::close::Close;
use crate::transport::lane::Slot;
use crate::transport::resume::Gone;
use crate::transport::ws::{Client, Protocol};

/// Time between two notifications on one connection. The page uses `Date.now()` on arrival as the key of a row, so rows
/// of the same millisecond stay on the screen and repeat. Until the previous notification is confirmed, the next one
/// waits longer, because a slow network or page could deliver both together.
const SPACING: Spacing = Spacing { confirmed: Duration::from_millis(5), unconfirmed: Duration::from_millis(25) };

/// One of the personal streams.
pub(super) trait Panel: Send + Sized {
    /// Path of the endpoint.
    const ENDPOINT: &'static str;
    /// The encoding that its clients share; `None` when their events are encoded for each of them.
    const ENCODING: Option<Slot> = None;

    /// Sends the user's initial messages and joins the client to live events.
    fn join(
        state: &StreamState,
        client: &mut Client,
        outbox: &Arc<Outbox>,
        user: &Arc<str>,
    ) -> impl Future<Output = Self> + Send;

    /// See [`Protocol::encode`].
    fn encode(&mut self, _publication: &Arc<Envelope>, _frames: &mut Vec<Utf8Bytes>) {}

    /// See [`Protocol::batch_end`].
    fn batch_end(&mut self, _frames: &mut Vec<Utf8Bytes>) {}

    /// See [`Protocol::delivery_probe`].
    fn delivery_probe(&self, _publication: &Envelope) -> Option<u64> {
        None
    }

    /// See [`Protocol::on_receipt`].
    fn on_receipt(&mut self, _receipt: u64) {}
}

/// One client of a personal stream.
#[derive(Debug)]
pub(super) struct Personal<P> {
    state: StreamState,
    /// User of the handshake's token.
    identity: Option<Principal>,
    /// Whether the client may read without a user token. Where reading needs a token, a bare id is not enough.
    may_read: bool,
    /// User id in the path. A client with one need not send anything.
    path: Option<String>,
    outbox: Arc<Outbox>,
    /// Set when the user is known.
    panel: Option<P>,
}

impl<P: Panel> Personal<P> {
    pub(super) fn new(state: StreamState, identity: Option<Principal>, may_read: bool, path: Option<String>) -> Self {
        let outbox = Arc::new(Outbox::new(state.gateway.metrics.clone()));
        Self { state, identity, may_read, path, outbox, panel: None }
    }

    async fn register(
        &mut self,
        client: &mut Client,
        identity: Option<&Principal>,
        named: Option<&str>,
    ) -> Result<(), UserAccessError> {
        if identity.is_none() && !self.may_read {
            return Err(UserAccessError::Unproven);
        }
        let user = match (&self.path, named) {
            (Some(path), Some(named)) if path != named => return Err(UserAccessError::Other),
            (path, named) => self.state.gateway.open_users.admit(identity, path.as_deref().or(named))?,
        };
        self.panel = Some(P::join(&self.state, client, &self.outbox, &user).await);
        Ok(())
    }

    /// Handles a frame of a client whose user is not known yet.
    async fn identify(&mut self, client: &mut Client, frame: &ClientFrame) -> Result<(), Close> {
        let tokens = &self.state.gateway.tokens;
        if let Some(token) = frame.text("token") {
            tokens.fetch_key_of(token).await;
        }
        let proved = frame.text("token").map(|token| tokens.user(Some(token))).transpose().map_err(|refusal| {
            let fault = client.token_fault(TokenKind::User, refusal);
            client.answer(wire::error(&fault.error, clock::wall()));
            Close::Policy
        })?;
        let (identity, named) = (proved.clone().or_else(|| self.identity.clone()), frame.user_id());
        // The pages send pings before they identify their user. A ping without new information is only answered.
        let is_new = proved.is_some() || named.is_some() || (identity.is_some() && self.path.is_none());
        if frame.action() == Some("ping") && !is_new {
            frame.answer(client);
            return Ok(());
        }
        match self.register(client, identity.as_ref(), named.as_deref()).await {
            Ok(()) => {
                if let Some(identity) = proved {
                    client.log_in(self.state.gateway.log_in(identity).map_err(|_| Close::TooMany)?);
                }
            }
            Err(error) => refuse(client, error),
        }
        frame.answer_ping(client);
        Ok(())
    }
}

fn refuse(client: &Client, error: UserAccessError) {
    client.answer(wire::error(&error.to_string(), clock::wall()));
}

impl<P: Panel> Protocol for Personal<P> {
    fn endpoint(&self) -> &'static str {
        P::ENDPOINT
    }

    fn encoding(&self) -> Option<Slot> {
        P::ENCODING
    }

    fn outbox(&self) -> Option<&Arc<Outbox>> {
        P::ENCODING.is_none().then_some(&self.outbox)
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        if self.path.is_some()
            && let Err(error) = self.register(client, self.identity.clone().as_ref(), None).await
        {
            refuse(client, error);
        }
        Ok(())
    }

    fn encode(&mut self, publication: &Arc<Envelope>, frames: &mut Vec<Utf8Bytes>) {
        if let Some(panel) = &mut self.panel {
            panel.encode(publication, frames);
        }
    }

    fn batch_end(&mut self, frames: &mut Vec<Utf8Bytes>) {
        if let Some(panel) = &mut self.panel {
            panel.batch_end(frames);
        }
    }

    fn delivery_probe(&self, publication: &Envelope) -> Option<u64> {
        self.panel.as_ref()?.delivery_probe(publication)
    }

    fn on_receipt(&mut self, receipt: u64) {
        if let Some(panel) = &mut self.panel {
            panel.on_receipt(receipt);
        }
    }

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let Some(frame) = ClientFrame::read(client, text) else { return Ok(()) };
        if self.panel.is_some() {
            frame.answer(client);
            return Ok(());
        }
        self.identify(client, &frame).await
    }
}

fn topics(user: &Arc<str>) -> Topics {
    Topics { published: Audiences::of_user(user.clone(), false), ..Topics::default() }
}

/// The current earnings, then each new state of them.
#[derive(Debug)]
pub(super) struct Earnings;

impl Panel for Earnings {
    const ENDPOINT: &'static str = "/ws/earnings";
    const ENCODING: Option<Slot> = Some(EARNINGS);

    async fn join(state: &StreamState, client: &mut Client, _: &Arc<Outbox>, user: &Arc<str>) -> Self {
        state.gateway.hub.with_snapshot(|snapshot| {
            client.put(wire::earnings(snapshot, user));
            client.set_topics(topics(user));
        });
        Self
    }
}

/// The notifications that have not reached the user, then each new one, [`SPACING`] apart. A notification that is still
/// queued when the connection ends has not reached the user, and is sent again on the next connection.
#[derive(Debug)]
pub(super) struct Notifications {
    connection: DeliveryConnection,
    outbox: Arc<Outbox>,
    /// Number of the last notification that was written.
    last: u64,
}

impl Panel for Notifications {
    const ENDPOINT: &'static str = "/ws/notifications";

    async fn join(state: &StreamState, client: &mut Client, outbox: &Arc<Outbox>, user: &Arc<str>) -> Self {
        let connection = state.notifications.join(user).await;
        outbox.set_spacing(SPACING);
        state.gateway.hub.with_snapshot(|snapshot| {
            client.put(wire::missed_notifications(snapshot, user, state.notifications.reached(user)));
            client.set_topics(topics(user));
        });
        Self { connection, outbox: outbox.clone(), last: 0 }
    }

    fn encode(&mut self, publication: &Arc<Envelope>, frames: &mut Vec<Utf8Bytes>) {
        if let Some(number) = self.delivery_probe(publication) {
            self.connection.write(number);
            self.last = number;
            frames.extend_from_slice(wire::personal_frames(publication, types::NOTIFICATION));
        }
    }

    fn delivery_probe(&self, publication: &Envelope) -> Option<u64> {
        match publication.event() {
            Event::RelayedMessage(published) if wire::is_personal(publication, types::NOTIFICATION) => {
                Some(published.seq)
            }
            _ => None,
        }
    }

    fn on_receipt(&mut self, receipt: u64) {
        self.connection.confirm(receipt);
        if receipt == self.last {
            self.outbox.confirmed();
        }
    }
}

/// One object with the user's whole state, sent again after each change.
#[derive(Debug)]
pub(super) struct UserDashboard {
    hub: Arc<Hub>,
    user: Arc<str>,
    /// The object that the client has.
    sent: Utf8Bytes,
    changed: bool,
}

impl UserDashboard {
    fn show(&mut self) -> Option<Utf8Bytes> {
        let sources = self.hub.with_snapshot(|snapshot| wire::dashboard_sources(snapshot, &self.user));
        let dashboard = wire::dashboard(&sources);
        let is_new = dashboard != self.sent;
        self.sent = dashboard;
        is_new.then(|| self.sent.clone())
    }
}

impl Panel for UserDashboard {
    const ENDPOINT: &'static str = "/ws/user/{id}";

    async fn join(state: &StreamState, client: &mut Client, _: &Arc<Outbox>, user: &Arc<str>) -> Self {
        let mut dashboard =
            Self { hub: state.gateway.hub.clone(), user: user.clone(), sent: Utf8Bytes::default(), changed: false };
        client.set_topics(topics(user));
        if let Some(frame) = dashboard.show() {
            client.answer(frame);
        }
        dashboard
    }

    fn encode(&mut self, publication: &Arc<Envelope>, _: &mut Vec<Utf8Bytes>) {
        let shown = [types::EARNINGS, types::NOTIFICATION, TRADES];
        self.changed |= shown.into_iter().any(|kind| wire::is_personal(publication, kind));
    }

    fn batch_end(&mut self, frames: &mut Vec<Utf8Bytes>) {
        if std::mem::take(&mut self.changed) {
            frames.extend(self.show());
        }
    }
}
