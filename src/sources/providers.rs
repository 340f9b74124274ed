//! What the server asks of every provider of market data.

use super::{Launcher, OptionsError, PROVIDERS};
use crate::config::{List, ProviderSettings, ProviderTable, Settings};

/// Returns the tables of all providers, for reading the settings.
pub fn tables() -> impl Iterator<Item = ProviderTable> {
    PROVIDERS.iter().map(|provider| provider.table)
}

/// Returns the provider with this name.
pub fn provider(name: &str) -> Option<&'static ListedProvider> {
    PROVIDERS.iter().find(|provider| provider.table.name == name)
}

/// What a provider's settings are good for.
pub trait Provider: ProviderSettings {
    /// The names of its sources on the wire, the preferred one first.
    const SOURCES: &'static [&'static str] = &[Self::NAME];
    /// Whether every other source is preferred to it, wherever it stands among the enabled ones.
    const IS_LAST_RESORT: bool = false;

    /// Returns the address of the provider, without a trailing `/`.
    fn address(&self) -> String;

    /// Starts its sources.
    ///
    /// # Errors
    /// [`OptionsError`].
    fn start(&self, settings: &Settings, launcher: &Launcher) -> Result<(), OptionsError>;

    /// Returns whether its keys look as the provider makes them, for `doctor`; none for a provider without a key.
    fn key_forms(&self) -> Vec<KeyForm> {
        Vec::new()
    }
}

/// Whether a key has the form that its provider gives to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyForm {
    /// The short environment variable of the key.
    pub variable: &'static str,
    /// Whether it fits; `None` when it is not set.
    pub fits: Option<bool>,
    /// The form, for people.
    pub form: &'static str,
}

/// A [`Provider`] without its type.
#[derive(Debug)]
pub struct ListedProvider {
    /// Its settings.
    pub table: ProviderTable,
    /// [`Provider::SOURCES`].
    pub sources: &'static [&'static str],
    /// [`Provider::IS_LAST_RESORT`].
    pub is_last_resort: bool,
    address: fn(&Settings) -> Option<String>,
    start: fn(&Settings, &Launcher) -> Result<(), OptionsError>,
    key_forms: fn(&Settings) -> Vec<KeyForm>,
}

impl ListedProvider {
    pub(super) const fn of<P: Provider>() -> Self {
        Self {
            table: ProviderTable::of::<P>(),
            sources: P::SOURCES,
            is_last_resort: P::IS_LAST_RESORT,
            address: |settings| settings.providers.get::<P>().map(P::address),
            start: |settings, launcher| match settings.providers.get::<P>() {
                Some(own) => own.start(settings, launcher),
                None => Err(OptionsError::Missing(P::NAME)),
            },
            key_forms: |settings| settings.providers.get::<P>().map(P::key_forms).unwrap_or_default(),
        }
    }

    /// Starts the sources of the provider.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn start(&self, settings: &Settings, launcher: &Launcher) -> Result<(), OptionsError> {
        (self.start)(settings, launcher)
    }

    /// Returns an address of the provider that answers plain HTTP requests, without a trailing `/`.
    pub fn http_address(&self, settings: &Settings) -> Option<String> {
        let address = (self.address)(settings)?;
        Some(address.strip_prefix("ws").map_or_else(|| address.clone(), |rest| format!("http{rest}")))
    }

    /// Returns whether the keys in the settings look as the provider makes them.
    pub fn key_forms(&self, settings: &Settings) -> Vec<KeyForm> {
        (self.key_forms)(settings)
    }
}

/// Returns a provider's own address, or the one that replaces it.
pub(super) fn address(settings: &impl ProviderSettings, own: &str) -> String {
    settings.url().map_or(own, |url| url.trim().trim_end_matches('/')).to_owned()
}

/// Returns a list of names, for the defaults.
pub(super) fn names<const N: usize>(names: [&str; N]) -> List<String> {
    names.map(str::to_owned).to_vec().into()
}
