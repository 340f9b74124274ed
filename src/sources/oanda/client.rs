//! The connection to OANDA's pricing stream.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::{Decoder, LinesCodec};

use super::messages::ErrorResponse;
use super::parse::{self, LineContent, MalformedLine, Subscriptions};
use crate::config::Secret;
use crate::domain::{Feed, Instruments, Session, SourceName, Symbol, Tick, TickOrder, WallClock};
use crate::sources::net::{self, Http, NetError};
use crate::sources::{Finished, OptionsError, Source, SourceError, SourceHandle, subscriptions};

/// Longest error body that is read.
const MAX_ERROR_BODY: usize = 16 * 1024;
const ADVICE: &str = "check ORION_OANDA_TOKEN, ORION_OANDA_ACCOUNT, ORION_OANDA_ENVIRONMENT (practice or live), and whether \
                      the account offers all of oanda.instruments";

/// Longest line that is accepted. OANDA's have about 300 bytes.
const MAX_LINE: usize = 64 * 1024;

/// Options of the source.
#[derive(Debug, Clone)]
pub struct Options {
    /// Base address, such as `https://stream-fxpractice.oanda.com`, without a trailing `/`.
    pub url: String,
    /// The personal access token.
    pub token: Secret,
    /// The account, such as `001-001-1234567-001`.
    pub account: String,
    /// The instruments to subscribe to, by OANDA's names, such as `EUR_USD`.
    pub instruments: Vec<String>,
    /// A stream that is silent for this long is dead.
    pub silence: Duration,
}

impl Options {
    /// Twice the heartbeat interval.
    pub const SILENCE: Duration = Duration::from_secs(10);
}

/// The source `oanda`.
pub struct Oanda {
    http: Http,
    address: Uri,
    headers: HeaderMap,
    token: Secret,
    names: Subscriptions,
    silence: Duration,
    /// Longest time without a price in market hours: while London or New York trade, and in the quiet hours.
    mute_after: (Duration, Duration),
    /// The symbols that OANDA marks as not tradeable now.
    untradeable: BTreeSet<Symbol>,
    order: TickOrder,
    wall: WallClock,
    source: SourceName,
}

impl std::fmt::Debug for Oanda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oanda").field("instruments", &self.names.len()).finish_non_exhaustive()
    }
}

