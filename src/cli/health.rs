//! `health`: asks a running server whether it serves. For images without curl, and for people.

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

/// Longest wait for the whole answer: less than what container platforms give a check.
const PATIENCE: Duration = Duration::from_secs(4);
/// Longest answer that is read, in bytes.
const MOST: usize = 64 * 1024;

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct Health {
    /// The server to ask, instead of the one that the settings describe; without a path it is asked for /ready
    #[arg(long, value_name = "URL", value_parser = address)]
    url: Option<Uri>,
}

/// Shows the examples under the help.
pub(super) const EXAMPLE: &str =
    "Examples:\n  orion-server health\n  orion-server health --url https://api.example.com/health";

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// The settings let the system choose the port.
    #[error("the port in the settings is 0, so nobody knows where the server listens: name it with --url")]
    NoPort,
    /// Nobody answers there.
    #[error("the server does not answer: {0}")]
    Unreachable(#[from] NetError),
    /// It answers, and not with 200.
    #[error("the server answers {status}{}", .says.as_ref().map(|says| format!(": {says}")).unwrap_or_default())]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// What it says of itself, such as `draining`.
        says: Option<String>,
    },
    /// The check itself, or its output.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What `/ready` and `/health` say, as far as it is of interest here.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    status: Option<String>,
    #[serde(default)]
    reasons: Vec<String>,
}

impl Answer {
    /// In one line; what came from outside cannot steer the terminal.
    fn line(&self) -> Option<String> {
        let status = self.status.as_deref()?;
        let reasons = if self.reasons.is_empty() { String::new() } else { format!(": {}", self.reasons.join("; ")) };
        Some(format!("{status}{reasons}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

impl Health {
    /// Whether the settings are needed to know whom to ask.
    pub fn needs_settings(&self) -> bool {
        self.url.is_none()
    }

    /// Asks, and prints what the server says of itself. A server that is degraded serves: that is healthy.
    ///
    /// # Errors
    /// [`Unhealthy`].
    pub fn run(&self, server: &config::ServerSettings, out: &mut impl Write) -> Result<u8, Unhealthy> {
        // Where there is a listener for checks, no client can keep one out.
        let address = self.address(server.metrics_address.unwrap_or_else(|| server.address()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, answer) = runtime.block_on(async {
            timeout(PATIENCE, ask(&address)).await.map_err(|_| NetError::Silent(PATIENCE)).flatten()
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

/// Where a server that listens on `host` is found from the same machine.
fn nearest(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

async fn ask(address: &Uri) -> Result<(StatusCode, Answer), NetError> {
    let http = Http::new(PATIENCE);
    let response = http.get(address, HeaderMap::new()).await?;
    let status = response.status();
    let body = http.read(response.into_body(), MOST).await?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_found_where_it_listens() {
        let asked = |url: Option<&str>, listens: &str| {
            let health = Health { url: url.map(|url| url.parse().unwrap()) };
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
    fn what_a_server_says_is_one_line() {
        let line = |text: &str| serde_json::from_str::<Answer>(text).unwrap().line();
        assert_eq!(line(r#"{"status":"ok","reasons":[]}"#).as_deref(), Some("ok"));
        assert_eq!(line(r#"{"status":"degraded","reasons":["a\nb","c"]}"#).as_deref(), Some("degraded: a b; c"));
        assert_eq!(line("{}"), None);
    }
}
