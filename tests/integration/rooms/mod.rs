//! The rooms of the house use only what the map in `src/lib.rs` allows.

mod dashboards;
mod names;
mod uses;
mod violations;
mod walks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use uses::{Crate, Use};

/// Room → rooms that it may use, and what of them: `*` for everything that is public, else paths with everything below
/// them. The same table stands in `src/lib.rs` for readers.
const MAY_USE: [(&str, &[(&str, &str)]); 23] = [
    ("domain", &[]),
    ("config", &[("domain", "*")]),
    ("telemetry", &[("config", "LogSettings LogFormat"), ("domain", "*")]),
    ("tasks", &[]),
    ("listener", &[("tasks", "Tasks"), ("telemetry", "Behind ConnectionId ConnectionSpan Metrics Queue")]),
    ("auth", &[("config", "AllowedOrigins Auth ClaimPath Live PublicKey ReadAuth Secret"), ("domain", "*")]),
    ("engine", &[("domain", "*")]),
    ("store", &[("domain", "*"), ("telemetry", "LogLimit Metrics")]),
    ("hub", &[("domain", "*"), ("telemetry", "Behind Metrics Queue")]),
    (
        "pipeline",
        &[
            ("domain", "*"),
            ("engine", "Engine LaneStatus EngineEvent Processed PersistScope"),
            ("hub", "Hub Envelope"),
            ("store", "AppendReceipt Appending EventLog LogEntries Publisher RequestId StoreError"),
            ("telemetry", "LogLimit Metrics"),
            ("ticks", "Keeper"),
        ],
    ),
    ("ticks", &[("domain", "*"), ("telemetry", "LogLimit Metrics")]),
    ("record", &[("config", "RecordSettings Secret"), ("store", "Hash TreeHead hex")]),
    ("recordings", &[("domain", "*")]),
    ("ingest", &[("domain", "*"), ("pipeline", "Handle SubmitError"), ("telemetry", "Metrics SourceStates")]),
    (
        "sources",
        &[
            ("config", "List Problem ProviderRules ProviderSettings ProviderTable Secret Settings value"),
            ("domain", "*"),
            ("pipeline", "Handle Input Stopped"),
            ("recordings", "Counts ReadSummary Recording RecordingError ReadRequest SOURCE_NAME RecordedTick"),
            ("tasks", "Tasks"),
            ("telemetry", "Budget LogLimit Metrics SourceState SourceStates"),
        ],
    ),
    (
        "transport",
        &[
            (
                "auth",
                "AuthError Holder Principal UserSession OpenUsers RateLimit TokenKind Tokens TooManyLogins \
             TooManyWrongTokens WrongToken bearer handshake_token origin_allowed",
            ),
            ("config", "AllowedOrigins HeartbeatSettings Limits Live SocketioSettings duration_text parse_duration"),
            ("domain", "*"),
            ("listener", "ClientAddress OverLimit InboundFilter KillSwitch Peer Reason UpgradedSocket"),
            (
                "hub",
                "Audiences OutboxBatch Encoding Hub Membership Ordered Outbox OutboxClosed \
             Snapshot Envelope Selection Sink Topics announce",
            ),
            ("pipeline", "Handle clock"),
            ("ingest", "Push PushedEvents"),
            ("store", "Cutoff Reader Recovered SignalChange StoreError Timeline TimelineEntry"),
            ("tasks", "Tasks"),
            ("telemetry", "Behind ConnectionSpan LogLimit Metrics Queue Readiness"),
        ],
    ),
    (
        "dashboards",
        &[
            ("auth", "Holder Principal TokenKind UserAccessError bearer"),
            ("config", "Settings duration_text"),
            ("domain", "*"),
            (
                "transport",
                "Gateway close::Close command completeness::Completeness cursor::MessageCursor \
             describe events::Addressees events::PublishedType events::as_published lane::NativeEncoding \
             lane::Slot messages pace::TOO_FAST requests resume shape socketio::Rewritten sse ws::Client ws::Handshake ws::Protocol",
            ),
            (
                "http",
                "ApiError AppState EventsRequest Group Params PricesRequest RawQuery ReadAccess ReadLimit Refuses SignalRequest \
             admin::admit encoded grouped",
            ),
            ("hub", "Audiences Encoding Envelope Hub Ordered Outbox Selection Snapshot Spacing Topics"),
            ("listener", "KillSwitch Peer"),
            ("pipeline", "Handle SubmitError clock"),
            ("ingest", "ErrorBody EventsAnswer MalformedBody PricesAnswer SignalAnswer parse_json"),
            ("store", "HistoryQuery SignalChange"),
            ("telemetry", "Metrics STORE Usage"),
        ],
    ),
    (
        "http",
        &[
            (
                "auth",
                "AuthError OneTimeCode OpenUsers StoredKind StoredToken StoredTokenError StoredTokens TokenKind \
                 TokenRequest Tokens TooFast UserAccessError WrongToken bearer",
            ),
            ("cluster", "ClusterHandle"),
            (
                "config",
                "AllowedOrigins BasePath ChangedSetting HeartbeatSettings HostPattern Limits List Live Secret TradingviewSettings parse_duration",
            ),
            ("domain", "*"),
            ("listener", "ConnectionRegistry KillSwitch Peer SlowConnection"),
            ("notify", "LineError Notices ReceiverState"),
            (
                "engine",
                "LaneStatus detect::MarketLevels detect::Range detect::PriceZone detect::ZoneKind detect::Zones",
            ),
            ("transport", "Gateway close::Close command describe events messages poll resume sse throttle"),
            ("hub", "Channels Hub Selection Topics"),
            ("pipeline", "Feeds LaneStatus"),
            (
                "ingest",
                "Answered ErrorBody EventsAnswer MalformedBody PricesAnswer Push PushError SignalAnswer metatrader \
             tradingview::AlertAnswer parse_json tradingview::TradingView trimmed",
            ),
            ("record", "LogKey SignedCheckpoint"),
            ("store", "HistoryQuery LeafProof Reader Since StoreError TreeHead"),
            (
                "telemetry",
                "Budget Condition LogLimit Metrics Phase Readiness Recomputations Reject SourceState SourceStates SourceStatus",
            ),
        ],
    ),
    ("alerts", &[("config", "Alerts Live Secret"), ("domain", "*"), ("sources", "net"), ("telemetry", "Metrics")]),
    (
        "notify",
        &[
            ("alerts", "AddressFault AddressRules OutgoingClient Signer"),
            (
                "config",
                "EmailSettings LineSettings Live MailEncryption NoticeRules NotifySettings NtfySettings Secret \
                 TelegramSettings",
            ),
            ("domain", "*"),
            ("hub", "Envelope Sink"),
            ("pipeline", "Handle"),
            ("sources", "net"),
            ("store", "Reader SignalChange StoreError"),
            ("telemetry", "LogLimit Metrics"),
            ("transport", "messages::SignalObject"),
        ],
    ),
    (
        "backtest",
        &[
            ("domain", "*"),
            (
                "engine",
                "Engine setup_memory detect::Atr detect::BlockEvent detect::Break detect::Detectors detect::Ema detect::Finding detect::Gap \
                 detect::GapEvent detect::Macd detect::MarketLevels detect::Pivot detect::Range detect::Recorded \
                 detect::Recorder detect::Rsi detect::Shift detect::Sweep detect::Zones",
            ),
            ("recordings", "BarQuotes ReadSummary Recording RecordingError ReadRequest RecordedRow RowPrices"),
        ],
    ),
    (
        "cluster",
        &[
            ("config", "ClusterSettings"),
            ("domain", "*"),
            ("hub", "Envelope Hub Sink"),
            ("pipeline", "Handle MAX_QUIET Request SubmitError clock"),
            (
                "store",
                "AppendReceipt Appending ChainLink EventLog Health LocalLog LogEntries LogHeads Publisher Reader \
             Recovered ReplicaPlace Replicated ReplicatedBatch RequestId Store StoreError hex",
            ),
            ("tasks", "Tasks"),
            ("telemetry", "Metrics"),
        ],
    ),
    (
        "cli",
        &[
            ("cluster", "ClusterError ClusterStatus init status"),
            (
                "auth",
                "AuthError KeySetContent MAX_KEY_SET StoredKind StoredToken StoredTokenError StoredTokens TokenRequest \
             Tokens Unverified fits_other_encoding mint mint_delayed \
             read_unverified",
            ),
            (
                "backtest",
                "BacktestError BacktestReport CalibrationOptions CalibrationReport EventsOptions EventsReport GridError LookaheadOptions LookaheadReport RunOptions SweepError SweptSetting Variant RecomputeOptions detector_events grid lookahead_check recompute run spread_sensitivity sweep",
            ),
            (
                "config",
                "Auth ConfigError Environment Loaded Problem Secret ServerSettings Settings default_config \
             parse_duration",
            ),
            ("domain", "*"),
            ("notify", "NotifyError test"),
            ("record", "CheckpointError LogKey LogKeyError SignedCheckpoint WitnessFault check_growth"),
            ("recordings", "ReadSummary"),
            ("sources", "PROVIDERS net providers"),
            (
                "store",
                "Examined ExportFormat Hash Repair RepairMode Repaired SchemaState StoreError StoredDayQuery TreeHead VerifiedRecords \
             backup check_writable examine export export_outcomes foreign_filesystem foreign_warning hex \
             repair schema_state stored_day stored_outcomes verify_against",
            ),
            ("ticks", "days read"),
        ],
    ),
];

