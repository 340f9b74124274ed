//! Sets up the log: its filter, which a reload of the settings replaces, and the format of its lines.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::SystemTime;

use chrono::DateTime;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::redact::{Redacting, may_be_logged};
use crate::config::{LogFormat, LogSettings};
use crate::domain::iso;

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not parse.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging was started before.
    #[error(transparent)]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// The log has ended.
    #[error("the filter of the log cannot be replaced: {0}")]
    Ended(#[from] reload::Error),
}

/// Replaces the filter of the log while it is in use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Puts the filter of these settings in force.
    ///
    /// # Errors
    /// When it does not parse, or the log has ended.
    pub fn set(&self, log: &LogSettings) -> Result<(), LoggingError> {
        Ok(self.0.reload(log.env_filter()?)?)
    }
}

/// Starts logging to standard output, where container platforms collect it: coloured only on a terminal, and not when
/// `NO_COLOR` is set. Returns what replaces the filter.
///
/// # Errors
/// When the filter does not parse or logging was started before.
pub fn init(log: &LogSettings) -> Result<LogFilter, LoggingError> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = !no_color && io::stdout().is_terminal();
    let filter = init_to(log, io::stdout, ansi)?;
    log_panics();
    Ok(filter)
}

/// Logs panics: a panic ends only its task, so that the log is the only place to see it. Its text is escaped like any other.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(panic = panic.payload_as_str().unwrap_or("not a text"), at, "something panicked");
    }));
}

/// Starts logging to `writer`, as [`init`].
///
/// # Errors
/// As [`init`].
pub fn init_to<W>(log: &LogSettings, writer: W, ansi: bool) -> Result<LogFilter, LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (dispatch, filter) = dispatch(log, writer, ansi)?;
    dispatch.try_init()?;
    Ok(filter)
}

/// Returns the log to `writer`, for a program that has several, and what replaces its filter.
///
/// # Errors
/// When the filter does not parse.
pub fn dispatch<W>(log: &LogSettings, writer: W, ansi: bool) -> Result<(Dispatch, LogFilter), LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = layer(log.format, writer, ansi);
    let (filter, handle) = reload::Layer::new(log.env_filter()?);
    let dispatch = tracing_subscriber::registry().with(filter).with(filter_fn(may_be_logged)).with(layer).into();
    Ok((dispatch, LogFilter(handle)))
}

fn layer<S, W>(format: LogFormat, writer: W, ansi: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A closed standard output must not stop the server: lines that cannot be written are dropped.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_timer(UtcMillis).log_internal_errors(false);
    match format {
        LogFormat::Pretty => {
            let layer = layer.compact().with_ansi(ansi).fmt_fields(OneLine);
            layer.map_event_format(|inner| Redacting { inner, format }).boxed()
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_span_list(false);
            layer.map_event_format(|inner| Redacting { inner, format }).boxed()
        }
    }
}

/// Formats times as RFC 3339 in UTC with milliseconds.
pub(super) struct UtcMillis;

impl FormatTime for UtcMillis {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&iso(DateTime::from(SystemTime::now())))
    }
}

/// Writes `message name=value name=value` on one line. A line break in a foreign value could forge a line, and the formatter
/// of tracing-subscriber does not escape fields that are recorded by `%`.
struct OneLine;

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor =
            LineVisitor { ansi: writer.has_ansi_escapes(), writer: &mut writer, first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct LineVisitor<'a> {
    writer: &'a mut dyn fmt::Write,
    ansi: bool,
    first: bool,
    result: fmt::Result,
}

impl LineVisitor<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.writer.write_char(' ')?;
        }
        match field.name() {
            "message" => {}
            name if self.ansi => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
            name => write!(self.writer, "{name}=")?,
        }
        fmt::write(&mut Escaping(&mut *self.writer), value)
    }
}

impl Visit for LineVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Fields such as `log.target` repeat the origin of a record of the `log` crate.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field, format_args!("{value:?}"));
        }
    }
}

