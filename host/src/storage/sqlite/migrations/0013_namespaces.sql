-- What one namespace may have where that differs from what the host allows each: a JSON object of fields and their text (model/quota.rs).
ALTER TABLE runlater_namespaces ADD COLUMN quotas TEXT NOT NULL DEFAULT '{}';
-- Not `created_at`, which statements that join namespaces with runs say of the run.
ALTER TABLE runlater_namespaces ADD COLUMN made_at INTEGER;
-- Set while the namespace is being deleted, a slice at a time. Nothing of it starts from then on, and its tokens open nothing.
ALTER TABLE runlater_namespaces ADD COLUMN deleting_since INTEGER;
