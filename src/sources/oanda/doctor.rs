//! What `doctor` expects of an OANDA account.

use super::OandaSettings;
use crate::sources::providers::KeyForm;

/// Returns whether token and account look as OANDA makes them.
pub(super) fn key_forms(settings: &OandaSettings) -> Vec<KeyForm> {
    let hex = |part: &str| part.len() == 32 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let token = |token: &str| token.split_once('-').is_some_and(|(one, other)| hex(one) && hex(other));
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let account = |id: &str| id.split('-').count() == 4 && id.split('-').all(number);
    vec![
        KeyForm {
            variable: "ORION_OANDA_TOKEN",
            fits: settings.token.as_ref().map(|secret| token(secret.reveal())),
            form: "two times 32 hexadecimal digits with a - between them",
        },
        KeyForm {
            variable: "ORION_OANDA_ACCOUNT",
            fits: settings.account.as_deref().map(account),
            form: "digits such as 001-001-1234567-001",
        },
    ]
}
