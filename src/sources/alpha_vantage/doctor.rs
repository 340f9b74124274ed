//! What `doctor` expects of an Alpha Vantage key.

use super::AlphaVantageSettings;
use crate::sources::providers::KeyForm;

/// Returns whether the key looks as Alpha Vantage makes it.
pub(super) fn key_forms(settings: &AlphaVantageSettings) -> Vec<KeyForm> {
    let fits = |key: &str| key.len() == 16 && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    vec![KeyForm {
        variable: "ORION_ALPHA_VANTAGE_KEY",
        fits: settings.key.as_ref().map(|secret| fits(secret.reveal())),
        form: "16 upper-case letters and digits",
    }]
}
