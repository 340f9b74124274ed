//! Tests of precedence, of every error line, and of the files that document the settings.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::config::{ReplaySpeed, default_config};
use crate::domain::{RecordingOptions, Spread, Timezone};
use crate::sources::providers::tables;

/// A folder with an `orion.toml`, and an environment.
struct Fixture {
    folder: tempfile::TempDir,
    env: Environment,
}

impl Fixture {
    fn new(file: &str, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if !file.is_empty() {
            std::fs::write(folder.path().join("orion.toml"), file).unwrap();
        }
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { folder, env }
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        Settings::load_with(providers(), &self.env, None, &self.folder.path().join("orion.toml"))
    }

    /// Returns the line of the error, without the folder.
    fn error(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().map(|loaded| loaded.warnings).unwrap_err().to_string().replace(&folder, "")
    }
}

fn providers() -> Providers {
    Providers::new(tables())
}

fn defaults() -> Settings {
    Settings { providers: providers(), ..Settings::default() }
}

fn settings(file: &str, env: &[(&str, &str)]) -> Settings {
    Fixture::new(file, env).load().unwrap().settings
}

#[test]
fn without_a_file_the_defaults_apply() {
    let loaded = Fixture::new("", &[("PATH", "/bin"), ("HOME", "/root")]).load().unwrap();
    assert_eq!(loaded, Loaded { settings: defaults(), warnings: vec![], file: None });
}

#[test]
fn the_environment_overrides_file_and_defaults() {
    let file = "[signals]\nttl = '2m'\nreplay_window = '1m'\n[server]\nport = 9000";
    let given = settings(file, &[("ORION_SIGNAL_TTL", "30s"), ("PORT", "")]);
    assert_eq!(given.signals.ttl, Duration::from_secs(30));
    assert_eq!(given.signals.replay_window, Duration::from_mins(1));
    assert_eq!((given.server.port, given.publish), (9000, defaults().publish));
}

#[test]
fn a_setting_has_long_and_short_variables() {
    for env in [("PORT", "81"), ("ORION_SERVER__PORT", "81")] {
        assert_eq!(settings("", &[env]).server.port, 81);
    }
    assert!(settings("", &[("ORION_DEMO_DESK", "1")]).demo.desk && settings("[demo]\ndesk = true", &[]).demo.desk);
    assert_eq!(settings("", &[("ORION_SIMULATOR__SEED", "18446744073709551615")]).simulator.seed, u64::MAX);
    assert_eq!(settings("", &[("PORT", "81"), ("ORION_SERVER__PORT", "81")]).server.port, 81);
}

/// In a file, in a file with dotted keys, and as a variable.
#[test]
fn old_names_work_with_a_warning() {
    for (old, new) in renamed::RENAMED {
        let (section, old_key) = old.split_once('.').unwrap();
        let value = match old {
            "alerts.after" => "7m",
            "prices.divergence" => "0.7",
            _ => "08:25-08:35",
        };
        let expected = settings(&format!("{new} = '{value}'"), &[]);
        assert_ne!(expected, Settings::default(), "{new}");
        for file in [format!("# é\n{old} = '{value}'"), format!("\n[{section}]\n'{old_key}' = '{value}'")] {
            let given = Fixture::new(&file, &[]);
            let loaded = given.load().unwrap();
            assert_eq!(loaded.settings, expected);
            let place = given.folder.path().join("orion.toml");
            let line = file.lines().count();
            let warning =
                format!("{}:{line}: {old} is the old name of {new}; it works until the next release", place.display());
            assert_eq!(loaded.warnings, [warning]);
        }
        let (old, new) = (names::long(old), names::long(new));
        let loaded = Fixture::new("", &[(&old, value)]).load().unwrap();
        assert_eq!(loaded.settings, expected);
        assert_eq!(loaded.warnings, [format!("{old} is the old name of {new}; it works until the next release")]);
    }
}

#[test]
fn an_old_name_beside_its_new_one_is_refused() {
    let file = "[alerts]\npending_for = '1m'\nafter = '2m'";
    assert_eq!(
        Fixture::new(file, &[]).error(),
        "orion.toml:3: alerts.after: is the old name of alerts.pending_for, which is set as well; leave the old one out"
    );
    let env = [("ORION_SETUPS__QUIET", "08:25-08:35"), ("ORION_SETUPS__BLACKOUT_WINDOWS", "08:25-08:35")];
    assert_eq!(
        Fixture::new("", &env).error(),
        "ORION_SETUPS__QUIET: is the old name of ORION_SETUPS__BLACKOUT_WINDOWS, which is set as well; leave the old one out"
    );
    let both = Fixture::new("[alerts]\nafter = '1m'", &[("ORION_ALERTS__PENDING_FOR", "2m")]).load().unwrap();
    assert_eq!(both.settings.alerts.pending_for, Duration::from_mins(2), "a variable overrides the file");
    let old = Fixture::new("[alerts]\nafter = '2h'", &[]).error();
    assert!(old.starts_with("orion.toml:2: alerts.pending_for: "), "{old}");
}

