-- What a worker's login may do: give it the role n2s_worker (GRANT n2s_worker TO somebody). It moves jobs and placements, and can
-- neither read names nor change a digest. Run by every `n2s migrate`, since the role may be made after the tables.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'n2s_worker') THEN
        CREATE ROLE n2s_worker NOLOGIN;
    END IF;
EXCEPTION
    -- Without CREATEROLE an administrator makes the role; the next migrate grants to it.
    WHEN insufficient_privilege THEN RAISE NOTICE 'may not create the role n2s_worker';
    WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'n2s_worker') THEN
        RETURN;
    END IF;
    GRANT SELECT ON catalog, vaults, vault_epochs, backends, backend_epochs, backend_deltas, backend_totals, changeset_backends,
        completion_deltas, blob_backends, placement_waiters, pins, unpinned, jobs, manifest_objects TO n2s_worker;
    GRANT SELECT (id, vault_id) ON projects TO n2s_worker;
    GRANT SELECT (id, project_id, store_key) ON datasets TO n2s_worker;
    GRANT SELECT (id, uuid, dataset_id, version, committed_at) ON changesets TO n2s_worker;
    -- Not the content's hash, and no digest or size may be changed.
    GRANT SELECT (id, project_id, size, sealed_hash, encrypted_size, epoch, min_copies, staging_id, staged_at) ON blobs TO n2s_worker;
    GRANT UPDATE (staging_id, staged_at) ON blobs TO n2s_worker;
    GRANT UPDATE (staging_id) ON manifest_objects TO n2s_worker;
    GRANT INSERT, DELETE ON unpinned TO n2s_worker;
    GRANT UPDATE (blob_id) ON unpinned TO n2s_worker; -- to lock a row is to be able to change it
    GRANT INSERT ON unsourced, backend_deltas, completion_deltas, backend_epochs TO n2s_worker;
    GRANT SELECT, DELETE ON unsourced TO n2s_worker;
    GRANT UPDATE (state, epoch, due_at, deadline, held_until, retry_count, lost_count), DELETE ON jobs TO n2s_worker;
    -- Damage is made good by whoever stores it again; of a copy that cannot be read the proof is taken back.
    GRANT UPDATE (damaged_at, seen_at, verified_at) ON blob_backends, changeset_backends TO n2s_worker;
    GRANT UPDATE (status, attempted_at, completed_at, retry_count, lost_count, error_kind, error_message, location)
        ON blob_backends TO n2s_worker;
    GRANT DELETE ON placement_waiters TO n2s_worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON lanes TO n2s_worker;
    GRANT UPDATE (manifest, attempted_at, completed_at, retry_count, lost_count, error_kind, error_message)
        ON changeset_backends TO n2s_worker;
    GRANT UPDATE (initialised_at, vault_id, paused_by, pause_reason, paused_at, open_since, probe_at, error_kind, error_message,
        error_at, success_at, concurrency) ON backends TO n2s_worker;
END $$;
