-- A Merkle tree over the events and the records, in the order in which they were committed. See `tree.rs`.
-- `kind`: 0 an event, 1 a record. `event`, `record`: the last of each up to here. `hashes`: that of the leaf, and those of the
-- subtrees that it completes.
CREATE TABLE tree (
    leaf INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    event INTEGER NOT NULL,
    record INTEGER NOT NULL,
    hashes BLOB NOT NULL
) STRICT;
