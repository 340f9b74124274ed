//! `orion-server doctor` as an operator runs it, with everybody whom it asks on loopback.

use std::net::SocketAddr;

use chrono::{TimeDelta, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::support::{binary, soon};

const KEY: &str = "0123456789abcdef0123456789abcdef-d0ct0r0123456789abcdef01234567";

/// Somebody whose clock is so far behind the true one, and who answers everything with 404.
async fn somebody(behind: TimeDelta) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            #[expect(clippy::disallowed_methods, reason = "it is the provider's clock that is read")]
            let date = (Utc::now() - behind).format("%a, %d %b %Y %H:%M:%S GMT");
            let answer =
                format!("HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

/// The report and the exit code.
async fn doctor(args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.current_dir(folder.path()).arg("doctor").args(args).env("PORT", "0").envs(env.iter().copied());
    let output = soon("the report", command.output()).await.unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!report.contains("d0ct0r"), "a key is shown: {report}");
    (output.status.code().unwrap(), report)
}

#[tokio::test]
async fn the_doctor_compares_clocks_with_the_providers() {
    let provider = somebody(TimeDelta::zero()).await;
    let (http, ws) = (format!("http://{provider}"), format!("ws://{provider}"));
    let env = [
        ("ORION_SOURCES", "oanda,massive,alpha_vantage"),
        ("ORION_OANDA_TOKEN", KEY),
        ("ORION_OANDA_ACCOUNT", "101-001-1234567-001"),
        ("ORION_OANDA__URL", &http),
        ("ORION_MASSIVE_KEY", "d0ct0r"),
        ("ORION_MASSIVE__URL", &ws),
        ("ORION_ALPHA_VANTAGE_KEY", "d0ct0r"),
        ("ORION_ALPHA_VANTAGE__URL", &http),
    ];
    let (code, report) = doctor(&[], &env).await;
    assert_eq!(code, 0, "{report}");
    for line in [
        "ok    oanda          127.0.0.1 answers",
        "ok    massive        127.0.0.1 answers",
        "ok    alpha_vantage  127.0.0.1 answers",
        "ok    clock          ",
        "skip  webhook        none: ORION_TRADINGVIEW_TOKEN is not set",
        "warn  configuration  oanda.url is not encrypted",
    ] {
        assert!(report.lines().any(|found| found.starts_with(line)), "{line}\n{report}");
    }
}

/// Those without a key, and a made-up one whose address has it.
#[tokio::test]
async fn the_doctor_asks_every_provider_and_shows_no_key() {
    let provider = somebody(TimeDelta::zero()).await;
    let (http, ws) = (format!("http://{provider}"), format!("ws://{provider}"));
    let generic = format!("{ws}/feed?literal=d0ct0r&token={{key}}");
    let env = [
        ("ORION_SOURCES", "kraken,coinbase,binance,luno,valr,finnhub,twelve_data,generic"),
        ("ORION_KRAKEN__URL", &*ws),
        ("ORION_COINBASE__URL", &ws),
        ("ORION_BINANCE__URL", &ws),
        ("ORION_LUNO__URL", &http),
        ("ORION_VALR__URL", &ws),
        ("ORION_FINNHUB__URL", &ws),
        ("ORION_FINNHUB_KEY", "d0ct0r"),
        ("ORION_TWELVE_DATA__URL", &ws),
        ("ORION_TWELVE_DATA_KEY", "d0ct0r"),
        ("ORION_GENERIC__URL", &generic),
        ("ORION_GENERIC_KEY", "d0ct0r"),
        ("ORION_GENERIC__PRICE", "/p"),
        ("ORION_GENERIC__INSTRUMENTS", "EURUSD"),
    ];
    let (code, report) = doctor(&[], &env).await;
    assert_eq!(code, 0, "{report}");
    for name in ["kraken", "coinbase", "binance", "luno", "valr", "finnhub", "twelve_data", "generic"] {
        let line = format!("ok    {name:<14} 127.0.0.1 answers");
        assert!(report.lines().any(|found| found.starts_with(&line)), "{line}\n{report}");
    }
    assert!(report.contains("finnhub.url is not encrypted") && !report.contains("kraken.url is not"), "{report}");
}

#[tokio::test]
async fn what_does_not_work_is_to_fix() {
    // A port that is taken and that nobody listens on.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let env = [
        ("ORION_SOURCES", "oanda"),
        ("ORION_OANDA_TOKEN", KEY),
        ("ORION_OANDA_ACCOUNT", "101-001-1234567-001"),
        ("ORION_OANDA__URL", &url),
    ];
    let late = format!("http://{}", somebody(TimeDelta::minutes(10)).await);
    let (code, report) =
        doctor(&["--clock", &late, "--webhook", "https://localhost/api/webhooks/tradingview/d0ct0r"], &env).await;
    assert_eq!(code, 1, "{report}");
    for line in [
        "FAIL  oanda          127.0.0.1 cannot be reached (",
        "FAIL  clock          ",
        "FAIL  webhook        localhost is 127.0.0.1, which cannot be reached from outside",
    ] {
        assert!(report.lines().any(|found| found.starts_with(line)), "{line}\n{report}");
    }
    assert!(report.contains("s ahead of 127.0.0.1: turn on time synchronization"), "{report}");
    assert!(report.ends_with("\n3 to fix\n"), "{report}");

    let (code, report) = doctor(&["--webhook", "http://203.0.113.7:8080"], &[]).await;
    assert_eq!(code, 1, "{report}");
    assert!(
        report.contains("FAIL  webhook        TradingView calls ports 80 and 443 only, not 8080: put a proxy"),
        "{report}"
    );
    assert!(report.contains("skip  clock          there is nobody to compare it with; --clock"), "{report}");
}
