//! Checks over the network: providers, the clock, the login service, and the webhook for TradingView.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::header::DATE;
use http::{HeaderMap, Uri};
use tokio::time::timeout;

use super::CheckStatus::{Fail, Ok as Fine, Skip, Warn};
use super::{CheckResult, DoctorCommand};
use crate::auth::{KeySetContent, MAX_KEY_SET};
use crate::config::Settings;
use crate::sources::net::Http;
use crate::sources::providers::{ListedProvider, provider};

/// Time-out of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Smaller offsets are within the precision of the `Date` header, which has whole seconds.
const MIN_OFFSET: TimeDelta = TimeDelta::seconds(3);
/// With a larger offset, pushed signals look old or from the future.
const MAX_OFFSET: TimeDelta = TimeDelta::seconds(30);

/// The offset of our clock from a server's; positive when ours is ahead, `None` when the server sends no time.
type Offset = Option<TimeDelta>;

/// Runs all checks over the network.
pub(super) async fn check(
    doctor: &DoctorCommand,
    settings: &Settings,
    wall: fn() -> DateTime<Utc>,
) -> Vec<CheckResult> {
    let http = Http::new(REQUEST_TIMEOUT);
    let (mut findings, mut offsets) = (Vec::new(), Vec::new());
    for (name, address) in providers(settings) {
        let (finding, offset) = reach(&http, name, &address, wall).await;
        findings.push(finding);
        offsets.extend(offset.map(|offset| (host(&address).to_owned(), offset)));
    }
    findings.extend(login_keys(&http, settings).await);
    if let Some(address) = &doctor.clock {
        offsets.clear();
        let why = match ask(&http, address, wall).await {
            Ok(Some(offset)) => {
                offsets.push((host(address).to_owned(), offset));
                None
            }
            Ok(None) => Some("does not say its time".to_owned()),
            Err(error) => Some(format!("cannot be asked: {error}")),
        };
        findings.extend(why.map(|why| CheckResult::new(Warn, "clock", format!("{} {why}", host(address)))));
    }
    findings.push(clock(&offsets));
    findings.extend(webhook(&http, doctor.webhook.as_ref(), settings, wall).await);
    findings
}

/// Checks whether the login service publishes keys that can verify user tokens.
async fn login_keys(http: &Http, settings: &Settings) -> Option<CheckResult> {
    let address = settings.auth.jwks_address().ok()??;
    let what = "login keys";
    let document = match http.document(&address, MAX_KEY_SET).await {
        Ok(document) => document,
        Err(error) => {
            let says =
                format!("auth.jwks_url cannot be fetched from {} ({error}): is the address right?", host(&address));
            return Some(CheckResult::new(Fail, what, says));
        }
    };
    Some(match KeySetContent::read(&document) {
        Err(error) => {
            CheckResult::new(Fail, what, format!("{error}; is auth.jwks_url the address of the keys themselves?"))
        }
        Ok(content) if content.is_empty() => {
            let why = content.skipped().first().map(|reason| format!(" ({reason})")).unwrap_or_default();
            CheckResult::new(
                Fail,
                what,
                format!("{} publishes no key that can verify a user token{why}", host(&address)),
            )
        }
        Ok(content) => {
            let (count, algorithms) = (content.len(), content.algorithms());
            CheckResult::new(Fine, what, format!("{} publishes {count} of use, for {algorithms}", host(&address)))
        }
    })
}

/// Returns the enabled providers with an address that answers plain HTTP requests.
fn providers(settings: &Settings) -> Vec<(&'static str, Uri)> {
    let enabled = settings.sources.enabled.iter().filter_map(|name| provider(name));
    let address = |provider: &ListedProvider| format!("{}/", provider.http_address(settings)?).parse().ok();
    enabled.filter_map(|provider| Some((provider.table.name, address(provider)?))).collect()
}

fn host(address: &Uri) -> &str {
    address.host().unwrap_or_default()
}

/// Checks that a provider answers. Any response passes: the key is not tried, because some providers end the connection of a
/// running server when another connects.
async fn reach(http: &Http, name: &'static str, address: &Uri, wall: fn() -> DateTime<Utc>) -> (CheckResult, Offset) {
    match ask(http, address, wall).await {
        Ok(offset) => {
            let says =
                format!("{} answers; whether the key is right, only the running server finds out", host(address));
            (CheckResult::new(Fine, name, says), offset)
        }
        Err(error) => {
            let says = format!("{} cannot be reached ({error}): check the network, a firewall, DNS", host(address));
            (CheckResult::new(Fail, name, says), None)
        }
    }
}

/// Sends a request and compares the clocks: the middle between request and response on ours, and the response's `Date`, which
/// is truncated to seconds.
async fn ask(http: &Http, address: &Uri, wall: fn() -> DateTime<Utc>) -> Result<Offset, String> {
    let before = wall();
    let answer = http.get(address, HeaderMap::new()).await.map_err(|error| error.to_string())?;
    let ours = before + (wall() - before) / 2;
    let theirs = answer.headers().get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    Ok(theirs.map(|theirs| ours - (theirs.to_utc() + TimeDelta::milliseconds(500))))
}

