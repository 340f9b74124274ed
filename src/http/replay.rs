//! `GET /api/replay`: a span of the history as server-sent events, at a speed.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, StatusCode, Uri};

use super::AppState;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::RawQuery;
use super::stream::take_last_event_id;
use crate::domain::{Direction, Fault, Instruments, Killzone, SetupKind, SignalStatus, parse_time};
use crate::listener::{KillSwitch, Peer};
use crate::transport::command::SubscriptionRequest;
use crate::transport::sse::{self, ReplayRequest, ReplayStream, SseConnection};

const ENDPOINT: &str = "/api/replay";
/// The longest span.
const MAX_SPAN: TimeDelta = TimeDelta::days(7);
/// The span without `to`.
const DEFAULT_SPAN: TimeDelta = TimeDelta::days(1);
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=3_600.0;
const DEFAULT_SPEED: f64 = 60.0;
/// Parameters of `/api/stream` that have no meaning here.
const LIVE_ONLY: [&str; 3] = ["since", "replay", "max_hz"];

/// Plays a span of the history: the stored prices, signals and outcomes as server-sent events, at `speed` times real time.
///
/// The state at `from` comes first: the last price of each symbol, the signals of the day before as they then were, and their
/// outcomes. Then `replay_start`, what came after `from` in its order, and `replay_end`, after which the stream ends. The
/// messages are those of `/api/stream` with their original times and `replayed: true`; a price is the last one of its minute,
/// with the `bar`. The `id` is the time of the message, from which `Last-Event-ID` goes on.
#[utoipa::path(
    get,
    path = "/api/replay",
    operation_id = "replay",
    security(("reader" = [])),
    params(
        ("from" = String, Query, description = "Beginning: a time", example = "2026-01-15T07:00:00Z"),
        ("to" = Option<String>, Query, description = "End: a time, at most 7 days after `from`; by default a day after it; now at the latest", example = "2026-01-15T07:10:00Z"),
        ("speed" = Option<f64>, Query, description = "How many times real time, 60 by default", minimum = 1, maximum = 3600, example = 3600),
        ("channels" = Option<String>, Query, description = "Of `signals`, `prices`, `clock`, with commas; signals and prices by default", example = "signals,prices"),
        ("symbols" = Option<String>, Query, description = "Instruments, in any spelling, with commas; all by default", example = "EURUSD,XAUUSD"),
        ("min_confidence" = Option<f64>, Query, description = "Only signals of at least this confidence", minimum = 0, maximum = 1),
        ("directions" = Option<Vec<Direction>>, Query, explode = false, description = "Only signals of these directions"),
        ("killzones" = Option<Vec<Killzone>>, Query, explode = false, description = "Only signals of these windows"),
        ("setups" = Option<Vec<SetupKind>>, Query, explode = false, description = "Only signals whose `reason` names one of these setups"),
        ("sources" = Option<Vec<String>>, Query, explode = false, description = "Only signals of these sources"),
        ("statuses" = Option<Vec<SignalStatus>>, Query, explode = false, description = "Only signals in these states"),
        ("token" = Option<String>, Query, description = "The token, for an `EventSource`, which cannot set headers"),
    ),
    responses(
        // Without a schema: tools hold each event to it, not the text.
        (status = 200, body = serde_json::Value, content_type = "text/event-stream", description = "The replay, until its end"),
        (status = 204, description = "`Last-Event-ID` is the end: an `EventSource` does not connect again"),
        Refuses<422>,
    ),
)]
pub(super) async fn replay(
    State(state): State<AppState>,
    connection: Option<Extension<KillSwitch>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    uri: Uri,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let gateway = state.gateway;
    let admitted = gateway.admit_connection(&headers, true).and_then(|()| gateway.admit_reader(&headers, &uri, None));
    let login = match admitted {
        Ok(login) => login,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let now = (state.clock)();
    // To a reader with a delay, nothing has happened since its cutoff.
    let now = gateway.log.cutoff().map_or(now, |cutoff| cutoff.min(now));
    let Some(request) = request(&headers, query?.0, &state.instruments, now)? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let slot = match gateway.enter_replay(ENDPOINT) {
        Ok(slot) => slot,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let (address, connection) = (peer.map(|Extension(peer)| peer.client), connection.map(|Extension(stream)| stream));
    let connection = SseConnection::open(gateway, login, (ENDPOINT, slot), address, connection);
    Ok(sse::respond(|events| ReplayStream::serve(connection, request, events)))
}

/// Returns what a request asks for; `None` when the client has it to its end.
fn request(
    headers: &HeaderMap,
    mut query: Vec<(String, String)>,
    instruments: &Instruments,
    now: DateTime<Utc>,
) -> Result<Option<ReplayRequest>, ApiError> {
    let mut faults = Vec::new();
    let mut take = |name: &str| {
        let taken: Vec<_> = query.extract_if(.., |(key, _)| key == name).collect();
        taken.into_iter().map(|(_, value)| value).find(|value| !value.is_empty())
    };
    let [from, to, speed] = ["from", "to", "speed"].map(&mut take);
    for name in LIVE_ONLY {
        if take(name).is_some() {
            faults.push(Fault::new(name, "is for the live stream: a replay has from, to and speed"));
        }
    }
    let reached = take_last_event_id(headers, &mut query);
    let mut time = |name: &str, text: Option<String>| {
        let text = text?;
        let read = parse_time(&text);
        if read.is_none() {
            faults.push(Fault::new(name, "must be a time, such as 2026-01-15T07:00:00Z"));
        }
        read
    };
    let (is_given, begin, end) = (from.is_some(), time("from", from), time("to", to));
    let reached = time("last_event_id", reached);
    if !is_given {
        faults.push(Fault::required("from"));
    }
    let speed = speed.map_or(Some(DEFAULT_SPEED), |text| text.parse().ok().filter(|speed| SPEEDS.contains(speed)));
    if speed.is_none() {
        let reason = format!("must be a number from {} to {}, times real time", SPEEDS.start(), SPEEDS.end());
        faults.push(Fault::new("speed", reason));
    }
    let subscription = SubscriptionRequest::of_query(&query, instruments).without_user();
    faults.extend(subscription.field_faults());
    if subscription.topics.presence {
        faults.push(Fault::new("channels", "presence is not stored: signals, prices and clock can be replayed"));
    }
    if let Some(begin) = begin {
        let end = end.unwrap_or(begin + DEFAULT_SPAN);
        if begin >= end {
            faults.push(Fault::new("from", "must be before `to`"));
        } else if begin >= now {
            faults.push(Fault::new("from", "must be in the past, of which alone there is a history"));
        } else if end - begin > MAX_SPAN {
            faults.push(Fault::new("to", format!("must be at most {} days after `from`", MAX_SPAN.num_days())));
        }
    }
    let (Some(begin), Some(speed), true) = (begin, speed, faults.is_empty()) else {
        return Err(ApiError::of_faults(faults));
    };
    let to = end.unwrap_or(begin + DEFAULT_SPAN).min(now);
    let from = reached.map_or(begin, |reached| reached.max(begin));
    Ok((from < to).then_some(ReplayRequest { subscription, from, to, speed }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::iso;

    fn asked(query: &str, last_event_id: &str) -> Result<Option<ReplayRequest>, ApiError> {
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        let headers = [(http::HeaderName::from_static("last-event-id"), last_event_id.parse().unwrap())];
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        request(&headers.into_iter().collect(), pairs, &instruments, parse_time("2026-01-16T12:00:00Z").unwrap())
    }

    #[test]
    fn a_span_ends_in_the_past() {
        for (query, last_event_id, span, speed) in [
            ("from=2026-01-14", "", None, 0.0),
            ("from=2026-01-14T00:00:00Z", "", Some(["14T00:00", "15T00:00"]), 60.0),
            ("from=2026-01-16T00:00:00Z&speed=1.5", "", Some(["16T00:00", "16T12:00"]), 1.5),
            ("from=2026-01-14T00:00:00Z&to=2026-01-20T00:00:00Z", "", Some(["14T00:00", "16T12:00"]), 60.0),
            ("from=2026-01-14T00:00:00Z", "2026-01-14T09:00:00.000Z", Some(["14T09:00", "15T00:00"]), 60.0),
            ("from=2026-01-14T00:00:00Z", "2026-01-13T09:00:00.000Z", Some(["14T00:00", "15T00:00"]), 60.0),
            ("from=2026-01-14T00:00:00Z", "2026-01-15T00:00:00.000Z", None, 0.0),
        ] {
            let found = asked(query, last_event_id).ok().flatten();
            let told = found.as_ref().map(|request| [request.from, request.to].map(|at| iso(at)[8..16].to_owned()));
            assert_eq!(told, span.map(|span| span.map(str::to_owned)), "{query} {last_event_id}");
            assert!(found.is_none_or(|request| request.speed == speed), "{query}");
        }
    }

    #[test]
    fn every_fault_names_its_parameter() {
        let day = "from=2026-01-14T00:00:00Z";
        for (query, field) in [
            ("", "from"),
            ("from=monday", "from"),
            ("from=2026-01-17T00:00:00Z", "from"),
            (&format!("{day}&to=2026-01-14T00:00:00Z"), "from"),
            (&format!("{day}&to=2026-01-21T00:00:01Z"), "to"),
            (&format!("{day}&to=later"), "to"),
            (&format!("{day}&speed=0.9"), "speed"),
            (&format!("{day}&speed=3601"), "speed"),
            (&format!("{day}&speed=NaN"), "speed"),
            (&format!("{day}&since=e:1"), "since"),
            (&format!("{day}&replay=10m"), "replay"),
            (&format!("{day}&lastEventId=e:1"), "last_event_id"),
            (&format!("{day}&channels=user"), "channels"),
            (&format!("{day}&channels=prices,presence"), "channels"),
            (&format!("{day}&symbols=AAPL"), "symbols"),
            (&format!("{day}&minimum=1"), "minimum"),
        ] {
            let ApiError::Push(error) = asked(query, "").unwrap_err() else { panic!("{query}") };
            let fields = serde_json::to_value(error.body()).unwrap()["details"]["fields"].clone();
            assert!(fields.get(field).is_some() && fields.as_object().unwrap().len() == 1, "{query}: {fields}");
        }
    }
}
