//! Settings of the market data providers: what all of them have in common. Each provider declares its own beside its code.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use config::{Config, ConfigError as LayerError, Value};
use http::Uri;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use super::{Problem, Secret, Settings, SourceSettings, names};

/// Largest number of instruments of one provider.
const MAX_NAMES: usize = 200;

/// The settings of a provider: a table of the file, with the provider's name.
pub trait ProviderSettings:
    Serialize + DeserializeOwned + Default + PartialEq + fmt::Debug + Send + Sync + 'static
{
    /// The name of the provider, of its source and of its table.
    const NAME: &'static str;
    /// The table in the file that documents all settings.
    const DOCUMENTATION: &'static str;
    /// The settings that also have a short environment variable: `ORION_OANDA_TOKEN` for `token`.
    const SHORT: &'static [&'static str] = &[];
    /// The schemes that its address can have, the encrypted one first.
    const SCHEMES: &'static [&'static str];

    /// Returns the secrets, each with its key in the table; none for a provider without a key.
    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        Vec::new()
    }

    /// Returns the address that replaces the provider's own, such as a proxy's.
    fn url(&self) -> Option<&str>;

    /// Returns the instruments that are asked for, by the provider's names. While the provider is enabled, the built-in
    /// crypto-currencies among them are in the catalogue.
    fn instruments(&self) -> &[String];

    /// Checks what the types cannot express.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem>;
}

/// [`ProviderSettings`] without their type.
trait AnySettings: erased_serde::Serialize + fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn equals(&self, other: &dyn Any) -> bool;
    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)>;
    fn url(&self) -> Option<&str>;
    fn instruments(&self) -> &[String];
    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem>;
}

erased_serde::serialize_trait_object!(AnySettings);

impl<P: ProviderSettings> AnySettings for P {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }

    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        P::secrets(self)
    }

    fn url(&self) -> Option<&str> {
        P::url(self)
    }

    fn instruments(&self) -> &[String] {
        P::instruments(self)
    }

    fn check(&self, rules: &ProviderRules<'_>) -> Result<(), Problem> {
        P::check(self, rules)
    }
}

/// What is known of a provider's settings before they are read.
#[derive(Debug, Clone, Copy)]
pub struct ProviderTable {
    /// [`ProviderSettings::NAME`].
    pub name: &'static str,
    /// [`ProviderSettings::DOCUMENTATION`].
    pub documentation: &'static str,
    short: &'static [&'static str],
    schemes: &'static [&'static str],
    default: fn() -> Arc<dyn AnySettings>,
    read: fn(&Config) -> Result<Arc<dyn AnySettings>, LayerError>,
}

impl ProviderTable {
    /// Returns the table of a provider.
    pub const fn of<P: ProviderSettings>() -> Self {
        Self {
            name: P::NAME,
            documentation: P::DOCUMENTATION,
            short: P::SHORT,
            schemes: P::SCHEMES,
            default: || Arc::new(P::default()),
            read: |layers| {
                let table = match layers.get::<Value>(P::NAME) {
                    Err(LayerError::NotFound(_)) => return Ok(Arc::new(P::default())),
                    table => table?,
                };
                // Read as part of a whole, so that an error has the path of its setting.
                let whole = Config::builder().set_default(P::NAME, table)?.build()?;
                let read = whole.try_deserialize::<BTreeMap<String, P>>()?.remove(P::NAME);
                Ok(Arc::new(read.unwrap_or_default()))
            },
        }
    }
}

/// The settings of all providers.
#[derive(Debug, Clone, Default)]
pub struct Providers(Vec<(ProviderTable, Arc<dyn AnySettings>)>);

impl Providers {
    /// Returns the defaults.
    pub fn new(tables: impl IntoIterator<Item = ProviderTable>) -> Self {
        Self(tables.into_iter().map(|table| (table, (table.default)())).collect())
    }

    /// Reads the settings of the same providers from the layers.
    pub(super) fn read(&self, layers: &Config) -> Result<Self, LayerError> {
        self.0.iter().map(|(table, _)| Ok((*table, (table.read)(layers)?))).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the settings of one provider, if it is in the list.
    pub fn get<P: ProviderSettings>(&self) -> Option<&P> {
        self.0.iter().find_map(|(_, settings)| settings.as_any().downcast_ref())
    }

    /// Returns the names of the providers.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(table, _)| table.name)
    }

    /// Returns the short environment variables with their settings.
    pub(super) fn short(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().flat_map(|(table, _)| {
            table.short.iter().map(|key| {
                let variable = format!("ORION_{}_{}", table.name, key).to_uppercase();
                (variable, names::join(table.name, key))
            })
        })
    }

