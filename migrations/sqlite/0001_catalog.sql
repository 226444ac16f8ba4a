-- The catalog of one home. Times are microseconds since 1970 in UTC; hashes and names are raw bytes.

CREATE TABLE catalog (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    catalog_id BLOB NOT NULL CHECK (length(catalog_id) = 16),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE vaults (
    vault_id      BLOB PRIMARY KEY CHECK (length(vault_id) = 8),
    marker        BLOB NOT NULL,              -- n2s.json, authenticated under the root
    registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE vault_epochs (
    vault_id      BLOB NOT NULL REFERENCES vaults,
    epoch         INTEGER NOT NULL CHECK (epoch > 0),
    object        BLOB NOT NULL,              -- keys/<epoch>: the epoch's secret, wrapped under the root
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (vault_id, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    vault_id   BLOB NOT NULL REFERENCES vaults,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE datasets (
    id           INTEGER PRIMARY KEY,
    project_id   INTEGER NOT NULL REFERENCES projects,
    name         TEXT NOT NULL,
    store_key    BLOB NOT NULL CHECK (length(store_key) = 32),
    next_version INTEGER NOT NULL DEFAULT 1,  -- reserved at open, never reused
    head_id      INTEGER REFERENCES changesets, -- the latest committed changeset
    created_at   INTEGER NOT NULL,
    UNIQUE (project_id, name)
) STRICT;

-- Stores -------------------------------------------------------------------------------------------------------------

CREATE TABLE backends (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    kind           TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    initialised_at INTEGER,                   -- n2s.json was written; its absence from then on pauses the store
    vault_id       BLOB REFERENCES vaults,
    paused_by      TEXT CHECK (paused_by IN ('operator', 'health')),
    pause_reason   TEXT,
    paused_at      INTEGER,
    -- Advisory health, as workers last reported it.
    open_since     INTEGER,                   -- the breaker is open
    probe_at       INTEGER,
    error_kind     TEXT,
    error_message  TEXT,
    error_at       INTEGER,
    success_at     INTEGER,
    concurrency    INTEGER,
    -- Totals of blob_backends, changed in the same transactions.
    pending        INTEGER NOT NULL DEFAULT 0,
    completed      INTEGER NOT NULL DEFAULT 0,
    failed         INTEGER NOT NULL DEFAULT 0,
    bytes          INTEGER NOT NULL DEFAULT 0 -- sealed bytes of completed placements
) STRICT;

CREATE TABLE backend_epochs (
    backend_id INTEGER NOT NULL REFERENCES backends,
    epoch      INTEGER NOT NULL,              -- of the store's one vault
    placed_at  INTEGER NOT NULL,
    PRIMARY KEY (backend_id, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE dataset_backends (
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    backend_id INTEGER NOT NULL REFERENCES backends,
    PRIMARY KEY (dataset_id, backend_id)
) STRICT, WITHOUT ROWID;

-- Changesets ---------------------------------------------------------------------------------------------------------

CREATE TABLE changesets (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid            BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    dataset_id      INTEGER NOT NULL REFERENCES datasets,
    version         INTEGER NOT NULL,
    parent_id       INTEGER REFERENCES changesets,
    source_snapshot TEXT,
    description     TEXT,
    client_id       TEXT NOT NULL,
    metadata        TEXT NOT NULL DEFAULT '{}',
    status          TEXT NOT NULL CHECK (status IN ('pending', 'pushing', 'completed', 'degraded', 'failed')),
    generation      INTEGER NOT NULL DEFAULT 0, -- one more with every retry or damage; completion fires once for each
    min_copies      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,                  -- the first entries
    touched_at      INTEGER NOT NULL,         -- the last call of the push, for the idle limit
    committed_at    INTEGER,
    completed_at    INTEGER,
    abandoned_at    INTEGER,
    undone_at       INTEGER,
    error           TEXT,
    lease_token     BLOB,
    lease_until     INTEGER,
    file_count      INTEGER NOT NULL DEFAULT 0, -- paths of the version
    total_size      INTEGER NOT NULL DEFAULT 0, -- bytes of the version's files
    blob_count      INTEGER NOT NULL DEFAULT 0, -- blobs its own rows reference, counted per row
    added           INTEGER NOT NULL DEFAULT 0,
    modified        INTEGER NOT NULL DEFAULT 0,
    removed         INTEGER NOT NULL DEFAULT 0,
    UNIQUE (dataset_id, version)
) STRICT;

-- One open (or not yet undone) push per dataset.
CREATE UNIQUE INDEX changesets_open ON changesets (dataset_id) WHERE committed_at IS NULL AND undone_at IS NULL;
CREATE INDEX changesets_parent ON changesets (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX changesets_label ON changesets (dataset_id, source_snapshot, version) WHERE source_snapshot IS NOT NULL;
CREATE INDEX changesets_status ON changesets (status, id) WHERE status <> 'completed';

-- A changeset on each of its stores: what is waited for, and its manifest there.
CREATE TABLE changeset_backends (
    changeset_id  INTEGER NOT NULL REFERENCES changesets,
    backend_id    INTEGER NOT NULL REFERENCES backends,
    waiting       INTEGER NOT NULL DEFAULT 0, -- folded from completion_deltas
    failed        INTEGER NOT NULL DEFAULT 0, -- folded from completion_deltas
    manifest      TEXT NOT NULL DEFAULT 'waiting'
                  CHECK (manifest IN ('syncing', 'waiting', 'blocked', 'pending', 'completed', 'failed')),
    attempted_at  INTEGER,
    completed_at  INTEGER,
    retry_count   INTEGER NOT NULL DEFAULT 0,
    lost_count    INTEGER NOT NULL DEFAULT 0,
    error_kind    TEXT,
    error_message TEXT,
    PRIMARY KEY (changeset_id, backend_id)
) STRICT, WITHOUT ROWID;

-- Appended by whoever changes what a changeset waits for (or must be looked at again: zeros); added up by the folder.
CREATE TABLE completion_deltas (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    changeset_id INTEGER NOT NULL,
    backend_id   INTEGER NOT NULL,
    waiting      INTEGER NOT NULL,
    failed       INTEGER NOT NULL
) STRICT;

CREATE TABLE push_batches (
    changeset_id INTEGER NOT NULL REFERENCES changesets,
    batch        INTEGER NOT NULL,
    PRIMARY KEY (changeset_id, batch)
) STRICT, WITHOUT ROWID;

-- Blobs and files ----------------------------------------------------------------------------------------------------

CREATE TABLE blobs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id     INTEGER NOT NULL REFERENCES projects,
    content_hash   BLOB NOT NULL CHECK (length(content_hash) = 32),
    size           INTEGER NOT NULL,
    sealed_hash    BLOB NOT NULL CHECK (length(sealed_hash) = 32),
    encrypted_size INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    first_seen     INTEGER NOT NULL REFERENCES changesets,
    created_at     INTEGER NOT NULL,
    min_copies     INTEGER NOT NULL,          -- the largest of the changesets that share it
    staging_id     INTEGER,                   -- where in staging, if there
    staged_at      INTEGER,
    UNIQUE (project_id, content_hash)
) STRICT;

CREATE UNIQUE INDEX blobs_staged ON blobs (staging_id) WHERE staging_id IS NOT NULL;

-- A sealing whose every good copy was lost, and the one that took its place.
CREATE TABLE blob_replacements (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id   INTEGER NOT NULL REFERENCES projects,
    old_sealed   BLOB NOT NULL,
    new_sealed   BLOB NOT NULL,
    replaced_at  INTEGER NOT NULL
) STRICT;

-- Blobs no source holds any more; normally empty.
CREATE TABLE unsourced (
    blob_id INTEGER PRIMARY KEY REFERENCES blobs,
    since   INTEGER NOT NULL
) STRICT;

-- A version is the rows whose range [from_version, to_version) holds it.
CREATE TABLE files (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id   INTEGER NOT NULL REFERENCES datasets,
    filepath     BLOB NOT NULL,               -- any bytes; empty for the root
    search       TEXT,                        -- Unicode-normalised, case-folded; NULL where it equals filepath
    from_version INTEGER NOT NULL,
    to_version   INTEGER,
    changeset_id INTEGER NOT NULL REFERENCES changesets,
    kind         TEXT NOT NULL CHECK (kind IN ('f', 'd', 'l')),
    mode         INTEGER NOT NULL,
    uid          INTEGER NOT NULL,
    gid          INTEGER NOT NULL,
    mtime_secs   INTEGER NOT NULL,
    mtime_nanos  INTEGER NOT NULL,
    size         INTEGER NOT NULL,
    content_hash BLOB,                        -- of a whole file
    blob_id      INTEGER REFERENCES blobs,    -- of a file of one blob; those of several are in file_blobs
    link_target  BLOB,
    link_group   INTEGER,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX files_at ON files (dataset_id, filepath, from_version);
CREATE INDEX files_from ON files (dataset_id, from_version);
CREATE INDEX files_to ON files (dataset_id, to_version) WHERE to_version IS NOT NULL;
CREATE INDEX files_blob ON files (blob_id) WHERE blob_id IS NOT NULL;

CREATE TABLE file_blobs (
    file_id     INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    seq         INTEGER NOT NULL,
    blob_id     INTEGER NOT NULL REFERENCES blobs,
    byte_offset INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    PRIMARY KEY (file_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX file_blobs_blob ON file_blobs (blob_id);

-- Placements and jobs ------------------------------------------------------------------------------------------------

CREATE TABLE blob_backends (
    blob_id       INTEGER NOT NULL REFERENCES blobs,
    backend_id    INTEGER NOT NULL REFERENCES backends,
    status        TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
    attempted_at  INTEGER,
    completed_at  INTEGER,
    verified_at   INTEGER,
    retry_count   INTEGER NOT NULL DEFAULT 0,
    lost_count    INTEGER NOT NULL DEFAULT 0,
    error_kind    TEXT,
    error_message TEXT,
    location      TEXT,                       -- where it cannot be derived from the sealed hash
    PRIMARY KEY (blob_id, backend_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_backends_failed ON blob_backends (backend_id, attempted_at) WHERE status = 'failed';

CREATE TABLE placement_waiters (
    blob_id      INTEGER NOT NULL,
    backend_id   INTEGER NOT NULL,
    changeset_id INTEGER NOT NULL,
    PRIMARY KEY (blob_id, backend_id, changeset_id)
) STRICT, WITHOUT ROWID;

-- What a push was told exists, or has sent, and has not yet entered; never freed from staging meanwhile.
CREATE TABLE pins (
    blob_id      INTEGER NOT NULL REFERENCES blobs,
    changeset_id INTEGER NOT NULL REFERENCES changesets,
    PRIMARY KEY (blob_id, changeset_id)
) STRICT, WITHOUT ROWID;

-- Staged blobs that were finished while pinned: whoever finishes next looks whether they can be freed.
CREATE TABLE unpinned (
    blob_id INTEGER PRIMARY KEY REFERENCES blobs
) STRICT;

-- Live work only: a finished job has no row. The states are those of n2s_domain::job.
CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused
    kind         TEXT NOT NULL CHECK (kind IN ('upload', 'manifest')),
    backend_id   INTEGER NOT NULL REFERENCES backends,
    project_id   INTEGER NOT NULL,
    changeset_id INTEGER NOT NULL,            -- who asked first (upload), or whose manifest it is
    blob_id      INTEGER,
    state        INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)), -- pending, queued, leased
    dispatch_seq INTEGER NOT NULL DEFAULT 0,
    epoch        INTEGER NOT NULL DEFAULT 0,
    due_at       INTEGER NOT NULL,
    deadline     INTEGER NOT NULL DEFAULT 0,
    held_until   INTEGER NOT NULL DEFAULT 0,
    retry_count  INTEGER NOT NULL DEFAULT 0,
    lost_count   INTEGER NOT NULL DEFAULT 0,
    CHECK ((kind = 'upload') = (blob_id IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX jobs_upload ON jobs (blob_id, backend_id) WHERE kind = 'upload';
CREATE UNIQUE INDEX jobs_manifest ON jobs (changeset_id, backend_id) WHERE kind = 'manifest';
CREATE INDEX jobs_pending ON jobs (backend_id, project_id, changeset_id, due_at) WHERE state = 0;
CREATE INDEX jobs_held ON jobs (backend_id, deadline) WHERE state <> 0;

-- Manifests ----------------------------------------------------------------------------------------------------------

CREATE TABLE manifest_objects (
    changeset_id INTEGER NOT NULL REFERENCES changesets,
    part         TEXT NOT NULL CHECK (part IN ('header', 'body')),
    sealed_hash  BLOB NOT NULL,
    size         INTEGER NOT NULL,
    staging_id   INTEGER,
    PRIMARY KEY (changeset_id, part)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX manifest_objects_staged ON manifest_objects (staging_id) WHERE staging_id IS NOT NULL;

-- A group of list or map segments covers versions (since, through]; since = 0 is a base.
CREATE TABLE manifest_groups (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id   INTEGER NOT NULL REFERENCES datasets,
    changeset_id INTEGER NOT NULL REFERENCES changesets,
    kind         TEXT NOT NULL CHECK (kind IN ('list', 'map')),
    since        INTEGER NOT NULL,
    through      INTEGER NOT NULL,
    entries      INTEGER NOT NULL,
    UNIQUE (dataset_id, kind, through)
) STRICT;

CREATE TABLE manifest_segments (
    group_id INTEGER NOT NULL REFERENCES manifest_groups ON DELETE CASCADE,
    seq      INTEGER NOT NULL,
    blob_id  INTEGER NOT NULL REFERENCES blobs,
    PRIMARY KEY (group_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX manifest_segments_blob ON manifest_segments (blob_id);

-- What outsiders see -------------------------------------------------------------------------------------------------

CREATE VIEW failed_uploads AS
SELECT p.name AS project, b.name AS backend, lower(hex(l.content_hash)) AS content_hash,
       lower(hex(l.sealed_hash)) AS sealed_hash, s.error_kind, s.error_message, s.retry_count, s.attempted_at
FROM blob_backends s
JOIN backends b ON b.id = s.backend_id
JOIN blobs l ON l.id = s.blob_id
JOIN projects p ON p.id = l.project_id
WHERE s.status = 'failed';

CREATE VIEW backend_status AS
SELECT name, kind, CASE WHEN paused_by IS NOT NULL THEN 'paused' WHEN open_since IS NOT NULL THEN 'open' ELSE 'active' END AS state,
       coalesce(pause_reason, error_message) AS reason, pending, completed, failed, bytes, success_at
FROM backends;

CREATE VIEW changeset_progress AS
SELECT c.id AS changeset_id, lower(hex(c.uuid)) AS changeset, p.name AS project, d.name AS dataset, c.version, c.status,
       b.name AS backend, s.waiting, s.failed, s.manifest
FROM changesets c
JOIN datasets d ON d.id = c.dataset_id
JOIN projects p ON p.id = d.project_id
JOIN changeset_backends s ON s.changeset_id = c.id
JOIN backends b ON b.id = s.backend_id;

-- The status people know: a placement that a worker holds shows as uploading.
CREATE VIEW placements AS
SELECT s.blob_id, s.backend_id,
       CASE WHEN s.status = 'pending' AND EXISTS (
           SELECT 1 FROM jobs j WHERE j.blob_id = s.blob_id AND j.backend_id = s.backend_id AND j.state = 2
       ) THEN 'uploading' ELSE s.status END AS status,
       s.attempted_at, s.completed_at, s.verified_at, s.retry_count, s.lost_count, s.error_kind, s.error_message, s.location
FROM blob_backends s;

CREATE VIEW files_by_snapshot AS
SELECT d.name AS dataset, c.source_snapshot AS snapshot, f.filepath, f.content_hash, f.mtime_secs, f.mtime_nanos
FROM changesets c
JOIN datasets d ON d.id = c.dataset_id
JOIN files f ON f.dataset_id = c.dataset_id AND f.from_version <= c.version
            AND (f.to_version IS NULL OR f.to_version > c.version)
WHERE c.committed_at IS NOT NULL;
