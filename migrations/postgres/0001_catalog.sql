-- The catalog of a fleet. Times are timestamptz by the server's clock; hashes and names are bytea.
--
-- Tables that grow with files and placements carry no foreign keys: each check would be a query of its own per row, and its
-- share lock on one changeset's or store's row would be fought over by every worker. The audit counts instead.

-- The one clock. Tests may move it for their own connections with the setting n2s.clock_offset; without it this is
-- statement_timestamp(), into which the planner inlines the call.
CREATE FUNCTION n2s_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT statement_timestamp() + coalesce(nullif(current_setting('n2s.clock_offset', true), ''), '0')::interval
$$;

CREATE TABLE catalog (
    one            integer PRIMARY KEY CHECK (one = 1),
    catalog_id     uuid NOT NULL DEFAULT gen_random_uuid(),
    schema_version integer NOT NULL,
    staging_id     text,                      -- the directory that homes share as staging
    created_at     timestamptz NOT NULL DEFAULT n2s_now()
);

CREATE TABLE vaults (
    vault_id      bytea PRIMARY KEY CHECK (length(vault_id) = 8),
    marker        bytea NOT NULL,             -- n2s.json, authenticated under the root
    registered_at timestamptz NOT NULL DEFAULT n2s_now()
);

CREATE TABLE vault_epochs (
    vault_id      bytea NOT NULL REFERENCES vaults,
    epoch         bigint NOT NULL CHECK (epoch > 0),
    object        bytea NOT NULL,             -- keys/<epoch>: the epoch's secret, wrapped under the root
    registered_at timestamptz NOT NULL DEFAULT n2s_now(),
    PRIMARY KEY (vault_id, epoch)
);

CREATE TABLE projects (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    vault_id   bytea NOT NULL REFERENCES vaults,
    created_at timestamptz NOT NULL DEFAULT n2s_now()
);

CREATE TABLE datasets (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id   bigint NOT NULL REFERENCES projects,
    name         text NOT NULL,
    store_key    bytea NOT NULL CHECK (length(store_key) = 32),
    next_version bigint NOT NULL DEFAULT 1,   -- reserved at open, never reused
    head_id      bigint,                      -- the latest committed changeset
    created_at   timestamptz NOT NULL DEFAULT n2s_now(),
    UNIQUE (project_id, name)
);

-- Stores -------------------------------------------------------------------------------------------------------------

CREATE TABLE backends (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    kind           text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT n2s_now(),
    initialised_at timestamptz,               -- n2s.json was written; its absence from then on pauses the store
    vault_id       bytea REFERENCES vaults,
    paused_by      text CHECK (paused_by IN ('operator', 'health')),
    pause_reason   text,
    paused_at      timestamptz,
    -- Advisory health, as workers last reported it.
    open_since     timestamptz,               -- the breaker is open
    probe_at       timestamptz,
    error_kind     text,
    error_message  text,
    error_at       timestamptz,
    success_at     timestamptz,
    concurrency    bigint,
    -- Totals of blob_backends as far as backend_deltas has been folded.
    pending        bigint NOT NULL DEFAULT 0,
    completed      bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    bytes          bigint NOT NULL DEFAULT 0  -- sealed bytes of completed placements
);

