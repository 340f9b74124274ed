//! The bytes of a recording as UTF-8 text: unpacked, decoded, and limited in size.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::error::RecordingError;

/// Largest permitted ratio of unpacked to packed size. Real recordings reach 5 to 30; gzip can reach 1,030.
const MAX_EXPANSION: u64 = 200;
/// Size that may be unpacked at any ratio, in bytes.
const FREE_EXPANSION: u64 = 16 << 20;
/// How many bytes are read to detect the file format.
const HEAD: usize = 512;

/// Where a recording comes from. It is opened twice if its first rows leave a question open.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A file.
    File(PathBuf),
    /// Bytes in memory, with a file name.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests read from memory"))]
    Bytes(Arc<[u8]>, String),
}

impl Content {
    /// Returns the file's name without its directory.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Bytes(_, name) => name.clone(),
        }
    }

    /// Opens the content from its beginning.
    ///
    /// # Errors
    /// When the file cannot be opened, or its first bytes belong to another file format.
    pub(super) fn open(&self) -> Result<DecodedText, RecordingError> {
        let raw: Box<dyn Read + Send> = match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Bytes(bytes, _) => Box::new(Cursor::new(bytes.clone())),
        };
        let read = Arc::new(AtomicU64::new(0));
        let counted = BufReader::with_capacity(1 << 16, Counted { inner: raw, read: read.clone() });
        Ok(DecodedText { reader: decoded(unpacked(counted, &read)?)?, read })
    }
}

/// An open recording as UTF-8, without a byte-order mark.
pub(super) struct DecodedText {
    pub(super) reader: Box<dyn BufRead + Send>,
    read: Arc<AtomicU64>,
}

impl DecodedText {
    /// Returns how many bytes of the file were read so far, including the read-ahead buffer.
    pub(super) fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for DecodedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("read", &self.read).finish_non_exhaustive()
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

type ByteReader = Box<dyn BufRead + Send>;

/// Reads the first bytes without consuming them.
fn head(reader: ByteReader) -> io::Result<(Vec<u8>, ByteReader)> {
    let mut first = Vec::new();
    let mut limited = reader.take(HEAD as u64);
    limited.read_to_end(&mut first)?;
    let rest = limited.into_inner();
    Ok((first.clone(), Box::new(Cursor::new(first).chain(rest))))
}

fn unpacked(raw: impl BufRead + Send + 'static, read: &Arc<AtomicU64>) -> Result<ByteReader, RecordingError> {
    let (first, reader) = head(Box::new(raw))?;
    if !first.starts_with(&[0x1f, 0x8b]) {
        refuse_other_formats(&first)?;
        return Ok(reader);
    }
    let unpacked = Bounded { inner: MultiGzDecoder::new(reader), given: 0, read: read.clone() };
    let (first, reader) = head(Box::new(BufReader::with_capacity(1 << 16, unpacked))).map_err(RecordingError::from)?;
    refuse_other_formats(&first)?;
    Ok(reader)
}

/// A reader that fails when the output is far larger than the input.
struct Bounded<R> {
    inner: R,
    given: u64,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given += read as u64;
        if self.given > FREE_EXPANSION.max(self.read.load(Ordering::Relaxed).saturating_mul(MAX_EXPANSION)) {
            return Err(io::Error::other(RecordingError::Bomb(MAX_EXPANSION)));
        }
        Ok(read)
    }
}

/// First bytes, the file format that has them, and how to convert it to a CSV.
const OTHER_FORMATS: [(&[u8], &str, &str); 13] = [
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "unpack it (unzip FILE), or save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it (zstd -d FILE)"),
    (b"BZh", "packed with bzip2", "unpack it (bunzip2 FILE)"),
    (b"\xfd7zXZ", "packed with xz", "unpack it (unxz FILE)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it (7z x FILE)"),
    (b"Rar!", "a RAR archive", "unpack it (unrar x FILE)"),
    (b"PAR1", "a Parquet file", "write it as CSV (pandas: to_csv)"),
    (b"DBN", "a Databento DBN file", "download it as CSV, or convert it (dbn FILE --csv)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"%PDF", "a PDF", "export the prices as CSV"),
    (b"SQLite format 3", "an SQLite database", "export the prices as CSV"),
    (b"\xff\xfe\0\0", "UTF-32 text", "save it as UTF-8 (iconv -f UTF-32 -t UTF-8 FILE)"),
    (b"\0\0\xfe\xff", "UTF-32 text", "save it as UTF-8 (iconv -f UTF-32 -t UTF-8 FILE)"),
];

