"""The objects of the server. Made by `generate.py` from its `/openapi.json`: do not edit."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class AdminLogin(TypedDict):
    """The token with which the admin page goes on."""
    token: str


class AlertAnswer1(TypedDict):
    """The alert was a signal or the end of one, and is stored."""
    success: bool
    signal_id: str
    status: SignalStatus
    timestamp: str
    ignored: NotRequired[list[str]]
    """Names of the fields that had no effect."""
    kind: Literal["signal"]


class AlertAnswer2(TypedDict):
    """The alert was a price."""
    success: bool
    symbol: str
    delayed: bool
    timestamp: str
    message: NotRequired[str]
    """Why it counts as a price although it looks like a signal."""
    kind: Literal["price"]


class AlertAnswer3(TypedDict):
    """The alert was received before."""
    success: bool
    duplicate: bool
    of: str
    """The result of the first one: the id of the signal, or the symbol of the price."""
    received_at: str
    """When the first one was received."""
    timestamp: str
    kind: Literal["duplicate"]


class AlertAnswer4(TypedDict):
    """The alert had no effect."""
    success: bool
    message: str
    timestamp: str
    kind: Literal["ignored"]


class AlertAnswer5(TypedDict):
    """The alert is valid and will be stored as soon as possible."""
    success: bool
    timestamp: str
    kind: Literal["queued"]

AlertAnswer: TypeAlias = "AlertAnswer1 | AlertAnswer2 | AlertAnswer3 | AlertAnswer4 | AlertAnswer5"
"""The answer to an alert."""


class AnsweredPricesAnswer(TypedDict):
    """An answer, with further information for the sender."""
    read_as: NotRequired[dict[str, Any]]
    """How a text was interpreted; absent for JSON."""
    ignored: NotRequired[list[str]]
    """Names of the fields, or the lines of a text, that had no effect."""
    success: bool
    message: str
    accepted: NotRequired[int]
    symbol: NotRequired[str]
    price: NotRequired[float]
    timestamp: NotRequired[str]


class AnsweredSignalAnswer(TypedDict):
    """An answer, with further information for the sender."""
    read_as: NotRequired[dict[str, Any]]
    """How a text was interpreted; absent for JSON."""
    ignored: NotRequired[list[str]]
    """Names of the fields, or the lines of a text, that had no effect."""
    success: bool
    message: str
    signal_id: str
    status: SignalStatus
    dry_run: bool
    line_sent: bool
    """Whether a message about the signal goes to LINE: LINE is set up and takes messages, and the rules of `notify.line` take this signal in this state. It is sent from the log after this answer, at least once."""
    timestamp: str


class AppliedCalibration(TypedDict):
    """What a mapping did to the score of a signal."""
    version: str
    """The version of the mapping."""
    score: float
    """The model score that it was given; `confidence` is what became of it."""


class Bar(TypedDict):
    """A bar."""
    time: str
    open: float
    high: float
    low: float
    close: float
    volume: float

BarInterval: TypeAlias = 'Literal["1m", "5m", "15m", "1h"]'
"""The supported lengths of bars."""


class Bars(TypedDict):
    symbol: str
    interval: BarInterval
    bars: list[Bar]


class Breakdown(TypedDict):
    """Statistics of all outcomes, and by group."""
    all: Stats
    """All outcomes."""
    symbol: dict[str, Stats]
    """By instrument."""
    setup: dict[str, Stats]
    """By setup; `other` when the reason names none."""
    killzone: dict[str, Stats]
    """By window of the trading day."""
    source: dict[str, Stats]
    """By sender."""
    confidence: dict[str, Stats]
    """By model score in tenths: `0.7` is 0.7 up to 0.8; `0.9` includes 1."""


class Budget(TypedDict):
    used: int
    limit: int
    resets_at: str


class ChangedSetting(TypedDict):
    """A setting with another value than the one that was in force."""
    new: Any
    """The value that was read; `***` for a secret, null for none."""
    old: Any
    """The value that was in force."""
    setting: str
    """Its name, such as `limits.replays`; `instruments.BTCUSD` for an instrument."""


class Cluster(TypedDict):
    """A cluster; without `nodes` and `stream` while the log cannot be asked, and outside of a cluster."""
    node: dict[str, Any] | None
    """What this node knows: its state, term, writer, and how far it is behind; null outside of a cluster."""
    nodes: NotRequired[list[dict[str, Any]]]
    """The nodes that have answered."""
    stream: NotRequired[dict[str, Any]]
    """The stream that has the log."""
    error: NotRequired[str]
    """Why the log could not be asked."""


class CreatedToken(TypedDict):
    """A new token."""
    secret: str
    """The secret. It is not stored, and cannot be shown again."""
    token: StoredToken


class Detection(TypedDict):
    """A fair value gap or an order block."""
    kind: ZoneKind
    direction: Direction
    """`long` if the market rose from it."""
    top: float
    bottom: float
    begins_at: str
    """When its bar opened."""
    known_at: str
    """The close of the bar that revealed it."""
    touched_at: str | None
    """The close of the first bar that returned to it."""
    ended_at: str | None
    """The close of the bar that ended it: that traded through a gap, or closed beyond a block."""

Detections = TypedDict("Detections", {
    "symbol": "str",
    "interval": "BarInterval",
    "from": "str",
    "to": "str",
    "bars": "int",
    "simulated": "bool",
    "swing": "int",
    "detections": "list[Detection]",
    "levels": "list[SessionLevel]",
})

DifferenceKind: TypeAlias = 'Literal["only_live", "only_recomputed", "content", "end"]'
"""What differs."""

DifferenceReason: TypeAlias = 'Literal["late_tick", "failover", "restart", "lost_ticks", "gap", "unexplained"]'
"""Why a live signal and its recomputation differ."""

Direction: TypeAlias = 'Literal["long", "short"]'
"""The direction of a signal."""


class EndRequest(TypedDict):
    """The end of a signal."""
    status: SignalStatus
    """`confirmed` or `invalidated`."""
    reason: NotRequired[str | None]
    """Why it is invalidated: `manual` if absent."""
    dry_run: NotRequired[bool | None]
    """Only validate: nothing is published."""

EntryOrder: TypeAlias = 'Literal["market", "limit"]'
"""How a position is entered after the confirmation of its signal."""


class ErrorBody(TypedDict):
    """The body of every JSON error."""
    error: str
    """A sentence for people."""
    code: ErrorCode
    """The error code for programs."""
    details: NotRequired[dict[str, Any]]
    """Further details, such as `fields`: each invalid field with its fault."""

ErrorCode: TypeAlias = 'Literal["bad_request", "invalid_json", "validation_failed", "invalid_host", "unsupported_protocol", "unauthorized", "token_expired", "token_revoked", "token_malformed", "token_too_long", "token_wrong_algorithm", "token_wrong_signature", "token_invalid_claim", "token_wrong_audience", "token_wrong_issuer", "token_not_yet_valid", "forbidden", "delayed_token", "origin_not_allowed", "not_found", "signal_not_found", "method_not_allowed", "request_timeout", "signal_terminal", "source_replaced", "payload_too_large", "unsupported_media_type", "host_not_allowed", "unknown_symbol", "invalid_settings", "rate_limited", "too_many_wrong_tokens", "too_many_connections", "internal", "not_configured", "not_delivered", "not_stored", "overloaded", "replaying", "draining", "too_many_delays", "channel_full", "unavailable", "token_keys_unavailable"]'


class EventRequest(TypedDict):
    """A message: without `user` and `audience` it goes to all subscribers of its type."""
    type: str
    """The type, which says what `data` must have."""
    data: Any
    """An object, or for `trade_signals` a list."""
    user: NotRequired[str | None]
    """Only this user gets it."""
    audience: NotRequired[str | None]
    """`all`, `user` or `admin`."""


class EventsAnswer1(TypedDict):
    """The answer to a single event."""
    success: bool
    message: str
    type: str
    timestamp: str


class EventsAnswer2(TypedDict):
    """The answer to a batch."""
    success: bool
    message: str
    accepted: int

EventsAnswer: TypeAlias = "EventsAnswer1 | EventsAnswer2"
"""The answer to published events."""


class EventsRequest2(TypedDict):
    events: list[EventRequest]

EventsRequest: TypeAlias = "EventRequest | EventsRequest2"
"""A message, or up to 1,000 of them."""

Feed: TypeAlias = 'Literal["live", "delayed", "indicative", "simulated", "replayed"]'
"""The kind of feed of a price. It limits the quality that the price can have."""


class Health(TypedDict):
    protocol: int
    """Version of the interface."""
    status: str
    timestamp: str
    uptime_seconds: int
    version: str
    """Version of the server."""

Instrument = TypedDict("Instrument", {
    "symbol": "str",
    "name": "str",
    "class": "InstrumentClass",
    "digits": "int",
    "tick_size": "float",
    "aliases": "list[str]",
})

InstrumentClass: TypeAlias = 'Literal["forex", "metal", "index", "future", "crypto", "stock"]'
"""The market of an instrument."""


class Instruments(TypedDict):
    instruments: list[Instrument]

Killzone: TypeAlias = 'Literal["asia", "london", "ny_am", "lunch", "pm"]'
"""A window of the trading day."""


class KillzoneClock(TypedDict):
    """The killzone clock. Windows are in the wall-clock time of New York."""
    timestamp: str
    new_york: str
    """The same in New York, with its offset from UTC."""
    killzone: Killzone | None
    changes_at: str
    """When that changes: the open window ends, or the next one begins."""
    seconds_to_change: int
    next: NextKillzone
    """The window that begins next."""
    killzones: list[KillzoneWindow]
    windows: NotRequired[list[OpenKillzone]]
    """The windows between `from` and `to`, oldest first; only if the query names both."""
    clocks_differ: bool
    """Whether the clocks of New York and London are now not the usual five hours apart."""
    weeks_apart: list[TimeSpan]
    """The times, up to two years ahead, in which they are not."""
    markets: list[MarketHours]


class KillzoneWindow(TypedDict):
    """A window: half-open, by New York's wall clock."""
    killzone: Killzone
    begins: str
    ends: str
    """`24:00` is midnight."""


