//! What a request says of its sender: its token, and the origin of its page.

use axum::extract::Query;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};

use super::AuthError;
use crate::config::AllowedOrigins;

/// Returns the token of the `Authorization: Bearer` header, if the header is present.
///
/// # Errors
/// [`AuthError::Malformed`] when the header is not a bearer token.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| AuthError::Malformed)?;
    let (scheme, token) = value.trim().split_once(' ').ok_or(AuthError::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(AuthError::Malformed) }
}

/// Returns the token of a handshake: from the bearer header, else from `?token=`, since browsers cannot set headers on a
/// WebSocket. Plain requests use [`bearer`], because a token does not belong in a URL.
///
/// # Errors
/// [`AuthError::Malformed`] when the header is not a bearer token.
pub fn handshake_token(headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, AuthError> {
    if let Some(token) = bearer(headers)? {
        return Ok(Some(token.to_owned()));
    }
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
    Ok(query.into_iter().find_map(|(name, value)| (name == "token" && !value.is_empty()).then_some(value)))
}

/// Whether the origin of a WebSocket handshake is allowed: a listed origin, the server's own, or none (programs send no
/// `Origin`).
pub fn origin_allowed(origins: &AllowedOrigins, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return origins.any() };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let same =
        origin.split_once("://").zip(host).is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host));
    same || origins.allows(origin)
}
