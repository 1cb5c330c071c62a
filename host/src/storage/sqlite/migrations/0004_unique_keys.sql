-- What the operator says over a component's policy: a JSON object of fields and their text. Kept by later registrations.
ALTER TABLE runlater_tasks ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}';

-- Whether the run was made because another one had failed: so that a task which handles its own failures does not do so for ever.
ALTER TABLE runlater_runs ADD COLUMN on_failure INTEGER NOT NULL DEFAULT 0;

-- For how many microseconds after the end of its run a key is held, and when a debounced key was first asked for.
ALTER TABLE runlater_unique_keys ADD COLUMN held_for INTEGER NOT NULL DEFAULT 86400000000;
ALTER TABLE runlater_unique_keys ADD COLUMN first_at INTEGER;