class LineAnswer(TypedDict):
    dry_run: bool
    """Whether the signal was only validated."""
    message: str
    success: bool
    timestamp: str


class LineRequest(TypedDict):
    """A signal for LINE."""
    signal: NotRequired[SignalRequest | None]
    dry_run: NotRequired[bool | None]
    """Only validate the signal: nothing is sent."""

LogConsistency = TypedDict("LogConsistency", {
    "from": "int",
    "to": "int",
    "hashes": "list[str]",
})


class MarketHours(TypedDict):
    """The hours of an instrument's market."""
    symbol: str
    session: Session
    hours: str
    """The weekly hours by New York's wall clock, without holidays."""
    is_open: bool
    changes_at: str | None
    """When it opens or closes next, holidays included; null if it never closes."""


class NetResult(TypedDict):
    """The result of a position after its costs, in R."""
    r: float
    """`r` less slippage and commission."""
    slippage_r: float
    """The slippage of all fills at the market."""
    commission_r: float
    """The commission of the whole position."""


class NetStats(TypedDict):
    """Statistics of results after slippage and commission."""
    trades: int
    """The trades with such a result."""
    win_rate: RateEstimate | None
    expectancy_r: float
    """The mean result."""
    total_r: float
    """The sum of all results."""
    profit_factor: float | None
    """The sum of the wins divided by the sum of the losses; `None` without losses."""
    max_drawdown_r: float
    """The maximum fall of the running sum below its previous maximum; at least 0."""


