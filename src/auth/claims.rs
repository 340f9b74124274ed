//! Reads the claims of a verified token: the user, the expiry, and whether the user is an administrator. Claims that are not
//! needed may have any shape.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::jwt::Principal;
use super::{AuthError, is_user_id};
use crate::config::{Auth, ClaimPath};
use crate::domain::Delay;

/// The tolerated difference between an issuer's clock and ours.
pub(super) const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// The claim with the delay of prices and signals, in seconds.
pub(super) const DELAY: &str = "delay";
/// A time at or above this value (the year 2286 in seconds) is not in seconds.
const NOT_SECONDS: f64 = 1e10;
/// The largest whole number that a JSON number represents exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// The requirements of the settings on claims.
#[derive(Debug, Clone)]
pub(super) struct ClaimRules {
    audience: Option<String>,
    issuer: Option<String>,
    admin_claim: ClaimPath,
    admin_value: String,
}

impl ClaimRules {
    pub(super) fn new(auth: &Auth) -> Self {
        Self {
            audience: auth.jwt_audience.clone(),
            issuer: auth.jwt_issuer.clone(),
            admin_claim: auth.admin_claim.clone(),
            admin_value: auth.admin_value.clone(),
        }
    }

    /// Returns the principal of verified claims.
    ///
    /// # Errors
    /// When a needed claim is missing or invalid, or the token is not valid for this server at `now`.
    pub(super) fn identity(&self, claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<Principal, AuthError> {
        let expires_at = time(claims, "exp")?
            .ok_or(AuthError::InvalidClaim { claim: "exp", reason: "is missing: a token has to end" })?;
        let issued_at = time(claims, "iat")?;
        let not_before = time(claims, "nbf")?;
        let names = |claim: &str, wanted: &String| names(claims.get(claim), wanted);
        if self.audience.as_ref().is_some_and(|audience| !names("aud", audience)) {
            return Err(AuthError::WrongAudience);
        }
        if self.issuer.as_ref().is_some_and(|issuer| !names("iss", issuer)) {
            return Err(AuthError::WrongIssuer);
        }
        let user = user(claims).ok_or(AuthError::InvalidClaim {
            claim: "sub",
            reason: "and 'user_id' name no user: one must be a text of 1 to 128 characters, or a whole number",
        })?;
        let admin = self.admin_claim.holds(claims, &self.admin_value);
        let delay = delay(claims)?;
        let identity = Principal {
            user: user.into(),
            admin,
            delay: if admin { Delay::NONE } else { delay },
            issued_at: issued_at.unwrap_or_default(),
            expires_at,
            stored: None,
        };
        if identity.has_expired(now) {
            return Err(AuthError::Expired);
        }
        for (claim, begins) in [("nbf", not_before), ("iat", issued_at)] {
            if begins.is_some_and(|begins| begins > now + LEEWAY) {
                return Err(AuthError::NotYetValid(claim));
            }
        }
        Ok(identity)
    }
}

/// Parses a claim that is a time (`NumericDate`, RFC 7519 §2), perhaps with a fraction; `None` when it is absent.
fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<DateTime<Utc>>, AuthError> {
    let invalid = |reason| Err(AuthError::InvalidClaim { claim, reason });
    let seconds = match claims.get(claim) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::INFINITY),
        Some(_) => return invalid("is not a number: it must be seconds since 1970, without quotes"),
    };
    if seconds < 0.0 {
        return invalid("is negative: it must be seconds since 1970");
    }
    if seconds >= NOT_SECONDS {
        return invalid("is not in seconds since 1970: it looks like milliseconds or microseconds");
    }
    Ok(DateTime::from_timestamp_millis((seconds * 1e3) as i64))
}

/// Parses the claim with the delay; none when it is absent.
fn delay(claims: &Map<String, Value>) -> Result<Delay, AuthError> {
    let seconds = match claims.get(DELAY) {
        None | Some(Value::Null) => return Ok(Delay::NONE),
        Some(Value::Number(number)) => whole(number).and_then(|seconds| seconds.parse().ok()),
        Some(_) => None,
    };
    let reason = "must be whole seconds from 0 to 86400, without quotes";
    seconds.and_then(Delay::from_seconds).ok_or(AuthError::InvalidClaim { claim: DELAY, reason })
}

/// Whether the claim is the text `wanted`, or a list that contains it.
fn names(claim: Option<&Value>, wanted: &str) -> bool {
    match claim {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Array(texts)) => texts.iter().any(|text| text.as_str() == Some(wanted)),
        _ => false,
    }
}

/// Returns the user's id, which some issuers write as a number.
fn user(claims: &Map<String, Value>) -> Option<String> {
    let id = |claim: &str| {
        let text = match claims.get(claim)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => whole(number)?,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        is_user_id(&text).then_some(text)
    };
    id("sub").or_else(|| id("user_id"))
}

/// Returns the canonical spelling of a whole number, whether it was written `42`, `42.0` or `4.2e1`.
fn whole(number: &serde_json::Number) -> Option<String> {
    if number.is_i64() || number.is_u64() {
        return Some(number.to_string());
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() <= MAX_SAFE_INTEGER)?;
    Some((value as i64).to_string())
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