fn refuse_other_formats(first: &[u8]) -> Result<(), RecordingError> {
    if let Some((_, what, remedy)) = OTHER_FORMATS.iter().find(|(magic, ..)| first.starts_with(magic)) {
        return Err(RecordingError::OtherFormat { what, remedy });
    }
    let text = first.trim_ascii_start().to_ascii_lowercase();
    if text.starts_with(b"<!doctype") || text.starts_with(b"<html") || text.starts_with(b"<?xml") {
        let remedy = "the download went wrong, or needs a login; a recording is a CSV file";
        return Err(RecordingError::OtherFormat { what: "a web page", remedy });
    }
    if matches!(text.first(), Some(b'{' | b'[')) {
        let remedy = "a recording is a CSV file; if a provider's answer stands in it, read what it says";
        return Err(RecordingError::OtherFormat { what: "JSON", remedy });
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wide {
    Little,
    Big,
}

/// Converts UTF-16 to UTF-8, and removes a byte-order mark.
fn decoded(reader: ByteReader) -> Result<ByteReader, RecordingError> {
    let (first, mut reader) = head(reader)?;
    let (wide, mark) = match first.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => (None, 3),
        [0xff, 0xfe, ..] => (Some(Wide::Little), 2),
        [0xfe, 0xff, ..] => (Some(Wide::Big), 2),
        first => (without_mark(first), 0),
    };
    io::copy(&mut (&mut reader).take(mark), &mut io::sink())?;
    match wide {
        None if first.contains(&0) => Err(RecordingError::NotText),
        None => Ok(reader),
        Some(wide) => Ok(Box::new(BufReader::with_capacity(
            1 << 16,
            Utf16 { inner: reader, wide, high: None, ready: Vec::new(), given: 0 },
        ))),
    }
}

/// Detects UTF-16 without a byte-order mark: every other byte is zero.
fn without_mark(first: &[u8]) -> Option<Wide> {
    let pairs = first.chunks_exact(2);
    let count = pairs.len();
    let (mut low, mut high) = (0, 0);
    for pair in pairs {
        low += usize::from(pair[0] == 0);
        high += usize::from(pair[1] == 0);
    }
    match () {
        () if count >= 4 && high * 10 >= count * 8 && low == 0 => Some(Wide::Little),
        () if count >= 4 && low * 10 >= count * 8 && high == 0 => Some(Wide::Big),
        () => None,
    }
}

/// Converts UTF-16 to UTF-8; unpaired surrogates become U+FFFD.
struct Utf16<R> {
    inner: R,
    wide: Wide,
    high: Option<u16>,
    ready: Vec<u8>,
    given: usize,
}

impl<R: Read> Utf16<R> {
    fn fill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        let mut bytes = Vec::with_capacity(8192);
        (&mut self.inner).take(8192).read_to_end(&mut bytes)?;
        let units = bytes.chunks(2).map(|pair| match (self.wide, pair) {
            (Wide::Little, [low, high]) => u16::from_le_bytes([*low, *high]),
            (Wide::Big, [high, low]) => u16::from_be_bytes([*high, *low]),
            _ => 0xfffd,
        });
        let mut units: Vec<u16> = self.high.take().into_iter().chain(units).collect();
        // The second half of a surrogate pair may be in the next chunk.
        let last_is_high = units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit));
        if last_is_high && !bytes.is_empty() {
            self.high = units.pop();
        }
        let text: String = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        self.ready = text.into_bytes();
        if self.ready.is_empty() && !bytes.is_empty() { self.fill() } else { Ok(()) }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() {
            self.fill()?;
        }
        let read = (&self.ready[self.given..]).read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> Result<String, RecordingError> {
        let mut text = String::new();
        Content::Bytes(bytes.into(), "x.csv".into()).open()?.reader.read_to_string(&mut text)?;
        Ok(text)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn wide(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    const TEXT: &str = "time,bid,ask\n2026-01-15T07:00:00Z,1.1,1.2\n";

    #[test]
    fn every_encoding_gives_the_same_text() {
        let (little, big) = (wide(TEXT, u16::to_le_bytes), wide(TEXT, u16::to_be_bytes));
        for bytes in [
            TEXT.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", TEXT.as_bytes()].concat(),
            [b"\xff\xfe", little.as_slice()].concat(),
            [b"\xfe\xff", big.as_slice()].concat(),
            little.clone(),
            big.clone(),
            packed(TEXT.as_bytes()),
            [packed(&TEXT.as_bytes()[..20]), packed(&TEXT.as_bytes()[20..])].concat(),
            packed(&little),
        ] {
            assert_eq!(read(&bytes).unwrap(), TEXT, "{bytes:?}");
        }
        let long = "x,😀\n".repeat(10_000);
        assert_eq!(read(&[b"\xff\xfe", wide(&long, u16::to_le_bytes).as_slice()].concat()).unwrap(), long);
    }

    #[test]
    fn other_file_formats_are_named() {
        for (bytes, part) in [
            (&b"PK\x03\x04\x14\0"[..], "ZIP archive"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd -d"),
            (b"  <!DOCTYPE html>", "a web page"),
            (b"{\"Note\": \"Thank you\"}", "JSON"),
            (b"a\0b\x01c\0\x02\x03", "not text"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(read(&packed(b"PK\x03\x04")).unwrap_err().to_string().contains("ZIP"));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let error = read(&packed(&vec![b'7'; 17 << 20])).unwrap_err().to_string();
        assert_eq!(error, "it unpacks to more than 200 times its size, which no recording does");
        assert!(read(&packed(TEXT.as_bytes())[..20]).is_err(), "half an archive");
    }
}
