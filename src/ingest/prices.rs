//! Pushed prices: one, or a batch that is accepted or rejected as a whole.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::aliases::{ASK, BID, PRICE, PRICE_TIME, SYMBOL, VOLUME};
use super::fields::{Fields, SentNames};
use super::{Answered, PricesAnswer, Push, PushError, SOURCE, shapes, values};
use crate::domain::{Accepted, Fault, Feed, Input, Instruments, Quote, SourceName, Tick, TickFault, iso};

/// Largest number of prices in a batch.
const MAX_BATCH: usize = 1_000;
/// How many minutes a sender's clock may be ahead.
const MAX_AHEAD_MINUTES: i64 = 5;
const MAX_VOLUME: f64 = 1e15;
/// Documented fields of a price that have no effect, because the server computes them.
const WITHOUT_EFFECT: [&str; 3] = ["type", "change", "change_percent"];
/// How many unread field names of a batch are kept.
const MAX_IGNORED: usize = 20;

/// Parsed prices.
#[derive(Debug, Clone, PartialEq)]
pub enum PushedPrices {
    /// A single price.
    One(Tick),
    /// A batch `{"prices":[…]}`.
    Batch(Vec<Tick>),
}

impl Push {
    /// Receives one price or a batch, which is accepted or rejected as a whole.
    ///
    /// # Errors
    /// [`PushError`]; nothing was accepted then.
    pub async fn prices(&self, value: &Value) -> Result<Answered<PricesAnswer>, PushError> {
        self.noted("price_update", self.accept_prices(value).await)
    }

    /// Submits validated ticks from another source. Returns those that the engine rejects.
    pub(super) async fn submit_ticks(&self, ticks: Vec<Tick>) -> Result<Vec<(usize, TickFault)>, PushError> {
        let taken = self.submit(Input::Ticks(ticks), &SentNames::default()).await;
        self.noted("tick", taken).map(|accepted| match accepted {
            Accepted::Ticks(refused) => refused,
            Accepted::Signal(_) | Accepted::RelayedMessage | Accepted::Noted => Vec::new(),
        })
    }

    async fn accept_prices(&self, value: &Value) -> Result<Answered<PricesAnswer>, PushError> {
        let now = (self.clock)();
        let (prices, ignored) = read_prices(value, &self.instruments, now, self.latest(now))?;
        let answer = match prices {
            PushedPrices::One(tick) => {
                let instrument = self.instruments.get(&tick.symbol);
                let price = instrument.map_or_else(|| tick.quote.mid(), |instrument| instrument.mid(tick.quote));
                let (symbol, timestamp) = (tick.symbol.to_string(), iso(tick.observed_at));
                self.submit(Input::Ticks(vec![tick]), &SentNames::default()).await?;
                PricesAnswer::One { success: true, message: "Price update received", symbol, price, timestamp }
            }
            PushedPrices::Batch(ticks) => {
                let accepted = ticks.len();
                self.submit(Input::Ticks(ticks), &SentNames::default()).await?;
                PricesAnswer::Batch { success: true, message: "Price updates received", accepted }
            }
        };
        Ok(Answered::new(answer, ignored))
    }
}

/// Parses one price or `{"prices":[…]}`, each also as `{"type":"price_update","data"|"payload":{…}}`. A price without a
/// time gets the time `now`; one more than five minutes after `latest` is rejected.
///
/// # Errors
/// [`PushError`] with every fault; faults in a batch are named like `prices[3].symbol`.
pub fn parse_prices(
    value: &Value,
    instruments: &Instruments,
    now: DateTime<Utc>,
    latest: DateTime<Utc>,
) -> Result<PushedPrices, PushError> {
    read_prices(value, instruments, now, latest).map(|(prices, _)| prices)
}