-- Appended by whoever changes placements: a total changed in place would be one row that every worker waits for.
CREATE TABLE backend_deltas (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backend_id bigint NOT NULL,
    pending    bigint NOT NULL,
    completed  bigint NOT NULL,
    failed     bigint NOT NULL,
    bytes      bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The totals, exact in any one snapshot.
CREATE VIEW backend_totals AS
SELECT b.id AS backend_id, b.pending + coalesce(sum(d.pending), 0)::bigint AS pending,
       b.completed + coalesce(sum(d.completed), 0)::bigint AS completed,
       b.failed + coalesce(sum(d.failed), 0)::bigint AS failed, b.bytes + coalesce(sum(d.bytes), 0)::bigint AS bytes
FROM backends b LEFT JOIN backend_deltas d ON d.backend_id = b.id
GROUP BY b.id;

CREATE TABLE backend_epochs (
    backend_id bigint NOT NULL REFERENCES backends,
    epoch      bigint NOT NULL,               -- of the store's one vault
    placed_at  timestamptz NOT NULL DEFAULT n2s_now(),
    PRIMARY KEY (backend_id, epoch)
);

CREATE TABLE dataset_backends (
    dataset_id bigint NOT NULL REFERENCES datasets,
    backend_id bigint NOT NULL REFERENCES backends,
    PRIMARY KEY (dataset_id, backend_id)
);

-- Changesets ---------------------------------------------------------------------------------------------------------

CREATE TABLE changesets (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid            uuid NOT NULL UNIQUE,
    dataset_id      bigint NOT NULL REFERENCES datasets,
    version         bigint NOT NULL,
    parent_id       bigint REFERENCES changesets,
    source_snapshot text,
    description     text,
    client_id       text NOT NULL,
    metadata        jsonb NOT NULL DEFAULT '{}',
    status          text NOT NULL CHECK (status IN ('pending', 'pushing', 'completed', 'degraded', 'failed')),
    generation      bigint NOT NULL DEFAULT 0, -- one more with every retry or damage; completion fires once for each
    min_copies      bigint NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT n2s_now(),
    started_at      timestamptz,              -- the first entries
    touched_at      timestamptz NOT NULL,     -- the last call of the push, for the idle limit
    committed_at    timestamptz,
    completed_at    timestamptz,
    abandoned_at    timestamptz,
    undone_at       timestamptz,
    error           text,
    lease_token     uuid,
    lease_until     timestamptz,
    file_count      bigint NOT NULL DEFAULT 0, -- paths of the version
    total_size      bigint NOT NULL DEFAULT 0, -- bytes of the version's files
    blob_count      bigint NOT NULL DEFAULT 0, -- blobs its own rows reference, counted per row
    added           bigint NOT NULL DEFAULT 0,
    modified        bigint NOT NULL DEFAULT 0,
    removed         bigint NOT NULL DEFAULT 0,
    UNIQUE (dataset_id, version)
) WITH (fillfactor = 80);

ALTER TABLE datasets ADD FOREIGN KEY (head_id) REFERENCES changesets;

-- One open (or not yet undone) push per dataset.
CREATE UNIQUE INDEX changesets_open ON changesets (dataset_id) WHERE committed_at IS NULL AND undone_at IS NULL;
CREATE INDEX changesets_parent ON changesets (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX changesets_label ON changesets (dataset_id, source_snapshot, version) WHERE source_snapshot IS NOT NULL;
CREATE INDEX changesets_status ON changesets (status, id) WHERE status <> 'completed';

-- A changeset on each of its stores: what is waited for, and its manifest there.
CREATE TABLE changeset_backends (
    changeset_id  bigint NOT NULL REFERENCES changesets,
    backend_id    bigint NOT NULL REFERENCES backends,
    waiting       bigint NOT NULL DEFAULT 0,  -- folded from completion_deltas
    failed        bigint NOT NULL DEFAULT 0,  -- folded from completion_deltas
    manifest      text NOT NULL DEFAULT 'waiting'
                  CHECK (manifest IN ('syncing', 'waiting', 'blocked', 'pending', 'completed', 'failed')),
    attempted_at  timestamptz,
    completed_at  timestamptz,
    retry_count   bigint NOT NULL DEFAULT 0,
    lost_count    bigint NOT NULL DEFAULT 0,
    error_kind    text,
    error_message text,
    PRIMARY KEY (changeset_id, backend_id)
) WITH (fillfactor = 70);

CREATE INDEX changeset_backends_failed ON changeset_backends (changeset_id) WHERE manifest = 'failed';

-- Appended by whoever changes what a changeset waits for (or must be looked at again: zeros); added up by the folder.
CREATE TABLE completion_deltas (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changeset_id bigint NOT NULL,
    backend_id   bigint NOT NULL,
    waiting      bigint NOT NULL,
    failed       bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX completion_deltas_changeset ON completion_deltas (changeset_id);

CREATE TABLE push_batches (
    changeset_id bigint NOT NULL REFERENCES changesets,
    batch        bigint NOT NULL,
    PRIMARY KEY (changeset_id, batch)
);

-- Blobs and files ----------------------------------------------------------------------------------------------------

CREATE TABLE blobs (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id     bigint NOT NULL,
    content_hash   bytea NOT NULL CHECK (length(content_hash) = 32),
    size           bigint NOT NULL,
    sealed_hash    bytea NOT NULL CHECK (length(sealed_hash) = 32),
    encrypted_size bigint NOT NULL,
    epoch          bigint NOT NULL,
    first_seen     bigint NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT n2s_now(),
    min_copies     bigint NOT NULL,           -- the largest of the changesets that share it
    staging_id     bigint,                    -- where in staging, if there
    staged_at      timestamptz,
    UNIQUE (project_id, content_hash)
) WITH (fillfactor = 85);

CREATE UNIQUE INDEX blobs_staged ON blobs (staging_id) WHERE staging_id IS NOT NULL;
CREATE INDEX blobs_staged_at ON blobs (staged_at) WHERE staging_id IS NOT NULL;

-- A sealing whose every good copy was lost, and the one that took its place.
CREATE TABLE blob_replacements (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id   bigint NOT NULL,
    old_sealed   bytea NOT NULL,
    new_sealed   bytea NOT NULL,
    replaced_at  timestamptz NOT NULL DEFAULT n2s_now()
);

CREATE INDEX blob_replacements_project ON blob_replacements (project_id, replaced_at);

-- Blobs no source holds any more; normally empty.
CREATE TABLE unsourced (
    blob_id bigint PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT n2s_now()
);

-- A version is the rows whose range [from_version, to_version) holds it.
CREATE TABLE files (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_id   bigint NOT NULL,
    filepath     bytea NOT NULL,              -- any bytes; empty for the root
    search       text,                        -- Unicode-normalised, case-folded; NULL where it equals filepath
    from_version bigint NOT NULL,
    to_version   bigint,
    changeset_id bigint NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('f', 'd', 'l')),
    mode         bigint NOT NULL,
    uid          bigint NOT NULL,
    gid          bigint NOT NULL,
    mtime_secs   bigint NOT NULL,
    mtime_nanos  bigint NOT NULL,
    size         bigint NOT NULL,
    content_hash bytea,                       -- of a whole file
    blob_id      bigint,                      -- of a file of one blob; those of several are in file_blobs
    link_target  bytea,
    link_group   bigint,
    created_at   timestamptz NOT NULL DEFAULT n2s_now()
);

-- A B-tree entry cannot hold a path of 4,000 bytes. What is unique is half of the path's SHA-256, which the server can compute
-- in the index without a column of its own (BLAKE3 it cannot); queries compare the path itself besides.
CREATE UNIQUE INDEX files_at ON files (dataset_id, substr(sha256(filepath), 1, 16), from_version);
-- Path order: the first 256 bytes are the index's, the rest is sorted among paths that agree in them.
CREATE INDEX files_order ON files (dataset_id, substr(filepath, 1, 256));
CREATE INDEX files_from ON files (dataset_id, from_version, id);
CREATE INDEX files_to ON files (dataset_id, to_version) WHERE to_version IS NOT NULL;
CREATE INDEX files_blob ON files (blob_id, id) WHERE blob_id IS NOT NULL;

CREATE TABLE file_blobs (
    file_id     bigint NOT NULL REFERENCES files ON DELETE CASCADE,
    seq         bigint NOT NULL,
    blob_id     bigint NOT NULL,
    byte_offset bigint NOT NULL,
    size        bigint NOT NULL,
    PRIMARY KEY (file_id, seq)
);

CREATE INDEX file_blobs_blob ON file_blobs (blob_id, file_id);

-- Placements and jobs ------------------------------------------------------------------------------------------------

CREATE TABLE blob_backends (
    blob_id       bigint NOT NULL,
    backend_id    bigint NOT NULL,
    status        text NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
    attempted_at  timestamptz,
    completed_at  timestamptz,
    verified_at   timestamptz,
    retry_count   bigint NOT NULL DEFAULT 0,
    lost_count    bigint NOT NULL DEFAULT 0,
    error_kind    text,
    error_message text,
    location      text,                       -- where it cannot be derived from the sealed hash
    PRIMARY KEY (blob_id, backend_id)
) WITH (fillfactor = 80);                     -- room for the one update that completes a row, beside it

CREATE INDEX blob_backends_failed ON blob_backends (backend_id, attempted_at) WHERE status = 'failed';

CREATE TABLE placement_waiters (
    blob_id      bigint NOT NULL,
    backend_id   bigint NOT NULL,
    changeset_id bigint NOT NULL,
    PRIMARY KEY (blob_id, backend_id, changeset_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What a push was told exists, or has sent, and has not yet entered; never freed from staging meanwhile.
CREATE TABLE pins (
    blob_id      bigint NOT NULL,
    changeset_id bigint NOT NULL,
    PRIMARY KEY (blob_id, changeset_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX pins_changeset ON pins (changeset_id);

-- Staged blobs that were finished while pinned: whoever finishes next looks whether they can be freed.
CREATE TABLE unpinned (
    blob_id bigint PRIMARY KEY
);

-- Live work only: a finished job has no row. The states are those of n2s_domain::job. Every row is updated a few times and
-- deleted, so it has room beside it, and vacuum comes early and does not dawdle.
CREATE TABLE jobs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never reused
    kind         text NOT NULL CHECK (kind IN ('upload', 'manifest')),
    backend_id   bigint NOT NULL,
    project_id   bigint NOT NULL,
    changeset_id bigint NOT NULL,             -- who asked first (upload), or whose manifest it is
    blob_id      bigint,
    state        smallint NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)), -- pending, queued, leased
    dispatch_seq bigint NOT NULL DEFAULT 0,
    epoch        bigint NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT n2s_now(),
    deadline     timestamptz NOT NULL DEFAULT '-infinity',
    held_until   timestamptz NOT NULL DEFAULT '-infinity',
    retry_count  bigint NOT NULL DEFAULT 0,
    lost_count   bigint NOT NULL DEFAULT 0,
    CHECK ((kind = 'upload') = (blob_id IS NOT NULL))
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE UNIQUE INDEX jobs_upload ON jobs (blob_id, backend_id) WHERE kind = 'upload';
CREATE UNIQUE INDEX jobs_manifest ON jobs (changeset_id, backend_id) WHERE kind = 'manifest';
CREATE INDEX jobs_pending ON jobs (backend_id, project_id, changeset_id, due_at, id) WHERE state = 0;
CREATE INDEX jobs_held ON jobs (backend_id, deadline) WHERE state <> 0;

-- Manifests ----------------------------------------------------------------------------------------------------------

CREATE TABLE manifest_objects (
    changeset_id bigint NOT NULL REFERENCES changesets,
    part         text NOT NULL CHECK (part IN ('header', 'body')),
    sealed_hash  bytea NOT NULL,
    size         bigint NOT NULL,
    staging_id   bigint,
    PRIMARY KEY (changeset_id, part)
);

CREATE UNIQUE INDEX manifest_objects_staged ON manifest_objects (staging_id) WHERE staging_id IS NOT NULL;

-- A group of list or map segments covers versions (since, through]; since = 0 is a base.
CREATE TABLE manifest_groups (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_id   bigint NOT NULL REFERENCES datasets,
    changeset_id bigint NOT NULL REFERENCES changesets,
    kind         text NOT NULL CHECK (kind IN ('list', 'map')),
    since        bigint NOT NULL,
    through      bigint NOT NULL,
    entries      bigint NOT NULL,
    UNIQUE (dataset_id, kind, through)
);

CREATE INDEX manifest_groups_changeset ON manifest_groups (changeset_id);

CREATE TABLE manifest_segments (
    group_id bigint NOT NULL REFERENCES manifest_groups ON DELETE CASCADE,
    seq      bigint NOT NULL,
    blob_id  bigint NOT NULL,
    PRIMARY KEY (group_id, seq)
);

CREATE INDEX manifest_segments_blob ON manifest_segments (blob_id);

-- What outsiders see -------------------------------------------------------------------------------------------------

CREATE VIEW failed_uploads AS
SELECT p.name AS project, b.name AS backend, encode(l.content_hash, 'hex') AS content_hash,
       encode(l.sealed_hash, 'hex') AS sealed_hash, s.error_kind, s.error_message, s.retry_count, s.attempted_at
FROM blob_backends s
JOIN backends b ON b.id = s.backend_id
JOIN blobs l ON l.id = s.blob_id
JOIN projects p ON p.id = l.project_id
WHERE s.status = 'failed';

CREATE VIEW backend_status AS
SELECT b.name, b.kind,
       CASE WHEN b.paused_by IS NOT NULL THEN 'paused' WHEN b.open_since IS NOT NULL THEN 'open' ELSE 'active' END AS state,
       coalesce(b.pause_reason, b.error_message) AS reason, t.pending, t.completed, t.failed, t.bytes, b.success_at
FROM backends b JOIN backend_totals t ON t.backend_id = b.id;

CREATE VIEW changeset_progress AS
SELECT c.id AS changeset_id, c.uuid AS changeset, p.name AS project, d.name AS dataset, c.version, c.status,
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
           SELECT 1 FROM jobs j WHERE j.blob_id = s.blob_id AND j.backend_id = s.backend_id AND j.kind = 'upload' AND j.state = 2
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
