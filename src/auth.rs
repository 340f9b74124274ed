//! Who may write, who may read, and from which web pages.
//!
//! Tokens are compared in constant time, and never printed or sent back. Every way in presents its token here: a header
//! of a request, the query of a handshake, or a frame.

use axum::extract::Query;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};

use crate::config::{AllowedOrigins, Auth, ReadAuth, Secret};

/// Why somebody was refused. The texts are meant for him.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The server has no such token: nobody can present it.
    #[error("Refused: the server has no token for this; its operator sets {0}")]
    NotSet(&'static str),
    /// No token came along.
    #[error("A token is needed: Authorization: Bearer <token>")]
    Missing,
    /// There is an `Authorization` header, but no bearer token in it.
    #[error("Invalid authorization format")]
    Malformed,
    /// The token is not the right one.
    #[error("Invalid token")]
    Wrong,
}

/// The shared tokens of the settings.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    ingest: Option<Secret>,
    admin: Option<Secret>,
    read: Option<Secret>,
    read_auth: ReadAuth,
}

impl Tokens {
    /// The tokens that the settings name.
    pub fn new(auth: &Auth) -> Self {
        let Auth { ingest_token, admin_token, read_auth, read_token, .. } = auth.clone();
        Self { ingest: ingest_token, admin: admin_token, read: read_token, read_auth }
    }

    /// Whether `token` may write.
    ///
    /// # Errors
    /// [`AuthError`] when it may not.
    pub fn ingest(&self, token: Option<&str>) -> Result<(), AuthError> {
        check(self.ingest.as_ref(), "ORION_INGEST_TOKEN", token)
    }

    /// Whether `token` may administer.
    ///
    /// # Errors
    /// [`AuthError`] when it may not.
    pub fn admin(&self, token: Option<&str>) -> Result<(), AuthError> {
        check(self.admin.as_ref(), "ORION_ADMIN_TOKEN", token)
    }

    /// Whether `token` may read what is public: any, or none, unless the settings require one.
    ///
    /// # Errors
    /// [`AuthError`] when it may not.
    pub fn reader(&self, token: Option<&str>) -> Result<(), AuthError> {
        match self.read_auth {
            ReadAuth::Open => Ok(()),
            ReadAuth::Required => check(self.read.as_ref(), "ORION_READ_TOKEN", token),
        }
    }
}

fn check(secret: Option<&Secret>, setting: &'static str, token: Option<&str>) -> Result<(), AuthError> {
    let secret = secret.ok_or(AuthError::NotSet(setting))?;
    let token = token.ok_or(AuthError::Missing)?;
    if secret.matches(token) { Ok(()) } else { Err(AuthError::Wrong) }
}

/// The token of an `Authorization: Bearer` header, if there is such a header.
///
/// # Errors
/// [`AuthError::Malformed`] when the header says something else.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| AuthError::Malformed)?;
    let (scheme, token) = value.trim().split_once(' ').ok_or(AuthError::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(AuthError::Malformed) }
}

/// The token of a handshake: the bearer header, else `?token=`, which is there because browsers cannot set headers on a
/// WebSocket. Plain requests use [`bearer`]: a token does not belong into a URL.
///
/// # Errors
/// [`AuthError::Malformed`] when the header is no bearer token.
pub fn handshake_token(headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, AuthError> {
    if let Some(token) = bearer(headers)? {
        return Ok(Some(token.to_owned()));
    }
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
    Ok(query.into_iter().find_map(|(name, value)| (name == "token").then_some(value)))
}

/// Whether a WebSocket handshake may come from the page it comes from: a listed origin, the server's own page, or no page
/// at all (programs send no `Origin`).
pub fn origin_allowed(origins: &AllowedOrigins, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return origins.any() };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let same =
        origin.split_once("://").zip(host).is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host));
    same || origins.allows(origin)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn tokens(read_auth: ReadAuth) -> Tokens {
        let secret = |token| Some(Secret::new(token));
        Tokens::new(&Auth { ingest_token: secret("in"), read_token: secret("out"), read_auth, ..Auth::default() })
    }

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn each_token_opens_its_own_door() {
        let open = tokens(ReadAuth::Open);
        assert_eq!(open.ingest(Some("in")), Ok(()));
        assert_eq!(open.ingest(Some("out")), Err(AuthError::Wrong));
        assert_eq!(open.ingest(None), Err(AuthError::Missing));
        assert_eq!(open.admin(Some("in")), Err(AuthError::NotSet("ORION_ADMIN_TOKEN")));
        assert_eq!(open.reader(None), Ok(()));
        let required = tokens(ReadAuth::Required);
        assert_eq!(required.reader(Some("out")), Ok(()));
        assert_eq!(required.reader(None), Err(AuthError::Missing));
        assert_eq!(required.reader(Some("in")), Err(AuthError::Wrong));
        assert_eq!(Tokens::default().ingest(Some("")), Err(AuthError::NotSet("ORION_INGEST_TOKEN")));
        assert!(!format!("{required:?}").contains("out\""));
    }

    #[test]
    fn a_token_comes_in_the_header_or_in_the_query_of_a_handshake() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        for (value, token) in [
            ("Bearer abc", Ok(Some("abc"))),
            ("bearer  abc ", Ok(Some("abc"))),
            ("Bearer", Err(AuthError::Malformed)),
            ("Token abc", Err(AuthError::Malformed)),
            ("abc", Err(AuthError::Malformed)),
        ] {
            assert_eq!(bearer(&headers(&[(AUTHORIZATION, value)])), token, "{value}");
        }
        let none = HeaderMap::new();
        assert_eq!(handshake_token(&none, &uri("/ws/signals?since=x&token=a%2Bb")), Ok(Some("a+b".into())));
        assert_eq!(handshake_token(&none, &uri("/ws/signals")), Ok(None));
        let both = headers(&[(AUTHORIZATION, "Bearer abc")]);
        assert_eq!(handshake_token(&both, &uri("/ws/signals?token=x")), Ok(Some("abc".into())));
    }

    #[test]
    fn a_page_of_another_origin_is_refused_unless_listed() {
        let listed: AllowedOrigins = serde_json::from_str(r#""https://app.example""#).unwrap();
        let from = |origin: &str| headers(&[(ORIGIN, origin), (HOST, "feed.example:8080")]);
        assert!(origin_allowed(&listed, &from("https://app.example")));
        assert!(origin_allowed(&listed, &from("http://feed.example:8080")), "our own console");
        assert!(origin_allowed(&listed, &HeaderMap::new()), "no browser");
        for origin in ["https://evil.example", "null", "http://feed.example", "https://app.example.evil"] {
            assert!(!origin_allowed(&listed, &from(origin)), "{origin}");
            assert!(origin_allowed(&AllowedOrigins::default(), &from(origin)), "{origin}");
        }
    }
}
