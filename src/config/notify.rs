//! Settings of the notices that are sent to people: one table for each channel, all with the same rules.

use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::providers::check_mask;
use super::value::{self, duration};
use super::{Alerts, List, Problem, Secret};
use crate::domain::{Instruments, NoticeLanguage, NoticeStep, NoticeTemplate, QuietHours, SetupKind, ZoneName};

/// Which signals a channel tells, when and how: the settings that all channels have.
#[derive(Debug, Clone, PartialEq)]
pub struct NoticeRules {
    /// Only these instruments; empty for all.
    pub symbols: Vec<String>,
    /// Only signals whose reason names one of these setups; empty for all.
    pub setups: Vec<SetupKind>,
    /// Only signals with at least this score.
    pub min_score: f64,
    /// The steps that are told.
    pub steps: Vec<NoticeStep>,
    /// When nothing is sent.
    pub quiet_hours: Vec<QuietHours>,
    /// The time zone of quiet hours and of printed times.
    pub time_zone: ZoneName,
    /// The language of the texts.
    pub language: NoticeLanguage,
    /// The operator's own text.
    pub template: Option<NoticeTemplate>,
    /// What happened longer ago is not sent any more.
    pub max_age: Duration,
}

/// Declares the settings of a channel: its own, and those of [`NoticeRules`].
macro_rules! channel {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty = $default:expr,)* }
        steps = [$($step:ident),*], max_age = $max_age:expr
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$attribute])* pub $field: $type,)*
            /// Only these instruments. Default all.
            pub symbols: List<String>,
            /// Only signals whose reason names one of these setups. Default all.
            pub setups: List<SetupKind>,
            /// Only signals with at least this score, 0 to 1. Default 0.
            #[serde(deserialize_with = "value::decimal")]
            pub min_score: f64,
            /// The steps that are told: `pending`, `confirmed`, `invalidated`, `target`, `closed`.
            pub statuses: List<NoticeStep>,
            /// Spans of the day in which nothing is sent. Default none.
            pub quiet_hours: List<QuietHours>,
            /// The time zone of quiet hours and of printed times. Default UTC.
            #[serde(deserialize_with = "value::parsed")]
            pub time_zone: ZoneName,
            /// `en` or `th`. Default `en`.
            #[serde(deserialize_with = "value::choice")]
            pub language: NoticeLanguage,
            /// A text with placeholders. Default: that of the language.
            #[serde(deserialize_with = "value::parsed_unless_empty")]
            pub template: Option<NoticeTemplate>,
            /// What happened longer ago is not sent any more; 10 s to 7 days.
            #[serde(with = "duration")]
            pub max_age: Duration,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    symbols: List::default(),
                    setups: List::default(),
                    min_score: 0.0,
                    statuses: vec![$(NoticeStep::$step),*].into(),
                    quiet_hours: List::default(),
                    time_zone: ZoneName::default(),
                    language: NoticeLanguage::default(),
                    template: None,
                    max_age: $max_age,
                }
            }
        }

        impl $name {
            /// Returns the settings that all channels have.
            pub fn rules(&self) -> NoticeRules {
                NoticeRules {
                    symbols: self.symbols.to_vec(),
                    setups: self.setups.to_vec(),
                    min_score: self.min_score,
                    steps: self.statuses.to_vec(),
                    quiet_hours: self.quiet_hours.to_vec(),
                    time_zone: self.time_zone,
                    language: self.language,
                    template: self.template.clone(),
                    max_age: self.max_age,
                }
            }
        }
    };
}

const QUARTER: Duration = Duration::from_mins(15);

channel! {
    /// A Telegram bot. Its messages are edited as the signal lives on.
    TelegramSettings {
        /// The bot's token, from Telegram's `@BotFather`. Default unset: the channel is off.
        #[serde(deserialize_with = "value::unless_empty")]
        token: Option<Secret> = None,
        /// The chats: numbers such as `-1001234567890`, or `@channel`. Default none.
        chats: List<String> = List::default(),
        /// The address of the Bot API.
        #[serde(deserialize_with = "value::text")]
        api_url: String = "https://api.telegram.org".to_owned(),
    }
    steps = [Pending, Confirmed], max_age = QUARTER
}

