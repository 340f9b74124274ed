//! The calls of Alpha Vantage, one pair after the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use tokio::time::{Instant, sleep, sleep_until};

use super::budget::CallBudget;
use super::parse::{self, NoPrice};
use crate::config::Secret;
use crate::domain::{Feed, Instrument, Instruments, SourceName, Tick, TickOrder, WallClock};
use crate::sources::net::{self, Http};
use crate::sources::{Finished, OptionsError, Source, SourceError, SourceHandle, subscriptions};

/// Largest response that is read. A price has 500 bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How often the wall clock is read while waiting, because it may be changed.
const CLOCK_CHECK: Duration = Duration::from_mins(1);

/// Options of the source.
#[derive(Debug, Clone)]
pub struct Options {
    /// Base address, such as `https://www.alphavantage.co`, without a trailing `/`.
    pub url: String,
    /// The API key.
    pub key: Secret,
    /// The pairs to request, such as `EURUSD`.
    pub instruments: Vec<String>,
    /// Calls per day.
    pub daily: u32,
    /// The file with the calls of the day; its directory must exist.
    pub file: PathBuf,
    /// Shortest time between two calls.
    pub gap: Duration,
    /// Pause after a "too many calls" response.
    pub pause: Duration,
    /// Time limit for the response head, and again for the body.
    pub response_timeout: Duration,
}

impl Options {
    /// The file in the data directory.
    pub const FILE: &'static str = "alpha_vantage.json";
    /// Five calls a minute, the limit of the free plan.
    pub const GAP: Duration = Duration::from_secs(12);
    /// The plans count calls per minute.
    pub const PAUSE: Duration = Duration::from_mins(1);
    /// Ten seconds.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
}

/// The source `alpha_vantage`.
pub struct AlphaVantage {
    options: Options,
    http: Http,
    /// The pairs that are requested, the next one first.
    pairs: Vec<Pair>,
    budget: Option<CallBudget>,
    order: TickOrder,
    wall: WallClock,
    source: SourceName,
}

struct Pair {
    from: String,
    to: String,
    instrument: Arc<Instrument>,
}

impl std::fmt::Debug for AlphaVantage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlphaVantage").field("pairs", &self.pairs.len()).finish_non_exhaustive()
    }
}

impl AlphaVantage {
    /// The name on the wire.
    pub const NAME: &'static str = "alpha_vantage";

