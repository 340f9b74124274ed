//! Reads lines of limited length, and splits them into fields.

use std::io::{self, BufRead, Read};

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::error::MAX_LINE;
use super::input::DecodedText;

/// Largest number of columns of a row.
const MAX_FIELDS: usize = 512;

/// The lines of a text.
#[derive(Debug)]
pub(super) struct LineReader {
    text: DecodedText,
    number: u64,
}

/// A line of the file, without its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The line number, from 1.
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    /// Whether the line is longer than [`MAX_LINE`], so that `bytes` is only its beginning.
    pub(super) is_cut: bool,
}

impl Line {
    /// Returns whether the line is blank.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }
}

impl LineReader {
    pub(super) fn new(text: DecodedText) -> Self {
        Self { text, number: 0 }
    }

    /// Returns how many bytes of the file were read.
    pub(super) fn bytes(&self) -> u64 {
        self.text.bytes()
    }

    /// Reads the next line into `line`; returns `false` at the end. Bytes beyond [`MAX_LINE`] are discarded.
    pub(super) fn next(&mut self, line: &mut Line) -> io::Result<bool> {
        line.bytes.clear();
        let reader = &mut self.text.reader;
        let read = reader.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line.bytes)?;
        self.number += 1;
        line.number = self.number;
        line.is_cut = read == MAX_LINE && !line.bytes.ends_with(b"\n");
        if line.is_cut {
            reader.skip_until(b'\n')?;
        }
        while matches!(line.bytes.last(), Some(b'\n' | b'\r')) {
            line.bytes.pop();
        }
        Ok(read > 0)
    }
}

/// Splits lines into fields; quotation marks follow RFC 4180.
pub(super) struct Splitter {
    delimiter: u8,
    quoted: csv_core::Reader,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    plain: Vec<(usize, usize)>,
}

impl std::fmt::Debug for Splitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Splitter").field("delimiter", &char::from(self.delimiter)).finish_non_exhaustive()
    }
}

/// Why a line cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SplitFault {
    /// A quotation mark is not closed.
    OpenQuote,
    /// The line has more columns than [`MAX_FIELDS`].
    TooManyFields,
}

/// The fields of a line, without surrounding blanks.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowFields<'a> {
    bytes: &'a [u8],
    places: &'a [(usize, usize)],
}

impl<'a> RowFields<'a> {
    pub(super) fn len(self) -> usize {
        self.places.len()
    }

    /// Returns the field at `place`, from 0. Invalid UTF-8 becomes a text that is not a valid value.
    pub(super) fn get(self, place: usize) -> Option<&'a str> {
        let (begin, end) = *self.places.get(place)?;
        let text = std::str::from_utf8(&self.bytes[begin..end]).unwrap_or("\u{fffd}").trim();
        // After leading blanks, the CSV rules do not recognize a quotation mark.
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        Some(inner.map_or(text, str::trim))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(move |place| self.get(place))
    }

    /// Returns the number of fields up to the last one that is not empty.
    pub(super) fn filled(self) -> usize {
        (0..self.len())
            .rev()
            .find(|place| self.get(*place).is_some_and(|field| !field.is_empty()))
            .map_or(0, |last| last + 1)
    }
}

impl Splitter {
    pub(super) fn new(delimiter: u8) -> Self {
        let quoted = ReaderBuilder::new().delimiter(delimiter).build();
        Self { delimiter, quoted, unquoted: Vec::new(), ends: vec![0; MAX_FIELDS], plain: Vec::new() }
    }

    pub(super) fn split<'a>(&'a mut self, line: &'a [u8]) -> Result<RowFields<'a>, SplitFault> {
        self.plain.clear();
        if line.contains(&b'"') {
            return self.split_quoted(line);
        }
        let mut begin = 0;
        for (place, byte) in line.iter().enumerate() {
            if *byte == self.delimiter {
                self.plain.push((begin, place));
                begin = place + 1;
            }
        }
        self.plain.push((begin, line.len()));
        if self.plain.len() > MAX_FIELDS {
            return Err(SplitFault::TooManyFields);
        }
        Ok(RowFields { bytes: line, places: &self.plain })
    }

    fn split_quoted(&mut self, line: &[u8]) -> Result<RowFields<'_>, SplitFault> {
        self.quoted.reset();
        let input = [line, b"\n"].concat();
        self.unquoted.resize(input.len() + 1, 0);
        let (result, _, _, fields) = self.quoted.read_record(&input, &mut self.unquoted, &mut self.ends);
        match result {
            ReadRecordResult::Record => {}
            ReadRecordResult::OutputEndsFull => return Err(SplitFault::TooManyFields),
            _ => return Err(SplitFault::OpenQuote),
        }
        let mut begin = 0;
        for end in &self.ends[..fields] {
            self.plain.push((begin, *end));
            begin = *end;
        }
        Ok(RowFields { bytes: &self.unquoted, places: &self.plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str, delimiter: u8) -> Result<Vec<String>, SplitFault> {
        Splitter::new(delimiter).split(line.as_bytes()).map(|fields| fields.iter().map(ToOwned::to_owned).collect())
    }

    #[test]
    fn quoted_delimiters_do_not_separate() {
        assert_eq!(split("a, b ,\"c,d\",\"say \"\"x\"\"\"", b',').unwrap(), ["a", "b", "c,d", "say \"x\""]);
        assert_eq!(split("a;b,c; \"d\" ;", b';').unwrap(), ["a", "b,c", "d", ""]);
        assert_eq!(split("a\t\tb", b'\t').unwrap(), ["a", "", "b"]);
        assert_eq!(split("a,\"b", b','), Err(SplitFault::OpenQuote));
        assert_eq!(split(&",".repeat(600), b','), Err(SplitFault::TooManyFields));
        assert_eq!(split(&format!("\"\"{}", ",".repeat(600)), b','), Err(SplitFault::TooManyFields));
    }
}