channel! {
    /// A LINE official account (Messaging API). It has no edits: one message for each step.
    LineSettings {
        /// The channel access token. Default unset: the channel is off.
        #[serde(deserialize_with = "value::unless_empty")]
        token: Option<Secret> = None,
        /// The ids of users, groups or rooms that get a push. Default none.
        to: List<String> = List::default(),
        /// Whether all friends of the account get the message instead. Default no.
        #[serde(deserialize_with = "value::flag")]
        broadcast: bool = false,
        /// The address of the Messaging API.
        #[serde(deserialize_with = "value::text")]
        api_url: String = "https://api.line.me".to_owned(),
    }
    steps = [Pending, Confirmed, Invalidated, Closed], max_age = QUARTER
}

channel! {
    /// A webhook of a Discord channel. Its messages are edited as the signal lives on.
    DiscordSettings {
        /// The address of the webhook. Default unset: the channel is off.
        #[serde(deserialize_with = "value::unless_empty")]
        webhook_url: Option<Secret> = None,
    }
    steps = [Pending, Confirmed], max_age = QUARTER
}

channel! {
    /// An incoming webhook of Slack. It has no edits: one message for each step.
    SlackSettings {
        /// The address of the webhook. Default unset: the channel is off.
        #[serde(deserialize_with = "value::unless_empty")]
        webhook_url: Option<Secret> = None,
    }
    steps = [Pending, Confirmed, Invalidated, Closed], max_age = QUARTER
}

channel! {
    /// A topic of ntfy. One message for each step.
    NtfySettings {
        /// The topic, which is all that protects it on a public server. Default unset: the channel is off.
        #[serde(deserialize_with = "value::unless_empty")]
        topic: Option<Secret> = None,
        /// The server.
        #[serde(deserialize_with = "value::text")]
        server_url: String = "https://ntfy.sh".to_owned(),
        /// An access token. Default unset.
        #[serde(deserialize_with = "value::unless_empty")]
        token: Option<Secret> = None,
        /// The priority, 1 to 5, of a confirmed signal; the other steps are one lower. Default 4.
        #[serde(deserialize_with = "value::whole")]
        priority: u8 = 4,
    }
    steps = [Pending, Confirmed, Invalidated, Closed], max_age = QUARTER
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailEncryption {
    /// TLS from the first byte, port 465.
    #[default]
    Tls,
    /// TLS after a greeting, port 587; refused when the server does not offer it.
    Starttls,
    /// None, port 25: for a server on this very machine.
    None,
}

channel! {
    /// E-mail over SMTP. One mail for each step; the mails of a signal are one thread.
    EmailSettings {
        /// The mail server. Default unset: the channel is off.
        #[serde(deserialize_with = "value::unless_empty")]
        server: Option<String> = None,
        /// Its port; 0 for the usual one of the encryption. Default 0.
        #[serde(deserialize_with = "value::whole")]
        port: u16 = 0,
        /// `tls`, `starttls` or `none`. Default `tls`.
        #[serde(deserialize_with = "value::choice")]
        encryption: MailEncryption = MailEncryption::default(),
        /// The user name at the server. Default unset: no login.
        #[serde(deserialize_with = "value::unless_empty")]
        username: Option<String> = None,
        /// The password. Default unset.
        #[serde(deserialize_with = "value::unless_empty")]
        password: Option<Secret> = None,
        /// The sender, such as `Signals <signals@example.com>`. Default unset.
        #[serde(deserialize_with = "value::unless_empty")]
        from: Option<String> = None,
        /// The recipients. Default none.
        to: List<String> = List::default(),
    }
    steps = [Pending, Confirmed, Invalidated, Closed], max_age = Duration::from_hours(1)
}

channel! {
    /// A webhook with every signal event, signed as Standard Webhooks are.
    WebhookSettings {
        /// The address. Default unset: the channel is off.
        #[serde(deserialize_with = "value::unless_empty")]
        url: Option<Secret> = None,
        /// The key that signs: `whsec_` and base64, or any text, of at least 24 bytes. Default unset.
        #[serde(deserialize_with = "value::unless_empty")]
        secret: Option<Secret> = None,
    }
    steps = [Pending, Confirmed, Invalidated, Target, Closed], max_age = Duration::from_hours(24)
}

/// Notices about signals, to where people are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifySettings {
    /// Whether the services may be in a private network. Default no.
    #[serde(deserialize_with = "value::flag")]
    pub allow_private_addresses: bool,
    /// Whether they may be plain `http` on this very machine. Default no.
    #[serde(deserialize_with = "value::flag")]
    pub allow_plain_loopback: bool,
    /// Telegram.
    pub telegram: TelegramSettings,
    /// LINE.
    pub line: LineSettings,
    /// Discord.
    pub discord: DiscordSettings,
    /// Slack.
    pub slack: SlackSettings,
    /// ntfy.
    pub ntfy: NtfySettings,
    /// E-mail.
    pub email: EmailSettings,
    /// The generic webhook.
    pub webhook: WebhookSettings,
}