class NewToken(TypedDict):
    """The body of a request for a token."""
    delay: NotRequired[int | None]
    """How late its holder gets prices and signals, in whole seconds up to a day: a number, or a duration such as `15m`."""
    expires_at: NotRequired[str | None]
    """When it expires: ISO 8601 or a Unix epoch. Without it the token does not expire."""
    kind: StoredKind
    name: NotRequired[str | None]
    """Different from the names of all other stored tokens. Without it the server chooses one."""
    user: NotRequired[str | None]
    """The user's id, for tokens of the kind `user`."""


class NextKillzone(TypedDict):
    """The window that begins next."""
    killzone: Killzone
    begins_at: str
    seconds: int

OpenKillzone = TypedDict("OpenKillzone", {
    "killzone": "Killzone",
    "from": "str",
    "to": "str",
})
"""A window on a day."""

OutcomeClass: TypeAlias = 'Literal["targets", "stop", "ambiguous", "expired", "not_filled", "interrupted", "unmeasured"]'
"""How a signal's record ended."""


class Outcomes(TypedDict):
    feeds: list[Feed]
    """The feeds whose records are counted."""
    total: int
    """How many records the query selects."""
    observed_since: str | None
    """When the first of them was confirmed."""
    outcomes: list[TradeOutcome]
    """The last ones, in the order in which they ended."""


class Overview(TypedDict):
    """The state of the server; the lists are those of the metrics with the same names."""
    alerts: list[OverviewAlert]
    cluster: NotRequired[OverviewNode]
    """What this node knows of its cluster, if it belongs to one."""
    connections: list[OverviewConnections]
    duplicates: list[OverviewDuplicates]
    log: OverviewLog
    logins: int
    notices: list[OverviewNotices]
    """The receivers of notices: whether they take messages, and since when a step waits."""
    parts: dict[str, Part]
    presence: list[OverviewPresence]
    process: OverviewProcess
    queues: list[OverviewQueue]
    refused: list[OverviewRefused]
    rejects: list[OverviewReject]
    slow_clients_cut: list[OverviewCut]
    slowest: list[OverviewSlow]
    sources: list[Source]
    timestamp: str
    uptime_seconds: int
    version: str


