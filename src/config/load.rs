//! Loads the settings: defaults, overridden by a TOML file, overridden by the environment.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use config::{Config, ConfigError as LayerError, File, FileFormat};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{hint, one_line};
use super::names::{self, CONFIG_FILE};
use super::renamed::{self, OldName};
use super::{ConfigError, Problem, ProviderTable, Providers, Settings, paths};

/// The environment variables, as a map so that tests can pass their own.
pub type Environment = BTreeMap<String, String>;

/// The file that is read when none is named, if it exists.
const DEFAULT_FILE: &str = "orion.toml";

/// Largest file with a secret, in bytes.
const MAX_SECRET: u64 = 16 * 1024;

/// Returns the environment of the process. Invalid UTF-8 becomes replacement characters, which no setting accepts.
pub fn environment() -> Environment {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// The loaded settings, with their file and warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The validated settings.
    pub settings: Settings,
    /// Warnings for the operator, one line each.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Loads and validates the settings, with those of `providers`. The file is `config_flag`, else the one named by
    /// `ORION_CONFIG`, else `./orion.toml` if it exists.
    ///
    /// # Errors
    /// When the file or a value cannot be used, see [`ConfigError`].
    pub fn load(
        providers: impl IntoIterator<Item = ProviderTable>,
        env: &Environment,
        config_flag: Option<&Path>,
    ) -> Result<Loaded, ConfigError> {
        Self::load_with(Providers::new(providers), env, config_flag, Path::new(DEFAULT_FILE))
    }

    pub(super) fn load_with(
        providers: Providers,
        env: &Environment,
        flag: Option<&Path>,
        default: &Path,
    ) -> Result<Loaded, ConfigError> {
        let mut layers = Layers { providers, ..Layers::default() };
        let (path, text) = read_file(env, flag, default)?.unzip();
        let mut builder = Config::builder();
        let mut warnings = Vec::new();
        if let (Some(path), Some(text)) = (&path, text) {
            let text = layers.add_file(path, text, &mut warnings)?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        layers.add_environment(env, &mut warnings)?;
        for (key, (_, value)) in &layers.env {
            builder = builder.set_override(key, value.as_str()).map_err(|error| layers.explain(error))?;
        }
        let read = |values: Config| {
            let providers = layers.providers.read(&values)?;
            Ok(Self { providers, ..values.try_deserialize()? })
        };
        let settings = builder.build().and_then(read).map_err(|error| layers.explain(error))?;
        settings.validate().map_err(|problem| layers.locate(problem))?;
        warnings.extend(settings.warnings());
        Ok(Loaded { settings, warnings, file: path })
    }
}

fn read_file(env: &Environment, flag: Option<&Path>, default: &Path) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let variable = env.get(CONFIG_FILE).filter(|path| !path.is_empty()).map(Path::new);
    let named = flag.or(variable);
    let path = named.unwrap_or(default);
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let reason = path
                .to_str()
                .and_then(paths::fault)
                .map_or_else(|| error.to_string(), |fault| format!("{error}; it {fault}"));
            Err(ConfigError::Unreadable { path: path.to_owned(), reason: one_line(&reason) })
        }
    }
}

/// The origin of each value, for error messages.
#[derive(Default)]
struct Layers {
    /// The providers, with their defaults.
    providers: Providers,
    file: String,
    /// Line in the file by key, such as `instruments[0].digits`.
    lines: BTreeMap<String, usize>,
    /// Variable and value by key.
    env: BTreeMap<String, (String, String)>,
}

impl Layers {
    /// Parses a file and records the lines of its keys. Returns the text with the current names of its settings.
    fn add_file(&mut self, path: &Path, text: String, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
        self.file = path.display().to_string();
        let text = self.rename(text, warnings)?;
        self.add_table(self.parse(&text)?.get_ref(), &text, ("", ""), &names::keys(&self.providers))?;
        Ok(text)
    }

