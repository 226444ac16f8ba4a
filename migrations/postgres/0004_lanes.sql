-- Workers as they serve stores: for people, and written by the workers themselves.
CREATE TABLE lanes (
    backend_id  bigint NOT NULL REFERENCES backends,
    worker      text NOT NULL,
    joined_at   timestamptz NOT NULL,
    draining_at timestamptz,                  -- since when it takes no more
    reported_at timestamptz NOT NULL,         -- one that is silent for long has died
    allowed     bigint NOT NULL,              -- objects under way at once, as the adaptive limit has it
    in_flight   bigint NOT NULL,
    why         text NOT NULL,                -- what was decided last about the limit
    decided_at  timestamptz NOT NULL,
    PRIMARY KEY (backend_id, worker)
);

-- The oldest program, by the schema that it knows, that works with this schema: a migration that only adds leaves it, so that processes of
-- the former release go on, and may start, while a fleet is upgraded.
ALTER TABLE catalog ADD COLUMN usable_from integer NOT NULL DEFAULT 4;
