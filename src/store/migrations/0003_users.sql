-- What is remembered of users. `not_before`: tokens made before are revoked. `seen`: the last message that reached them.
CREATE TABLE users (
    user TEXT NOT NULL PRIMARY KEY,
    not_before INTEGER,
    seen INTEGER,
    noted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX users_by_age ON users (noted);