#[test]
fn the_flag_overrides_the_variable_for_the_file() {
    let given = Fixture::new("[server]\nport = 1", &[]);
    let path = |name: &str| given.folder.path().join(name);
    std::fs::write(path("flag.toml"), "[server]\nport = 2").unwrap();
    std::fs::write(path("variable.toml"), "[server]\nport = 3").unwrap();
    let env = Environment::from([("ORION_CONFIG".to_owned(), path("variable.toml").display().to_string())]);
    let port = |env: &Environment, flag: Option<&str>| {
        let loaded = Settings::load_with(providers(), env, flag.map(path).as_deref(), &path("orion.toml")).unwrap();
        assert!(loaded.file.is_some());
        loaded.settings.server.port
    };
    assert_eq!(port(&Environment::new(), None), 1);
    assert_eq!(port(&env, None), 3);
    assert_eq!(port(&env, Some("flag.toml")), 2);
}

#[test]
fn lists_and_speeds_are_parsed() {
    for file in ["[sources]\nenabled = 'none'", "[sources]\nenabled = []", "sources.enabled = ['none']"] {
        assert!(settings(file, &[]).sources.enabled.is_empty(), "{file}");
    }
    assert_eq!(settings("", &[("ORION_SOURCES", "simulator, ")]).sources.enabled.to_vec(), ["simulator"]);
    for (text, speed) in [("60", ReplaySpeed::Times(60.0)), ("0.5", ReplaySpeed::Times(0.5)), ("max", ReplaySpeed::Max)]
    {
        assert_eq!(settings("", &[("ORION_REPLAY_SPEED", text)]).replay.speed, speed);
        assert_eq!(settings(&format!("[replay]\nspeed = '{text}'"), &[]).replay.speed, speed);
    }
    assert_eq!(settings("[replay]\nspeed = 60", &[]).replay.speed, ReplaySpeed::Times(60.0));
}

#[test]
fn the_options_of_a_recording_are_parsed() {
    let by_file = settings(
        "[replay]\ntimezone = 'broker'\nprice = 'bid'\nspread = '13'\nbar_label = 'end'\ncolumns = 'time=#1'",
        &[],
    );
    let by_environment = settings(
        "",
        &[
            ("ORION_REPLAY_TIMEZONE", "broker"),
            ("ORION_REPLAY_PRICE", "bid"),
            ("ORION_REPLAY_SPREAD", "13"),
            ("ORION_REPLAY_BAR_LABEL", "end"),
            ("ORION_REPLAY_COLUMNS", "time=#1"),
        ],
    );
    assert_eq!(by_file.replay, by_environment.replay);
    let reading = by_file.replay.reading();
    assert_eq!((reading.timezone, reading.spread), (Some(Timezone::Broker), Some(Spread::Points(13.0))));
    let unset = settings("[replay]\ntimezone = ''\nspread = ''", &[]).replay;
    assert_eq!(unset.reading(), RecordingOptions::default());
}

