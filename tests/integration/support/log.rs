//! What a server process says in its log.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use super::{Server, soon};

/// What the process has logged so far.
#[derive(Clone)]
pub(super) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Log {
    pub(super) fn of(output: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let log = Self { lines: lines.clone(), count };
        tokio::spawn(async move {
            let mut reader = BufReader::new(output).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.lock().push(line);
                counted.send_modify(|count| *count += 1);
            }
        });
        log
    }

    /// The first line with this message, now or later.
    pub(super) async fn line(&self, message: &str) -> Option<Value> {
        let mut count = self.count.clone();
        let mut seen = 0;
        loop {
            count.borrow_and_update();
            let found = {
                let lines = self.lines.lock();
                let mut new = lines[seen..].iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let found = new.find(|line| line["message"] == message);
                seen = lines.len();
                found
            };
            if found.is_some() {
                return found;
            }
            count.changed().await.ok()?;
        }
    }
}

impl Server {
    /// The first line with this message, now or later.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        soon(message, self.log.line(message)).await.expect(message)
    }

    /// Every line with this message that was logged so far.
    pub(crate) fn lines(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lines.lock();
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["message"] == message).collect()
    }

    /// Everything that was logged so far.
    pub(crate) fn log_text(&self) -> String {
        self.log.lines.lock().join("\n")
    }

    /// Every line above `info`.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let lines = self.log.lines.lock();
        let quiet = |line: &&String| {
            let level = serde_json::from_str::<Value>(line).map(|line| line["level"].clone()).unwrap_or_default();
            ["INFO", "DEBUG", "TRACE"].iter().any(|quiet| level == *quiet)
        };
        lines.iter().filter(|line| !quiet(line)).cloned().collect()
    }
}
