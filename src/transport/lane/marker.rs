//! The event that marks, in what the engine writes, where the lane begins.

use std::sync::LazyLock;

use rand::RngExt as _;

/// Longest frame that is searched for the marker, in bytes.
const MAX_FRAME: usize = 256;

/// The name of the event. It is random for each process: a client that could guess it could make the server swallow a
/// frame.
pub static MARKER: LazyLock<String> = LazyLock::new(|| format!("~lane:{:032x}", rand::rng().random::<u128>()));

/// Whether the payload of a text frame is a marker, of whichever namespace.
pub(super) fn is_marker(payload: &[u8]) -> bool {
    let marker = MARKER.as_bytes();
    payload.starts_with(b"42") && payload.len() < MAX_FRAME && payload.windows(marker.len()).any(|part| part == marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_event_with_the_name_is_a_marker() {
        let marker = MARKER.as_str();
        for packet in [format!("42[\"{marker}\"]"), format!("42/ws/signals,[\"{marker}\",null]")] {
            assert!(is_marker(packet.as_bytes()), "{packet}");
        }
        for packet in [format!("43[\"{marker}\"]"), marker.to_owned(), "42[\"~lane:\"]".to_owned(), String::new()] {
            assert!(!is_marker(packet.as_bytes()), "{packet}");
        }
    }
}
