//! What `doctor` expects of a Finnhub key.

use super::FinnhubSettings;
use crate::sources::providers::KeyForm;

/// Returns whether the key looks as Finnhub makes it.
pub(super) fn key_forms(settings: &FinnhubSettings) -> Vec<KeyForm> {
    let fits = |key: &str| key.len() >= 20 && key.bytes().all(|b| b.is_ascii_alphanumeric());
    vec![KeyForm {
        variable: "ORION_FINNHUB_KEY",
        fits: settings.key.as_ref().map(|secret| fits(secret.reveal())),
        form: "20 or 40 letters and digits",
    }]
}
