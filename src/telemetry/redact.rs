//! What the socket libraries log, without what clients send.
//!
//! At `debug` and `trace` they print whole packets and handshakes, and those hold tokens. An operator who names such a
//! library in the filter is told what it does and to which session, and no more: of its lines the constant beginning of the
//! message is kept, and the fields that cannot hold anything of a client's.

use std::fmt::{self, Write as _};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::logging::Clock;
use crate::config::LogFormat;

/// Where their targets begin.
const LIBRARIES: [&str; 4] = ["socketioxide", "engineioxide", "tungstenite", "tokio_tungstenite"];
/// Fields whose values are the library's own.
const SAFE_FIELDS: [&str; 4] = ["sid", "id", "reason", "protocol"];

/// Where the target of a record of the `log` crate begins, under which every such record passes.
const RECORD: &str = "log";

/// Whether a target is that of a library that prints what clients send.
fn is_library(target: &str) -> bool {
    LIBRARIES.iter().any(|library| target.starts_with(library))
}

/// Whether something may be logged at all. The libraries' spans hold arguments, which clients have sent; and at `trace` the
/// WebSocket library logs whole frames, without a sign between its words and a client's.
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
        let mut kept = Kept::default();
        event.record(&mut kept);
        if is_record && !is_library(&kept.target) {
            return self.inner.format_event(context, writer, event);
        }
        let mut time = String::new();
        Clock.format_time(&mut Writer::new(&mut time))?;
        let level = metadata.level();
        let target = if is_record { kept.target.as_str() } else { metadata.target() };
        match self.format {
            LogFormat::Pretty => {
                write!(writer, "{time} {level:>5} {target}: {}", kept.message)?;
                for (name, value) in kept.fields {
                    write!(writer, " {name}={value}")?;
                }
                writeln!(writer)
            }
            LogFormat::Json => {
                let mut line = json!({
                    "timestamp": time, "level": level.as_str(), "message": kept.message, "target": target,
                });
                for (name, value) in kept.fields {
                    line[name] = value.into();
                }
                writeln!(writer, "{line}")
            }
        }
    }
}

/// What may be shown of an event.
#[derive(Debug, Default)]
struct Kept {
    message: String,
    /// The target of a record of the `log` crate.
    target: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Kept {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = beginning(&format!("{value:?}")),
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

/// The words before the first sign that a value follows.
fn beginning(message: &str) -> String {
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
        for (message, kept) in [
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
            assert_eq!(beginning(message), kept, "{message}");
        }
    }
}
