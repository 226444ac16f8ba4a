-- A claim and a heartbeat touch no index: the states 1 and 2 are one to the indexes, and a deadline is looked for among what is held,
-- which the dispatcher's window bounds. (An update that changes no indexed column needs no new entry in any index.)

ALTER TABLE jobs ADD COLUMN held boolean NOT NULL GENERATED ALWAYS AS (state <> 0) STORED;

DROP INDEX jobs_pending;
DROP INDEX jobs_held;
CREATE INDEX jobs_pending ON jobs (backend_id, project_id, changeset_id, due_at, id) WHERE NOT held;
CREATE INDEX jobs_held ON jobs (backend_id) WHERE held;