    /// Creates a source.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(options: Options, catalogue: &Instruments, wall: WallClock) -> Result<Self, OptionsError> {
        if !Self::is_key(options.key.reveal()) {
            return Err(OptionsError::Key("alpha_vantage.key"));
        }
        let mut pairs = Vec::new();
        for (name, instrument) in subscriptions(Self::NAME, &options.instruments, catalogue)? {
            if name.len() == 6 && name.bytes().all(|b| b.is_ascii_uppercase()) {
                let (from, to) = (name[..3].to_owned(), name[3..].to_owned());
                pairs.push(Pair { from, to, instrument });
            } else {
                tracing::warn!(
                    source = Self::NAME,
                    name,
                    "the instrument of this setting is not a pair such as EURUSD; it is skipped"
                );
            }
        }
        if pairs.is_empty() {
            return Err(OptionsError::NoInstrument(Self::NAME));
        }
        let http = Http::new(options.response_timeout);
        let source = SourceName::new(Self::NAME);
        let this = Self { options, http, pairs, budget: None, order: TickOrder::default(), wall, source };
        this.address(&this.pairs[0]).map(|_| this).ok_or(OptionsError::Address("alpha_vantage.url"))
    }

    /// Returns whether a key fits into an address.
    pub(super) fn is_key(key: &str) -> bool {
        key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    }

    fn address(&self, Pair { from, to, .. }: &Pair) -> Option<Uri> {
        let (url, key) = (&self.options.url, self.options.key.reveal());
        let query = format!("function=CURRENCY_EXCHANGE_RATE&from_currency={from}&to_currency={to}&apikey={key}");
        format!("{url}/query?{query}").parse().ok()
    }

    /// Returns the price in a response about the first pair, if there is one.
    pub fn read(&self, body: &[u8]) -> Option<Tick> {
        self.pairs.first().and_then(|pair| self.parse(pair, body).ok())
    }

    fn parse(&self, pair: &Pair, body: &[u8]) -> Result<Tick, NoPrice> {
        parse::answer(body, (&pair.from, &pair.to)).map(|(quote, observed_at)| Tick {
            symbol: pair.instrument.symbol.clone(),
            quote,
            volume: None,
            observed_at,
            feed: Feed::Delayed,
            source: self.source.clone(),
        })
    }

    fn budget(&mut self) -> Result<&mut CallBudget, SourceError> {
        if self.budget.is_none() {
            let Options { file, daily, .. } = &self.options;
            let opened = CallBudget::open(file.clone(), *daily, self.pairs.len() as u32, (self.wall)());
            let failed = |error| SourceError::transient(format!("cannot read {}: {error}", file.display()));
            self.budget = Some(opened.map_err(failed)?);
        }
        self.budget.as_mut().ok_or_else(|| SourceError::transient("no budget"))
    }

    /// Waits until the budget allows a call, and records it.
    async fn allowance(&mut self, out: &SourceHandle) -> Result<(), SourceError> {
        let wall = self.wall.clone();
        loop {
            let budget = self.budget()?;
            let wait = budget.wait(wall());
            out.budget(budget.report());
            if wait.is_zero() {
                break;
            }
            sleep(wait.min(CLOCK_CHECK)).await;
        }
        self.record(|budget| budget.spend(wall()))?;
        out.budget(self.budget()?.report());
        Ok(())
    }

    fn record(&mut self, change: impl FnOnce(&mut CallBudget) -> std::io::Result<()>) -> Result<(), SourceError> {
        change(self.budget()?).map_err(|error| {
            let file = self.options.file.display();
            SourceError::transient(format!("nothing is asked, because it cannot be written down in {file}: {error}"))
        })
    }

    /// Makes one call.
    async fn ask(&self, pair: &Pair) -> Result<Result<Tick, NoPrice>, SourceError> {
        let address =
            self.address(pair).ok_or_else(|| SourceError::refused("alpha_vantage.url makes no valid address"))?;
        let answer = self.http.get(&address, HeaderMap::new()).await.map_err(SourceError::transient)?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            let advice = "check ORION_ALPHA_VANTAGE_KEY and alpha_vantage.url";
            return Err(net::classify_status(head.status, &head.headers, (self.wall)(), advice, ""));
        }
        let body = self.http.read(body, MAX_ANSWER).await.map_err(SourceError::transient)?;
        Ok(self.parse(pair, &body))
    }

    /// Applies a response. The caller has removed `pair` from the list.
    async fn apply(
        &mut self,
        pair: Pair,
        answer: Result<Tick, NoPrice>,
        out: &SourceHandle,
    ) -> Result<(), SourceError> {
        let symbol = pair.instrument.symbol.clone();
        match answer {
            Ok(tick) => {
                self.pairs.push(pair);
                out.delayed();
                match self.order.check(&tick) {
                    Ok(()) => out.ticks(vec![tick]).await?,
                    Err(reason) => out.rejected(reason.reason()),
                }
            }
            Err(NoPrice::Key) => {
                self.pairs.push(pair);
                return Err(SourceError::refused(
                    "the key is not accepted: check ORION_ALPHA_VANTAGE_KEY (the key 'demo' is for examples only)",
                ));
            }
            Err(why @ NoPrice::NotOffered) => {
                tracing::warn!(source = %self.source, %symbol, %why, "the pair is not requested any more");
                if self.pairs.is_empty() {
                    return Err(SourceError::refused("the plan of this key has none of the pairs that are asked for"));
                }
            }
            Err(why @ NoPrice::DaySpent) => {
                self.pairs.insert(0, pair);
                tracing::warn!(source = %self.source, %why, "the daily calls are used up; the next request is tomorrow");
                let now = (self.wall)();
                self.record(|budget| budget.exhaust(now))?;
            }
            Err(why @ NoPrice::TooMuch) => {
                self.pairs.insert(0, pair);
                tracing::warn!(source = %self.source, %why, seconds = self.options.pause.as_secs(), "the provider got too many calls; waiting");
                sleep(self.options.pause).await;
            }
            Err(why) => {
                self.pairs.push(pair);
                out.rejected("malformed");
                tracing::warn!(source = %self.source, %symbol, %why, "a response is invalid; it is skipped");
            }
        }
        Ok(())
    }
}

impl Source for AlphaVantage {
    fn name(&self) -> SourceName {
        self.source.clone()
    }

    fn feed(&self) -> Feed {
        Feed::Delayed
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        loop {
            self.allowance(out).await?;
            let asked = Instant::now();
            // The pair stays in the list while the call is in progress, even if it is cancelled.
            let answer = self.ask(&self.pairs[0]).await?;
            let pair = self.pairs.remove(0);
            self.apply(pair, answer, out).await?;
            sleep_until(asked + self.options.gap).await;
        }
    }
}
