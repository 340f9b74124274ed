-- Every row outside the chains gets a checksum. Existing rows get theirs in `checksums.rs`.
ALTER TABLE meta ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bars ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE published ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
-- What a process that was killed while its disk was full has left.
DELETE FROM meta WHERE key IN ('probe', 'burden');
-- Until the watermark is there, the log counts as one that was closed.
INSERT INTO meta (key, value) VALUES ('closed', 1);
