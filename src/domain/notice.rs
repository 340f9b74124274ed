//! Notices about signals: the steps of a signal's life that are told, the language, quiet hours and text templates.

use std::str::FromStr;

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A step in the life of a signal that a channel can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeStep {
    /// It is new, or has new content while it waits.
    Pending,
    /// It is confirmed.
    Confirmed,
    /// It is invalidated.
    Invalidated,
    /// A confirmed signal has reached a target, and goes on.
    Target,
    /// The record of a confirmed signal has ended.
    Closed,
}

impl NoticeStep {
    /// All steps in their order.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Confirmed, Self::Invalidated, Self::Target, Self::Closed];

    /// Returns the name in settings and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Invalidated => "invalidated",
            Self::Target => "target",
            Self::Closed => "closed",
        }
    }
}

/// The language of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLanguage {
    /// English.
    #[default]
    En,
    /// Thai.
    Th,
}

/// A time zone by its IANA name, such as `Asia/Bangkok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(pub Tz);

impl Default for ZoneName {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl TryFrom<String> for ZoneName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let zone = Tz::from_str(text.trim()).map_err(|_| "must be a time zone's IANA name, such as Asia/Bangkok")?;
        Ok(Self(zone))
    }
}

impl From<ZoneName> for String {
    fn from(ZoneName(zone): ZoneName) -> Self {
        zone.name().to_owned()
    }
}

/// A span of the day in which no notice is sent; it may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuietHours {
    /// The first minute, counted from midnight.
    begins: u32,
    /// The first minute after it.
    ends: u32,
}

impl QuietHours {
    /// Parses `22:00-07:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
            (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
        };
        let (begins, ends) = text.split_once('-')?;
        let hours = Self { begins: minute(begins)?, ends: minute(ends)? };
        (hours.begins != hours.ends).then_some(hours)
    }

    /// Whether `at` is in the span, on the clocks of `zone`.
    pub fn contains(self, at: DateTime<Utc>, zone: ZoneName) -> bool {
        let local = at.with_timezone(&zone.0);
        let minute = local.hour() * 60 + local.minute();
        if self.begins < self.ends {
            (self.begins..self.ends).contains(&minute)
        } else {
            minute >= self.begins || minute < self.ends
        }
    }
}

impl TryFrom<String> for QuietHours {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be a span of the day, such as 22:00-07:00")
    }
}

impl From<QuietHours> for String {
    fn from(QuietHours { begins, ends }: QuietHours) -> Self {
        format!("{:02}:{:02}-{:02}:{:02}", begins / 60, begins % 60, ends / 60, ends % 60)
    }
}

/// The longest template, in characters.
const MAX_TEMPLATE: usize = 1_000;

/// A text with placeholders: `{symbol}`. `{{` and `}}` are braces, and the two characters `\n` are a line break. A line
/// whose placeholders are all empty is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoticeTemplate {
    source: String,
    lines: Vec<Vec<TemplatePart>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Placeholder(&'static str),
}

impl NoticeTemplate {
    /// The placeholders that there are.
    pub const PLACEHOLDERS: [&str; 17] = [
        "icon",
        "headline",
        "symbol",
        "direction",
        "status",
        "entry",
        "stop",
        "targets",
        "rr",
        "score",
        "setup",
        "reason",
        "killzone",
        "time",
        "source",
        "result",
        "id",
    ];

    /// Parses a template.
    ///
    /// # Errors
    /// What is wrong with it: an unknown placeholder, a single brace, or no text.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        if source.chars().count() > MAX_TEMPLATE {
            return Err(format!("must have at most {MAX_TEMPLATE} characters"));
        }
        let text = source.replace("\\n", "\n");
        let lines = text.lines().map(parse_line).collect::<Result<_, _>>()?;
        Ok(Self { source: source.to_owned(), lines })
    }

    /// Fills the placeholders with what `value` returns for them.
    pub fn render(&self, value: impl Fn(&'static str) -> String) -> String {
        let line = |parts: &Vec<TemplatePart>| {
            let (mut text, mut placeholders, mut filled) = (String::new(), false, false);
            for part in parts {
                match part {
                    TemplatePart::Text(plain) => text.push_str(plain),
                    TemplatePart::Placeholder(name) => {
                        let value = value(name);
                        (placeholders, filled) = (true, filled || !value.is_empty());
                        text.push_str(&value);
                    }
                }
            }
            (!placeholders || filled).then_some(text)
        };
        self.lines.iter().filter_map(line).collect::<Vec<_>>().join("\n")
    }
}

fn parse_line(line: &str) -> Result<Vec<TemplatePart>, String> {
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut rest = line;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if after.starts_with(brace) {
            plain.push_str(brace);
            rest = &after[1..];
            continue;
        }
        let Some((name, behind)) = (brace == "{").then(|| after.split_once('}')).flatten() else {
            return Err(format!("has a single '{brace}': write it twice where a brace is meant"));
        };
        let known = NoticeTemplate::PLACEHOLDERS.iter().find(|known| **known == name.trim());
        let Some(known) = known else {
            let known = NoticeTemplate::PLACEHOLDERS.join(", ");
            return Err(format!("has the unknown placeholder {{{name}}}; there are {known}"));
        };
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
        }
        parts.push(TemplatePart::Placeholder(known));
        rest = behind;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(TemplatePart::Text(plain));
    }
    Ok(parts)
}

impl TryFrom<String> for NoticeTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<NoticeTemplate> for String {
    fn from(template: NoticeTemplate) -> Self {
        template.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn quiet_hours_may_go_over_midnight() {
        let bangkok = ZoneName::try_from("Asia/Bangkok".to_owned()).unwrap();
        let night = QuietHours::parse("22:00-07:00").unwrap();
        let quiet = |time: &str| night.contains(parse_time(time).unwrap(), bangkok);
        assert_eq!(
            ["2026-01-15T14:59:00Z", "2026-01-15T15:00:00Z", "2026-01-15T23:59:00Z", "2026-01-16T00:00:00Z"].map(quiet),
            [false, true, true, false]
        );
        assert_eq!(String::from(night), "22:00-07:00");
        for text in ["22:00", "22-07", "25:00-07:00", "07:00-07:00"] {
            assert_eq!(QuietHours::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_template_fills_its_placeholders() {
        let template = NoticeTemplate::parse("{symbol} {{x}}\\nStop {stop}\nplain").unwrap();
        let text = |stop: &'static str| {
            template.render(|name| if name == "symbol" { "EURUSD".to_owned() } else { stop.to_owned() })
        };
        assert_eq!(text("1.1"), "EURUSD {x}\nStop 1.1\nplain");
        assert_eq!(text(""), "EURUSD {x}\nplain", "a line without a value is left out");
    }

    #[test]
    fn a_wrong_template_names_its_fault() {
        let fault = |text: &str| NoticeTemplate::parse(text).unwrap_err();
        assert!(fault("{symbl}").starts_with("has the unknown placeholder {symbl}; there are icon, headline, symbol"));
        assert!(fault("a } b").starts_with("has a single '}'"), "{}", fault("a } b"));
        assert!(fault("{symbol").starts_with("has a single '{'"));
        assert_eq!(fault(" "), "must not be empty");
    }
}
