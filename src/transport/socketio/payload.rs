//! The packets in an answer to a long poll, and where the answer can be split.

use bytes::Bytes;

/// Largest number of packets in an answer: python-engineio rejects more.
pub(super) const MAX_PACKETS: usize = 16;
/// Separates two packets of Engine.IO 4.
const SEPARATOR: u8 = 0x1e;
/// Separates the length of a packet from the packet, in the binary form of Engine.IO 3.
const BINARY_SEPARATOR: u8 = 0xff;

/// Splits a payload after the largest number of packets that an answer may hold. The second part is empty when the
/// first is all, or when the payload is malformed.
pub(super) fn split(payload: &Bytes, version: u8, is_binary: bool) -> (Bytes, Bytes) {
    let (end, next) = match (version, is_binary) {
        (3, true) => without_separator(end_of_binary(payload)),
        (3, false) => without_separator(end_of_text(payload)),
        _ => {
            let separators = payload.iter().enumerate().filter(|(_, byte)| **byte == SEPARATOR);
            separators.map(|(at, _)| (at, at + 1)).nth(MAX_PACKETS - 1).unwrap_or((payload.len(), payload.len()))
        }
    };
    (payload.slice(..end), payload.slice(next..))
}

fn without_separator(end: usize) -> (usize, usize) {
    (end, end)
}

/// Returns the end of the first packets in the text form, `<length>:<packet>` repeated. Lengths are in UTF-16 units.
fn end_of_text(payload: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(payload) else { return payload.len() };
    let mut rest = text;
    for _ in 0..MAX_PACKETS {
        let Some((length, after)) = rest.split_once(':') else { return payload.len() };
        let Ok(mut left) = length.parse::<usize>() else { return payload.len() };
        let end = after.char_indices().find_map(|(at, c)| {
            let end = (left == 0).then_some(at);
            left = left.saturating_sub(c.len_utf16());
            end
        });
        rest = &after[end.unwrap_or(after.len())..];
    }
    payload.len() - rest.len()
}

/// Returns the end of the first packets in the binary form: type, length in digits of one byte each, 0xff, packet;
/// repeated.
fn end_of_binary(payload: &[u8]) -> usize {
    let mut rest = payload;
    for _ in 0..MAX_PACKETS {
        let Some(digits) = rest.iter().position(|byte| *byte == BINARY_SEPARATOR) else { return payload.len() };
        let head = rest.get(1..digits).unwrap_or_default();
        let length = head.iter().try_fold(0_usize, |length, digit| {
            length.checked_mul(10)?.checked_add(usize::from(*digit)).filter(|_| *digit <= 9)
        });
        let end = length.and_then(|length| length.checked_add(digits + 1));
        match end.and_then(|end| rest.get(end..)) {
            Some(next) => rest = next,
            None => return payload.len(),
        }
    }
    payload.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes a payload of these packets in each form.
    fn forms(packets: &[String]) -> [(u8, bool, Bytes); 3] {
        let lengths = packets.iter().map(|packet| format!("{}:{packet}", packet.encode_utf16().count()));
        let binary = packets.iter().flat_map(|packet| {
            let digits = packet.len().to_string().into_bytes().into_iter().map(|digit| digit - b'0');
            std::iter::once(0).chain(digits).chain([BINARY_SEPARATOR]).chain(packet.bytes())
        });
        [
            (4, false, packets.join("\u{1e}").into()),
            (3, false, lengths.collect::<String>().into()),
            (3, true, binary.collect::<Vec<_>>().into()),
        ]
    }

    #[test]
    fn a_payload_within_the_limit_is_not_split() {
        for packets in [vec![], vec!["2".to_owned()], vec!["4€𝕏".to_owned(); MAX_PACKETS]] {
            for (version, is_binary, payload) in forms(&packets) {
                assert_eq!(split(&payload, version, is_binary), (payload.clone(), Bytes::new()));
            }
        }
    }

    #[test]
    fn a_malformed_payload_is_not_split() {
        for payload in ["", ":", "x", "3:2", "99999999999999999999:4", "1:11:1x", "\u{0}\u{1}"] {
            let payload = Bytes::from(payload);
            for (version, is_binary) in [(4, false), (3, false), (3, true)] {
                assert_eq!(split(&payload, version, is_binary), (payload.clone(), Bytes::new()), "{payload:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_payload(packets in prop::collection::vec("[2-4][^\\x1e]{0,9}", 0..60)) {
            for (version, is_binary, payload) in forms(&packets) {
                let (mut rest, mut parts) = (payload, Vec::new());
                while !rest.is_empty() {
                    let (first, next) = split(&rest, version, is_binary);
                    parts.push(first);
                    rest = next;
                }
                let expected: Vec<_> = packets.chunks(MAX_PACKETS).map(|part| {
                    forms(part).into_iter().find(|form| (form.0, form.1) == (version, is_binary)).unwrap().2
                }).collect();
                prop_assert_eq!(parts, expected);
            }
        }

        #[test]
        fn no_payload_panics(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            for (version, is_binary) in [(4, false), (3, false), (3, true)] {
                let payload = Bytes::from(payload.clone());
                let (first, rest) = split(&payload, version, is_binary);
                prop_assert!(!first.is_empty() || rest.is_empty() || version == 4);
            }
        }
    }
}