class OverviewAlert(TypedDict):
    """Whether an alert is raised: 1, else 0."""
    alert: str
    raised: int


class OverviewConnections(TypedDict):
    """The open connections of a transport to an endpoint."""
    endpoint: str
    namespace: str
    """The former name of `endpoint`."""
    transport: str
    open: int


class OverviewCut(TypedDict):
    """Clients that were disconnected because they were too slow."""
    transport: str
    count: int


class OverviewDuplicates(TypedDict):
    """Repeated alerts or batches of a source, which were ignored."""
    kind: str
    source: str
    count: int


class OverviewLog(TypedDict):
    """The log."""
    position: str
    """The cursor of the last event."""
    events: int
    bytes: int
    pending: int
    """Pending signals."""
    disk_free_bytes: int


class OverviewNode(TypedDict):
    """What this node knows of its cluster."""
    node: str
    state: str
    term: int
    writer: str
    """The writer of the term; empty before the first one."""
    stream_seq: int
    """The last message of the stream that this node has applied and published."""
    stream_end: int
    """The last message of the stream that this node has heard of."""
    lag: int
    unready: str | None
    """Why the node does not serve."""


class OverviewNotices(TypedDict):
    """A receiver of notices."""
    channel: str
    """Telegram, LINE, and so on."""
    failures: int
    """How many times in a row it did not take a message."""
    problem: str | None
    """Why it does not take messages; null while it does."""
    waiting_since: str | None
    """Since when a step waits; null while none does."""
    sent_at: str | None
    """When it took the last message; null before the first one."""


class OverviewPresence(TypedDict):
    """The clients of a transport, and how many of them get what."""
    transport: str
    clients: int
    prices: int
    signals: int
    messages: int
    clock: int
    presence: int


class OverviewProcess(TypedDict):
    """What the process uses."""
    resident_bytes: int
    open_files: int
    cpu_ratio: float
    """Its share of all processors, 0 to 1."""


class OverviewQueue(TypedDict):
    """What waits in a queue."""
    queue: str
    depth: int


class OverviewRefused(TypedDict):
    """Refused requests and connections."""
    reason: str
    count: int


class OverviewReject(TypedDict):
    """A rejected push, connection or request, with its repetitions."""
    at: str
    kind: str
    reason: str
    times: int


class OverviewSlow(TypedDict):
    """A connection whose peer reads slowly. What is queued is null where nothing is: requests, and Socket.IO over long polling, which keeps its queue inside its library."""
    endpoint: str
    connection: str | None
    """Id of the client's connection in the log; null when the connection only serves requests."""
    connected_ms: int
    blocked_ms: int | None
    longest_ms: int
    behind_ms: int | None
    ordered: int | None
    states: int | None
    conflated: int | None
    """Prices and other states that a newer one has replaced, since the connection was opened."""


class Part(TypedDict):
    """The condition of a part of the server."""
    reason: NotRequired[str]
    status: str
    """`ok` or `degraded`."""


class Position(TypedDict):
    """The position size for the query's `risk` in its `currency` (US dollars by default)."""
    currency: str
    stop_pips: float
    """The distance from entry to stop in pips."""
    pip_value_per_lot: float
    """The value of a pip of one lot in the account's currency."""
    units: float
    """The exact size in units of the instrument."""
    lots: float
    """The size in lots, rounded down to a tradable step."""
    risk: float
    """The loss of `lots` at the stop in the account's currency, without costs."""


class PositionSize(TypedDict):
    """The size of a position that loses a given amount at its stop."""
    stop_pips: float
    """The distance from entry to stop in pips."""
    pip_value_per_lot: float
    """The value of a pip of one lot in the account's currency."""
    units: float
    """The exact size in units of the instrument."""
    lots: float
    """The size in lots, rounded down to a tradable step."""
    risk: float
    """The loss of `lots` at the stop in the account's currency, without costs."""

PostAnswer: TypeAlias = "TicksAnswer | AnsweredSignalAnswer"
"""The answer to a post."""


class Presence(TypedDict):
    """How many clients are watching. In a cluster each node counts its own."""
    timestamp: str
    this_node: PresenceCounts
    """The clients of the node that sends this."""


