-- What follows from one run, at whatever depth: to see a chain, and to end it.
CREATE INDEX runlater_runs_root ON runlater_runs (root) WHERE root IS NOT NULL;
