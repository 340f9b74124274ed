-- Records become a chain, see `chained_records.rs`. `taken_over`: written before there was a chain.
DROP INDEX outcomes_by_end;
DROP INDEX outcomes_by_age;
ALTER TABLE outcomes RENAME TO outcomes_before;
CREATE TABLE outcomes (
    seq INTEGER PRIMARY KEY,
    signal_id TEXT NOT NULL UNIQUE,
    closed_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    taken_over INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX outcomes_by_end ON outcomes (closed_at, signal_id);

-- Confirmed signals that have no record yet, and how far it has come; null before the first price.
CREATE TABLE open_outcomes (signal_id TEXT NOT NULL PRIMARY KEY, body TEXT, hash BLOB) STRICT, WITHOUT ROWID;
