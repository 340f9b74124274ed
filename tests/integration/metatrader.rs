//! A stand-in of the Expert Advisor in `ea/`: sends, over a socket of its own, exactly the bytes that it sends.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Native, Server, TOKEN, soon};

const MT5: &str = include_str!("../../ea/OrionBridge.mq5");
const MT4: &str = include_str!("../../ea/OrionBridge.mq4");
const SIGNAL: &str = include_str!("../../ea/OrionSignal.mqh");

/// The string literals of one statement of a program, in order: the test sends what stands in the files, not what it believes
/// to stand there.
fn literals(program: &str, statement: &str) -> Vec<String> {
    let (_, rest) = program.split_once(statement).unwrap_or_else(|| panic!("there is no {statement}"));
    let mut found = Vec::new();
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        if letter == ';' {
            break;
        }
        if letter != '"' {
            continue;
        }
        let mut literal = String::new();
        loop {
            match letters.next().unwrap() {
                '"' => break,
                '\\' => literal.push(letters.next().unwrap()),
                letter => literal.push(letter),
            }
        }
        found.push(literal);
    }
    found
}

/// `StringFormat`, whose values come as text.
fn formatted(format: &str, values: &[String]) -> String {
    let mut out = format.to_owned();
    for value in values {
        let at = out.find('%').unwrap();
        let end = at + out[at..].find(['d', 'u', 's']).unwrap();
        out.replace_range(at..=end, value);
    }
    assert!(!out.contains('%'), "{out}");
    out
}

/// `OrionBridge`, as far as the wire is concerned.
struct Terminal<'a> {
    server: &'a Server,
    seq: u64,
    is_mt4: bool,
}

impl<'a> Terminal<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, seq: 0, is_mt4: false }
    }

    /// What `Ticks()` and `OnTimer()` put together.
    fn batch(&mut self, ticks: &[(&str, &str, &str, u32, i64)]) -> String {
        self.seq += 1;
        let program = if self.is_mt4 { MT4 } else { MT5 };
        let of_tick = literals(program, "list+=");
        let [_, _, comma, s, b, a, rest] = &of_tick[..] else { panic!("{of_tick:?}") };
        let ticks: Vec<_> = ticks
            .iter()
            .map(|(symbol, bid, ask, digits, at)| {
                format!("{s}{symbol}{b}{bid}{a}{ask}{}", formatted(rest, &[digits.to_string(), at.to_string()]))
            })
            .collect();
        let (seq, ticks) = (self.seq.to_string(), ticks.join(comma));
        let of_batch = literals(program, "g_unsent=StringFormat(");
        if self.is_mt4 {
            let [head, offset, _, connected, yes, _, list, end] = &of_batch[..] else { panic!("{of_batch:?}") };
            format!(
                "{}{}{connected}{yes}{list}{ticks}{end}",
                formatted(head, &[seq]),
                formatted(offset, &["10800".into()])
            )
        } else {
            let [head, yes, _, end] = &of_batch[..] else { panic!("{of_batch:?}") };
            format!("{}{ticks}{end}", formatted(head, &[seq, "10800".into(), yes.clone()]))
        }
    }

    /// What `OrionSignal()` writes.
    fn signal(entry: &str) -> String {
        let of_target = literals(SIGNAL, "list+=");
        let [comma, _, price, share, end] = &of_target[..] else { panic!("{of_target:?}") };
        let targets: Vec<_> =
            ["1.08800", "1.09200"].iter().map(|target| format!("{price}{target}{share}50{end}")).collect();
        let targets = targets.join(comma);
        let mut parts = literals(SIGNAL, "string json=");
        parts.retain(|part| part != "short");
        let values = [
            "mt5",
            "EURUSD.m-MSS+FVG-M15-1-1732093200",
            "EURUSD.m",
            "MSS+FVG",
            "M15",
            // The direction is a literal itself.
            "",
            "",
            entry,
            "1.08200",
            &targets,
            "0.85",
        ];
        assert_eq!(parts.len(), values.len() + 1, "{parts:?}");
        let rest = values.iter().zip(&parts[1..]).flat_map(|(value, part)| [*value, part]);
        [parts[0].as_str()].into_iter().chain(rest).collect()
    }

    /// What `WebRequest()` sends, and its answer.
    async fn deliver(&self, json: &[u8], token: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.server.addr).await.unwrap();
        let head = format!(
            "POST /api/mt/ticks HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nHost: {}\r\n\
             Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: MetaTrader 5 Terminal/5.4755 (Windows NT 10.0; x64)\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.server.addr,
            json.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(json).await.unwrap();
        let mut answer = Vec::new();
        soon("an answer", stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    async fn send(&self, json: &str) -> (u16, Value) {
        self.deliver(json.as_bytes(), TOKEN).await
    }
}

fn millis() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[tokio::test]
async fn prices_of_a_terminal_reach_the_dashboards() {
    let server = Server::push_only().await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    client.frame("subscribed").await;
    let mut terminal = Terminal::new(&server);

    let at = millis();
    let batch = terminal.batch(&[
        ("EURUSD.m", "1.08512", "1.08524", 5, at),
        ("US30.cash", "42150.40", "42152.10", 2, at),
        ("GER40", "19000.0", "19001.0", 1, at),
    ]);
    let (status, answer) = terminal.send(&batch).await;
    assert_eq!(
        (status, &answer["accepted"], &answer["seq"], &answer["duplicate"]),
        (200, &json!(2), &json!(1), &json!(false))
    );
    assert_eq!(
        answer["rejected"],
        json!([{"index": 2, "symbol": "GER40", "code": "unknown_symbol", "reason": "unknown symbol 'GER40'"}])
    );
    let price = loop {
        let price = client.frame("price_update").await;
        if price["payload"]["symbol"] == "EURUSD" {
            break price["payload"].clone();
        }
    };
    assert_eq!((&price["bid"], &price["ask"], &price["source"]), (&json!(1.08512), &json!(1.08524), &json!("mt5")));
    assert_eq!(price["quality"], "live");
    let sent = chrono::DateTime::from_timestamp_millis(at).unwrap();
    assert_eq!(price["timestamp"], sent.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));

    // The acknowledgement got lost: the same batch again.
    let (status, answer) = terminal.send(&batch).await;
    assert_eq!((status, &answer["accepted"], &answer["duplicate"]), (200, &json!(0), &json!(true)));
    assert!((server.metric("orion_source_ticks_total", "mt5").await - 2.0).abs() < 0.1);

    // Nothing changed: a sign of life. The zero byte is what a careless program leaves at the end.
    let beat = format!("{}\0", terminal.batch(&[]));
    let (status, answer) = terminal.send(&beat).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(0)));

    let mut older = Terminal { is_mt4: true, ..Terminal::new(&server) };
    let batch = older.batch(&[("XAUUSD", "2650.10", "2650.40", 2, at)]);
    let (status, answer) = older.send(&batch).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{batch} {answer}");
    assert!((server.metric("orion_source_ticks_total", "mt4").await - 1.0).abs() < 0.1);

    let (status, answer) = terminal.deliver(beat.as_bytes(), "another").await;
    assert_eq!((status, &answer["code"]), (401, &json!("unauthorized")));
    let (status, answer) = terminal.send("{\"v\":2,\"type\":\"ticks\"}").await;
    assert_eq!((status, &answer["code"]), (400, &json!("validation_failed")));
    server.stop().await;
}

