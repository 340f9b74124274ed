//! What a reload changes: which settings are applied while the server runs, and which need a restart.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Limits, LogSettings, ServerSettings, Settings, names};

/// What is shown in place of a secret.
const HIDDEN: &str = "***";

/// A setting with another value than the one in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangedSetting {
    /// The setting, such as `limits.replays`; `instruments.BTCUSD` for an instrument.
    pub setting: String,
    /// The value in force; `***` for a secret, null for none.
    pub old: Value,
    /// The value that was read; `***` for a secret, null for none.
    pub new: Value,
}

/// What a reload does.
#[derive(Debug, Clone, PartialEq)]
pub struct ReloadPlan {
    /// The settings that are in force afterwards.
    pub settings: Settings,
    /// The changes that are applied.
    pub applied: Vec<ChangedSetting>,
    /// The changes that need a restart.
    pub needs_restart: Vec<ChangedSetting>,
}

impl Settings {
    /// Compares these settings, which are in force, with others that were read and validated. Each change is either applied or
    /// needs a restart.
    pub fn plan_reload(&self, read: &Self) -> ReloadPlan {
        let settings = self.with_live_settings_of(read);
        ReloadPlan { applied: changes(self, &settings), needs_restart: changes(&settings, read), settings }
    }

    /// Returns these settings with the values of `read` where they can be applied while the server runs. Everything is listed, so
    /// that a new setting does not compile before it was decided where it belongs; what is bound to `_` needs a restart.
    fn with_live_settings_of(&self, read: &Self) -> Self {
        let Self {
            instrument_sets,
            server,
            limits,
            data: _,
            sources: _,
            simulator: _,
            replay: _,
            tradingview: _,
            providers: _,
            demo: _,
            mcp: _,
            auth: _,
            costs: _,
            prices: _,
            publish: _,
            signals: _,
            setups: _,
            heartbeat: _,
            socketio: _,
            orion: _,
            aria: _,
            sentio: _,
            alerts,
            notify,
            cluster: _,
            record: _,
            log,
            instruments,
        } = read.clone();
        let LogSettings { filter, format: _ } = log;
        let mut settings = Self {
            server: self.server.with_live_settings_of(&server),
            limits: self.limits.with_live_settings_of(&limits),
            alerts,
            log: LogSettings { filter, format: self.log.format },
            ..self.clone()
        };
        let grown = Self { instrument_sets, instruments, ..settings.clone() };
        if self.only_adds_instruments(&grown) {
            settings = grown;
        }
        // A channel may be for an instrument that comes with a restart.
        if settings.instruments().is_ok_and(|known| notify.check(&known).is_ok()) {
            settings.notify = notify;
        }
        settings
    }

    /// Whether `grown` has every instrument as it is, and the engine can follow the new ones. The nodes of a cluster share one
    /// log, and have to know the same instruments. The engine has the costs of the instruments that it was started with.
    fn only_adds_instruments(&self, grown: &Self) -> bool {
        let (Ok(known), Ok(more)) = (self.instruments(), grown.instruments()) else { return false };
        !self.cluster.is_on()
            && known.iter().all(|instrument| more.get(&instrument.symbol) == Some(instrument))
            && self.trading_costs(&known) == grown.trading_costs(&more)
    }
}

impl ServerSettings {
    fn with_live_settings_of(&self, read: &Self) -> Self {
        let &Self {
            host: _,
            port: _,
            first_run: _,
            base_path: _,
            allowed_origins: _,
            drain_timeout: _,
            max_connections,
            max_connections_per_address,
            max_connections_per_user,
            max_connections_per_channel,
            max_polling_sessions,
            metrics_address: _,
            allowed_hosts: _,
            trusted_proxies: _,
            client_header: _,
        } = read;
        Self {
            max_connections,
            max_connections_per_address,
            max_connections_per_user,
            max_connections_per_channel,
            max_polling_sessions,
            ..self.clone()
        }
    }
}

impl Limits {
    fn with_live_settings_of(&self, read: &Self) -> Self {
        let &Self {
            // Socket.IO's engine is built with them.
            message_bytes: _,
            attachments: _,
            events_per_second,
            events_burst,
            pushes_per_second,
            pushes_burst,
            concurrent_reads,
            replays,
            wrong_tokens_per_minute,
        } = read;
        Self {
            events_per_second,
            events_burst,
            pushes_per_second,
            pushes_burst,
            concurrent_reads,
            replays,
            wrong_tokens_per_minute,
            ..self.clone()
        }
    }
}

/// Returns the settings that differ, by their names.
fn changes(old: &Settings, new: &Settings) -> Vec<ChangedSetting> {
    let mut changes = Vec::new();
    compare("", &shown(old), &shown(new), &mut changes);
    // What is shown of it is the same.
    let mut hidden = |setting: &str| {
        if !changes.iter().any(|change| change.setting == setting) {
            changes.push(ChangedSetting { setting: setting.to_owned(), old: json!(HIDDEN), new: json!(HIDDEN) });
        }
    };
    for ((setting, old), (_, new)) in old.secrets().into_iter().zip(new.secrets()) {
        if old != new {
            hidden(&setting);
        }
    }
    if old.auth.public_key_file != new.auth.public_key_file {
        hidden("auth.public_key_file");
    }
    changes.sort_by(|one, other| one.setting.cmp(&other.setting));
    changes
}

/// Returns the settings as `check-config` shows them, with the instruments by their symbols.
fn shown(settings: &Settings) -> Value {
    let mut shown = serde_json::to_value(settings).unwrap_or_default();
    let by_symbol =
        settings.instruments.iter().map(|own| (own.symbol.clone(), serde_json::to_value(own).unwrap_or_default()));
    shown["instruments"] = Value::Object(by_symbol.collect());
    shown
}

fn compare(setting: &str, old: &Value, new: &Value, changes: &mut Vec<ChangedSetting>) {
    if let (Value::Object(before), Value::Object(after)) = (old, new) {
        let absent = Value::Null;
        let field = |fields: &Map<String, Value>, name: &str| fields.get(name).unwrap_or(&absent).clone();
        let added = after.keys().filter(|name| !before.contains_key(*name));
        for name in before.keys().chain(added) {
            compare(&names::join(setting, name), &field(before, name), &field(after, name), changes);
        }
    } else if old != new {
        changes.push(ChangedSetting { setting: setting.to_owned(), old: old.clone(), new: new.clone() });
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