class PresenceCounts(TypedDict):
    """How many clients are connected, and how many of them get what. A client may get several kinds of data."""
    clients: int
    """All clients, over every transport."""
    prices: int
    """Clients that get prices, of some symbols at least."""
    signals: int
    """Clients that get signals, of some symbols at least."""
    messages: int
    """Clients that get published messages: the channel `user`, and the dashboards' own streams."""
    clock: int
    """Clients with the channel `clock`."""
    presence: int
    """Clients with the channel `presence`."""


class PresenceOfUsers(TypedDict):
    """Who is watching, on the node that answers."""
    this_node: PresenceCounts
    """The clients of the node that answers."""
    timestamp: str
    users: list[UserPresence]
    """The users with a client here, by name; the first 1,000 of them."""
    users_total: int
    """How many users have a client here."""


class Price(TypedDict):
    """A price."""
    symbol: str
    price: float
    """The middle of bid and ask, or the last price where they are missing."""
    timestamp: str
    """When the price was observed."""
    change: float
    """Relative to the previously published price."""
    change_percent: float
    """In percent: 0.02 is 0.02 %."""
    volume: NotRequired[float]
    bid: NotRequired[float]
    ask: NotRequired[float]
    quality: Quality
    source: str


class PriceRequest(TypedDict):
    """A price: `price`, or `bid` and `ask`."""
    symbol: str
    """Instrument, in any spelling."""
    price: NotRequired[float | None]
    bid: NotRequired[float | None]
    ask: NotRequired[float | None]
    volume: NotRequired[float | None]
    timestamp: NotRequired[str | None]
    """ISO 8601 or a Unix epoch; now if absent."""


class Prices(TypedDict):
    prices: list[Price]


class PricesRequest2(TypedDict):
    prices: list[PriceRequest]

PricesRequest: TypeAlias = "PriceRequest | PricesRequest2"
"""A price, or up to 1,000 of them."""


class ProvenLeaf(TypedDict):
    index: int
    """The number of the leaf, from 0."""
    data: str
    """The data of the leaf: JSON, to be hashed as it is."""
    hash: str
    """SHA-256 of a zero byte and the data, base64."""
    path: list[str]
    """The hashes beside the way from the leaf to the root, base64."""

Quality: TypeAlias = 'Literal["live", "delayed", "stale", "closed", "simulated", "replayed"]'
"""The reliability of a published price."""


class RateEstimate(TypedDict):
    """A rate with its confidence interval (Wilson, 95 %)."""
    rate: float
    """The observed rate."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""


class Readiness(TypedDict):
    parts: dict[str, Part]
    reasons: list[str]
    """Why the server is degraded."""
    status: str
    """`ok` or `degraded`."""


class Recomputation(TypedDict):
    """The comparison of a day's live signals with a backtest over the ticks that were kept of it."""
    computed_at: str
    counts: dict[str, int]
    """The number of differences by reason, every reason included; also of those that are not listed."""
    day: str
    """The day, UTC."""
    differences: list[SignalDifference]
    """In order of time."""
    live: int
    """The number of signals that were published live."""
    problem: str | None
    """Why the day, or a part of it, could not be recomputed."""
    recomputed: int
    """The number of signals that the backtest has."""
    ticks: int
    """The number of kept ticks of the day."""


class Recomputations(TypedDict):
    """The comparisons of the last days."""
    days: list[Recomputation]
    """The last day first; at most 31."""
    enabled: bool
    """Whether ticks are kept, so that days can be compared: `data.tick_retention` is not 0."""
    retention_seconds: int
    """How long ticks are kept, in seconds: `data.tick_retention`."""


class RecomputedSignal(TypedDict):
    """What is compared of a signal."""
    confidence: float
    """0 to 1."""
    direction: Direction
    ended_at: str | None
    """When it was confirmed or invalidated."""
    entry_price: float | None
    invalidation: str | None
    """Why it was invalidated: `timeout`, `stop_touched` and others."""
    published_at: str
    status: SignalStatus
    """`pending` if it had not ended when the comparison did."""
    stop_loss: float | None
    take_profits: list[float]


class RefusedTick(TypedDict):
    """A rejected tick. Sending it again would not help."""
    index: int
    """Its index in the batch."""
    symbol: str
    """The symbol as it was sent."""
    code: str
    """`unknown_symbol`, `invalid`, `duplicate`, `out_of_order`, or why the engine rejects it, such as `jump`."""
    reason: str
    """The explanation for people."""


