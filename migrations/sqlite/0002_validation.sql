-- When copies were last proven, and which were found damaged.

ALTER TABLE blob_backends ADD COLUMN seen_at INTEGER;    -- the store last said that it has it; verified_at is about its bytes
ALTER TABLE blob_backends ADD COLUMN damaged_at INTEGER; -- found missing or wrong, and not replaced yet

ALTER TABLE changeset_backends ADD COLUMN verified_at INTEGER; -- of the manifest
ALTER TABLE changeset_backends ADD COLUMN seen_at INTEGER;
ALTER TABLE changeset_backends ADD COLUMN damaged_at INTEGER;

-- Oldest proof first. New copies and new proofs go to the end of their store's part.
CREATE INDEX blob_backends_proof ON blob_backends (backend_id, coalesce(verified_at, completed_at), blob_id)
    WHERE status = 'completed';
CREATE INDEX changeset_backends_proof ON changeset_backends (backend_id, coalesce(verified_at, completed_at), changeset_id)
    WHERE manifest = 'completed';

-- Normally empty.
CREATE INDEX blob_backends_damaged ON blob_backends (backend_id, damaged_at) WHERE damaged_at IS NOT NULL;
CREATE INDEX changeset_backends_damaged ON changeset_backends (backend_id, damaged_at) WHERE damaged_at IS NOT NULL;
-- Whose headers must look again when a repair has ended.
CREATE INDEX changeset_backends_open ON changeset_backends (backend_id) WHERE manifest IN ('waiting', 'blocked');
-- Headers on their way, which damage calls back.
CREATE INDEX changeset_backends_pending ON changeset_backends (backend_id) WHERE manifest = 'pending';

-- One run over one store.
CREATE TABLE validations (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    backend_id  INTEGER NOT NULL REFERENCES backends,
    dataset_id  INTEGER REFERENCES datasets,  -- NULL: everything on the store
    level       TEXT NOT NULL CHECK (level IN ('exists', 'sealed', 'content')),
    one_in      INTEGER NOT NULL CHECK (one_in > 0),
    started_at  INTEGER NOT NULL,
    touched_at  INTEGER NOT NULL,
    lease_until INTEGER,                      -- of a run over everything
    ended_at    INTEGER,
    checked     INTEGER NOT NULL DEFAULT 0,   -- copies proven or found damaged
    bytes       INTEGER NOT NULL DEFAULT 0,   -- of those
    damaged     INTEGER NOT NULL DEFAULT 0,
    unchecked   INTEGER NOT NULL DEFAULT 0,   -- copies that could not be looked at
    stopped     TEXT                          -- why it stopped before its end
) STRICT;

-- One validator at a time goes over everything on a store.
CREATE UNIQUE INDEX validations_open ON validations (backend_id) WHERE dataset_id IS NULL AND ended_at IS NULL;
CREATE INDEX validations_backend ON validations (backend_id);

-- A dataset's segments, page by page.
CREATE INDEX manifest_groups_dataset ON manifest_groups (dataset_id);
