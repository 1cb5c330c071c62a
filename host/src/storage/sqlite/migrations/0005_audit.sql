-- Who changed what: one row for each run, task, token or copy that a caller with a token changed. Written in the transaction of the
-- change. Numbers rise by one within a namespace, so that entries are read from the end and forgotten from the beginning without an index.
CREATE TABLE runlater_audit (
    namespace INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    token     TEXT NOT NULL,
    action    TEXT NOT NULL,
    run       INTEGER,
    subject   TEXT,
    detail    TEXT,
    PRIMARY KEY (namespace, number)
) STRICT, WITHOUT ROWID;
