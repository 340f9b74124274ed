//! Errors of the configuration: always one line, which names the setting and never the value of a secret.

use std::path::PathBuf;

/// A configuration that cannot be used. Displays as one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{place}: {reason}")]
    Syntax {
        /// File and line.
        place: String,
        /// What the parser says.
        reason: String,
    },
    /// The file has an unknown key.
    #[error("{place}: unknown setting '{key}'{}", hint(suggestion.as_deref()))]
    UnknownKey {
        /// File and line.
        place: String,
        /// The key with its path.
        key: String,
        /// A setting that may have been meant.
        suggestion: Option<String>,
    },
    /// Both environment variables of a setting are set, to different values.
    #[error("{short} and {long} both set '{key}', but to different values")]
    TwoValues {
        /// The setting.
        key: String,
        /// Its short name.
        short: String,
        /// Its long name.
        long: String,
    },
    /// A value cannot be used, or contradicts others.
    #[error("{place}: {reason}")]
    Setting {
        /// The setting, and where its value comes from.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A setting that cannot be used, or contradicts others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Problem {
    /// The setting, such as `publish.interval`.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, reason: impl AsRef<str>) -> Self {
        Self { key: key.into(), reason: one_line(reason.as_ref()) }
    }
}

/// Returns the hint at the end of a line about an unknown name.
pub(super) fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

/// Removes the characters of foreign text that would break the line or steer the terminal.
pub(super) fn one_line(text: &str) -> String {
    text.trim().chars().fold(String::with_capacity(text.len()), |mut line, c| {
        match c {
            '\n' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
        line
    })
}
