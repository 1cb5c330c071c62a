-- Components that no task has any more, and since when: their bytes are let go of a while later. A table of its own, since a column behind the bytes
-- would be read through them.
CREATE TABLE runlater_unused_components (
    component INTEGER PRIMARY KEY,
    since     INTEGER NOT NULL
) STRICT;
INSERT INTO runlater_unused_components (component, since)
SELECT id, unixepoch() * 1000000 FROM runlater_components AS c WHERE NOT EXISTS (SELECT 1 FROM runlater_tasks WHERE component = c.id);