#[test]
fn an_unusable_file_is_refused_in_one_line() {
    let expected = [
        ("[server\nport = 1", "orion.toml:1: unclosed table, expected `]`"),
        ("[server]\nport = 1\nport = 2", "orion.toml:3: duplicate key"),
        (
            "\n[publish]\nintervall = '1s'",
            "orion.toml:3: unknown setting 'publish.intervall' (did you mean 'publish.interval'?)",
        ),
        ("[publsh]\ninterval = '1s'", "orion.toml:1: unknown setting 'publsh' (did you mean 'publish'?)"),
        ("port = 80", "orion.toml:1: unknown setting 'port' (did you mean 'server.port'?)"),
        ("colour = 'red'", "orion.toml:1: unknown setting 'colour'"),
        ("server = 5", "orion.toml:1: server: must be a table: [server]"),
        ("instruments = 5", "orion.toml:1: instruments: must be a list of tables: [[instruments]]"),
        ("instruments = [5]", "orion.toml:1: instruments[0]: must be a table"),
        ("[server]\nport = true", "orion.toml:2: server.port: invalid type: boolean `true`, expected a whole number"),
        (
            "[server]\nport = 80.5",
            "orion.toml:2: server.port: invalid type: floating point `80.5`, expected a whole number",
        ),
        ("[server]\nport = 65536", "orion.toml:2: server.port: 65536 is out of range"),
        ("[simulator]\nseed = 99999999999999999999", "orion.toml:2: simulator.seed: is out of range"),
        ("[server]\nport = -1", "orion.toml:2: server.port: -1 is out of range"),
        (
            "[signals]\nttl = 300",
            "orion.toml:2: signals.ttl: invalid type: integer `300`, expected a duration such as 250ms, 10s, 5m or 30d",
        ),
        ("[log]\nformat = 'xml'", "orion.toml:2: log.format: unknown value `xml`, expected `pretty` or `json`"),
        ("[log]\nformat = {}", "orion.toml:2: log.format: invalid type: map, expected a text in quotes"),
        ("[[instruments]]\nsymbol = 'BTCUSD'\nclass = 'crypto'", "orion.toml:1: instruments[0].digits: is missing"),
        (
            "[[instruments]]\nsymbol = 'BTCUSD'\ndigit = 2",
            "orion.toml:3: unknown setting 'instruments[0].digit' (did you mean 'instruments[].digits'?)",
        ),
        (
            "[[instruments]]\nsymbol = 'BTCUSD'\nclass = 'coin'\ndigits = 2",
            "orion.toml:3: instruments[0].class: unknown value `coin`, expected one of `forex`, `metal`, `index`, `future`, \
             `crypto`, `stock`",
        ),
    ];
    for (file, line) in expected {
        assert_eq!(Fixture::new(file, &[]).error(), line, "{file}");
    }
}

#[test]
fn a_named_file_has_to_be_readable() {
    let given = Fixture::new("", &[("ORION_CONFIG", "/nowhere/orion.toml")]);
    assert_eq!(given.error(), "/nowhere/orion.toml: cannot be read: No such file or directory (os error 2)");
    let given = Fixture::new("", &[]);
    let folder = given.folder.path();
    let error =
        Settings::load_with(providers(), &given.env, Some(folder), &folder.join("orion.toml")).unwrap_err().to_string();
    assert!(error.ends_with(": cannot be read: Is a directory (os error 21)"), "{error}");
}

#[test]
fn an_unusable_variable_is_refused_in_one_line() {
    let unknown_source = format!(
        "ORION_SOURCES (sources.enabled): unknown value `mt6`, expected one of `simulator`, `replay`, `{}`",
        providers().names().collect::<Vec<_>>().join("`, `")
    );
    let expected = [
        ("PORT", "http", "PORT (server.port): invalid value: string \"http\", expected a whole number"),
        ("PORT", "-1", "PORT (server.port): invalid value: string \"-1\", expected a whole number"),
        ("PORT", "65536", "PORT (server.port): 65536 is out of range"),
        (
            "ORION_SERVER__PORT",
            "x\ny",
            "ORION_SERVER__PORT (server.port): invalid value: string \"x\\ny\", expected a whole number",
        ),
        (
            "ORION_HOST",
            "example.com",
            "ORION_HOST (server.host): \"example.com\" is no IP address, such as 0.0.0.0, 127.0.0.1 or ::",
        ),
        (
            "ORION_METRICS_ADDRESS",
            "9090",
            "ORION_METRICS_ADDRESS (server.metrics_address): \"9090\" is not an address with a port, such as 127.0.0.1:9090, \
             0.0.0.0:9090 or [::]:9090",
        ),
        (
            "ORION_SERVER__ALLOWED_HOSTS",
            "https://a.example",
            "ORION_SERVER__ALLOWED_HOSTS (server.allowed_hosts): \"https://a.example\" is not a host: use example.com, \
             example.com:8443, *.example.com, 192.0.2.1 or [2001:db8::1]",
        ),
        (
            "ORION_SIGNAL_TTL",
            "soon",
            "ORION_SIGNAL_TTL (signals.ttl): invalid value: string \"soon\", expected a duration such as 250ms, 10s, 5m or 30d",
        ),
        ("ORION_SOURCES", "simulator,mt6", &*unknown_source),
        (
            "ORION_INSTRUMENTS",
            "forex",
            "ORION_INSTRUMENTS (instrument_sets): unknown value `forex`, expected one of `default`, `futures`, `crypto`",
        ),
        (
            "ORION_READ_AUTH",
            "a\u{1b}[2J\nb",
            "ORION_READ_AUTH (auth.read_auth): unknown value `a\\u{1b}[2J b`, expected `open` or `required`",
        ),
        (
            "ORION_ALLOWED_ORIGINS",
            "app.example.com",
            "ORION_ALLOWED_ORIGINS (server.allowed_origins): \"app.example.com\" is not an origin: use scheme://host, \
             scheme://host:port, null, file://, or * for all",
        ),
        (
            "ORION_REPLAY_SPEED",
            "-1",
            "ORION_REPLAY_SPEED (replay.speed): must be a factor from 0.001 to 1000000, such as 1 or 60, or 'max'",
        ),
        ("ORION_REPLAY_PRICE", "buy", "ORION_REPLAY_PRICE (replay.price): must be bid, ask or mid"),
        ("ORION_REPLAY_BAR_LABEL", "close", "ORION_REPLAY_BAR_LABEL (replay.bar_label): must be start or end"),
        (
            "ORION_REPLAY_TIMEZONE",
            "EDT",
            "ORION_REPLAY_TIMEZONE (replay.timezone): 'EDT' is not a time zone: give an IANA name such as America/New_York or \
             Etc/GMT+5, an offset such as +02:00, or 'broker' (New York + 7 h)",
        ),
        ("ORION_DATA_DIR", "/\u{fffd}", "ORION_DATA_DIR (data.dir): is not valid UTF-8"),
    ];
    for (name, value, line) in expected {
        assert_eq!(Fixture::new("", &[(name, value)]).error(), line, "{name}={value}");
    }
}