/// Parses prices, and also returns the names of the fields that had no effect.
pub(super) fn read_prices(
    value: &Value,
    instruments: &Instruments,
    now: DateTime<Utc>,
    latest: DateTime<Utc>,
) -> Result<(PushedPrices, Vec<String>), PushError> {
    let object = unwrap(value).ok_or_else(|| shapes::not_an_object(value))?;
    let Some(batch) = object.get("prices").filter(|batch| !batch.is_null()) else {
        let mut fields = Fields::new(object, String::new());
        let tick = read_tick(&mut fields, instruments, now, latest);
        let ignored = fields.ignored();
        fields.finish()?;
        let tick = tick.ok_or_else(|| PushError::whole("is no price"))?;
        return Ok((PushedPrices::One(tick), ignored));
    };
    let mut outer = Fields::new(object, String::new());
    outer.disregard(&["type", "prices"]);
    let entries = batch.as_array().filter(|entries| (1..=MAX_BATCH).contains(&entries.len()));
    let Some(entries) = entries else {
        outer.fault("prices", format!("must be a list of 1 to {MAX_BATCH} prices"));
        return Err(PushError::Invalid(outer.into_faults()));
    };
    let mut ignored = outer.ignored();
    let (mut ticks, mut faults) = (Vec::with_capacity(entries.len()), Vec::new());
    let nothing = Map::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut fields = Fields::new(entry.as_object().unwrap_or(&nothing), format!("prices[{index}]."));
        ticks.extend(read_tick(&mut fields, instruments, now, latest));
        if ignored.len() < MAX_IGNORED {
            ignored.extend(fields.ignored());
        }
        faults.extend(fields.into_faults());
    }
    ignored.truncate(MAX_IGNORED);
    PushError::of_faults(faults).map_or(Ok((PushedPrices::Batch(ticks), ignored)), Err)
}

fn unwrap(value: &Value) -> Option<&Map<String, Value>> {
    let object = value.as_object()?;
    let wrapped = object.get("type").and_then(Value::as_str) == Some("price_update");
    let inner = wrapped.then(|| ["data", "payload"].iter().find_map(|name| object.get(*name)?.as_object()));
    inner.flatten().or(Some(object))
}

fn read_tick(
    fields: &mut Fields<'_>,
    instruments: &Instruments,
    now: DateTime<Utc>,
    latest: DateTime<Utc>,
) -> Option<Tick> {
    let instrument = fields.instrument(instruments);
    if !fields.has(&SYMBOL) {
        fields.push(Fault::required("symbol"));
    }
    let mut price = |field| fields.read(field, |value| values::price(value, instrument));
    let (last, bid, ask) = (price(&PRICE), price(&BID), price(&ASK));
    match (fields.has(&BID), fields.has(&ASK)) {
        (true, false) => fields.push(Fault::required_when("ask", " beside bid")),
        (false, true) => fields.push(Fault::required_when("bid", " beside ask")),
        (false, false) if !fields.has(&PRICE) => fields.push(Fault::required_when("price", ", or bid and ask")),
        _ => {}
    }
    let quote = match (bid, ask) {
        (Some(bid), Some(ask)) if bid > ask => {
            fields.fault("bid", "must not be above ask");
            None
        }
        (Some(bid), Some(ask)) => Some(Quote::BidAsk { bid, ask }),
        _ => last.map(Quote::Last),
    };
    let volume = fields.read(&VOLUME, |value| values::number_within(value, 0.0, MAX_VOLUME));
    let observed_at = fields.read(&PRICE_TIME, |value| match values::time(value)? {
        at if at - latest > TimeDelta::minutes(MAX_AHEAD_MINUTES) => {
            Err(format!("must not be more than {MAX_AHEAD_MINUTES} minutes ahead of the server's clock"))
        }
        at => Ok(at),
    });
    fields.disregard(&WITHOUT_EFFECT);
    Some(Tick {
        symbol: instrument?.symbol.clone(),
        quote: quote?,
        volume,
        observed_at: observed_at.unwrap_or(now),
        feed: Feed::Live,
        source: SourceName::new(SOURCE),
    })
}
