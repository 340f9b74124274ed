//! The sources that ask for prices by HTTP at an interval. A provider's own code says what is asked and what an answer means
//! ([`Dialect`]).

use std::time::Duration;

use http::{StatusCode, Uri};
use tokio::time::{Instant, sleep_until};

use super::net::{self, Http};
use super::streaming::{Dialect, QUIET, QuietWatch, WireReader};
use super::{Finished, Launcher, OptionsError, Source, SourceError, SourceHandle};
use crate::domain::{Feed, Instruments, SourceName, WallClock};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 8 << 20;

/// Starts a source that asks for prices at this interval.
///
/// # Errors
/// [`OptionsError`].
pub(super) fn start<D: Dialect>(
    dialect: D,
    names: &[String],
    interval: Duration,
    launcher: &Launcher,
) -> Result<(), OptionsError> {
    let source = PollSource::new(dialect, names, &launcher.instruments, launcher.wall.clone())?;
    launcher.spawn(D::NAME, source.with_interval(interval));
    Ok(())
}

/// A source that asks for prices by HTTP at an interval.
#[derive(Debug)]
pub struct PollSource<D> {
    reader: WireReader<D>,
    http: Http,
    address: Uri,
    interval: Duration,
}

impl<D: Dialect> PollSource<D> {
    /// Creates a source that asks every five seconds, and has not asked yet.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(dialect: D, names: &[String], catalogue: &Instruments, wall: WallClock) -> Result<Self, OptionsError> {
        let reader = WireReader::new(dialect, names, catalogue, wall)?;
        let address = reader.dialect.address(reader.listing.names());
        let address = address.parse().map_err(|_| OptionsError::Address(D::NAME))?;
        Ok(Self { reader, http: Http::persistent(net::NET_TIMEOUT), address, interval: Duration::from_secs(5) })
    }

    /// Sets the time between two requests.
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Sets the time limit for the head of an answer, and again for its body.
    #[must_use]
    pub fn with_timeout(self, limit: Duration) -> Self {
        Self { http: Http::persistent(limit), ..self }
    }

    /// Makes one request.
    async fn ask(&self) -> Result<String, SourceError> {
        let WireReader { dialect, wall, .. } = &self.reader;
        let answer = self.http.get(&self.address, dialect.headers()).await.map_err(SourceError::transient)?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            return Err(net::classify_status(head.status, &head.headers, wall(), D::ADVICE, ""));
        }
        let body = self.http.read(body, MAX_ANSWER).await.map_err(SourceError::transient)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

impl<D: Dialect> Source for PollSource<D> {
    fn name(&self) -> SourceName {
        self.reader.listing.source().clone()
    }

    fn feed(&self) -> Feed {
        self.reader.listing.feed()
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        self.reader.begin(out);
        let mut watch = QuietWatch::new(QUIET);
        loop {
            let asked = Instant::now();
            let answer = self.ask().await?;
            let ticks = self.reader.process(&answer, out)?;
            if !ticks.is_empty() {
                out.ticks(ticks).await?;
                watch.on_price();
            } else if Instant::now() >= watch.deadline() {
                watch.on_deadline(self.reader.expects_prices(), out)?;
            }
            sleep_until(asked + self.interval).await;
        }
    }
}