    fn parse<'a>(&self, text: &'a str) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: format!("{}:{}", self.file, error.span().map_or(1, |span| line(text, span.start))),
            reason: one_line(error.message()),
        })
    }

    /// Replaces the old names of settings.
    fn rename(&self, mut text: String, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
        let found = renamed::old_names(self.parse(&text)?.get_ref());
        // From the last one on, so that the places of the others stay the same.
        for OldName { old, new, span, both } in found.into_iter().rev() {
            let place = format!("{}:{}: {old}", self.file, line(&text, span.start));
            if both {
                return Err(two_names(place, new));
            }
            warnings.push(old_name_warning(&place, new));
            text.replace_range(span, new.rsplit('.').next().unwrap_or(new));
        }
        Ok(text)
    }

    /// Checks the keys of a table and records their lines. `path` is its position (`instruments[0]`), `kind` its name among the
    /// settings (`instruments[]`).
    fn add_table(
        &mut self,
        table: &DeTable<'_>,
        text: &str,
        (path, kind): (&str, &str),
        known: &[String],
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let (path, kind) = (names::join(path, key.get_ref()), names::join(kind, key.get_ref()));
            self.lines.insert(path.clone(), line(text, key.span().start));
            let items = format!("{kind}[]");
            match value.get_ref() {
                DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()).is_err() => {
                    return Err(self.locate(Problem::new(path, "is out of range")));
                }
                _ if known.contains(&kind) => {}
                DeValue::Table(table) if within(&kind, known) => self.add_table(table, text, (&path, &kind), known)?,
                DeValue::Array(list) if within(&items, known) => {
                    for (index, item) in list.iter().enumerate() {
                        let path = format!("{path}[{index}]");
                        self.lines.insert(path.clone(), line(text, item.span().start));
                        match item.get_ref() {
                            DeValue::Table(table) => self.add_table(table, text, (&path, &items), known)?,
                            _ => return Err(self.locate(Problem::new(path, "must be a table"))),
                        }
                    }
                }
                _ if within(&kind, known) => {
                    return Err(self.locate(Problem::new(&path, format!("must be a table: [{path}]"))));
                }
                _ if within(&items, known) => {
                    return Err(self.locate(Problem::new(&path, format!("must be a list of tables: [[{path}]]"))));
                }
                _ => return Err(self.unknown(&path, &kind, known)),
            }
        }
        Ok(())
    }

    fn unknown(&self, path: &str, kind: &str, known: &[String]) -> ConfigError {
        let section = |key: &String| key.split_once('.').map(|(section, _)| section.to_owned());
        // The one that is least deep: `port` is the server's before a mail server's.
        let same_name = || {
            let named = known.iter().filter(|key| key.rsplit('.').next() == Some(kind));
            named.min_by_key(|key| key.split('.').count()).cloned()
        };
        let suggestion = names::nearest(kind, known.iter().cloned().chain(known.iter().filter_map(section)));
        ConfigError::UnknownKey {
            place: format!("{}:{}", self.file, self.line_of(path).unwrap_or(1)),
            key: one_line(path),
            suggestion: suggestion.or_else(same_name),
        }
    }

    /// Reads the variables of all settings. Warns of old names, and of unknown variables that begin with `ORION_`.
    fn add_environment(&mut self, env: &Environment, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
        // An empty variable counts as unset: `NAME=` in an environment file, `${NAME:-}` in a compose file.
        let get = |name: &str| env.get(name).filter(|value| !value.trim().is_empty());
        let mut known = vec![CONFIG_FILE.to_owned()];
        for key in names::keys(&self.providers).into_iter().filter(|key| names::fits_environment(key)) {
            let long = names::long(&key);
            let short = names::short(&key, &self.providers).unwrap_or_else(|| long.clone());
            if names::is_secret(&key, &self.providers) {
                let files = [names::file(&short), names::file(&long)];
                self.add_secret_file(&key, &files, [&short, &long].into_iter().find(|name| get(name).is_some()), get)?;
                known.extend(files);
            }
            let used = match (get(&short), get(&long)) {
                (Some(one), Some(other)) if one != other => {
                    return Err(ConfigError::TwoValues { key, short, long });
                }
                (Some(value), _) => Some((short.clone(), value.clone())),
                (None, Some(value)) => Some((long.clone(), value.clone())),
                (None, None) => None,
            };
            let old = renamed::old_variable(&key).and_then(|old| Some((get(&old)?.clone(), old)));
            let used = match (used, old) {
                (Some((current, _)), Some((_, old))) => return Err(two_names(old, &current)),
                (None, Some((value, old))) => {
                    warnings.push(old_name_warning(&old, &short));
                    known.push(old.clone());
                    Some((old, value))
                }
                (used, None) => used,
            };
            known.extend([short, long]);
            if let Some((name, value)) = used {
                let is_text = !value.contains('\u{fffd}');
                self.env.insert(key.clone(), (name, value));
                if !is_text {
                    return Err(self.locate(Problem::new(key, "is not valid UTF-8")));
                }
                if let Some(fault) = self.quotes(&key) {
                    return Err(self.locate(Problem::new(key, fault)));
                }
            }
        }
        let unknown = env.keys().filter(|name| name.starts_with("ORION_") && !known.contains(name));
        warnings.extend(unknown.map(|name| {
            // Compared without the common prefix, which would make all names similar.
            let bare = |name: &String| name.strip_prefix("ORION_").map(str::to_owned);
            let suggestion = bare(name).and_then(|name| names::nearest(&name, known.iter().filter_map(bare)));
            let suggestion = suggestion.map(|name| format!("ORION_{name}"));
            format!("unknown variable {}{} is ignored", one_line(name), hint(suggestion.as_deref()))
        }));
        Ok(())
    }

    /// Returns what is wrong with a value in quotes. A secret may contain quotes; `secret_warnings` covers it.
    fn quotes(&self, key: &str) -> Option<&'static str> {
        self.env
            .get(key)
            .filter(|_| !names::is_secret(key, &self.providers))
            .and_then(|(_, value)| paths::quotes(value))
    }

    /// Reads a secret from the file that one of these variables names, as container platforms provide secrets.
    fn add_secret_file<'a>(
        &mut self,
        key: &str,
        files: &[String],
        direct: Option<&String>,
        get: impl Fn(&str) -> Option<&'a String>,
    ) -> Result<(), ConfigError> {
        let Some((name, path)) = files.iter().find_map(|name| Some((name, get(name)?))) else { return Ok(()) };
        let refuse = |reason: &str| ConfigError::Setting { place: format!("{name} ({key})"), reason: one_line(reason) };
        if let Some(direct) = direct {
            return Err(refuse(&format!("{direct} is set as well: leave one of them out")));
        }
        let file = std::fs::File::open(path.trim()).map_err(|error| {
            let hint = paths::fault(path.trim()).map(|fault| format!("; the path {fault}")).unwrap_or_default();
            refuse(&format!("cannot be read: {error}{hint}"))
        })?;
        let mut secret = String::new();
        let size = file.take(MAX_SECRET + 1).read_to_string(&mut secret);
        match size.map_err(|error| refuse(&format!("cannot be read: {error}")))? {
            0 => Err(refuse("the file is empty")),
            size if size as u64 > MAX_SECRET => Err(refuse("the file is too large for a secret")),
            _ if secret.trim().is_empty() => Err(refuse("the file is empty")),
            _ => {
                self.env.insert(key.to_owned(), (name.clone(), secret.trim().to_owned()));
                Ok(())
            }
        }
    }

    /// Converts an error of the crate `config` into one of ours.
    fn explain(&self, error: LayerError) -> ConfigError {
        let (key, reason) = match error {
            LayerError::At { error, key: Some(key), .. } => (key, error.to_string()),
            LayerError::Type { unexpected, expected, key: Some(key), .. } => {
                (key, format!("invalid type: {unexpected}, expected {expected}"))
            }
            LayerError::NotFound(key) => (key, "is missing".to_owned()),
            other => return ConfigError::Syntax { place: self.file.clone(), reason: one_line(&other.to_string()) },
        };
        // The crate writes `instruments[0]digits` without a dot.
        let key = key.replace(']', "].").trim_end_matches('.').to_owned();
        let reason = if names::is_secret(&key, &self.providers) { "must be a text in quotes" } else { &reason };
        self.locate(Problem::new(key, reason.replace("unknown variant", "unknown value")))
    }

    /// Adds the origin of the value: its variable, its line in the file, or else the variable that would set it.
    fn locate(&self, Problem { key, reason }: Problem) -> ConfigError {
        let place = if let Some((variable, _)) = self.env.get(&key) {
            format!("{variable} ({key})")
        } else if let Some(line) = self.line_of(&key) {
            format!("{}:{line}: {key}", self.file)
        } else if let Some(short) = names::short(&key, &self.providers) {
            format!("{key} ({short})")
        } else {
            key
        };
        ConfigError::Setting { place, reason }
    }

    /// Returns the line of a key, or of the table that lacks it.
    fn line_of(&self, key: &str) -> Option<usize> {
        let table = || key.rsplit_once('.').filter(|(table, _)| table.ends_with(']'));
        self.lines.get(key).or_else(|| self.lines.get(table()?.0)).copied()
    }
}

fn old_name_warning(old: &str, new: &str) -> String {
    format!("{old} is the old name of {new}; it works until the next release")
}

fn two_names(old: String, new: &str) -> ConfigError {
    let reason = format!("is the old name of {new}, which is set as well; leave the old one out");
    ConfigError::Setting { place: old, reason }
}

/// Whether a table of this kind contains settings.
fn within(kind: &str, known: &[String]) -> bool {
    known.iter().any(|key| key.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.')))
}

/// Returns the line of an offset, counted from 1.
fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
