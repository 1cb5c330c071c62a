-- Which run a request under an Idempotency-Key got. It outlives what happens to the run: the key is held until `until` at least, while the run
-- has not ended, and for `held_for` microseconds after its end. `request` is the SHA-256 of what was asked for.
CREATE TABLE runlater_idempotency_keys (
    namespace  INTEGER NOT NULL,
    key        TEXT NOT NULL,
    run        INTEGER NOT NULL,
    -- What a repeated request is told once the run is gone.
    trigger_at INTEGER NOT NULL,
    request    BLOB NOT NULL,
    held_for   INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX runlater_idempotency_keys_until ON runlater_idempotency_keys (until);
CREATE INDEX runlater_idempotency_keys_run ON runlater_idempotency_keys (run);

-- Until now the header was a unique key like any other, and which keys came in it is not known. Whatever a client may have been promised
-- is kept: each key of a run that came through a door is both from now on. Their `request` is the hash of a unique key, which has 16 bytes.
INSERT INTO runlater_idempotency_keys (namespace, key, run, trigger_at, request, held_for, until)
SELECT k.namespace, k.key, k.run, r.trigger_at, k.hash, k.held_for, coalesce(r.finished_at, r.created_at) + k.held_for
FROM runlater_unique_keys k JOIN runlater_runs r ON r.id = k.run WHERE r.origin = 0 AND k.held_for > 0;
