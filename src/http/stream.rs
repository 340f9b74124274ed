//! `GET /api/stream`: prices, signals, the killzone clock and the presence as server-sent events.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};

use super::AppState;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::RawQuery;
use crate::domain::{Direction, Instruments, Killzone, SetupKind, SignalStatus};
use crate::listener::{KillSwitch, Peer};
use crate::transport::command::SubscriptionRequest;
use crate::transport::sse::{self, MarketStream, SseConnection};

const ENDPOINT: &str = "/api/stream";
/// Where a client that resumes says what it has, besides `since`. A browser that reconnects on its own still uses the first
/// URL, so the header comes first; the second parameter is that of clients that cannot set headers.
const LAST_EVENT_ID: [&str; 2] = ["last_event_id", "lastEventId"];

/// Streams signals, prices, the killzone clock and the presence as server-sent events.
///
/// The events are `signal`, `price_update`, `killzone`, `presence`, `subscribed`, `cursor` and `close` (docs/messages.md).
/// The `id` is the cursor, so that an `EventSource` resumes by itself. Comments come every 15 s.
#[utoipa::path(
    get,
    path = "/api/stream",
    operation_id = "stream",
    security(("reader" = [])),
    params(
        ("channels" = Option<String>, Query, description = "Of `signals`, `prices`, `clock`, `presence`, with commas; signals and prices by default", example = "signals,prices"),
        ("symbols" = Option<String>, Query, description = "Instruments, in any spelling, with commas; all by default", example = "EURUSD,XAUUSD"),
        ("since" = Option<String>, Query, description = "Resumes after this cursor; also as `last_event_id`, or as the header `Last-Event-ID`, which comes first"),
        ("replay" = Option<String>, Query, description = "How far back the snapshot of ended signals reaches", example = "10m"),
        ("max_hz" = Option<f64>, Query, description = "Most prices per second of each symbol, 0.1 to 20"),
        ("min_confidence" = Option<f64>, Query, description = "Only signals of at least this confidence", minimum = 0, maximum = 1),
        ("directions" = Option<Vec<Direction>>, Query, explode = false, description = "Only signals of these directions"),
        ("killzones" = Option<Vec<Killzone>>, Query, explode = false, description = "Only signals of these windows"),
        ("setups" = Option<Vec<SetupKind>>, Query, explode = false, description = "Only signals whose `reason` names one of these setups"),
        ("sources" = Option<Vec<String>>, Query, explode = false, description = "Only signals of these sources"),
        ("statuses" = Option<Vec<SignalStatus>>, Query, explode = false, description = "Only signals in these states"),
        ("token" = Option<String>, Query, description = "The token, for an `EventSource`, which cannot set headers"),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream", description = "The stream, until the client closes it"), Refuses<422>),
)]
pub(super) async fn stream(
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
    let request = request(&headers, query?.0, &state.instruments)?;
    let slot = match gateway.enter("sse", ENDPOINT) {
        Ok(slot) => slot,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let (address, connection) = (peer.map(|Extension(peer)| peer.client), connection.map(|Extension(stream)| stream));
    let connection = SseConnection::open(gateway, login, (ENDPOINT, slot), address, connection);
    Ok(sse::respond(|events| MarketStream::serve(connection, request, events)))
}

/// Returns the subscription of a request.
fn request(
    headers: &HeaderMap,
    mut query: Vec<(String, String)>,
    instruments: &Instruments,
) -> Result<SubscriptionRequest, ApiError> {
    let last = take_last_event_id(headers, &mut query);
    let request = SubscriptionRequest::of_query(&query, instruments).without_user();
    let faults = request.field_faults();
    if !faults.is_empty() {
        return Err(ApiError::of_faults(faults));
    }
    Ok(SubscriptionRequest { since: last.or(request.since), last_event_id: None, ..request })
}

/// Takes the id of the last event that a client has, from its header or its query.
pub(super) fn take_last_event_id(headers: &HeaderMap, query: &mut Vec<(String, String)>) -> Option<String> {
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let named: Vec<_> = query.extract_if(.., |(name, _)| LAST_EVENT_ID.contains(&name.as_str())).collect();
    let named = named.into_iter().map(|(_, id)| id);
    header.into_iter().chain(named).find(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_cursor_of_a_request_counts() {
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        for (header, query, since) in [
            ("e:3", "since=e:1&last_event_id=e:2&lastEventId=e:2", Some("e:3")),
            ("", "since=e:1&last_event_id=e:2", Some("e:2")),
            ("", "since=e:1&lastEventId=", Some("e:1")),
            ("", "channels=signals", None),
        ] {
            let headers = [(http::HeaderName::from_static("last-event-id"), header.parse().unwrap())];
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let request = request(&headers.into_iter().collect(), pairs, &instruments).unwrap();
            assert_eq!(request.since.as_deref(), since, "{header} {query}");
        }
    }
}