#[test]
fn contradictory_settings_are_refused_in_one_line() {
    let tape = tempfile::NamedTempFile::new().unwrap();
    let tape = tape.path().to_str().unwrap();
    let replay = ("ORION_SOURCES", "replay");
    let expected: &[(&[(&str, &str)], &str)] = &[
        (
            &[("ORION_SOURCES", "simulator,replay")],
            "ORION_SOURCES (sources.enabled): 'replay' cannot run beside other sources: everything runs on the recording's clock",
        ),
        (&[replay], "replay.file (ORION_REPLAY_FILE): the source 'replay' needs it (a CSV file)"),
        (
            &[replay, ("ORION_REPLAY_FILE", "/nowhere.csv")],
            "ORION_REPLAY_FILE (replay.file): there is no file \"/nowhere.csv\"",
        ),
        (
            &[replay, ("ORION_REPLAY_FILE", tape)],
            "replay.symbol (ORION_REPLAY_SYMBOL): the source 'replay' needs it (what the file holds)",
        ),
        (
            &[replay, ("ORION_REPLAY_FILE", tape), ("ORION_REPLAY_SYMBOL", "DOGE")],
            "ORION_REPLAY_SYMBOL (replay.symbol): unknown symbol 'DOGE'",
        ),
        (
            &[("ORION_INSTRUMENTS", "none")],
            "ORION_INSTRUMENTS (instrument_sets): there is no instrument: name a set or add [[instruments]]",
        ),
        (
            &[("ORION_PUBLISH_INTERVAL", "50ms")],
            "ORION_PUBLISH_INTERVAL (publish.interval): must be 100ms to 5s, not 50ms",
        ),
        (&[("ORION_SIGNAL_TTL", "500ms")], "ORION_SIGNAL_TTL (signals.ttl): must be 1s to 1d, not 500ms"),
        (
            &[("ORION_ADMIN_TOKEN", "***")],
            "ORION_ADMIN_TOKEN (auth.admin_token): '***' is what check-config prints for a secret, not the secret",
        ),
        (
            &[("ORION_TRADINGVIEW_TOKEN", "short")],
            "ORION_TRADINGVIEW_TOKEN (tradingview.webhook_token): must be 16 to 128 letters, digits, - and _: it is a part of an address, and all that protects it",
        ),
        (
            &[("ORION_SERVER__CLIENT_HEADER", "a b")],
            "ORION_SERVER__CLIENT_HEADER (server.client_header): is no name of a header",
        ),
        (
            &[("ORION_PRICES__JUMP_LIMIT", "-1")],
            "ORION_PRICES__JUMP_LIMIT (prices.jump_limit): must be 0 to 1000, not -1",
        ),
        (
            &[("ORION_SIGNALS__MAX_STOP_DISTANCE_PERCENT", "0")],
            "ORION_SIGNALS__MAX_STOP_DISTANCE_PERCENT (signals.max_stop_distance_percent): must be 1 to 100, not 0",
        ),
        (
            &[("ORION_TRADINGVIEW__REPEAT_WINDOW", "25h")],
            "ORION_TRADINGVIEW__REPEAT_WINDOW (tradingview.repeat_window): must be 1s to 1d, not 25h",
        ),
        (
            &[("ORION_DATA__TICK_RETENTION", "12h")],
            "ORION_DATA__TICK_RETENTION (data.tick_retention): must be 0s (none) or at least 1d: whole days are removed",
        ),
        (
            &[("ORION_DATA__TICK_RETENTION", "32d")],
            "ORION_DATA__TICK_RETENTION (data.tick_retention): must be 0s to 31d, not 32d",
        ),
        (
            &[("ORION_PRICES__STALE_AFTER", "10s")],
            "ORION_PRICES__STALE_AFTER (prices.stale_after): must not be shorter than prices.delayed_after, nor longer than prices.stale_after_quiet",
        ),
        (&[("ORION_DRAIN_TIMEOUT", "1s")], "ORION_DRAIN_TIMEOUT (server.drain_timeout): must be 2s to 10m, not 1s"),
        (
            &[("ORION_HEARTBEAT__PROTOCOL_PING", "60s")],
            "heartbeat.peer_timeout: must be longer than heartbeat.protocol_ping (1m): silent peers are told apart by pings",
        ),
        (
            &[("ORION_LOG", "info,a=b=c")],
            "ORION_LOG (log.filter): error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        ),
        (
            &[("ORION_DEMO_DESK", "2")],
            "ORION_DEMO_DESK (demo.desk): invalid value: string \"2\", expected true or false",
        ),
        (&[("ORION_LOG", "warning")], "ORION_LOG (log.filter): \"warning\" is neither a level nor target=level"),
        (
            &[("ORION_LIMITS__MESSAGE_BYTES", "0")],
            "ORION_LIMITS__MESSAGE_BYTES (limits.message_bytes): must be 1024 to 16777216",
        ),
        (
            &[("ORION_LIMITS__EVENTS_BURST", "0")],
            "ORION_LIMITS__EVENTS_BURST (limits.events_burst): must be at least 1: nothing would be taken",
        ),
        (
            &[("ORION_SIGNAL_TTL", "1m"), ("ORION_SIGNALS__TTL", "2m")],
            "ORION_SIGNAL_TTL and ORION_SIGNALS__TTL both set 'signals.ttl', but to different values",
        ),
    ];
    for (env, line) in expected {
        assert_eq!(Fixture::new("", env).error(), *line);
    }
}

#[test]
fn an_unusable_provider_is_refused_in_one_line() {
    let expected: &[(&[(&str, &str)], &str)] = &[
        (&[OANDA], "oanda.token (ORION_OANDA_TOKEN): the source 'oanda' needs it"),
        (&[OANDA, ("ORION_OANDA_TOKEN", "t0ken")], "oanda.account (ORION_OANDA_ACCOUNT): the source 'oanda' needs it"),
        (
            &[OANDA, ("ORION_OANDA_TOKEN", "t0\nken"), ("ORION_OANDA_ACCOUNT", "1")],
            "ORION_OANDA_TOKEN (oanda.token): has characters that no key has: white space, a line break or letters beyond ASCII",
        ),
        (
            &[OANDA, ("ORION_OANDA_TOKEN", "t0ken"), ("ORION_OANDA_ACCOUNT", "../1")],
            "ORION_OANDA_ACCOUNT (oanda.account): is no account id, such as 001-001-1234567-001",
        ),
        (
            &[("ORION_OANDA__URL", "oanda.example?key=1")],
            "ORION_OANDA__URL (oanda.url): is no address, such as https://host or https://host:port",
        ),
        (
            &[
                OANDA,
                ("ORION_OANDA_TOKEN", "t0ken"),
                ("ORION_OANDA_ACCOUNT", "1"),
                ("ORION_OANDA__INSTRUMENTS", "AUD_USD"),
            ],
            "ORION_OANDA__INSTRUMENTS (oanda.instruments): none of them is an instrument of this server",
        ),
        (&[("ORION_SOURCES", "massive")], "massive.key (ORION_MASSIVE_KEY): the source 'massive' needs it"),
        (
            &[("ORION_SOURCES", "massive"), ("ORION_MASSIVE_KEY", "k"), ("ORION_MASSIVE__INDICES", "SPX")],
            "ORION_MASSIVE__INDICES (massive.indices): \"SPX\" is no index of Massive's, such as I:SPX",
        ),
        (
            &[("ORION_MASSIVE__URL", "https://socket.massive.com")],
            "ORION_MASSIVE__URL (massive.url): is no address, such as wss://host or wss://host:port",
        ),
        (
            &[("ORION_SOURCES", "alpha_vantage"), ("ORION_ALPHA_VANTAGE_KEY", "a&b")],
            "ORION_ALPHA_VANTAGE_KEY (alpha_vantage.key): has characters that no key has: only letters, digits, - and _",
        ),
        (
            &[("ORION_ALPHA_VANTAGE__DAILY_REQUESTS", "0")],
            "ORION_ALPHA_VANTAGE__DAILY_REQUESTS (alpha_vantage.daily_requests): must be 1 to 100000",
        ),
        (&[("ORION_LUNO__INTERVAL", "10ms")], "ORION_LUNO__INTERVAL (luno.interval): must be 1s to 1h"),
        (
            &[("ORION_SOURCES", "kraken"), ("ORION_KRAKEN__INSTRUMENTS", "btc/usd")],
            "ORION_KRAKEN__INSTRUMENTS (kraken.instruments): \"btc/usd\" has to be in capitals",
        ),
        (
            &[("ORION_SOURCES", "kraken"), ("ORION_KRAKEN__INSTRUMENTS", "NOPE/USD")],
            "ORION_KRAKEN__INSTRUMENTS (kraken.instruments): none of them is an instrument of this server",
        ),
        (
            &[("ORION_SOURCES", "finnhub"), ("ORION_FINNHUB_KEY", "a&b")],
            "ORION_FINNHUB_KEY (finnhub.key): has characters that no key has: only letters, digits, - and _",
        ),
        (&[GENERIC], "generic.url: the source 'generic' needs it"),
        (
            &[GENERIC, ("ORION_GENERIC__URL", "host/path?key=k3y")],
            "ORION_GENERIC__URL (generic.url): is no address, such as wss://host/path or https://host/path?symbols={symbols}",
        ),
        (
            &[GENERIC, ("ORION_GENERIC__URL", "wss://host/{key}")],
            "generic.key (ORION_GENERIC_KEY): is missing: a setting has {key}",
        ),
        (
            &[GENERIC, ("ORION_GENERIC__URL", "wss://host"), ("ORION_GENERIC__HEADERS", "Host: other")],
            "ORION_GENERIC__HEADERS (generic.headers): must be up to 50 lines such as Authorization: Bearer {key}, without the \
             headers of the connection itself",
        ),
        (
            &[GENERIC, ("ORION_GENERIC__URL", "https://host"), ("ORION_GENERIC__SUBSCRIBE", "{}")],
            "ORION_GENERIC__SUBSCRIBE (generic.subscribe): messages are for wss:// and ws:// only",
        ),
        (
            &[GENERIC, ("ORION_GENERIC__URL", "https://host"), ("ORION_GENERIC__PRICE", "data.price")],
            "ORION_GENERIC__PRICE (generic.price): is no JSON pointer, such as /data/0/price (RFC 6901)",
        ),
        (
            &[GENERIC, ("ORION_GENERIC__URL", "https://host"), ("ORION_GENERIC__BID", "/bid")],
            "generic.price: is missing: name the place of the price, or of bid and ask",
        ),
        (
            &[
                GENERIC,
                ("ORION_GENERIC__URL", "https://host"),
                ("ORION_GENERIC__PRICE", "/p"),
                ("ORION_GENERIC__INSTRUMENTS", "a=EURUSD,b=XAUUSD"),
            ],
            "generic.symbol: is missing: with more than one instrument an item must say which it is about",
        ),
    ];
    for (env, line) in expected {
        assert_eq!(Fixture::new("", env).error(), *line);
    }
}

const OANDA: (&str, &str) = ("ORION_SOURCES", "oanda");
const GENERIC: (&str, &str) = ("ORION_SOURCES", "generic");

#[test]
fn a_secret_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let token = file("token", "b1946ac92492d2347c6235b4\n");
    for name in ["ORION_INGEST_TOKEN_FILE", "ORION_AUTH__INGEST_TOKEN_FILE"] {
        let loaded = Fixture::new("[auth]\ningest_token = 'other'", &[(name, &token), ("ORION_SOURCES", "none")])
            .load()
            .unwrap();
        assert!(
            loaded.settings.auth.ingest_token.unwrap().matches("b1946ac92492d2347c6235b4"),
            "over the file of settings, without its end"
        );
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
    let large = file("large", &"x".repeat(20_000));
    for (path, reason) in [
        ("/nowhere/token", "cannot be read: No such file or directory (os error 2)"),
        (&file("empty", ""), "the file is empty"),
        (&file("blank", " \n"), "the file is empty"),
        (&large, "the file is too large for a secret"),
    ] {
        let error = Fixture::new("", &[("ORION_OANDA_TOKEN_FILE", path)]).error();
        assert_eq!(error, format!("ORION_OANDA_TOKEN_FILE (oanda.token): {reason}"));
    }
    let both = [("ORION_READ_TOKEN", "98765"), ("ORION_READ_TOKEN_FILE", &*token)];
    let error = Fixture::new("", &both).error();
    assert_eq!(
        error,
        "ORION_READ_TOKEN_FILE (auth.read_token): ORION_READ_TOKEN is set as well: leave one of them out"
    );
    let typo = Fixture::new("", &[("ORION_OANDA_TOKN_FILE", &*token), ("ORION_SOURCES", "simulator")])
        .load()
        .unwrap()
        .warnings;
    assert_eq!(typo, ["unknown variable ORION_OANDA_TOKN_FILE (did you mean 'ORION_OANDA_TOKEN_FILE'?) is ignored"]);
}

#[test]
fn a_contradictory_catalogue_is_refused_with_its_line() {
    let entry = |symbol: &str, rest: &str| format!("[[instruments]]\nsymbol = '{symbol}'\nclass = 'crypto'\n{rest}\n");
    for (file, line) in [
        (
            entry("BTCUSD", "digits = 2\naliases = ['GOLD']"),
            "orion.toml:1: instruments[0]: 'GOLD' is claimed by both XAUUSD and BTCUSD",
        ),
        (
            entry("BTCUSD", "digits = 2") + &entry("ETHUSD", "digits = 2\ntick_size = 0.001"),
            "orion.toml:5: instruments[1]: ETHUSD: tick_size must be a positive multiple of 10^-digits",
        ),
        (
            entry("BTCUSD", "digits = 2") + &entry("BTCUSD", "digits = 2"),
            "orion.toml:5: instruments[1]: BTCUSD: is defined twice",
        ),
    ] {
        assert_eq!(Fixture::new(&file, &[]).error(), line);
    }
}

#[test]
fn improbable_settings_are_warned_of() {
    for (env, begins) in [
        (
            &[("ORION_SIGNAL_TTTL", "1m")][..],
            "unknown variable ORION_SIGNAL_TTTL (did you mean 'ORION_SIGNAL_TTL'?) is ignored",
        ),
        (&[("ORION_FOO", "1")], "unknown variable ORION_FOO is ignored"),
        (&[("ORION_INGEST_TOKEN", "b1946ac92492d2347c6235b4")], "the simulator runs although an ingest token is set"),
        (&[("ORION_SOURCES", "none")], "nothing can come in"),
        (&[("ORION_READ_AUTH", "required")], "auth.read_auth is 'required', and the settings have no token"),
        (&[("ORION_TRADINGVIEW__ADDRESSES", "1.2.3.4")], "tradingview.addresses has no effect"),
        (&[("ORION_REPLAY_FILE", "a.csv")], "replay.file has no effect"),
        (&[("ORION_READ_TOKEN", "b1946ac92492d2347c6235b4")], "a read token is set, but"),
        (&[("ORION_ALLOWED_ORIGINS", "https://a.example")], "server.allowed_hosts is empty, although an origin list"),
        (&[("ORION_ADMIN_TOKEN", "t0ken")], "ORION_ADMIN_TOKEN (auth.admin_token) is short"),
        (&[("ORION_ADMIN_TOKEN", "'b1946ac92492d2347c6235b4'")], "ORION_ADMIN_TOKEN (auth.admin_token) is in quotes"),
        (&[("ORION_ADMIN_TOKEN", "b1946ac92492d2347c6235b4 ")], "ORION_ADMIN_TOKEN (auth.admin_token) has white space"),
        (
            &[("ORION_JWT_SECRET", "b1946ac92492d2347c6235b4")],
            "ORION_JWT_SECRET (auth.jwt_secret) is shorter than 32 bytes",
        ),
        (&[("ORION_OANDA_TOKEN", "t0ken")], "a key for oanda is set, but ORION_SOURCES does not name oanda"),
    ] {
        let warnings = Fixture::new("", env).load().unwrap().warnings;
        assert!(matches!(&warnings[..], [only] if only.starts_with(begins)), "{warnings:?}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let secret = "c0rrect-horse-battery";
    let names = [
        "ORION_INGEST_TOKEN",
        "ORION_ADMIN_TOKEN",
        "ORION_READ_TOKEN",
        "ORION_JWT_SECRET",
        "ORION_TRADINGVIEW_TOKEN",
        "ORION_OANDA_TOKEN",
        "ORION_MASSIVE_KEY",
        "ORION_ALPHA_VANTAGE_KEY",
        "ORION_TRADINGVIEW_TOKEN",
    ];
    let env: Vec<(&str, &str)> = names.iter().map(|name| (*name, secret)).collect();
    let loaded = Fixture::new("", &env).load().unwrap();
    let printed = format!("{loaded:?}{}", toml::to_string(&loaded.settings).unwrap());
    assert!(!printed.contains("c0rrect") && printed.contains("ingest_token = \"***\""), "{printed}");

    for value in ["98765", "[\"98765\"]", "{ a = 98765 }", "98765.5"] {
        let error = Fixture::new(&format!("[auth]\ningest_token = {value}"), &[]).error();
        assert_eq!(error, "orion.toml:2: auth.ingest_token: must be a text in quotes");
    }
    let error = Fixture::new("[auth]\ningest_token = '98765", &[]).error();
    assert!(error.starts_with("orion.toml:2: ") && !error.contains("98765"), "{error}");
    let both = [("ORION_READ_TOKEN", "98765"), ("ORION_AUTH__READ_TOKEN", "98764")];
    assert!(!Fixture::new("", &both).error().contains("9876"));
}

#[test]
fn every_secret_is_one_by_its_type() {
    let printed = |value: Value, key: &str| value.pointer(&format!("/{}", key.replace('.', "/"))).cloned();
    for key in names::keys(&providers()).into_iter().filter(|key| names::fits_environment(key)) {
        let layers = Config::builder().set_override(&*key, "probe").unwrap().build().unwrap();
        let read = providers().read(&layers).and_then(|providers| {
            Ok(serde_json::to_value(Settings { providers, ..layers.try_deserialize()? }).unwrap())
        });
        let is_masked = read.is_ok_and(|value| printed(value, &key) == Some("***".into()));
        assert_eq!(is_masked, names::is_secret(&key, &providers()), "{key}");
    }
}

#[test]
fn effective_settings_are_printed_as_a_file_that_loads() {
    let printed = toml::to_string(&defaults()).unwrap();
    assert_eq!(settings(&printed, &[]), defaults(), "{printed}");
}

/// Returns `default.toml` with its settings uncommented.
fn uncommented() -> String {
    let setting = |line: &str| line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
    default_config(tables())
        .lines()
        .map(|line| if setting(line) { &line[1..] } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_default_file_documents_every_setting() {
    assert_eq!(settings(&default_config(tables()), &[]), defaults());
    assert_eq!(settings(&uncommented(), &[]), defaults());

    let (mut section, mut comment, mut documented) = (String::new(), String::new(), Vec::new());
    for line in uncommented().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if line.starts_with('#') {
            comment.push_str(line);
            continue;
        } else if let Some((name, _)) = line.split_once(" = ") {
            let key = names::join(&section, name);
            let variable = names::short(&key, &providers()).unwrap_or_else(|| names::long(&key));
            assert!(comment.ends_with(&format!("({variable})")), "{key}: {comment}");
            documented.push(key);
        }
        comment.clear();
    }
    let mut known: Vec<String> =
        names::keys(&providers()).into_iter().filter(|key| names::fits_environment(key)).collect();
    known.sort();
    documented.sort();
    assert_eq!(documented, known);
}

#[test]
fn the_example_of_an_instrument_is_complete() {
    let text = default_config(tables());
    let example: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let example = example.join("\n");
    let catalogue = settings(&example, &[]).instruments().unwrap();
    assert_eq!(catalogue.resolve("btc/usd").unwrap().tick_size, 0.01);
    for key in names::keys(&providers()).iter().filter_map(|key| key.strip_prefix("instruments[].").map(str::to_owned))
    {
        assert!(example.contains(&format!("\n{key} = ")), "{key}");
    }
}

#[test]
fn the_environment_example_has_every_short_name() {
    let example = include_str!("../../.env.example");
    let pairs: Vec<(&str, &str)> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .collect();
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
    let of_providers: Vec<String> = providers().short().map(|(name, _)| name).collect();
    let of_providers = of_providers.iter().map(String::as_str);
    let mut expected: Vec<&str> =
        names::SHORT.iter().map(|(name, _)| *name).chain(of_providers).chain([CONFIG_FILE]).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let loaded = Fixture::new("", &pairs).load().unwrap();
    assert_eq!((loaded.settings, loaded.warnings), (defaults(), vec![]));
}
