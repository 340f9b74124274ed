//! What is logged, and in which form.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use super::value;

/// What is logged.
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
    /// The first directive that is only a word but no level. It would mean the target of that name, so that `warning` or a
    /// misspelt `inof` would silence everything.
    pub(super) fn stray_word(&self) -> Option<&str> {
        let is_word = |directive: &&str| !directive.is_empty() && !directive.contains(['=', '[']);
        let words = self.filter.split(',').map(str::trim).filter(is_word);
        words.into_iter().find(|word| word.parse::<LevelFilter>().is_err())
    }

    /// The filter, after our own directives: socketioxide and engineioxide log a client's bad payload as an `error`, which
    /// would let anybody fill the log, and tungstenite traces every frame, of which some hold tokens. Directives of the
    /// operator that name them win.
    ///
    /// # Errors
    /// When [`LogSettings::filter`] does not parse.
    pub fn env_filter(&self) -> Result<EnvFilter, ParseError> {
        EnvFilter::builder().parse(format!("socketioxide=off,engineioxide=off,tungstenite=info,{}", self.filter))
    }
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For machines.
    Json,
}
