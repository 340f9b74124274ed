-- What became of confirmed signals; written once.
CREATE TABLE outcomes (
    signal_id TEXT NOT NULL PRIMARY KEY,
    closed_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outcomes_by_end ON outcomes (closed_at, signal_id);
CREATE INDEX outcomes_by_age ON outcomes (stored_at);
-- Whether any of its prices was invented. Bars from earlier releases count as simulated: they did not record it.
ALTER TABLE bars ADD COLUMN simulated INTEGER NOT NULL DEFAULT 1;