/// Uses that the table does not allow.
fn forbidden(uses: &BTreeSet<Use>, table: &[(&str, &[(&str, &str)])]) -> Vec<String> {
    let table: BTreeMap<_, BTreeMap<_, _>> =
        table.iter().map(|(room, others)| (*room, others.iter().copied().collect())).collect();
    let allows = |items: &str, item: &str| {
        items.split(' ').any(|allowed| {
            // The room as a name: what is used through it is judged by itself.
            item.is_empty()
                || allowed == "*"
                || item.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    };
    uses.iter()
        .filter(|Use { from, to, item, .. }| {
            !table
                .get(from.as_str())
                .and_then(|others| others.get(to.as_str()))
                .is_some_and(|items| allows(items, item))
        })
        .map(|Use { from, to, item, place }| format!("{place}: {from} uses {to}::{item}"))
        .collect()
}

#[test]
fn rooms_use_only_what_the_map_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let mut uses = Crate::parse(&root, "orion_server").uses();
    // Wiring is what `app` is for.
    uses.retain(|found| found.from != "app");
    assert!(uses.len() > 500, "only {} uses were found: the parser looks in the wrong place", uses.len());
    let wrong = forbidden(&uses, &MAY_USE);
    assert!(wrong.is_empty(), "not allowed by the map in src/lib.rs:\n{}", wrong.join("\n"));
}

/// An entry that nothing needs any more would let a use come back unnoticed.
#[test]
fn the_map_allows_nothing_that_is_not_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let uses = Crate::parse(&root, "orion_server").uses();
    let mut unused = Vec::new();
    for (room, others) in MAY_USE {
        for (other, items) in others {
            for allowed in items.split(' ') {
                let is_used = uses.iter().any(|found| {
                    let below = found.item.strip_prefix(allowed);
                    found.from == room
                        && found.to == *other
                        && (allowed == "*" || below.is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
                });
                if !is_used {
                    unused.push(format!("{room} does not use {other}::{allowed}"));
                }
            }
        }
    }
    assert!(unused.is_empty(), "take them out of the map:\n{}", unused.join("\n"));
}
