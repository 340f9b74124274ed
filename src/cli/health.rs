//! The command `health`: asks a running server whether it is ready. For container images without curl, and for people.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use tokio::time::timeout;

use super::{EXIT_OK, address};
use crate::config;
use crate::sources::net::{Http, NetError};

/// Time-out for the whole response; below the time-out of health checks on container platforms.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// Largest response body that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct HealthCommand {
    /// The server to ask, instead of the one that the settings describe; without a path it is asked for /ready
    #[arg(long, value_name = "URL", value_parser = address)]
    url: Option<Uri>,
}

/// The examples below the help.
pub(super) const EXAMPLE: &str =
    "Examples:\n  orion-server health\n  orion-server health --url https://api.example.com/health";

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// The settings let the system choose the port.
    #[error("the port in the settings is 0, so nobody knows where the server listens: name it with --url")]
    NoPort,
    /// The server does not answer.
    #[error("the server does not answer: {0}")]
    Unreachable(#[from] NetError),
    /// The server answers with another status than 200.
    #[error("the server answers {status}{}", .says.as_ref().map(|says| format!(": {says}")).unwrap_or_default())]
    Refused {
        /// The status of the response.
        status: StatusCode,
        /// The status and reasons in its body, such as `draining`.
        says: Option<String>,
    },
    /// The command cannot run, or cannot write its output.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The fields of `/ready` and `/health` that are printed.
#[derive(Debug, Default, Deserialize)]
struct ReadyAnswer {
    status: Option<String>,
    #[serde(default)]
    reasons: Vec<String>,
}

impl ReadyAnswer {
    /// Formats the answer on one line, without control characters that could steer the terminal.
    fn line(&self) -> Option<String> {
        let status = self.status.as_deref()?;
        let reasons = if self.reasons.is_empty() { String::new() } else { format!(": {}", self.reasons.join("; ")) };
        Some(format!("{status}{reasons}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

impl HealthCommand {
    /// Whether the address comes from the settings.
    pub fn needs_settings(&self) -> bool {
        self.url.is_none()
    }

    /// Asks the server and prints its status. A degraded server counts as healthy, because it serves.
    ///
    /// # Errors
    /// [`Unhealthy`].
    pub fn run(&self, server: &config::ServerSettings, out: &mut impl Write) -> Result<u8, Unhealthy> {
        // Clients cannot exhaust the separate listener for checks, so it is preferred.
        let address = self.address(server.metrics_address.unwrap_or_else(|| server.address()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, answer) = runtime.block_on(async {
            timeout(REQUEST_TIMEOUT, ask(&address)).await.map_err(|_| NetError::Silent(REQUEST_TIMEOUT)).flatten()
        })?;
        if status != StatusCode::OK {
            return Err(Unhealthy::Refused { status, says: answer.line() });
        }
        writeln!(out, "{}", answer.line().as_deref().unwrap_or("ok"))?;
        Ok(EXIT_OK)
    }

    fn address(&self, listens: SocketAddr) -> Result<Uri, Unhealthy> {
        let uri = match &self.url {
            Some(url) if !matches!(url.path(), "" | "/") => Ok(url.clone()),
            Some(url) => {
                let (scheme, authority) =
                    (url.scheme_str().unwrap_or("http"), url.authority().map_or("", |a| a.as_str()));
                format!("{scheme}://{authority}/ready").parse()
            }
            None if listens.port() == 0 => return Err(Unhealthy::NoPort),
            None => format!("http://{}/ready", SocketAddr::new(nearest(listens.ip()), listens.port())).parse(),
        };
        uri.map_err(|error| io::Error::other(error).into())
    }
}

/// Returns the address for reaching a server that listens on `host` of the same machine.
fn nearest(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

async fn ask(address: &Uri) -> Result<(StatusCode, ReadyAnswer), NetError> {
    let http = Http::new(REQUEST_TIMEOUT);
    let response = http.get(address, HeaderMap::new()).await?;
    let status = response.status();
    let body = http.read(response.into_body(), MAX_ANSWER).await?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_comes_from_the_settings_or_url() {
        let asked = |url: Option<&str>, listens: &str| {
            let health = HealthCommand { url: url.map(|url| url.parse().unwrap()) };
            health.address(listens.parse().unwrap()).map(|uri| uri.to_string()).map_err(|error| error.to_string())
        };
        for (url, listens, expected) in [
            (None, "0.0.0.0:8080", "http://127.0.0.1:8080/ready"),
            (None, "[::]:80", "http://[::1]:80/ready"),
            (None, "10.0.0.7:9000", "http://10.0.0.7:9000/ready"),
            (Some("https://api.example.com"), "0.0.0.0:8080", "https://api.example.com/ready"),
            (Some("http://127.0.0.1:1/"), "0.0.0.0:0", "http://127.0.0.1:1/ready"),
            (Some("http://127.0.0.1:1/health?x=1"), "0.0.0.0:0", "http://127.0.0.1:1/health?x=1"),
        ] {
            assert_eq!(asked(url, listens), Ok(expected.to_owned()), "{url:?} {listens}");
        }
        assert!(asked(None, "0.0.0.0:0").unwrap_err().contains("--url"));
    }

    #[test]
    fn the_answer_is_printed_on_one_line() {
        let line = |text: &str| serde_json::from_str::<ReadyAnswer>(text).unwrap().line();
        assert_eq!(line(r#"{"status":"ok","reasons":[]}"#).as_deref(), Some("ok"));
        assert_eq!(line(r#"{"status":"degraded","reasons":["a\nb","c"]}"#).as_deref(), Some("degraded: a b; c"));
        assert_eq!(line("{}"), None);
    }
}
