//! Settings of the signed checkpoints of the log.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, duration};
use super::{Problem, Secret, paths};

/// The name and the key of the log's checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordSettings {
    /// The name of the log in its checkpoints, such as `feed.example.com/log`. Default none: a name made of the key.
    #[serde(deserialize_with = "value::text")]
    pub origin: String,
    /// The key that signs the checkpoints, as the file `log.key` has it. Default unset: that file in the data directory.
    #[serde(deserialize_with = "value::unless_empty")]
    pub key: Option<Secret>,
    /// A file that each new checkpoint is appended to. Default unset: none.
    #[serde(deserialize_with = "value::unless_empty")]
    pub publish_file: Option<PathBuf>,
    /// Time between two checkpoints in that file; 1 min to 1 day. Default 1 h.
    #[serde(with = "duration")]
    pub publish_interval: Duration,
}

impl Default for RecordSettings {
    fn default() -> Self {
        Self { origin: String::new(), key: None, publish_file: None, publish_interval: Duration::from_hours(1) }
    }
}

impl RecordSettings {
    /// Checks what the types cannot express.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if self.origin.len() > 255 || !self.origin.chars().all(is_plain) {
            let reason = "must be a name such as feed.example.com/log, without spaces and +, of at most 255 bytes";
            return Err(Problem::new("record.origin", reason));
        }
        self.publish_file.as_ref().map_or(Ok(()), |file| paths::check("record.publish_file", file))
    }
}
