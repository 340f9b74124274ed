//! Settings that were renamed: their old names go on working for one release, with a warning.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::names;

/// The old and the new key of each renamed setting. Only the last part of a key changes.
pub(super) const RENAMED: [(&str, &str); 3] = [
    ("alerts.after", "alerts.pending_for"),
    ("prices.divergence", "prices.divergence_percent"),
    ("setups.quiet", "setups.blackout_windows"),
];

/// Returns the old environment variable of a setting that was renamed.
pub(super) fn old_variable(key: &str) -> Option<String> {
    RENAMED.iter().find(|(_, new)| *new == key).map(|(old, _)| names::long(old))
}

/// An old name in a file, and what it is called now.
pub(super) struct OldName {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    /// Where the old name stands in the text.
    pub(super) span: std::ops::Range<usize>,
    /// Whether the new name is in the file, too.
    pub(super) both: bool,
}

/// Finds the old names in a file, in the order of their places.
pub(super) fn old_names(file: &DeTable<'_>) -> Vec<OldName> {
    let mut found: Vec<_> = RENAMED.iter().filter_map(|(old, new)| old_name(file, old, new)).collect();
    found.sort_by_key(|name| name.span.start);
    found
}

fn old_name(file: &DeTable<'_>, old: &'static str, new: &'static str) -> Option<OldName> {
    let (section, old_key) = old.rsplit_once('.')?;
    let (_, new_key) = new.rsplit_once('.')?;
    let DeValue::Table(table) = file.get(section)?.get_ref() else { return None };
    let key = |wanted: &str| table.keys().find(|key: &&Spanned<DeString<'_>>| key.get_ref() == wanted);
    Some(OldName { old, new, span: key(old_key)?.span(), both: key(new_key).is_some() })
}
