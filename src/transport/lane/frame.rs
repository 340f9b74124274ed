//! WebSocket frames as a server sends them: never masked (RFC 6455 section 5.2).

use bytes::Bytes;

/// The opcode of a text message.
pub(super) const TEXT: u8 = 1;
/// The opcode of a binary message.
pub(super) const BINARY: u8 = 2;
/// Opcodes from here on are control frames, which may stand inside a fragmented message.
const FIRST_CONTROL: u8 = 8;
/// The opcode of a closing frame.
pub(super) const CLOSE: u8 = 8;
/// First byte of a text message that is not fragmented.
const WHOLE_TEXT: u8 = 0x81;
/// First byte of a ping.
const WHOLE_PING: u8 = 0x89;
/// A ping without a payload.
pub const PING: Bytes = Bytes::from_static(&[WHOLE_PING, 0]);

/// Appends a text message to `out`.
pub(super) fn append_text(payload: &[u8], out: &mut Vec<u8>) {
    out.push(WHOLE_TEXT);
    append_length(payload.len(), out);
    out.extend_from_slice(payload);
}

/// Returns a text message.
pub fn text(payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    append_text(payload, &mut frame);
    frame.into()
}

/// Returns a ping with this number as its payload.
pub fn ping(number: u64) -> Bytes {
    let mut frame = vec![WHOLE_PING, 8];
    frame.extend_from_slice(&number.to_be_bytes());
    frame.into()
}

fn append_length(length: usize, out: &mut Vec<u8>) {
    if length < 126 {
        out.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// The header of a frame that is not masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) opcode: u8,
    pub(super) is_final: bool,
    /// Length of the header, in bytes.
    pub(super) length: usize,
    /// Length of the header and the payload, in bytes.
    pub(super) total: usize,
}

impl FrameHeader {
    /// Reads the header at the front of `bytes`; `None` when it is incomplete, or the frame does not come from a server.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (length, payload) = match *bytes {
            [_, short @ 0..=125, ..] => (2, usize::from(short)),
            [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
            [_, 127, ref rest @ ..] => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?),
            _ => return None,
        };
        let total = payload.checked_add(length)?;
        Some(Self { opcode: bytes[0] & 0x0f, is_final: bytes[0] & 0x80 != 0, length, total })
    }

    pub(super) fn is_control(&self) -> bool {
        self.opcode >= FIRST_CONTROL
    }
}

/// Returns how many binary frames follow a Socket.IO packet that begins like this: one after `451-`. Nothing may come
/// between the packet and these frames.
pub(super) fn attachments(packet: &[u8]) -> u32 {
    // Engine.IO's message, then Socket.IO's binary event or binary acknowledgement.
    let [b'4', b'5' | b'6', rest @ ..] = packet else { return 0 };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if rest.get(digits) != Some(&b'-') {
        return 0;
    }
    rest[..digits].iter().fold(0, |sum: u32, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_has_its_header() {
        for (payload, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let frame = text(&vec![b'x'; payload]);
            let found = FrameHeader::read(&frame).unwrap();
            let expected = FrameHeader { opcode: TEXT, is_final: true, length: header, total: header + payload };
            assert_eq!(found, expected);
            assert_eq!(frame.len(), found.total);
            assert_eq!(FrameHeader::read(&frame[..header - 1]), None, "incomplete");
        }
    }

    #[test]
    fn a_masked_or_oversized_frame_is_rejected() {
        assert_eq!(FrameHeader::read(&[0x81, 0x80, 0, 0, 0, 0]), None);
        assert_eq!(FrameHeader::read(&[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }

    #[test]
    fn attachments_are_counted() {
        for (packet, count) in [
            ("451-[\"a\",{\"_placeholder\":true,\"num\":0}]", 1),
            ("4512-/ws,[]", 12),
            ("461-7[]", 1),
            ("450-[]", 0),
            ("42[\"451-\"]", 0),
            ("451", 0),
            ("45-", 0),
            ("2", 0),
            ("4599999999999-", u32::MAX),
        ] {
            assert_eq!(attachments(packet.as_bytes()), count, "{packet}");
        }
    }
}