class ReloadReport(TypedDict):
    """What a reload has changed."""
    applied: list[ChangedSetting]
    """The settings that are in force now; with `dry_run` those that would be."""
    dry_run: bool
    """Whether the settings were only compared."""
    needs_restart: list[ChangedSetting]
    """The settings that will be in force after a restart."""
    unchanged: bool
    """Whether all settings are the ones in force."""
    warnings: list[str]
    """What is probably not as intended, as at a start."""


class Revocation(TypedDict):
    """The body of a revocation."""
    user: str
    """The user's id."""
    not_before: NotRequired[str | None]
    """Tokens issued before this time become invalid: ISO 8601 or a Unix epoch, not in the future."""


class Revoked(TypedDict):
    message: str
    not_before: str
    success: bool
    timestamp: str
    user: str


class RevokedToken(TypedDict):
    name: str
    success: bool


class RpcAnswer(TypedDict):
    """The answer of JSON-RPC 2.0: `result`, or `error`."""
    jsonrpc: str
    id: NotRequired[Any]
    result: NotRequired[dict[str, Any]]
    error: NotRequired[dict[str, Any]]


class RpcMessage(TypedDict):
    """A message of JSON-RPC 2.0."""
    jsonrpc: str
    """`2.0`."""
    id: NotRequired[Any]
    """A number or text, repeated in the answer; absent in a notification."""
    method: str
    """`initialize`, `tools/list`, `tools/call`, …"""
    params: NotRequired[dict[str, Any] | None]

RpcRefusal: TypeAlias = "ErrorBody | RpcAnswer"
"""An error of this server, or of JSON-RPC 2.0."""

Session: TypeAlias = 'Literal["forex", "globex", "always"]'
"""The weekly timetable of an instrument."""


class SessionLevel(TypedDict):
    """The highest and the lowest price of a day or a killzone that has ended."""
    name: str
    """`previous_day`, which begins and ends at 17:00 in New York, or the killzone."""
    high: float
    low: float

SetupKind: TypeAlias = 'Literal["mss_fvg", "order_block", "liquidity_sweep", "bos", "premium_discount"]'
"""The kinds of setups."""


class Signal(TypedDict):
    """A complete signal."""
    id: str
    status: SignalStatus
    direction: Direction
    symbol: str
    entry_time: str
    entry_price: float | None
    stop_loss: float | None
    take_profits: list[float]
    tp_modes: list[str]
    """One label for each target, such as `TP1 30%`; may be empty."""
    reason: str
    confidence: float
    """0 to 1."""
    rr_target: float
    killzone: Killzone
    killzone_active: bool
    """False if `killzone` is the previous window, because none is active."""
    price: float | None
    """The same as `entry_price`, for older clients."""
    updated_at: str
    """Time of the last change."""
    expires_at: str
    """When the server ends the signal if it is still pending."""
    invalidation: str | None
    """Why it was invalidated: `timeout`, `stop_touched`, `manual` and others."""
    source: str
    calibration: NotRequired[AppliedCalibration]
    """The mapping that made `confidence` of the model score, if the operator applies one."""


class SignalDifference(TypedDict):
    """A signal that only one side has, or that the two sides have differently."""
    detail: str
    """The reason as a sentence, with its times."""
    kind: DifferenceKind
    """`only_live` and `only_recomputed`: the other side does not have the signal; `content`: the direction, a level or the confidence differs; `end`: how the signal ended."""
    live: RecomputedSignal | None
    reason: DifferenceReason
    """`late_tick`: ticks arrived in another minute than the one in which they were observed, or after the deadline of the signal; `failover`: the prices changed to another source; `restart`: the server started anew, or another node took over; `lost_ticks`: ticks could not be kept; `gap`: there were no prices for a time; `unexplained`: none of these."""
    recomputed: RecomputedSignal | None
    signal: str
    """The id of the signal."""
    symbol: str

SignalId: TypeAlias = "str"
"""The id of a signal: 1 to 128 characters for a pushed one, a UUID for one of the server. Cheap to clone."""


class SignalLife(TypedDict):
    signal: Signal
    history: list[SignalStateChange]
    outcome: NotRequired[TradeOutcome]
    """The outcome of the trade, once it is known."""
    position: NotRequired[Position]


class SignalProof(TypedDict):
    """The proof that a signal is in the log."""
    checkpoint: str
    """The checkpoint that the paths lead to: a signed note, with the size and the root of the tree."""
    leaves: list[ProvenLeaf]
    """A leaf for each change of the signal, and one for its outcome, oldest first."""


