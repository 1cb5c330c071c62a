CREATE TABLE runlater_attempts (
    run         INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    component   INTEGER,
    outcome     TEXT NOT NULL,
    message     TEXT,
    log         BLOB, log_dropped INTEGER,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;

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

CREATE INDEX runlater_audit_run ON runlater_audit (run) WHERE run IS NOT NULL;

CREATE TABLE runlater_chains (
    root INTEGER PRIMARY KEY,
    live INTEGER NOT NULL
) STRICT;

CREATE TABLE runlater_code_schedules (
    task       INTEGER NOT NULL,
    key        TEXT NOT NULL,
    run        INTEGER NOT NULL,
    trigger_at INTEGER NOT NULL,
    PRIMARY KEY (task, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE runlater_components (
    id         INTEGER PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    wasm       BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

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

CREATE INDEX runlater_idempotency_keys_run ON runlater_idempotency_keys (run);

CREATE INDEX runlater_idempotency_keys_until ON runlater_idempotency_keys (until);

CREATE TABLE runlater_meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runlater_namespaces (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
, run_bytes INTEGER NOT NULL DEFAULT 0, quotas TEXT NOT NULL DEFAULT '{}', made_at INTEGER, deleting_since INTEGER) STRICT;

CREATE TABLE runlater_rates (
    task       INTEGER NOT NULL,
    lane       TEXT NOT NULL,
    used_until INTEGER NOT NULL,
    PRIMARY KEY (task, lane)
) STRICT, WITHOUT ROWID;

CREATE INDEX runlater_rates_used ON runlater_rates (used_until);

CREATE TABLE runlater_run_metadata (
    namespace INTEGER NOT NULL,
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    run       INTEGER NOT NULL,
    PRIMARY KEY (namespace, key, value, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE runlater_runs (
    id               INTEGER PRIMARY KEY,
    namespace        INTEGER NOT NULL,
    task             INTEGER NOT NULL,
    status           INTEGER NOT NULL CHECK (status BETWEEN 0 AND 6),
    due_at           INTEGER CHECK ((due_at IS NOT NULL) = (status IN (0, 2))),
    trigger_at       INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    priority         INTEGER NOT NULL,
    origin           INTEGER NOT NULL CHECK (origin BETWEEN 0 AND 4),
    attempt          INTEGER NOT NULL DEFAULT 0,
    failures         INTEGER NOT NULL DEFAULT 0,
    crashes          INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    started_at       INTEGER,
    finished_at      INTEGER,
    component        INTEGER,
    parent           INTEGER,
    root             INTEGER,
    depth            INTEGER,
    max_attempts     INTEGER,
    timeout          INTEGER,
    reason           TEXT,
    message          TEXT,
    unique_key       TEXT,
    metadata         TEXT,
    input_type       TEXT,
    input            BLOB NOT NULL,
    output_type      TEXT,
    output           BLOB
, cron INTEGER, planned_at INTEGER, skipped INTEGER, skipped_until INTEGER, on_failure INTEGER NOT NULL DEFAULT 0, because TEXT, input_crc INTEGER, bytes INTEGER NOT NULL DEFAULT 0, failing_since INTEGER) STRICT;

CREATE UNIQUE INDEX runlater_runs_cron ON runlater_runs (cron, planned_at) WHERE cron IS NOT NULL;

CREATE INDEX runlater_runs_due ON runlater_runs (namespace, due_at) WHERE due_at IS NOT NULL;

CREATE INDEX runlater_runs_parent ON runlater_runs (parent) WHERE parent IS NOT NULL;

CREATE INDEX runlater_runs_root ON runlater_runs (root) WHERE root IS NOT NULL;

CREATE INDEX runlater_runs_status ON runlater_runs (namespace, status) WHERE status NOT IN (0, 3);

CREATE INDEX runlater_runs_task ON runlater_runs (namespace, task);

CREATE INDEX runlater_runs_urgent ON runlater_runs (namespace, due_at - (priority - 1) * 60000000) WHERE due_at IS NOT NULL AND priority > 1;

CREATE TABLE runlater_tasks (
    id           INTEGER PRIMARY KEY,
    namespace    INTEGER NOT NULL,
    name         TEXT NOT NULL,
    component    INTEGER NOT NULL,
    grants       TEXT NOT NULL,
    description  TEXT,
    input_schema TEXT,
    policy       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL, overrides TEXT NOT NULL DEFAULT '{}', pause TEXT,
    UNIQUE (namespace, name)
) STRICT;

CREATE TABLE runlater_tokens (
    id         TEXT PRIMARY KEY,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    namespace  INTEGER NOT NULL,
    role       TEXT NOT NULL,
    note       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX runlater_tokens_namespace ON runlater_tokens (namespace);

CREATE TABLE runlater_unique_keys (
    namespace INTEGER NOT NULL,
    key       TEXT NOT NULL,
    run       INTEGER NOT NULL,
    hash      BLOB NOT NULL, held_for INTEGER NOT NULL DEFAULT 86400000000, first_at INTEGER,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE runlater_unused_components (
    component INTEGER PRIMARY KEY,
    since     INTEGER NOT NULL
) STRICT;
