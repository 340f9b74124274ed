//! `/ws/admin`: what is published for administrators, or the server's own state, after the administrator's token.
//!
//! The page opens it twice: with `{"action":"subscribe","admin_token":…}` for the messages, and with the bare token for
//! `{status, logs}`. The two streams are kept apart: one reader crashes on a frame without a type, the other without
//! logs.

use std::sync::Arc;
use std::time::Duration;

use super::ClientFrame;
use crate::auth::TokenKind;
use crate::dashboards::sentio::ADMIN;
use crate::dashboards::sentio::wire::{self, ServerStatus, StatusFrame};
use crate::domain::{Audience, iso};
use crate::hub::{Audiences, Topics};
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::lane::Slot;
use crate::transport::messages::encode;
use crate::transport::resume::Gone;
use crate::transport::ws::{Client, Protocol};

/// Time between two reports of the server's state.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// One administrator's connection.
#[derive(Debug)]
pub(super) struct Admin {
    gateway: Arc<Gateway>,
    form: AdminStream,
}

/// Which of the two streams it is.
#[derive(Debug)]
enum AdminStream {
    /// Not known yet: the client has not sent a frame.
    Unknown,
    /// The published messages.
    Messages,
    /// The server's own state.
    Status,
}

impl Admin {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, form: AdminStream::Unknown }
    }

    fn register(&mut self, client: &mut Client, frame: &ClientFrame) -> Result<(), Close> {
        match self.gateway.tokens.admin(frame.text("admin_token")) {
            Ok(None) => {}
            Ok(Some(identity)) => client.log_in(self.gateway.log_in(identity).map_err(|_| Close::TooMany)?),
            Err(refusal) => {
                let fault = client.token_fault(TokenKind::Admin, refusal);
                client.answer(wire::error(&fault.error, clock::wall()));
                return Err(Close::AdminToken);
            }
        }
        self.form = AdminStream::Messages;
        self.gateway.hub.with_snapshot(|snapshot| {
            client.put(
                snapshot.states(|published| {
                    published.audience == Audience::Admin && wire::is_administrative(published.kind)
                }),
            );
            client.set_topics(Topics {
                published: Audiences { admin: true, ..Audiences::default() },
                ..Topics::default()
            });
        });
        frame.answer_ping(client);
        Ok(())
    }

    fn register_raw(&mut self, client: &mut Client, token: &str) -> Result<(), Close> {
        if token.is_empty() {
            return Err(Close::NoAdminToken);
        }
        let admitted = self.gateway.tokens.admin(Some(token)).map_err(|refusal| {
            client.token_fault(TokenKind::Admin, refusal);
            Close::WrongAdminToken
        });
        if let Some(identity) = admitted? {
            client.log_in(self.gateway.log_in(identity).map_err(|_| Close::TooMany)?);
        }
        self.form = AdminStream::Status;
        self.send_status(client);
        Ok(())
    }

    fn send_status(&self, client: &Client) {
        if !matches!(self.form, AdminStream::Status) {
            return;
        }
        let usage = self.gateway.metrics.process.usage();
        let status = ServerStatus {
            status: if self.gateway.draining.is_cancelled() { "stopping" } else { "running" },
            cpu: usage.cpu_percent.map(two_decimals),
            memory: usage.resident_percent.map(two_decimals),
            active_users: self.gateway.hub.clients(),
            timestamp: iso(clock::wall()),
        };
        client.answer(encode(&StatusFrame { status, logs: Vec::new() }));
    }
}

impl Protocol for Admin {
    fn endpoint(&self) -> &'static str {
        "/ws/admin"
    }

    async fn open(&mut self, _: &mut Client) -> Result<(), Gone> {
        Ok(())
    }

    fn encoding(&self) -> Option<Slot> {
        Some(ADMIN)
    }

    fn interval(&self) -> Option<Duration> {
        Some(STATUS_INTERVAL)
    }

    fn on_interval(&mut self, client: &mut Client) {
        self.send_status(client);
    }

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        match self.form {
            AdminStream::Unknown => {
                // Text that begins like an object but is not valid JSON is not a token either.
                let token = text.trim();
                if token.starts_with('{') {
                    let Some(frame) = ClientFrame::read(client, token) else { return Ok(()) };
                    if let Some(token) = frame.text("admin_token") {
                        self.gateway.tokens.fetch_key_of(token).await;
                    }
                    return self.register(client, &frame);
                }
                self.gateway.tokens.fetch_key_of(token).await;
                self.register_raw(client, token)
            }
            AdminStream::Messages => {
                if let Some(frame) = ClientFrame::read(client, text) {
                    frame.answer(client);
                }
                Ok(())
            }
            // The reader of this stream sends nothing more, and reads nothing else.
            AdminStream::Status => Ok(()),
        }
    }
}

fn two_decimals(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}
