//! Follows the frames of a client, while the first packets are exchanged: where one ends, and whether it is the packet that
//! completes an upgrade.

/// The packet that completes the upgrade of a long-polling session.
const UPGRADE: u8 = b'5';
/// Length of the longest header: two bytes, an extended length of eight, and the mask.
const MAX_HEADER: usize = 14;

/// The position in what a client sends.
#[derive(Debug, Default)]
pub(super) struct InboundFrames {
    header: [u8; MAX_HEADER],
    /// Bytes of the header that have arrived.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// The first byte of the mask, if the frame is a text of one byte.
    mask: Option<u8>,
}

impl InboundFrames {
    /// Whether the last frame is complete.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Follows `bytes`, and returns whether the upgrade packet was among them.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_upgraded = false;
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                is_upgraded |= self.mask.take().is_some_and(|mask| first ^ mask == UPGRADE);
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            self.header[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if self.have >= 2 {
                self.read_header();
            }
        }
        is_upgraded
    }

    fn read_header(&mut self) {
        let short = self.header[1] & 0x7f;
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        if self.have < 2 + extended + mask {
            return;
        }
        self.left = match extended {
            0 => u64::from(short),
            _ => self.header[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let is_short_text = self.header[0] == 0x81 && self.left == 1 && mask == 4;
        self.mask = is_short_text.then(|| self.header[2]);
        self.have = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 11, 13, 17];
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 0x7e);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    #[test]
    fn the_upgrade_packet_is_found_in_any_split() {
        let long = vec![b'5'; 300];
        let bytes = [masked(0x81, b"2probe"), masked(0x81, &long), masked(0x82, b"5"), masked(0x81, b"5")].concat();
        for step in 1..bytes.len() {
            let mut frames = InboundFrames::default();
            let found: Vec<_> = bytes.chunks(step).map(|chunk| frames.follow(chunk)).collect();
            assert_eq!(found.iter().filter(|found| **found).count(), 1, "{step}");
            assert!(*found.last().unwrap());
            assert!(frames.is_between());
        }
    }

    #[test]
    fn a_partial_frame_is_not_a_border() {
        let mut frames = InboundFrames::default();
        for byte in &masked(0x81, b"42[1]")[..10] {
            frames.follow(&[*byte]);
            assert!(!frames.is_between());
        }
    }
}
