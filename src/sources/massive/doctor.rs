//! What `doctor` expects of a Massive key.

use super::MassiveSettings;
use crate::sources::providers::KeyForm;

/// Returns whether the key looks as Massive makes it.
pub(super) fn key_forms(settings: &MassiveSettings) -> Vec<KeyForm> {
    let fits = |key: &str| key.len() >= 20 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    vec![KeyForm {
        variable: "ORION_MASSIVE_KEY",
        fits: settings.key.as_ref().map(|secret| fits(secret.reveal())),
        form: "32 letters and digits",
    }]
}
