use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::parse_time;

fn now() -> DateTime<Utc> {
    parse_time("2026-01-15T10:30:00Z").unwrap()
}

fn seconds(later: i64) -> i64 {
    now().timestamp() + later
}

fn judge(auth: &Auth, claims: &Value) -> Result<Principal, AuthError> {
    ClaimRules::new(auth).identity(claims.as_object().unwrap(), now())
}

/// Returns the invalid claim and the reason.
fn fault(claims: &Value) -> (&'static str, &'static str) {
    match judge(&Auth::default(), claims) {
        Err(AuthError::InvalidClaim { claim, reason }) => (claim, reason),
        other => panic!("{claims}: {other:?}"),
    }
}

#[test]
fn a_time_that_is_not_plausible_seconds_is_refused() {
    let ms = seconds(60) * 1_000;
    let good = |claim: &str, value: Value| {
        let mut claims = json!({"sub": "a", "exp": seconds(60)});
        claims[claim] = value;
        claims
    };
    for claim in ["exp", "iat", "nbf"] {
        for value in [json!(ms), json!(ms as f64 + 0.5), json!(ms * 1_000), json!(1e300), json!(u64::MAX)] {
            let (found, reason) = fault(&good(claim, value.clone()));
            assert!(found == claim && reason.contains("not in seconds"), "{claim} {value}: {reason}");
        }
        for value in [json!(seconds(60).to_string()), json!("2026-01-15T11:00:00Z"), json!(true), json!([1]), json!({})]
        {
            let (found, reason) = fault(&good(claim, value.clone()));
            assert!(found == claim && reason.contains("not a number"), "{claim} {value}: {reason}");
        }
        let (found, reason) = fault(&good(claim, json!(-1)));
        assert!(found == claim && reason.contains("negative"), "{reason}");
    }
    assert_eq!(fault(&json!({"sub": "a"})).0, "exp");
    assert_eq!(fault(&json!({"sub": "a", "exp": null})).0, "exp");
    for later in [0.0, 0.25, 0.999_999] {
        let exp = seconds(60) as f64 + later;
        let identity = judge(&Auth::default(), &json!({"sub": "a", "exp": exp, "iat": 1.5, "nbf": null})).unwrap();
        assert_eq!(identity.expires_at.timestamp(), seconds(60), "libraries write fractions");
    }
}

#[test]
fn a_future_token_is_refused_beyond_the_leeway() {
    let claims = |claim: &str, later: i64| json!({"sub": "a", "exp": seconds(600), claim: seconds(later)});
    for claim in ["iat", "nbf"] {
        assert!(judge(&Auth::default(), &claims(claim, 5)).is_ok(), "{claim}: clocks differ a little");
        for later in [6, 60, 86_400 * 365] {
            let refused = judge(&Auth::default(), &claims(claim, later)).unwrap_err();
            assert!(matches!(refused, AuthError::NotYetValid(found) if found == claim), "{claim} {later}: {refused:?}");
        }
    }
}

#[test]
fn an_unneeded_claim_may_have_any_shape() {
    for odd in [json!(null), json!(7), json!(true), json!(["x", 1, null]), json!({"a": {"b": []}}), json!("x")] {
        let claims = json!({
            "sub": "5", "exp": seconds(60), "role": odd, "aud": odd, "iss": odd, "jti": odd, "scope": odd, "user_id": odd,
            "realm_access": odd, "app_metadata": odd, "https://example.com/roles": odd
        });
        let identity = judge(&Auth::default(), &claims).unwrap_or_else(|error| panic!("{claims}: {error}"));
        assert_eq!((&*identity.user, identity.admin), ("5", false), "{claims}");
    }
}

#[test]
fn a_users_id_is_a_text_or_a_whole_number() {
    for (sub, user) in [
        (json!("42"), Some("42")),
        (json!(42), Some("42")),
        (json!(42.0), Some("42")),
        (json!(4.2e1), Some("42")),
        (json!(-7), Some("-7")),
        (json!(18_446_744_073_709_551_615_u64), Some("18446744073709551615")),
        (json!(42.5), None),
        (json!(1e300), None),
        (json!(""), None),
        (json!([42]), None),
        (json!(true), None),
    ] {
        let judged = judge(&Auth::default(), &json!({"sub": sub, "exp": seconds(60)}));
        assert_eq!(judged.as_ref().ok().map(|identity| &*identity.user), user, "{sub}");
    }
}

