//! The first token: where the settings have none, the first start makes an admin token, and prints a link that opens the admin
//! page once.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::stored::{random, replace};
use crate::config::Secret;

/// The name of the file in the data directory.
const FILE: &str = "admin-token";
/// How long the code of a link can be exchanged.
const CODE_LIFE: Duration = Duration::from_mins(30);

/// The file with the admin token that a first start has made. Only its owner may read it.
#[derive(Debug)]
pub struct AdminTokenFile(PathBuf);

impl AdminTokenFile {
    /// Returns the file of a data directory.
    pub fn in_directory(dir: &Path) -> Self {
        Self(dir.join(FILE))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the token; `None` without a file, or with an empty one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> io::Result<Option<Secret>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(Some(Secret::new(text)).filter(|secret| !secret.expose().is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a token and writes the file, as a whole and with mode 0600.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(&self) -> io::Result<Secret> {
        let secret = format!("orion_admin_{}", random().map_err(io::Error::other)?);
        if let Some(dir) = self.0.parent() {
            fs::create_dir_all(dir)?;
        }
        replace(&self.0, format!("{secret}\n").as_bytes())?;
        Ok(Secret::new(secret))
    }
}

/// The code of a link, which is exchanged for a token once and within half an hour.
#[derive(Debug, Default)]
pub struct OneTimeCode(Mutex<Option<Exchange>>);

#[derive(Debug)]
struct Exchange {
    code: Secret,
    token: Secret,
    until: Instant,
}

impl OneTimeCode {
    /// Makes a code for `token` and returns it. An earlier code is void.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn issue(&self, token: Secret) -> io::Result<String> {
        let code = random().map_err(io::Error::other)?;
        *self.0.lock() = Some(Exchange { code: Secret::new(&code), token, until: Instant::now() + CODE_LIFE });
        Ok(code)
    }

    /// Exchanges a code for its token; `None` when it is wrong, used or too old.
    pub fn exchange(&self, code: &str) -> Option<Secret> {
        let mut exchange = self.0.lock();
        let is_right = exchange.as_ref().is_some_and(|known| known.code.matches(code) && Instant::now() < known.until);
        is_right.then(|| exchange.take()).flatten().map(|exchange| exchange.token)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_reads_the_admin_token() {
        let dir = tempfile::tempdir().unwrap();
        let file = AdminTokenFile::in_directory(&dir.path().join("data"));
        assert_eq!(file.read().unwrap(), None);
        let secret = file.create().unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(file.read().unwrap(), Some(secret));
        fs::write(file.path(), "\n").unwrap();
        assert_eq!(file.read().unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_is_exchanged_once_and_in_time() {
        let (code, token) = (OneTimeCode::default(), Secret::new("t"));
        let first = code.issue(token.clone()).unwrap();
        assert_eq!(code.exchange("another"), None);
        assert_eq!(code.exchange(&first), Some(token.clone()));
        assert_eq!(code.exchange(&first), None);
        let late = code.issue(token).unwrap();
        tokio::time::advance(CODE_LIFE).await;
        assert_eq!(code.exchange(&late), None);
    }
}
