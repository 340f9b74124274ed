//! The server's state, together with what only the platform knows.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::domain::{RelayedMessage, iso};
use crate::telemetry::Usage;
use crate::transport::shape::json_number;

/// Fields that only the platform can provide.
const OF_THE_PLATFORM: [&str; 5] = ["redis", "exchange_connections", "last_trade", "disk_percent", "error_rate"];

/// What the server knows about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerState {
    /// Whether the server is fully working.
    pub healthy: bool,
    /// Whether signals can be stored.
    pub database: bool,
    /// Resource usage of the process.
    pub usage: Usage,
}

/// Returns the `data` of `system_health`: the server's own state, and the platform's fields of `published`. Later
/// messages take precedence.
pub(crate) fn system_health<'a>(
    state: &ServerState,
    published: impl Iterator<Item = &'a RelayedMessage>,
    now: DateTime<Utc>,
) -> Map<String, Value> {
    let ServerState { healthy, database, usage } = state;
    let mut data = Map::new();
    for message in published {
        let Ok(known) = serde_json::from_str::<Map<String, Value>>(&message.data) else { continue };
        for name in OF_THE_PLATFORM {
            if let Some(value) = known.get(name).filter(|value| !value.is_null()) {
                data.insert(name.to_owned(), value.clone());
            }
        }
    }
    data.insert("status".into(), if *healthy { "healthy" } else { "degraded" }.into());
    data.insert("uptime".into(), usage.uptime.as_secs().into());
    data.insert("database".into(), if *database { "connected" } else { "failing" }.into());
    for (name, percent) in [("cpu_percent", usage.cpu_percent), ("memory_percent", usage.resident_percent)] {
        if let Some(percent) = percent {
            data.insert(name.into(), json_number((percent * 100.0).round() / 100.0));
        }
    }
    data.insert("timestamp".into(), iso(now).into());
    data
}
