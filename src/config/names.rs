//! The names of settings: their keys, their environment variables, and suggestions for misspelt ones.

use serde_json::Value;

use super::{InstrumentEntry, Providers, Settings};
use crate::domain::InstrumentClass;

/// The variable that names the configuration file.
pub(super) const CONFIG_FILE: &str = "ORION_CONFIG";

/// Short environment variables and their settings, apart from those of the providers. Every setting also has a long one,
/// see [`long`].
pub(super) const SHORT: [(&str, &str); 40] = [
    ("PORT", "server.port"),
    ("ORION_HOST", "server.host"),
    ("ORION_FIRST_RUN", "server.first_run"),
    ("ORION_BASE_PATH", "server.base_path"),
    ("ORION_ALLOWED_ORIGINS", "server.allowed_origins"),
    ("ORION_DRAIN_TIMEOUT", "server.drain_timeout"),
    ("ORION_METRICS_ADDRESS", "server.metrics_address"),
    ("ORION_DATA_DIR", "data.dir"),
    ("ORION_SOURCES", "sources.enabled"),
    ("ORION_REPLAY_FILE", "replay.file"),
    ("ORION_REPLAY_SYMBOL", "replay.symbol"),
    ("ORION_REPLAY_SPEED", "replay.speed"),
    ("ORION_REPLAY_TIMEZONE", "replay.timezone"),
    ("ORION_REPLAY_PRICE", "replay.price"),
    ("ORION_REPLAY_SPREAD", "replay.spread"),
    ("ORION_REPLAY_BAR_LABEL", "replay.bar_label"),
    ("ORION_REPLAY_COLUMNS", "replay.columns"),
    ("ORION_TRADINGVIEW_TOKEN", "tradingview.webhook_token"),
    ("ORION_DEMO_DESK", "demo.desk"),
    ("ORION_DEMO_USERS", "demo.users"),
    ("ORION_MCP", "mcp.enabled"),
    ("ORION_INGEST_TOKEN", "auth.ingest_token"),
    ("ORION_ADMIN_TOKEN", "auth.admin_token"),
    ("ORION_READ_AUTH", "auth.read_auth"),
    ("ORION_READ_TOKEN", "auth.read_token"),
    ("ORION_DELAYED_READ_TOKEN", "auth.delayed_read_token"),
    ("ORION_DELAY", "auth.delay"),
    ("ORION_OPEN_DELAY", "auth.open_delay"),
    ("ORION_JWT_SECRET", "auth.jwt_secret"),
    ("ORION_SENTIO_TRUST_USER_ID", "sentio.trust_user_id"),
    ("ORION_INSTRUMENTS", "instrument_sets"),
    ("ORION_PUBLISH_INTERVAL", "publish.interval"),
    ("ORION_SIGNAL_TTL", "signals.ttl"),
    ("ORION_REPLAY_WINDOW", "signals.replay_window"),
    ("ORION_ALARM_WINDOW", "orion.alarm_window"),
    ("ORION_SETUPS", "setups.enabled"),
    ("ORION_ALERT_WEBHOOK", "alerts.webhook_url"),
    ("ORION_ALERT_SECRET", "alerts.webhook_secret"),
    ("ORION_LOG", "log.filter"),
    ("ORION_LOG_FORMAT", "log.format"),
];

/// Returns the short environment variable of a setting, if it has one.
pub(super) fn short(key: &str, providers: &Providers) -> Option<String> {
    let own = SHORT.iter().find(|(_, of)| *of == key).map(|(name, _)| (*name).to_owned());
    own.or_else(|| providers.short().find(|(_, of)| of == key).map(|(name, _)| name))
}

/// Returns the long environment variable of a setting: `ORION_SIGNALS__TTL` for `signals.ttl`.
pub(super) fn long(key: &str) -> String {
    format!("ORION_{}", key.replace('.', "__").to_uppercase())
}

/// Returns the variable that names a file with a secret: `ORION_OANDA_TOKEN_FILE` for `ORION_OANDA_TOKEN`.
pub(super) fn file(variable: &str) -> String {
    format!("{variable}_FILE")
}

/// Whether the value of a setting must never be shown.
pub(super) fn is_secret(key: &str, providers: &Providers) -> bool {
    if providers.names().any(|name| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))) {
        return providers.secrets().any(|(secret, _)| secret == key);
    }
    // A public key is not secret, nor is the path of a key.
    let is_other = ["public_key", "tls_key"].iter().any(|name| key.ends_with(name));
    let secrets =
        ["token", "secret", "key", "webhook_url", "credentials", "password", "ntfy.topic", "notify.webhook.url"];
    !is_other && secrets.iter().any(|name| key.ends_with(name))
}

/// Whether a setting can come from the environment; a list of tables cannot.
pub(super) fn fits_environment(key: &str) -> bool {
    !key.starts_with("instruments")
}

/// Returns the key of every setting, such as `server.port` and `instruments[].symbol`, derived from [`Settings`].
pub(super) fn keys(providers: &Providers) -> Vec<String> {
    let example = InstrumentEntry {
        symbol: String::new(),
        name: None,
        class: InstrumentClass::Forex,
        digits: 0,
        tick_size: None,
        aliases: Vec::new(),
        session: None,
    };
    let settings = Settings { instruments: vec![example], providers: providers.clone(), ..Settings::default() };
    let mut keys = Vec::new();
    collect(&serde_json::to_value(settings).unwrap_or_default(), "", &mut keys);
    keys
}

fn collect(value: &Value, path: &str, keys: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                collect(field, &join(path, name), keys);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                collect(item, &format!("{path}[]"), keys);
            }
        }
        _ => keys.push(path.to_owned()),
    }
}

/// Returns the path of a key inside a table.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns the most similar candidate, if `name` is probably a misspelling of it.
pub(super) fn nearest(name: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    let most = (name.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::levenshtein(name, &candidate), candidate))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_name_belongs_to_a_setting() {
        let keys = keys(&Providers::default());
        for (name, key) in SHORT {
            assert!(keys.iter().any(|known| known == key), "{name} {key}");
        }
        assert!(keys.contains(&"instruments[].tick_size".to_owned()));
    }

    #[test]
    fn misspellings_are_recognized() {
        assert_eq!(nearest("publish.intervall", keys(&Providers::default())), Some("publish.interval".into()));
        assert_eq!(nearest("colour", keys(&Providers::default())), None);
    }
}
