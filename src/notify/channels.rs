//! The list of channels, built from the settings.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::discord::Discord;
use super::email::Email;
use super::line::LineReceiver;
use super::ntfy::Ntfy;
use super::rules::LaneRules;
use super::service::{NoticeService, SendFault};
use super::slack::Slack;
use super::telegram::Telegram;
use super::webhook::SignedWebhook;
use crate::alerts::AddressRules;
use crate::config::NotifySettings;
use crate::domain::{Direction, Instruments, Now, Signal, SignalDraft, SignalId, SourceName, WallClock};

/// The namespace of the ids of receivers.
const RECEIVERS: Uuid = Uuid::from_u128(0x6f72_696f_6e2d_5265_8365_6976_6572_7631);

/// A channel that cannot be used. The text names the setting, and has no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotifyError(String);

/// One receiver of a channel.
#[derive(Debug, Clone)]
pub(super) struct NoticeChannel {
    pub(super) name: &'static str,
    /// Stays the same when the order of the receivers changes.
    pub(super) id: Uuid,
    /// Which of the channel's receivers it is, and how many there are.
    pub(super) place: (usize, usize),
    pub(super) rules: LaneRules,
    pub(super) service: Arc<dyn NoticeService>,
}

/// Receivers with the texts that tell them apart.
type Receivers = Vec<(String, Arc<dyn NoticeService>)>;

/// Builds every channel that the settings enable.
pub(super) fn build(
    settings: &NotifySettings,
    instruments: &Arc<Instruments>,
    clock: &WallClock,
) -> Result<Vec<NoticeChannel>, NotifyError> {
    let mut channels = Vec::new();
    for (name, rules) in settings.enabled() {
        let receivers = receivers(name, settings, clock).map_err(NotifyError)?;
        let (count, rules) = (receivers.len(), LaneRules::new(rules, instruments));
        channels.extend(receivers.into_iter().enumerate().map(|(index, (id, service))| NoticeChannel {
            name,
            id: Uuid::new_v5(&RECEIVERS, id.as_bytes()),
            place: (index + 1, count),
            rules: rules.clone(),
            service,
        }));
    }
    Ok(channels)
}

fn receivers(name: &str, settings: &NotifySettings, clock: &WallClock) -> Result<Receivers, String> {
    let addresses = AddressRules {
        allow_private: settings.allow_private_addresses,
        allow_plain_loopback: settings.allow_plain_loopback,
    };
    let NotifySettings { telegram, line, discord, slack, ntfy, email, webhook, .. } = settings;
    let mut receivers: Receivers = Vec::new();
    let mut add = |id: &str, service: Arc<dyn NoticeService>| receivers.push((id.to_owned(), service));
    if let ("telegram", Some(token)) = (name, &telegram.token) {
        Telegram::chats(telegram, token, addresses)?.into_iter().for_each(|(id, chat)| add(&id, Arc::new(chat)));
    }
    if let ("line", Some(token)) = (name, &line.token) {
        LineReceiver::receivers(line, token, addresses)?.into_iter().for_each(|(id, to)| add(&id, Arc::new(to)));
    }
    if let ("discord", Some(url)) = (name, &discord.webhook_url) {
        // A message belongs to its webhook: with another one there is nothing to edit.
        add(url.expose(), Arc::new(Discord::new(url, addresses)?));
    }
    if let ("slack", Some(url)) = (name, &slack.webhook_url) {
        add("slack", Arc::new(Slack::new(url, addresses)?));
    }
    if let ("ntfy", Some(topic)) = (name, &ntfy.topic) {
        add("ntfy", Arc::new(Ntfy::new(ntfy, topic, addresses)?));
    }
    if let ("email", Some(server)) = (name, &email.server) {
        add("email", Arc::new(Email::new(email, server)?));
    }
    if let ("webhook", Some(url)) = (name, &webhook.url) {
        add("webhook", Arc::new(SignedWebhook::new(url, webhook.secret.as_ref(), addresses, clock.clone())?));
    }
    Ok(receivers)
}

/// What came of the test message to one receiver.
#[derive(Debug)]
pub struct ChannelTest {
    /// Which of the channel's receivers it is, and how many there are.
    pub place: (usize, usize),
    /// Whether the service has taken the message.
    pub result: Result<(), SendFault>,
}

/// Sends a test message to every receiver of a channel; `Ok` with nothing when the channel is not set up.
///
/// # Errors
/// When an address cannot be used.
pub async fn test(
    settings: &NotifySettings,
    channel: &str,
    instruments: &Arc<Instruments>,
    clock: WallClock,
) -> Result<Vec<ChannelTest>, NotifyError> {
    let signal = example(instruments, &clock);
    let mut tests = Vec::new();
    for channel in build(settings, instruments, &clock)?.iter().filter(|built| built.name == channel) {
        let result = match &signal {
            Some(signal) => channel.send_now(signal).await,
            None => return Err(NotifyError("no instrument is in the catalogue".to_owned())),
        };
        tests.push(ChannelTest { place: channel.place, result });
    }
    Ok(tests)
}

/// Returns a signal that says that it is a test.
pub(super) fn example(instruments: &Instruments, clock: &WallClock) -> Option<Signal> {
    let instrument = instruments.iter().next()?;
    let reason = "Test message of orion-server: this is no signal".to_owned();
    let draft = SignalDraft { direction: Some(Direction::Long), reason: Some(reason), ..SignalDraft::default() };
    let (id, now) = (SignalId::new("test")?, Now { wall: clock(), mono: Duration::ZERO });
    Signal::create(id, &draft, instrument, SourceName::new("test"), now, Duration::from_mins(5)).ok()
}
