-- What the policies of tasks need of the queue. No row pays for a policy that its task does not have.

-- The queue is read namespace by namespace, in order of rank: due time, less a minute for each level of priority (model/rank.rs). For the
-- common priority that is the due time itself, so one index serves the queue and the lists; the others have a small one of their own.
DROP INDEX runlater_runs_due;
CREATE INDEX runlater_runs_due ON runlater_runs (namespace, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runlater_runs_urgent ON runlater_runs (namespace, due_at - (priority - 1) * 60000000) WHERE due_at IS NOT NULL AND priority > 1;
