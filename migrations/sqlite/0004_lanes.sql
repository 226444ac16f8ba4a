-- Workers as they serve stores: for people, and written by the workers themselves.
CREATE TABLE lanes (
    backend_id  INTEGER NOT NULL REFERENCES backends,
    worker      TEXT NOT NULL,
    joined_at   INTEGER NOT NULL,
    draining_at INTEGER,                      -- since when it takes no more
    reported_at INTEGER NOT NULL,             -- one that is silent for long has died
    allowed     INTEGER NOT NULL,             -- objects under way at once, as the adaptive limit has it
    in_flight   INTEGER NOT NULL,
    why         TEXT NOT NULL,                -- what was decided last about the limit
    decided_at  INTEGER NOT NULL,
    PRIMARY KEY (backend_id, worker)
) STRICT;
