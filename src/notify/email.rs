//! E-mail over SMTP. The mails of a signal refer to the same root, so that mail programs show them as one thread; each
//! has a `Message-ID` that stays the same when it is sent again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{Error as SmtpError, SUBMISSION_PORT, SUBMISSIONS_PORT};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};
use uuid::Uuid;

use super::pace::Pacer;
use super::service::{NoticeMessage, NoticeService, Receipt, SendFault};
use crate::config::{EmailSettings, MailEncryption};
use crate::sources::net;

/// Mails in a minute.
const RATE: (usize, Duration) = (30, Duration::from_mins(1));
/// Time limit for each command.
const SMTP_TIMEOUT: Duration = Duration::from_secs(20);
/// The port of a server without encryption.
const PLAIN_PORT: u16 = 25;

/// A mail server, with sender and recipients.
#[derive(Debug)]
pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    limits: [Arc<Pacer>; 1],
}

impl Email {
    /// Creates the service.
    ///
    /// # Errors
    /// When an address or the name of the server cannot be used.
    pub(super) fn new(settings: &EmailSettings, server: &str) -> Result<Self, String> {
        let mailbox = |key: &str, text: &str| -> Result<Mailbox, String> {
            text.parse().map_err(|_| format!("notify.email.{key}: {text:?} is no mail address"))
        };
        let tls = || TlsParameters::new(server.to_owned()).map_err(|error| format!("notify.email.server: {error}"));
        let (tls, port) = match settings.encryption {
            MailEncryption::Tls => (Tls::Wrapper(tls()?), SUBMISSIONS_PORT),
            MailEncryption::Starttls => (Tls::Required(tls()?), SUBMISSION_PORT),
            MailEncryption::None => (Tls::None, PLAIN_PORT),
        };
        let port = if settings.port == 0 { port } else { settings.port };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
            .port(port)
            .tls(tls)
            .timeout(Some(SMTP_TIMEOUT));
        if let (Some(user), Some(password)) = (&settings.username, &settings.password) {
            transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(Self {
            transport: transport.build(),
            from: mailbox("from", settings.from.as_deref().unwrap_or_default())?,
            to: settings.to.iter().map(|to| mailbox("to", to)).collect::<Result<_, _>>()?,
            limits: [Arc::new(Pacer::new(RATE.0, RATE.1))],
        })
    }

    fn mail(&self, message: &NoticeMessage<'_>) -> Result<Mail, SendFault> {
        let host = self.from.email.domain();
        let root = Uuid::new_v5(&Uuid::NAMESPACE_OID, message.notice.signal.id.as_str().as_bytes());
        let mut mail = Mail::builder()
            .from(self.from.clone())
            .subject(&message.title)
            .message_id(Some(format!("<{}@{host}>", message.key)))
            .references(format!("<{root}@{host}>"))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let unusable =
            |error: lettre::error::Error| SendFault::Unusable(format!("the mail cannot be written: {error}"));
        mail.body(message.text.clone()).map_err(unusable)
    }
}

/// Returns why the server did not take a mail. Its text never repeats the password.
fn fault(error: &SmtpError) -> SendFault {
    let net::NetError::Broken(text) = net::NetError::broken(error) else {
        return SendFault::Transient { why: "the mail server does not answer".to_owned(), after: None };
    };
    let why = format!("the mail server: {}", net::words(&text, ""));
    match error.status().map(u16::from) {
        // The login.
        Some(530..=538) => SendFault::Refused {
            why,
            remedy: "check notify.email.username and notify.email.password; many providers want an app password"
                .to_owned(),
        },
        Some(550..=559) => SendFault::Refused {
            why,
            remedy: "check notify.email.from and notify.email.to, and whether the server lets this sender send"
                .to_owned(),
        },
        _ => SendFault::Transient { why, after: None },
    }
}

impl NoticeService for Email {
    fn escape(&self, text: &str) -> String {
        text.to_owned()
    }

    fn limits(&self) -> &[Arc<Pacer>] {
        &self.limits
    }

    fn send<'a>(&'a self, message: &'a NoticeMessage<'a>) -> BoxFuture<'a, Result<Receipt, SendFault>> {
        async move {
            let mail = self.mail(message)?;
            self.transport.send(mail).await.map(|_| Receipt::default()).map_err(|error| fault(&error))
        }
        .boxed()
    }
}
