//! Publishing: a file with the checkpoints of the log, to be kept where the operator cannot change it later, such as a public
//! repository.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::SignedCheckpoint;

/// Most checkpoints in the file; beyond it the oldest go. Those of more than a year, at one an hour.
const MAX_CHECKPOINTS: usize = 10_000;

/// Appends a checkpoint to a file, unless its tree is the one of the last checkpoint there. The file is replaced as a whole.
///
/// # Errors
/// When the file cannot be read or written, or has something else in it: it is then unchanged.
pub fn append_to(file: &Path, checkpoint: &SignedCheckpoint) -> io::Result<()> {
    let mut all = match fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => Vec::new(),
        Ok(text) => SignedCheckpoint::parse_all(&text).map_err(io::Error::other)?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if all.last().is_some_and(|last| last.origin() == checkpoint.origin() && last.head() == checkpoint.head()) {
        return Ok(());
    }
    all.drain(..(all.len() + 1).saturating_sub(MAX_CHECKPOINTS));
    let mut texts: Vec<_> = all.iter().map(ToString::to_string).collect();
    texts.push(checkpoint.to_string());
    let partial = file.with_extension("partial");
    let mut new = File::create(&partial)?;
    new.write_all(texts.join("\n").as_bytes())?;
    new.sync_all()?;
    fs::rename(&partial, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LogKey;
    use crate::store::TreeHead;

    #[test]
    fn a_file_keeps_each_new_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let (file, key) = (dir.path().join("checkpoints"), LogKey::from_seed([3; 32]));
        let signed = |size| SignedCheckpoint::sign(&key, &TreeHead { size, root: [1; 32] }).unwrap();
        for size in [0, 1, 1, 5] {
            append_to(&file, &signed(size)).unwrap();
        }
        let sizes = || {
            let all = SignedCheckpoint::parse_all(&fs::read_to_string(&file).unwrap()).unwrap();
            all.iter().map(|checkpoint| checkpoint.head().size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(), [0, 1, 5]);
        let many: Vec<_> = (10..10 + MAX_CHECKPOINTS as u64).map(|size| signed(size).to_string()).collect();
        fs::write(&file, many.join("\n")).unwrap();
        append_to(&file, &signed(20_000)).unwrap();
        assert_eq!((sizes().len(), sizes()[0], sizes().last().copied()), (MAX_CHECKPOINTS, 11, Some(20_000)));
        fs::write(&file, "notes of mine\n").unwrap();
        assert!(append_to(&file, &signed(6)).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "notes of mine\n", "nothing else is overwritten");
    }
}
