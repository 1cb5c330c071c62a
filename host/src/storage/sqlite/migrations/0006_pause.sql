-- Why, since when and until when the runs of a task wait: JSON, as of a cron's pause. Kept by later registrations.
ALTER TABLE runlater_tasks ADD COLUMN pause TEXT;