#[test]
fn only_the_configured_claim_makes_administrators() {
    let with = |path: &str, value: &str| Auth {
        admin_claim: ClaimPath::try_from(path.to_owned()).unwrap(),
        admin_value: value.to_owned(),
        ..Auth::default()
    };
    let microsoft = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
    let cases = [
        (json!({"role": "admin"}), "role", "admin"),
        (json!({"role": ["admin", "user"]}), "role", "admin"),
        (json!({"role": "authenticated", "app_metadata": {"role": "admin"}}), "app_metadata.role", "admin"),
        (json!({"realm_access": {"roles": ["user", "orion-admin"]}}), "realm_access.roles", "orion-admin"),
        (json!({microsoft: "admin"}), microsoft, "admin"),
        (json!({"https://example.com/roles": ["admin"]}), "https://example.com/roles", "admin"),
        (json!({"metadata": {"my.app": {"admin": true}}}), "metadata.\"my.app\".admin", "true"),
    ];
    for (claims, path, value) in &cases {
        let mut claims = claims.clone();
        (claims["sub"], claims["exp"]) = (json!("5"), json!(seconds(60)));
        assert!(judge(&with(path, value), &claims).unwrap().admin, "{claims}");
        for (_, other, value) in cases.iter().filter(|(_, other, _)| other != path) {
            assert!(!judge(&with(other, value), &claims).unwrap().admin, "{claims} by {other}");
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        Just(json!("admin")),
    ];
    let key = prop_oneof!["[a-z]{1,4}", Just("role".to_owned()), Just("admin".to_owned())];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let object = proptest::collection::vec((key.clone(), inner.clone()), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn arbitrary_claims_never_panic_or_make_an_administrator(
        names in proptest::collection::vec("exp|iat|nbf|sub|user_id|aud|iss|role|roles|admin|[a-z]{1,6}", 0..8),
        values in proptest::collection::vec(any_json(), 8),
        valid in any::<bool>(),
    ) {
        let mut claims: Map<String, Value> = names.into_iter().zip(values).collect();
        claims.remove("groups");
        if valid {
            claims.extend([("sub".to_owned(), json!("a")), ("exp".to_owned(), json!(seconds(60)))]);
            claims.retain(|name, _| name != "iat" && name != "nbf");
        }
        let path = ClaimPath::try_from("groups.orion".to_owned()).unwrap();
        let elsewhere = Auth { admin_claim: path, ..Auth::default() };
        let judged = judge(&elsewhere, &Value::Object(claims.clone()));
        prop_assert!(!judged.is_ok_and(|identity| identity.admin));
        let is_admin = judge(&Auth::default(), &Value::Object(claims.clone())).is_ok_and(|identity| identity.admin);
        let says_so = match claims.get("role") {
            Some(Value::Array(roles)) => roles.iter().any(|role| role == "admin"),
            role => role.is_some_and(|role| role == "admin"),
        };
        prop_assert!(!is_admin || says_so);
        if valid {
            prop_assert!(judge(&Auth::default(), &Value::Object(claims)).is_ok(), "the user stays a user");
        }
    }
}

#[test]
fn a_delay_is_whole_seconds_of_a_day() {
    let claims = |delay: Value| json!({"sub": "a", "exp": seconds(60), "delay": delay});
    for (value, delay) in
        [(json!(0), 0), (json!(300), 300), (json!(300.0), 300), (json!(86_400), 86_400), (json!(null), 0)]
    {
        let identity = judge(&Auth::default(), &claims(value.clone())).unwrap();
        assert_eq!(identity.delay.seconds(), delay, "{value}");
    }
    for value in
        [json!(-1), json!(0.5), json!(86_401), json!(1e300), json!("300"), json!("5m"), json!(true), json!([300])]
    {
        let (claim, reason) = fault(&claims(value.clone()));
        assert!(claim == "delay" && reason.contains("0 to 86400"), "{value}: {reason}");
    }
    let mut admin = claims(json!(300));
    admin["role"] = json!("admin");
    assert!(judge(&Auth::default(), &admin).unwrap().delay.is_none(), "an administrator is never late");
}