class SignalRequest(TypedDict):
    """A signal. `id` and `status` are enough to end a known one; a new one needs `symbol` and `direction`."""
    id: NotRequired[str | None]
    """Yours; the same id is the same signal. Without one the server makes one."""
    status: NotRequired[SignalStatus | None]
    symbol: NotRequired[str | None]
    """Instrument, in any spelling."""
    direction: NotRequired[Direction | None]
    entry_time: NotRequired[str | None]
    """ISO 8601 or a Unix epoch; now if absent."""
    entry_price: NotRequired[float | None]
    stop_loss: NotRequired[float | None]
    take_profits: NotRequired[list[float] | None]
    tp_modes: NotRequired[list[str] | None]
    """What becomes of the position at each target."""
    reason: NotRequired[str | None]
    confidence: NotRequired[float | None]
    """0 to 1, or 1 to 100 in percent."""
    rr_target: NotRequired[float | None]
    killzone: NotRequired[Killzone | None]
    model: NotRequired[str | None]
    invalidation: NotRequired[str | None]
    """With the status `invalidated`: the reason."""
    dry_run: NotRequired[bool | None]
    """Only validate: nothing is published."""


class SignalStateChange(TypedDict):
    status: SignalStatus
    at: str
    reason: str | None
    source: str
    cursor: str

SignalStatus: TypeAlias = 'Literal["pending", "confirmed", "invalidated"]'
"""The three states of a signal, without details."""


class Signals(TypedDict):
    signals: list[Signal]
    cursor: str
    """The log's position before the page was read: a client that resumes from it misses nothing."""
    next: str | None
    cursors: NotRequired[list[str]]
    """With `wait`: the position of each of the signals."""
    recovered: NotRequired[bool]
    """With `wait` and `since`: whether they are all changes after the cursor; if not, they are the current signals."""


class Source(TypedDict):
    """One source. Durations are in milliseconds."""
    name: SourceName
    state: str
    retry_in: int | None
    """Time until the next connection attempt."""
    last_tick_age: int | None
    """Time since its last tick."""
    ticks_per_minute: int
    rejected: int
    """Ticks rejected since the start."""
    budget: Budget | None
    symbols: list[SourceSymbol]

SourceName: TypeAlias = "str"
"""The name of a source on the wire: `simulator`, `replay`, `push`, … Cheap to clone."""


class SourceSymbol(TypedDict):
    symbol: str
    in_force: bool
    """Whether the symbol's prices come from this source; else the source is on standby."""
    last_tick_age: int
    apart: float | None
    """Difference from the active source, in percent."""
    diverged: bool
    """Whether the difference has been too large for too long."""


class Sources(TypedDict):
    sources: list[Source]
    timestamp: str


class Start(TypedDict):
    """The start page's steps."""
    dashboard_at: str | None
    """When the first dashboard connected; the console itself does not count."""
    is_new: bool
    """Whether the console begins with the start page: the server is new, and not all steps are done."""
    price_at: str | None
    """When the first real price came: neither simulated nor replayed."""
    push_at: str | None
    """When the first push was accepted."""


class Statistics(TypedDict):
    feeds: list[Feed]
    """The feeds whose records are counted."""
    note: str
    open: int
    """Confirmed signals of this symbol and source whose record has not ended."""
    all: Stats
    """All outcomes."""
    symbol: dict[str, Stats]
    """By instrument."""
    setup: dict[str, Stats]
    """By setup; `other` when the reason names none."""
    killzone: dict[str, Stats]
    """By window of the trading day."""
    source: dict[str, Stats]
    """By sender."""
    confidence: dict[str, Stats]
    """By model score in tenths: `0.7` is 0.7 up to 0.8; `0.9` includes 1."""


class Stats(TypedDict):
    """Statistics of some outcomes."""
    signals: int
    """Confirmed signals whose record has ended."""
    trades: int
    """Those with a position that was measured to its end. All further statistics are of these."""
    few: bool
    """Whether there are fewer than 30 trades."""
    with_gap: int
    """Trades whose record has a gap in which the server was down."""
    classes: dict[str, int]
    """The number of records by how they ended."""
    win_rate: RateEstimate | None
    first_target_rate: RateEstimate | None
    expectancy_r: float | None
    """The mean result."""
    total_r: float
    """The sum of all results."""
    profit_factor: float | None
    """The sum of the wins divided by the sum of the losses; `None` without losses."""
    max_drawdown_r: float
    """The maximum fall of the running sum below its previous maximum, in the order in which the records ended; at least 0."""
    mean_mfe: float | None
    """The mean of the best prices."""
    mean_mae: float | None
    """The mean of the worst prices."""
    brier: float | None
    """The mean squared error of the model score against "first target before the stop". A constant score of 0.5 has 0.25."""
    net: NotRequired[NetStats]
    """The results after slippage and commission, of the trades that have them; absent when none has."""

