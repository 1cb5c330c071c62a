-- The bytes that runs hold, for the quota of each namespace (storage/sqlite/run_bytes.rs). `bytes` is what one run is charged: 256, its input,
-- metadata, unique key, and output, and the messages and logs of the attempts that are kept. `run_bytes` is the sum of a namespace.
ALTER TABLE runlater_runs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runlater_namespaces ADD COLUMN run_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE runlater_runs SET bytes = 256 + octet_length(input) + ifnull(octet_length(metadata), 0) + ifnull(octet_length(unique_key), 0)
    + ifnull(octet_length(output), 0)
    + (SELECT ifnull(sum(ifnull(octet_length(message), 0) + ifnull(octet_length(log), 0)), 0) FROM runlater_attempts WHERE run = id);
UPDATE runlater_namespaces SET run_bytes = (SELECT ifnull(sum(bytes), 0) FROM runlater_runs WHERE namespace = runlater_namespaces.id);

-- When the first of the failed attempts that count started. Its own row may be deleted, because only the last attempts of a run are kept.
ALTER TABLE runlater_runs ADD COLUMN failing_since INTEGER;
UPDATE runlater_runs SET failing_since = (
    SELECT min(started_at) FROM (
        SELECT started_at, row_number() OVER (ORDER BY number DESC) AS back FROM runlater_attempts
        WHERE run = id AND outcome NOT IN ('succeeded', 'snoozed', 'cancelled', 'shut-down', 'host-crashed'))
    WHERE back <= failures)
WHERE failures > 0;

-- How many bytes of an attempt's log were dropped, because its run had more than are kept.
ALTER TABLE runlater_attempts ADD COLUMN log_dropped INTEGER;