/// Most chats, ids or recipients of a channel.
const MAX_TARGETS: usize = 20;

impl NotifySettings {
    /// Returns the secrets with their settings.
    pub(super) fn secrets(&self) -> [(&'static str, Option<&Secret>); 9] {
        [
            ("notify.telegram.token", self.telegram.token.as_ref()),
            ("notify.line.token", self.line.token.as_ref()),
            ("notify.discord.webhook_url", self.discord.webhook_url.as_ref()),
            ("notify.slack.webhook_url", self.slack.webhook_url.as_ref()),
            ("notify.ntfy.topic", self.ntfy.topic.as_ref()),
            ("notify.ntfy.token", self.ntfy.token.as_ref()),
            ("notify.email.password", self.email.password.as_ref()),
            ("notify.webhook.url", self.webhook.url.as_ref()),
            ("notify.webhook.secret", self.webhook.secret.as_ref()),
        ]
    }

    /// Returns the channels that are set up, with their rules.
    pub fn enabled(&self) -> Vec<(&'static str, NoticeRules)> {
        let channels = [
            ("telegram", self.telegram.token.is_some(), self.telegram.rules()),
            ("line", self.line.token.is_some(), self.line.rules()),
            ("discord", self.discord.webhook_url.is_some(), self.discord.rules()),
            ("slack", self.slack.webhook_url.is_some(), self.slack.rules()),
            ("ntfy", self.ntfy.topic.is_some(), self.ntfy.rules()),
            ("email", self.email.server.is_some(), self.email.rules()),
            ("webhook", self.webhook.url.is_some(), self.webhook.rules()),
        ];
        channels.into_iter().filter(|(_, on, _)| *on).map(|(name, _, rules)| (name, rules)).collect()
    }

    /// Checks what the types cannot express.
    pub(super) fn check(&self, instruments: &Instruments) -> Result<(), Problem> {
        for (key, secret) in self.secrets() {
            check_mask(key, secret)?;
        }
        for (name, rules) in self.enabled() {
            let problem = |key: &str, reason: String| Problem::new(format!("notify.{name}.{key}"), reason);
            if let Some(error) = rules.symbols.iter().find_map(|symbol| instruments.resolve(symbol).err()) {
                return Err(problem("symbols", error.to_string()));
            }
            if !(0.0..=1.0).contains(&rules.min_score) {
                return Err(problem("min_score", format!("must be 0 to 1, not {}", rules.min_score)));
            }
            let (least, most) = (Duration::from_secs(10), Duration::from_hours(7 * 24));
            if !(least..=most).contains(&rules.max_age) {
                return Err(problem("max_age", format!("must be 10s to 7d, not {}", duration::text(rules.max_age))));
            }
            if rules.steps.is_empty() {
                return Err(problem("statuses", "must name a status; leave the channel out to turn it off".to_owned()));
            }
        }
        self.check_targets()?;
        self.check_email()?;
        for (key, url) in [
            ("notify.discord.webhook_url", self.discord.webhook_url.as_ref().map(Secret::expose)),
            ("notify.slack.webhook_url", self.slack.webhook_url.as_ref().map(Secret::expose)),
            ("notify.webhook.url", self.webhook.url.as_ref().map(Secret::expose)),
            ("notify.telegram.api_url", Some(self.telegram.api_url.as_str())),
            ("notify.line.api_url", Some(self.line.api_url.as_str())),
            ("notify.ntfy.server_url", Some(self.ntfy.server_url.as_str())),
        ] {
            self.check_url(key, url)?;
        }
        match &self.webhook.secret {
            None if self.webhook.url.is_some() => {
                Err(Problem::new("notify.webhook.secret", "is needed to sign what notify.webhook.url is told"))
            }
            Some(secret) if Alerts::signing_key(secret).is_none() => {
                let reason = "must be whsec_ and base64, or a text, of at least 24 bytes: it signs the events";
                Err(Problem::new("notify.webhook.secret", reason))
            }
            _ => Ok(()),
        }
    }

    fn check_targets(&self) -> Result<(), Problem> {
        let fits = |secret: &Option<Secret>| {
            secret
                .as_ref()
                .is_none_or(|token| token.consists_of(1..=1024, |byte| byte.is_ascii_graphic() && byte != b'/'))
        };
        if !fits(&self.telegram.token) {
            return Err(Problem::new("notify.telegram.token", "has characters that no token of @BotFather has"));
        }
        let printable = |secret: &Option<Secret>| {
            secret.as_ref().is_none_or(|token| token.consists_of(1..=1024, |byte| byte.is_ascii_graphic()))
        };
        for (key, token) in [("notify.line.token", &self.line.token), ("notify.ntfy.token", &self.ntfy.token)] {
            if !printable(token) {
                return Err(Problem::new(key, "has characters that no token has: white space or letters beyond ASCII"));
            }
        }
        let is_chat = |chat: &String| chat.parse::<i64>().is_ok() || (chat.starts_with('@') && chat.len() > 1);
        if let Some(chat) = self.telegram.chats.iter().find(|chat| !is_chat(chat)) {
            let reason = format!("{chat:?} is neither a chat's number, such as -1001234567890, nor @channel");
            return Err(Problem::new("notify.telegram.chats", reason));
        }
        if self.telegram.token.is_some() && self.telegram.chats.is_empty() {
            let reason = "must name a chat: docs/notices.md says how to find its number";
            return Err(Problem::new("notify.telegram.chats", reason));
        }
        if self.line.broadcast && !self.line.to.is_empty() {
            return Err(Problem::new(
                "notify.line.broadcast",
                "reaches all friends of the account: leave notify.line.to empty",
            ));
        }
        if self.line.token.is_some() && !self.line.broadcast && self.line.to.is_empty() {
            return Err(Problem::new(
                "notify.line.to",
                "must name who gets the messages, or set notify.line.broadcast",
            ));
        }
        for (key, targets) in [
            ("notify.telegram.chats", &self.telegram.chats),
            ("notify.line.to", &self.line.to),
            ("notify.email.to", &self.email.to),
        ] {
            if targets.len() > MAX_TARGETS {
                return Err(Problem::new(key, format!("must be at most {MAX_TARGETS}")));
            }
        }
        let is_topic = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.ntfy.topic.as_ref().is_some_and(|topic| !topic.consists_of(1..=64, is_topic)) {
            return Err(Problem::new("notify.ntfy.topic", "must be 1 to 64 letters, digits, - and _"));
        }
        if !(1..=5).contains(&self.ntfy.priority) {
            return Err(Problem::new("notify.ntfy.priority", format!("must be 1 to 5, not {}", self.ntfy.priority)));
        }
        Ok(())
    }

    fn check_email(&self) -> Result<(), Problem> {
        let EmailSettings { server: Some(server), encryption, username, password, from, to, .. } = &self.email else {
            return Ok(());
        };
        let is_here = server == "localhost" || server.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if *encryption == MailEncryption::None && !is_here {
            let reason = "'none' is for a mail server on this very machine: use tls or starttls";
            return Err(Problem::new("notify.email.encryption", reason));
        }
        if from.is_none() {
            return Err(Problem::new("notify.email.from", "is needed, such as Signals <signals@example.com>"));
        }
        if to.is_empty() {
            return Err(Problem::new("notify.email.to", "must name a recipient"));
        }
        if username.is_some() != password.is_some() {
            return Err(Problem::new(
                "notify.email.password",
                "goes only with notify.email.username, and the other way round",
            ));
        }
        Ok(())
    }

    /// Checks an address. The error does not repeat it, since it may contain a token.
    fn check_url(&self, key: &str, url: Option<&str>) -> Result<(), Problem> {
        let Some(url) = url else { return Ok(()) };
        let uri: Option<Uri> = url.parse().ok();
        let has_host = uri.as_ref().and_then(Uri::host).is_some_and(|host| !host.is_empty());
        let scheme = uri.as_ref().and_then(Uri::scheme_str);
        match scheme {
            Some("https") if has_host => Ok(()),
            Some("http") if has_host && self.allow_plain_loopback => Ok(()),
            _ => Err(Problem::new(key, "must begin with https:// and name a host")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &NotifySettings) -> Option<String> {
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        settings.check(&instruments).err().map(|problem| problem.key)
    }

    fn telegram() -> TelegramSettings {
        let chats = vec!["-1001234567890".to_owned(), "@signals".to_owned()].into();
        TelegramSettings { token: Some(Secret::new("123:abc")), chats, ..TelegramSettings::default() }
    }

    #[test]
    fn a_channel_is_complete_or_refused() {
        assert_eq!(check(&NotifySettings::default()), None);
        let with = |telegram| NotifySettings { telegram, ..NotifySettings::default() };
        assert_eq!(check(&with(telegram())), None);
        for (key, changed) in [
            ("notify.telegram.chats", TelegramSettings { chats: List::default(), ..telegram() }),
            ("notify.telegram.chats", TelegramSettings { chats: vec!["signals".to_owned()].into(), ..telegram() }),
            ("notify.telegram.token", TelegramSettings { token: Some(Secret::new("a/b")), ..telegram() }),
            ("notify.telegram.symbols", TelegramSettings { symbols: vec!["EURUST".to_owned()].into(), ..telegram() }),
            ("notify.telegram.min_score", TelegramSettings { min_score: 80.0, ..telegram() }),
            ("notify.telegram.max_age", TelegramSettings { max_age: Duration::from_secs(1), ..telegram() }),
            ("notify.telegram.statuses", TelegramSettings { statuses: List::default(), ..telegram() }),
            ("notify.telegram.api_url", TelegramSettings { api_url: "http://example.com".to_owned(), ..telegram() }),
            ("notify.telegram.token", TelegramSettings { token: Some(Secret::new("***")), ..telegram() }),
        ] {
            assert_eq!(check(&with(changed)).as_deref(), Some(key));
        }
    }

    #[test]
    fn every_service_names_what_is_missing() {
        let none = NotifySettings::default;
        let line = LineSettings { token: Some(Secret::new("t")), ..LineSettings::default() };
        let both = LineSettings { broadcast: true, to: vec!["U1".to_owned()].into(), ..line.clone() };
        let webhook = WebhookSettings { url: Some(Secret::new("https://example.com/")), ..WebhookSettings::default() };
        let server = Some("mail.example.com".to_owned());
        let mail = EmailSettings { server, from: Some("a@b.c".to_owned()), ..EmailSettings::default() };
        let plain = EmailSettings { encryption: MailEncryption::None, ..mail.clone() };
        let discord = DiscordSettings { webhook_url: Some(Secret::new("discord.com/x")), ..DiscordSettings::default() };
        let ntfy = NtfySettings { topic: Some(Secret::new("a/b")), ..NtfySettings::default() };
        for (key, settings) in [
            ("notify.line.to", NotifySettings { line, ..none() }),
            ("notify.line.broadcast", NotifySettings { line: both, ..none() }),
            ("notify.webhook.secret", NotifySettings { webhook, ..none() }),
            ("notify.email.to", NotifySettings { email: mail, ..none() }),
            ("notify.email.encryption", NotifySettings { email: plain, ..none() }),
            ("notify.discord.webhook_url", NotifySettings { discord, ..none() }),
            ("notify.ntfy.topic", NotifySettings { ntfy, ..none() }),
        ] {
            assert_eq!(check(&settings).as_deref(), Some(key));
        }
    }
}
