-- What each lane of a task has used of its rate: the time at which that will be nothing. Written with the claims that use it.
CREATE TABLE runlater_rates (
    task       INTEGER NOT NULL,
    lane       TEXT NOT NULL,
    used_until INTEGER NOT NULL,
    PRIMARY KEY (task, lane)
) STRICT, WITHOUT ROWID;

CREATE INDEX runlater_rates_used ON runlater_rates (used_until);
