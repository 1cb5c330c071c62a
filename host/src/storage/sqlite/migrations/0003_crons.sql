-- Crons: rules that make a run again and again. Their occurrences become ordinary runs shortly before their time, in the transaction that
-- moves next_at on; so each has exactly one run.

CREATE TABLE runlater_crons (
    id         INTEGER PRIMARY KEY,
    namespace  INTEGER NOT NULL,
    name       TEXT NOT NULL,
    task       INTEGER NOT NULL,
    origin     INTEGER NOT NULL CHECK (origin BETWEEN 0 AND 4),
    expression TEXT NOT NULL,
    timezone   TEXT NOT NULL,
    start_at   INTEGER NOT NULL,
    end_at     INTEGER,
    jitter     INTEGER NOT NULL,
    max_count  INTEGER,
    priority   INTEGER,
    missed     TEXT,
    metadata   TEXT,
    input_type TEXT,
    input      BLOB NOT NULL,
    pause      TEXT,
    -- The first planned time that has no run yet; NULL once there is none, and while the cron is paused without an end.
    next_at    INTEGER,
    fired      INTEGER NOT NULL DEFAULT 0,
    version    INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (namespace, name)
) STRICT;

CREATE INDEX runlater_crons_next ON runlater_crons (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX runlater_crons_task ON runlater_crons (task);

-- Which occurrence a run is: planned_at is the rule's time, trigger_at that and the jitter. A row that stands for skipped occurrences says
-- how many and up to when. A run that somebody triggered by hand has no planned time.
ALTER TABLE runlater_runs ADD COLUMN cron INTEGER;
ALTER TABLE runlater_runs ADD COLUMN planned_at INTEGER;
ALTER TABLE runlater_runs ADD COLUMN skipped INTEGER;
ALTER TABLE runlater_runs ADD COLUMN skipped_until INTEGER;
CREATE UNIQUE INDEX runlater_runs_cron ON runlater_runs (cron, planned_at) WHERE cron IS NOT NULL;
