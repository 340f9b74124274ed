-- Messages of others. `key` is null for ordered ones; of a state it says which one of its kind it is.
CREATE TABLE published (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    audience TEXT NOT NULL,
    key TEXT,
    data TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX published_states ON published (audience, kind, key) WHERE key IS NOT NULL;
CREATE INDEX published_messages ON published (audience, seq) WHERE key IS NULL;
