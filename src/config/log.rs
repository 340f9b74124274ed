//! Settings of the log.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use super::value;

/// The filter and the format of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Filter directives of tracing. Default `info`.
    #[serde(deserialize_with = "value::text")]
    pub filter: String,
    /// `pretty` for people, `json` for machines. Default `pretty`.
    #[serde(deserialize_with = "value::choice")]
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::default() }
    }
}

impl LogSettings {
    /// Returns the first directive that is a single word but not a level. `tracing` would take it as a target, so that `warning`
    /// or a misspelt `inof` would silence the whole log.
    pub(super) fn stray_word(&self) -> Option<&str> {
        let is_word = |directive: &&str| !directive.is_empty() && !directive.contains(['=', '[']);
        let words = self.filter.split(',').map(str::trim).filter(is_word);
        words.into_iter().find(|word| word.parse::<LevelFilter>().is_err())
    }

    /// Builds the filter: our own directives, then the operator's, which override ours. Ours silence socketioxide and
    /// engineioxide, which log a client's bad payload as an `error` and would let clients fill the log, rmcp, which logs several
    /// lines for each request, and tungstenite, which traces every frame, also those with tokens.
    ///
    /// # Errors
    /// When [`LogSettings::filter`] does not parse.
    pub fn env_filter(&self) -> Result<EnvFilter, ParseError> {
        EnvFilter::builder()
            .parse(format!("socketioxide=off,engineioxide=off,rmcp=off,tungstenite=info,{}", self.filter))
    }
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Pretty,
    /// One JSON object per line, for machines.
    Json,
}