#[tokio::test]
async fn a_terminals_signal_is_durable_and_accepted_once() {
    let server = Server::push_only().await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    client.frame("subscribed").await;
    let terminal = Terminal::new(&server);
    let sent = Terminal::signal("1.08500");
    for _ in 0..2 {
        let (status, answer) = terminal.send(&sent).await;
        assert_eq!((status, &answer["status"]), (200, &json!("pending")), "{answer}");
    }
    let signal = client.frame("signal").await["payload"].clone();
    assert_eq!(
        (&signal["symbol"], &signal["source"], &signal["reason"]),
        (&json!("EURUSD"), &json!("mt5"), &json!("MSS+FVG M15"))
    );
    assert_eq!(signal["tp_modes"], json!(["TP1 50%", "TP2 50%"]));
    assert!((server.metric("orion_events_published_total", "signal").await - 1.0).abs() < 0.1, "once");
    let (status, answer) = terminal.send(&Terminal::signal("0.00000")).await;
    assert_eq!(status, 400);
    assert!(answer["details"]["fields"]["entry"].is_string(), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_without_its_broker_is_missed() {
    let server = Server::push_only().await;
    assert_eq!(server.get("/ready").await.1["status"], "ok", "nobody misses a terminal that never called");
    let mut terminal = Terminal::new(&server);
    let beat = terminal.batch(&[]).replace("\"connected\":true", "\"connected\":false");
    terminal.send(&beat).await;
    let (_, ready) = server.get("/ready").await;
    assert_eq!(ready["reasons"], json!(["sources that do not deliver: mt5 (stalled)"]));
    let beat = terminal.batch(&[]);
    terminal.send(&beat).await;
    assert_eq!(server.get("/ready").await.1["status"], "ok");
    server.stop().await;
}