/// Checks our clock by the median of several others.
fn clock(offsets: &[(String, TimeDelta)]) -> CheckResult {
    let mut sorted: Vec<_> = offsets.iter().collect();
    sorted.sort_by_key(|(_, offset)| *offset);
    let Some((host, offset)) = sorted.get(sorted.len() / 2) else {
        let says = "there is nobody to compare it with; --clock https://example.com asks a server of your choice";
        return CheckResult::new(Skip, "clock", says);
    };
    let seconds = offset.num_milliseconds() as f64 / 1e3;
    let way = if seconds < 0.0 { "behind" } else { "ahead of" };
    let says = format!("{:.1} s {way} {host}", seconds.abs());
    match offset.abs() {
        off if off > MAX_OFFSET => {
            CheckResult::new(Fail, "clock", format!("{says}: turn on time synchronization (NTP)"))
        }
        off if off > MIN_OFFSET => {
            CheckResult::new(Warn, "clock", format!("{says}: is time synchronization (NTP) on?"))
        }
        _ => CheckResult::new(Fine, "clock", format!("{says}, within what can be told")),
    }
}

/// Checks what TradingView needs: port 80 or 443, and a public IPv4 address (its support pages 43000529348 and 43000531021).
async fn webhook(
    http: &Http,
    address: Option<&Uri>,
    settings: &Settings,
    wall: fn() -> DateTime<Utc>,
) -> Vec<CheckResult> {
    let Some(address) = address else {
        let says = match &settings.tradingview.webhook_token {
            Some(_) => "not checked; --webhook https://<host> tells whether TradingView could reach it",
            None => "none: ORION_TRADINGVIEW_TOKEN is not set",
        };
        return vec![CheckResult::new(Skip, "webhook", says)];
    };
    let secure = address.scheme_str() == Some("https");
    let port = address.port_u16().unwrap_or(if secure { 443 } else { 80 });
    if ![80, 443].contains(&port) {
        let says = format!(
            "TradingView calls ports 80 and 443 only, not {port}: put a proxy that ends TLS in front of port {}",
            settings.server.port
        );
        return vec![CheckResult::new(Fail, "webhook", says)];
    }
    let mut findings = Vec::new();
    if !secure {
        let says = "without https everybody on the way can read the token in the address: let a proxy end TLS";
        findings.push(CheckResult::new(Warn, "webhook", says));
    }
    findings.push(public(host(address), port).await);
    if findings.iter().any(|finding| finding.verdict == Fail) {
        return findings;
    }
    // The path is not requested, since it may contain the token.
    let health = format!(
        "{}://{}{}/health",
        address.scheme_str().unwrap_or("https"),
        address.authority().map_or("", |a| a.as_str()),
        settings.server.base_path.as_str(),
    );
    let answer = match health.parse::<Uri>() {
        Ok(health) => ask(http, &health, wall).await,
        Err(_) => Err("it makes no address".to_owned()),
    };
    findings.push(match answer {
        Ok(_) => CheckResult::new(Fine, "webhook", format!("{} answers on port {port}", host(address))),
        Err(error) => {
            let says =
                format!("{} does not answer from here ({error}): is the server running, and the proxy?", host(address));
            CheckResult::new(Warn, "webhook", says)
        }
    });
    findings
}

/// Checks whether a host has a public IPv4 address.
async fn public(host: &str, port: u16) -> CheckResult {
    let found = match timeout(REQUEST_TIMEOUT, tokio::net::lookup_host((host.trim_matches(['[', ']']), port))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return CheckResult::new(
                Fail,
                "webhook",
                format!("{host} has no address ({error}): check the DNS records"),
            );
        }
        Err(_) => return CheckResult::new(Warn, "webhook", format!("DNS does not answer for {host}")),
    };
    let v4 = found.iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None });
    let v4: Vec<Ipv4Addr> = v4.collect();
    if v4.is_empty() {
        return CheckResult::new(
            Fail,
            "webhook",
            format!("{host} has no IPv4 address, and TradingView has no other: add an A record"),
        );
    }
    match v4.iter().find(|ip| is_public(**ip)) {
        Some(ip) => CheckResult::new(Fine, "webhook", format!("{host} is {ip}")),
        None => CheckResult::new(
            Fail,
            "webhook",
            format!("{host} is {}, which cannot be reached from outside: use the public name", v4[0]),
        ),
    }
}

/// Whether an address is public: outside the non-global ranges of the IANA IPv4 Special-Purpose Address Registry.
fn is_public(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_broadcast()
        || shared
        || a == 0
        || a >= 224)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_clock_counts() {
        let off = |seconds: i64| ("host".to_owned(), TimeDelta::seconds(seconds));
        for (offsets, verdict, begins) in [
            (vec![], Skip, "there is nobody"),
            (vec![off(0)], Fine, "0.0 s ahead of host"),
            (vec![off(-3)], Fine, "3.0 s behind host"),
            (vec![off(4)], Warn, "4.0 s ahead of host"),
            (vec![off(-31)], Fail, "31.0 s behind host"),
            (vec![off(4000), off(1), off(0)], Fine, "1.0 s ahead"),
        ] {
            let finding = clock(&offsets);
            assert!(finding.verdict == verdict && finding.says.starts_with(begins), "{finding}");
        }
    }

    #[test]
    fn private_addresses_are_not_public() {
        for (ip, public) in [
            ("52.89.214.238", true),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("172.16.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }
}
