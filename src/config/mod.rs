//! All settings: one struct per concern, with each default in the doc of its field.
//!
//! Settings come from the defaults, a TOML file and the environment, in this order. They are validated as a whole. A reload
//! reads them again, and says which changes are applied at once and which need a restart ([`Settings::plan_reload`]).
//! `default.toml` documents them for operators; a test compares it with these structs.
//!
//! To add a setting: add a field with its default, a paragraph in `default.toml`, and a check in `validate.rs` if not every
//! value is usable. `reload.rs` decides whether it needs a restart. A short environment variable goes into `names.rs` and
//! `.env.example`. Providers of market data declare
//! their settings beside their code ([`ProviderSettings`]).

mod alerts;
mod auth;
mod base_path;
mod claim_path;
mod cluster;
mod costs;
mod error;
mod hosts;
mod instruments;
mod limits;
mod live;
mod load;
mod log;
mod names;
mod notify;
mod origins;
mod paths;
mod prices;
mod providers;
mod public_key;
mod record;
mod reload;
mod renamed;
mod secret;
mod server;
mod settings;
mod setups;
mod sources;
mod validate;
pub mod value;
mod weak;

pub use alerts::Alerts;
pub use auth::{Auth, ReadAuth};
pub use base_path::BasePath;
pub use claim_path::{ClaimPath, ClaimPathError};
pub use cluster::ClusterSettings;
pub use costs::CostSettings;
pub use error::{ConfigError, Problem};
pub use hosts::HostPattern;
pub use instruments::{InstrumentEntry, InstrumentSet};
pub use limits::Limits;
pub use live::Live;
pub use load::{Environment, Loaded, environment};
pub use log::{LogFormat, LogSettings};
pub use notify::{
    DiscordSettings, EmailSettings, LineSettings, MailEncryption, NoticeRules, NotifySettings, NtfySettings,
    SlackSettings, TelegramSettings, WebhookSettings,
};
pub use origins::AllowedOrigins;
pub use prices::PriceSettings;
pub use providers::{ProviderRules, ProviderSettings, ProviderTable, Providers};
pub use public_key::{PublicKey, PublicKeyError, PublicKeyFile, PublicKeys};
pub use record::RecordSettings;
pub use reload::{ChangedSetting, ReloadPlan};
pub use secret::Secret;
pub use server::{Network, ServerSettings};
pub use settings::{
    AriaSettings, DataSettings, HeartbeatSettings, McpSettings, OrionSettings, PublishSettings, SentioSettings,
    Settings, SignalSettings, SocketioSettings,
};
pub use setups::SetupSettings;
pub use sources::{DemoSettings, ReplaySettings, ReplaySpeed, SimulatorSettings, SourceSettings, TradingviewSettings};
pub use value::List;
pub use value::duration::{parse as parse_duration, text as duration_text};

/// Returns a TOML file with every setting, its default, its meaning and its environment variable.
pub fn default_config(providers: impl IntoIterator<Item = ProviderTable>) -> String {
    let (names, tables): (Vec<_>, Vec<_>) =
        providers.into_iter().map(|provider| (provider.name, format!("{}\n", provider.documentation))).unzip();
    // The last name begins a line, so that no line becomes too long.
    let names = names.join(", ");
    let names = names.rsplit_once(", ").map_or(names.clone(), |(first, last)| format!("{first},\n# {last}"));
    include_str!("default.toml").replace("{provider names}", &names).replace("{provider tables}\n", &tables.concat())
}
