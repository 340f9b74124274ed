//! Splits a stream of chunks into lines.

/// Longest line that is accepted. OANDA's have about 300 bytes.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// Splits chunks into lines. Buffers at most one line.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    begun: Vec<u8>,
    /// Whether the current line is too long. It is skipped up to its end.
    overlong: bool,
}

impl LineSplitter {
    /// Appends a chunk and calls `each` for every complete line in it, without its end and never empty; `None` stands
    /// for a line that was too long.
    pub(super) fn push(&mut self, mut chunk: &[u8], mut each: impl FnMut(Option<&[u8]>)) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (rest, after) = (&chunk[..end], &chunk[end + 1..]);
            self.add(rest);
            if std::mem::take(&mut self.overlong) {
                each(None);
            } else if let line @ [_, ..] = self.begun.trim_ascii() {
                each(Some(line));
            }
            self.begun.clear();
            chunk = after;
        }
        self.add(chunk);
    }

    fn add(&mut self, part: &[u8]) {
        if self.overlong || self.begun.len() + part.len() > MAX_LINE {
            self.overlong = true;
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let (mut lines, mut seen) = (LineSplitter::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk, |line| seen.push(line.map(<[u8]>::to_vec)));
            assert!(lines.begun.len() <= MAX_LINE);
        }
        seen
    }

    #[test]
    fn an_endless_line_is_skipped_without_memory() {
        let long = vec![b'x'; MAX_LINE];
        let seen = lines(&[b"one\n", &long, &long, &long, b"x\ntwo\n"]);
        assert_eq!(seen, [Some(b"one".to_vec()), None, Some(b"two".to_vec())]);
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_change_lines(text in "[a-c\r\n ]{0,60}", cut in 1usize..7) {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let expected = whole.split('\n').map(str::trim_ascii).filter(|line| !line.is_empty());
            let expected: Vec<_> = expected.map(|line| Some(line.as_bytes().to_vec())).collect();
            prop_assert_eq!(lines(&chunks), expected);
        }
    }
}