StoredKind: TypeAlias = 'Literal["ingest", "read", "user"]'
"""What a stored token is for."""


class StoredToken(TypedDict):
    """A stored token, without its secret."""
    created_at: str
    delay: int
    """How late its holder gets prices and signals, in seconds."""
    expires_at: str | None
    kind: StoredKind
    last_used_at: str | None
    """Written at most once a minute; after a crash it may be older."""
    name: str
    user: str | None


class StoredTokens(TypedDict):
    """All tokens."""
    settings: list[str]
    """The environment variables of the shared tokens that the settings have; they are changed there."""
    tokens: list[StoredToken]
    """The stored tokens, by name."""

Symbol: TypeAlias = "str"
"""The canonical name of an instrument, such as `EURUSD`. Cheap to clone. Only [`Instruments::resolve`](super::Instruments::resolve) converts a spelling from outside into one."""


class TickRequest(TypedDict):
    """A tick of an Expert Advisor."""
    s: str
    """The broker's name of the symbol."""
    b: float
    """Bid."""
    a: float
    """Ask."""
    d: NotRequired[int | None]
    """Digits."""
    t: int
    """Time of the broker's clock, in milliseconds."""


class TicksAnswer(TypedDict):
    """The answer to a batch of ticks. It acknowledges the whole batch, including rejected ticks."""
    success: bool
    message: str
    seq: int
    accepted: int
    duplicate: bool
    """Whether the batch was received before, because its acknowledgement was lost."""
    rejected: list[RefusedTick]
    timestamp: str


class TicksRequest(TypedDict):
    """The changes since the last batch of an Expert Advisor; without ticks a keep-alive. A signal has `type` `signal` and the fields of a pushed signal."""
    v: int
    """Version of the format: 1."""
    type: str
    """`ticks` or `signal`."""
    src: str
    """`mt5` or `mt4`."""
    seq: NotRequired[int | None]
    utc_off: NotRequired[int | None]
    """Offset of the broker's clock from UTC, in seconds."""
    connected: NotRequired[bool | None]
    ticks: NotRequired[list[TickRequest] | None]

TimeSpan = TypedDict("TimeSpan", {
    "from": "str",
    "to": "str",
})


class TokenName(TypedDict):
    """The body of a revocation."""
    name: str
    """The name of the token."""

TradeOutcome = TypedDict("TradeOutcome", {
    "signal": "SignalId",
    "symbol": "Symbol",
    "direction": "Direction",
    "setup": "SetupKind | None",
    "killzone": "Killzone",
    "source": "SourceName",
    "confidence": "float",
    "calibration": "NotRequired[AppliedCalibration]",
    "feed": "Feed | None",
    "entry": "float | None",
    "stop": "float | None",
    "fill": "float | None",
    "confirmed_at": "str",
    "closed_at": "str",
    "class": "OutcomeClass",
    "targets_hit": "int",
    "targets": "int",
    "r": "float",
    "mfe": "float",
    "mae": "float",
    "gap_seconds": "NotRequired[int]",
    "order": "NotRequired[EntryOrder]",
    "net": "NotRequired[NetResult]",
})
"""The record of one confirmed signal. `r` is `Σ share·dir·(exit − fill)/|entry − stop|`, where the fill is the first price after the confirmation and the levels are those that the signal was confirmed with; a gap through the stop exits at the first price beyond. `mfe` and `mae` are the best and the worst price of the position in the same unit (`mae` ≤ 0). A long is filled on the ask and leaves on the bid, a short the other way round; costs beyond the spread are only in `net`."""


class Unready(TypedDict):
    part: NotRequired[str]
    """The part that is missing."""
    reasons: NotRequired[list[str]]
    """Why it is missing."""
    status: str
    """`starting`, `draining`, or `unavailable` when a part is missing."""


class UserPresence(TypedDict):
    """The clients whose token names this user."""
    user: str
    clients: int
    """All clients, over every transport."""
    prices: int
    """Clients that get prices, of some symbols at least."""
    signals: int
    """Clients that get signals, of some symbols at least."""
    messages: int
    """Clients that get published messages: the channel `user`, and the dashboards' own streams."""
    clock: int
    """Clients with the channel `clock`."""
    presence: int
    """Clients with the channel `presence`."""

ZoneKind: TypeAlias = 'Literal["fair_value_gap", "order_block"]'
"""The kind of a zone."""