/// Escapes control characters.
struct Escaping<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(char::is_control) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(self.0, "{}", c.escape_default()),
            c => self.0.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: &LogSettings, ansi: bool, what: impl FnOnce()) -> String {
        let lines = LogBuffer::default();
        let sink = lines.clone();
        let layer = layer(log.format, move || sink.clone(), ansi);
        let subscriber = tracing_subscriber::registry().with(log.env_filter().unwrap()).with(layer);
        tracing::subscriber::with_default(subscriber, what);
        String::from_utf8(lines.0.lock().clone()).unwrap()
    }

    const NASTY: &str = "a\nb\r\u{1b}[2J\u{7}\u{9b}2J\tc";

    #[test]
    fn a_pretty_line_stays_one_line() {
        let log = LogSettings::default();
        let line = logged(&log, false, || {
            let span = tracing::info_span!("connection", id = %NASTY);
            tracing::info!(parent: &span, by_display = %NASTY, by_debug = ?NASTY, plain = NASTY, count = 1, "said {NASTY}");
        });
        assert!(line.ends_with('\n') && !line.trim_end_matches('\n').contains(char::is_control), "{line:?}");
        let escaped = r"a\nb\r\u{1b}[2J\u{7}\u{9b}2J\tc";
        assert!(line.contains(&format!("said {escaped} by_display={escaped} by_debug=\"{escaped}\"")), "{line}");
        assert!(line.contains(&format!("id={escaped}")) && line.contains("count=1"), "{line}");
        let coloured = logged(&log, true, || tracing::info!(by_display = %NASTY, "hello"));
        assert!(coloured.contains("\u{1b}[") && !coloured.contains("\u{1b}[2J"), "{coloured:?}");
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let log = LogSettings { format: LogFormat::Json, ..LogSettings::default() };
        let line = logged(&log, true, || tracing::warn!(symbol = %NASTY, receivers = 3, "published"));
        assert_eq!(line.matches('\n').count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&object["level"], &object["message"], &object["symbol"], &object["receivers"]),
            (&"WARN".into(), &"published".into(), &NASTY.into(), &3.into())
        );
        let at = object["timestamp"].as_str().unwrap();
        assert!(at.len() == 24 && at.ends_with('Z') && DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
    }

    #[test]
    fn a_panic_is_logged_on_one_line() {
        let log = LogSettings { format: LogFormat::Json, ..LogSettings::default() };
        let before = std::panic::take_hook();
        log_panics();
        let line = logged(&log, false, || {
            std::panic::catch_unwind(|| panic!("{NASTY}")).unwrap_err();
        });
        std::panic::set_hook(before);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["level"], &object["panic"]), (&"ERROR".into(), &NASTY.into()));
        assert!(object["at"].as_str().unwrap().starts_with(file!()), "{line}");
    }

    #[test]
    fn the_filter_can_be_replaced() {
        let lines = LogBuffer::default();
        let (sink, settings) =
            (lines.clone(), |filter: &str| LogSettings { filter: filter.into(), ..LogSettings::default() });
        let (dispatch, filter) = dispatch(&settings("warn"), move || sink.clone(), false).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            let say = |text: &str| tracing::debug!("{text}");
            say("one");
            assert!(filter.set(&settings("info,=nonsense=")).is_err());
            say("two");
            filter.set(&settings("debug")).unwrap();
            say("three");
            filter.set(&settings("off")).unwrap();
            say("four");
        });
        let logged = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert!(logged.contains("three") && logged.lines().count() == 1, "{logged}");
    }

    #[test]
    fn the_socket_crates_are_silent_by_default() {
        let say = || {
            tracing::error!(target: "socketioxide::client", "one");
            tracing::error!(target: "engineioxide", "two");
            tracing::debug!(target: "socketioxide", "three");
            tracing::trace!(target: "tungstenite::protocol", "a frame");
            tracing::info!("ours");
        };
        let filter = |filter: &str| LogSettings { filter: filter.into(), ..LogSettings::default() };
        let line = logged(&filter("info"), false, say);
        assert!(line.contains("ours") && !line.contains("one") && !line.contains("two"), "{line}");
        let line = logged(&filter("trace"), false, say);
        assert!(line.contains("ours") && !line.contains("one") && !line.contains("a frame"), "{line}");
        let line = logged(&filter("socketioxide=debug"), false, say);
        assert!(line.contains("one") && line.contains("three") && !line.contains("ours"), "{line}");
    }
}
