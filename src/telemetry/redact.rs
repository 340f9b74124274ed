//! Redacts log lines of the socket libraries.
//!
//! At `debug` and `trace` these libraries print whole packets and handshakes, which contain tokens. When an operator enables
//! such a library in the filter, its lines keep only the constant prefix of the message and the fields that cannot contain data
//! of a client.

use std::fmt::{self, Write as _};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::logging::UtcMillis;
use crate::config::LogFormat;

/// The prefixes of the libraries' targets.
const LIBRARIES: [&str; 5] = ["socketioxide", "engineioxide", "rmcp", "tungstenite", "tokio_tungstenite"];
/// Fields whose values come from the library, not from a client.
const SAFE_FIELDS: [&str; 4] = ["sid", "id", "reason", "protocol"];

/// The target of every record of the `log` crate.
const RECORD: &str = "log";

/// Whether a target belongs to a library that prints data of clients.
fn is_library(target: &str) -> bool {
    LIBRARIES.iter().any(|library| target.starts_with(library))
}

/// Whether an event or span may be logged at all. Spans of the libraries contain arguments from clients, and at `trace` the
/// WebSocket library logs whole frames without a separator between its words and the client's.
pub(super) fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let is_frame = *metadata.level() == Level::TRACE && metadata.target().contains("tungstenite");
    !(is_frame || (metadata.is_span() && is_library(metadata.target())))
}

/// Formats the libraries' events, and leaves all others to `inner`.
#[derive(Debug)]
pub(super) struct Redacting<F> {
    pub(super) inner: F,
    pub(super) format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for Redacting<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let is_record = metadata.target() == RECORD;
        if !is_record && !is_library(metadata.target()) {
            return self.inner.format_event(context, writer, event);
        }
        let mut redacted = RedactedEvent::default();
        event.record(&mut redacted);
        if is_record && !is_library(&redacted.target) {
            return self.inner.format_event(context, writer, event);
        }
        let mut time = String::new();
        UtcMillis.format_time(&mut Writer::new(&mut time))?;
        let level = metadata.level();
        let target = if is_record { redacted.target.as_str() } else { metadata.target() };
        match self.format {
            LogFormat::Pretty => {
                write!(writer, "{time} {level:>5} {target}: {}", redacted.message)?;
                for (name, value) in redacted.fields {
                    write!(writer, " {name}={value}")?;
                }
                writeln!(writer)
            }
            LogFormat::Json => {
                let mut line = json!({
                    "timestamp": time, "level": level.as_str(), "message": redacted.message, "target": target,
                });
                for (name, value) in redacted.fields {
                    line[name] = value.into();
                }
                writeln!(writer, "{line}")
            }
        }
    }
}

/// The parts of an event that may be shown.
#[derive(Debug, Default)]
struct RedactedEvent {
    message: String,
    /// The target of a record of the `log` crate.
    target: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for RedactedEvent {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = constant_prefix(&format!("{value:?}")),
            "log.target" => format!("{value:?}").trim_matches('"').clone_into(&mut self.target),
            name if SAFE_FIELDS.contains(&name) => {
                let mut text = String::new();
                write!(text, "{value:?}").ok();
                text.retain(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
                self.fields.push((name, text));
            }
            _ => {}
        }
    }
}

/// Returns the words before the first character that introduces a value.
fn constant_prefix(message: &str) -> String {
    let (session, rest) = match message.strip_prefix("[sid=").and_then(|rest| rest.split_once("] ")) {
        Some((_, rest)) => ("a session: ", rest),
        None => ("", message),
    };
    let words = rest.split(|c: char| !(c.is_ascii_alphanumeric() || " ,'._-".contains(c))).next().unwrap_or_default();
    format!("{session}{}", words.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_a_value_begins() {
        for (message, redacted) in [
            ("received message: 40{\"token\":\"hush\"}", "received message"),
            ("auth: Some(String(\"hush\"))", "auth"),
            ("uncaught error BadPacket(Message(\"hush\"))", "uncaught error BadPacket"),
            ("[sid=AAAAAAAAAAAAAAHs] error sending packet: hush", "a session: error sending packet"),
            ("ws closed", "ws closed"),
            ("string payload \"hush\"", "string payload"),
            (
                "payload too big, stopping encoding for this payload",
                "payload too big, stopping encoding for this payload",
            ),
            ("{hush}", ""),
        ] {
            assert_eq!(constant_prefix(message), redacted, "{message}");
        }
    }
}
