//! What `doctor` expects of a Twelve Data key.

use super::TwelveDataSettings;
use crate::sources::providers::KeyForm;

/// Returns whether the key looks as Twelve Data makes it.
pub(super) fn key_forms(settings: &TwelveDataSettings) -> Vec<KeyForm> {
    let fits = |key: &str| key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit());
    vec![KeyForm {
        variable: "ORION_TWELVE_DATA_KEY",
        fits: settings.key.as_ref().map(|secret| fits(secret.reveal())),
        form: "32 hexadecimal digits",
    }]
}