impl Oanda {
    /// The name on the wire.
    pub const NAME: &'static str = "oanda";
    /// How long a stream may have only heartbeats, in market hours.
    const MUTE_AFTER: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(5));

    /// Creates a source that is not connected yet.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(options: Options, catalogue: &Instruments, wall: WallClock) -> Result<Self, OptionsError> {
        let Options { url, token, account, instruments, silence } = options;
        let names: Subscriptions = subscriptions(Self::NAME, &instruments, catalogue)?.into_iter().collect();
        // In the order of the settings, so that the address is always the same.
        let wanted: Vec<&str> =
            instruments.iter().map(String::as_str).filter(|name| names.contains_key(*name)).collect();
        let address =
            format!("{url}/v3/accounts/{account}/pricing/stream?instruments={}&snapshot=true", wanted.join("%2C"));
        let address = address.parse().map_err(|_| OptionsError::Address("oanda.url or oanda.account"))?;
        let mut bearer: HeaderValue =
            format!("Bearer {}", token.reveal()).parse().map_err(|_| OptionsError::Key("oanda.token"))?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (HeaderName::from_static("accept-datetime-format"), HeaderValue::from_static("RFC3339")),
        ]);
        let (http, order, source) = (Http::default(), TickOrder::default(), SourceName::new(Self::NAME));
        let (mute_after, untradeable) = (Self::MUTE_AFTER, BTreeSet::new());
        Ok(Self { http, address, headers, token, names, silence, mute_after, untradeable, order, wall, source })
    }

    /// Sets the longest time without a price in market hours: `busy` while London or New York trade, `quiet` in the
    /// other hours.
    #[must_use]
    pub fn with_mute_after(self, busy: Duration, quiet: Duration) -> Self {
        Self { mute_after: (busy, quiet), ..self }
    }

    fn mute_after(&self) -> Duration {
        if Session::is_busy((self.wall)()) { self.mute_after.0 } else { self.mute_after.1 }
    }

    /// Returns whether an instrument that OANDA marks as tradeable has an open market.
    fn expects_prices(&self) -> bool {
        let now = (self.wall)();
        let trades = |symbol: &Symbol| !self.untradeable.contains(symbol);
        self.names.values().any(|instrument| instrument.session.is_open(now) && trades(&instrument.symbol))
    }

    fn record_tradeable(&mut self, tick: &Tick) {
        if tick.feed == Feed::Indicative {
            self.untradeable.insert(tick.symbol.clone());
        } else {
            self.untradeable.remove(&tick.symbol);
        }
    }

    /// Returns the prices in a part of the stream, without lines that are not prices.
    pub fn read(&self, stream: &[u8]) -> Vec<Tick> {
        let mut lines = Lines::default();
        lines.push(stream);
        let mut ticks = Vec::new();
        while let Some(line) = lines.next() {
            if let Ok(LineContent::Tick(tick)) = line.and_then(|line| self.parse(&line)) {
                ticks.push(tick);
            }
        }
        ticks
    }

    fn parse(&self, line: &str) -> Result<LineContent, MalformedLine> {
        parse::line(line.as_bytes(), &self.names, &self.source)
    }

    async fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: Incoming) -> SourceError {
        let body = self.http.read(body, MAX_ERROR_BODY).await.unwrap_or_default();
        let said =
            serde_json::from_slice::<ErrorResponse>(&body).map(|refusal| refusal.error_message).unwrap_or_default();
        net::classify_status(status, headers, (self.wall)(), ADVICE, &net::words(&said, self.token.reveal()))
    }

    /// Reads one stream to its end.
    async fn listen(&mut self, mut body: Incoming, out: &SourceHandle) -> Result<Finished, SourceError> {
        let mut lines = Lines::default();
        let (mut complained, mut live) = (false, false);
        let (mut heard, mut priced, mut stalled) = (Instant::now(), Instant::now(), false);
        loop {
            let lost_at = heard + self.silence;
            let until = if stalled { lost_at } else { lost_at.min(priced + self.mute_after()) };
            let frame = match timeout_at(until, body.frame()).await {
                Ok(frame) => frame,
                Err(_) if Instant::now() >= lost_at => {
                    return Err(SourceError::transient(NetError::Silent(self.silence)));
                }
                // The time in which the markets are closed does not count.
                Err(_) if !self.expects_prices() => {
                    priced = Instant::now();
                    continue;
                }
                Err(_) => {
                    out.stalled();
                    stalled = true;
                    continue;
                }
            };
            let Some(frame) = frame else { return Err(SourceError::transient("the provider has ended the stream")) };
            let frame = frame.map_err(|error| SourceError::transient(NetError::broken(&error)))?;
            let Some(chunk) = frame.data_ref() else { continue };

            let (mut ticks, mut alive) = (Vec::new(), false);
            lines.push(chunk);
            while let Some(line) = lines.next() {
                match line.and_then(|line| self.parse(&line)) {
                    Ok(LineContent::Tick(tick)) => {
                        alive = true;
                        self.record_tradeable(&tick);
                        match self.order.check(&tick) {
                            Ok(()) => ticks.push(tick),
                            Err(reason) => out.rejected(reason.reason()),
                        }
                    }
                    Ok(LineContent::Life) => alive = true,
                    Err(why) => {
                        out.rejected("malformed");
                        if !std::mem::replace(&mut complained, true) {
                            tracing::warn!(source = %self.source, %why, "a line is invalid; it is skipped, and later ones are skipped without a log line");
                        }
                    }
                }
            }
            if alive && !std::mem::replace(&mut live, true) {
                out.live();
            }
            if !ticks.is_empty() {
                out.ticks(ticks).await?;
                (priced, stalled) = (Instant::now(), false);
            }
            if alive {
                heard = Instant::now();
            }
        }
    }
}

impl Source for Oanda {
    fn name(&self) -> SourceName {
        self.source.clone()
    }

    fn feed(&self) -> Feed {
        Feed::Live
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        let answer = self.http.get(&self.address, self.headers.clone()).await.map_err(SourceError::transient)?;
        let (head, body) = answer.into_parts();
        match head.status {
            StatusCode::OK => self.listen(body, out).await,
            status => Err(self.refusal(status, &head.headers, body).await),
        }
    }
}

/// Splits the chunks of the stream into lines. Buffers at most one line and one chunk.
struct Lines {
    codec: LinesCodec,
    buffer: BytesMut,
}

impl Default for Lines {
    fn default() -> Self {
        Self { codec: LinesCodec::new_with_max_length(MAX_LINE), buffer: BytesMut::new() }
    }
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Returns the next complete line that is not blank. One that is too long is skipped up to its end.
    fn next(&mut self) -> Option<Result<String, MalformedLine>> {
        loop {
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(line)) if line.trim().is_empty() => {}
                Ok(line) => return line.map(Ok),
                Err(_) => return Some(Err(MalformedLine::Json)),
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