    /// Returns the secrets with their settings.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (String, Option<&Secret>)> {
        self.0.iter().flat_map(|(table, settings)| {
            settings.secrets().into_iter().map(|(key, secret)| (names::join(table.name, key), secret))
        })
    }

    /// Returns the instruments that the enabled providers are asked for, by their names.
    pub(super) fn instruments<'a>(&'a self, sources: &SourceSettings) -> impl Iterator<Item = &'a String> {
        let enabled = self.0.iter().filter(|(table, _)| sources.runs(table.name));
        enabled.flat_map(|(_, own)| own.instruments())
    }

    /// Checks the settings of every provider.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), Problem> {
        for (table, own) in &self.0 {
            for (key, secret) in own.secrets() {
                check_mask(&names::join(table.name, key), secret)?;
            }
            check_address(&names::join(table.name, "url"), own.url(), table.schemes)?;
            own.check(&ProviderRules { name: table.name, settings })?;
        }
        Ok(())
    }

    /// Returns warnings about the providers.
    pub(super) fn warnings(&self, settings: &Settings) -> Vec<String> {
        let mut warnings = Vec::new();
        for (ProviderTable { name, schemes, .. }, own) in &self.0 {
            if !settings.sources.runs(name) {
                if own.secrets().iter().any(|(_, secret)| secret.is_some()) {
                    warnings.push(format!("a key for {name} is set, but ORION_SOURCES does not name {name}"));
                }
                continue;
            }
            if settings.sources.runs(SourceSettings::SIMULATOR) {
                warnings.push(format!(
                    "the simulator runs beside {name}: symbols that {name} does not send stay simulated; leave simulator out \
                     of ORION_SOURCES for real prices only"
                ));
            }
            let scheme = own.url().and_then(|url| Some(url.split_once(':')?.0));
            if !own.secrets().is_empty() && scheme.is_some_and(|scheme| schemes[1..].contains(&scheme)) {
                warnings.push(format!("{name}.url is not encrypted: the key for {name} travels readable"));
            }
        }
        warnings
    }
}

impl PartialEq for Providers {
    fn eq(&self, other: &Self) -> bool {
        let pairs = || self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs().all(|((_, own), (_, others))| own.equals(others.as_any()))
    }
}

impl Serialize for Providers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(table, settings)| (table.name, settings.as_ref())))
    }
}

/// What the settings of a provider are checked with.
#[derive(Debug)]
pub struct ProviderRules<'a> {
    name: &'static str,
    settings: &'a Settings,
}

impl ProviderRules<'_> {
    /// Returns whether the provider is enabled; otherwise its settings may be incomplete.
    pub fn is_enabled(&self) -> bool {
        self.settings.sources.runs(self.name)
    }

    /// Returns the problem with a setting of the provider.
    pub fn problem(&self, key: &str, reason: impl AsRef<str>) -> Problem {
        Problem::new(names::join(self.name, key), reason)
    }

    /// Returns the problem that a setting is missing.
    pub fn missing(&self, key: &str) -> Problem {
        self.problem(key, format!("the source '{}' needs it", self.name))
    }

    /// Checks that a key is set and fits into a header.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_key(&self, key: &str, secret: Option<&Secret>) -> Result<(), Problem> {
        let secret = secret.ok_or_else(|| self.missing(key))?;
        if secret.reveal().bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(());
        }
        let reason = "has characters that no key has: white space, a line break or letters beyond ASCII";
        Err(self.problem(key, reason))
    }

    /// Checks the instruments of a provider that needs no key: only while it is enabled.
    ///
    /// # Errors
    /// As [`check_names`](Self::check_names).
    pub fn check_instruments(&self, names: &[String]) -> Result<(), Problem> {
        if self.is_enabled() { self.check_names("instruments", names) } else { Ok(()) }
    }

    /// Checks that names of instruments fit into an address, and that the catalogue has one of them.
    ///
    /// # Errors
    /// When they do not, there are more than 200, or it has none.
    pub fn check_names(&self, key: &str, names: &[String]) -> Result<(), Problem> {
        let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-:/.".contains(&b));
        if let Some(name) = names.iter().find(|name| !plain(name) || name.len() > 32) {
            return Err(self.problem(key, format!("{name:?} is no instrument's name")));
        }
        if names.len() > MAX_NAMES {
            return Err(self.problem(key, format!("has more than {MAX_NAMES} instruments")));
        }
        let known = self.settings.instruments().is_ok_and(|known| names.iter().any(|name| known.resolve(name).is_ok()));
        if known { Ok(()) } else { Err(self.problem(key, "none of them is an instrument of this server")) }
    }
}

pub(super) fn check_mask(key: &str, secret: Option<&Secret>) -> Result<(), Problem> {
    if secret.is_some_and(Secret::is_mask) {
        return Err(Problem::new(key, "'***' is what check-config prints for a secret, not the secret"));
    }
    Ok(())
}

/// Checks an address. The error does not repeat it, since it may contain a key.
fn check_address(key: &str, url: Option<&str>, schemes: &[&str]) -> Result<(), Problem> {
    let usable = |url: &str| {
        let uri: Uri = url.trim().parse().ok()?;
        let scheme = schemes.contains(&uri.scheme_str()?);
        (scheme && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()).then_some(())
    };
    match url {
        Some(url) if usable(url).is_none() => {
            Err(Problem::new(key, format!("is no address, such as {}://host or {0}://host:port", schemes[0])))
        }
        _ => Ok(()),
    }
}
