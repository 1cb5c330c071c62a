-- What there is to say of why a run waits, or did not run.

-- Why, since when and until when the runs of a task wait: JSON, as of a cron's pause. Kept by later registrations.
ALTER TABLE runlater_tasks ADD COLUMN pause TEXT;

-- What a run's reason refers to: JSON with the other run, and with the span of time (model/because.rs).
ALTER TABLE runlater_runs ADD COLUMN because TEXT;

-- What was done to one run is read without a walk over all that was done.
CREATE INDEX runlater_audit_run ON runlater_audit (run) WHERE run IS NOT NULL;
