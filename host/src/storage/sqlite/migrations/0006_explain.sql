-- What there is to say of why a run waits, or did not run.

-- Why, since when and until when the runs of a task wait: JSON, as of a cron's pause. Kept by later registrations.
ALTER TABLE runlater_tasks ADD COLUMN pause TEXT;

-- What a run's reason refers to: JSON with the other run, and with the span of time (model/because.rs).
ALTER TABLE runlater_runs ADD COLUMN because TEXT;
