PRAGMA application_id = 0x4f52494f;

CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- Every change of every signal, append-only. Times are Unix milliseconds. `reason` is that of an invalidation.
CREATE TABLE signal_events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    signal_id TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    source TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX signal_events_by_signal ON signal_events (signal_id);

-- Where every signal is now. Its content is the body of the event `last_seq`.
CREATE TABLE signals (
    first_seq INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL UNIQUE,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    symbol TEXT NOT NULL,
    killzone TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX signals_pending ON signals (first_seq) WHERE status = 'pending';
CREATE INDEX signals_by_symbol ON signals (symbol, first_seq);
CREATE INDEX signals_by_change ON signals (updated_at);

-- One-minute bars.
CREATE TABLE bars (
    symbol TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    PRIMARY KEY (symbol, opened_at)
) STRICT, WITHOUT ROWID;
