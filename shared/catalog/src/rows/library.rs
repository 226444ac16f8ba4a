//! Datasets, versions, changesets, placements, hits.

use n2s_domain::ContentHash;

use super::Columns;
use super::staging::staged;
use crate::library::{BlobOwner, FileBlob};
use crate::{
    CatalogError, ChangesetRecord, ChangesetStore, DatasetRecord, ManifestState, Placement, SearchHit,
    VersionRef,
};

/// `project, dataset, vault_id, version, backends`.
pub fn dataset<E, R: Columns<E>>(row: &R) -> Result<DatasetRecord, E> {
    Ok(DatasetRecord {
        project: row.word("project")?,
        dataset: row.word("dataset")?,
        vault: row.vault()?,
        head: row.int_opt("version")?.map(|_| row.version("version")).transpose()?,
        backends: row.words("backends")?,
    })
}

/// Nothing is called that; the rows' `name`s are some of what is.
pub fn unknown<E: From<CatalogError>, R: Columns<E>>(
    what: &'static str,
    name: &impl ToString,
    known: &[R],
) -> Result<E, E> {
    let names = known.iter().map(|row| row.string("name")).collect::<Result<Vec<_>, E>>()?;
    Ok(CatalogError::unknown_among(what, name, &names).into())
}

/// A changeset's own columns and `vault_id`.
pub fn version<E, R: Columns<E>>(row: &R, dataset: i64) -> Result<VersionRef, E> {
    Ok(VersionRef {
        dataset,
        version: row.version("version")?,
        changeset: row.changeset("uuid")?,
        snapshot: row.string_opt("source_snapshot")?,
        file_count: row.count("file_count")?,
        total_size: row.count("total_size")?,
        vault: row.vault()?,
    })
}

/// A changeset's own columns, `project` and `dataset`.
pub fn changeset<E, R: Columns<E>>(row: &R, stores: Vec<ChangesetStore>) -> Result<ChangesetRecord, E> {
    Ok(ChangesetRecord {
        id: row.changeset("uuid")?,
        project: row.word("project")?,
        dataset: row.word("dataset")?,
        version: row.version("version")?,
        snapshot: row.string_opt("source_snapshot")?,
        description: row.string_opt("description")?,
        client_id: row.string("client_id")?,
        metadata: row.json("metadata")?,
        status: row.word("status")?,
        error: row.string_opt("error")?,
        created_at: row.time("created_at")?,
        committed_at: row.time_opt("committed_at")?,
        completed_at: row.time_opt("completed_at")?,
        file_count: row.count("file_count")?,
        blob_count: row.count("blob_count")?,
        total_size: row.count("total_size")?,
        added: row.count("added")?,
        modified: row.count("modified")?,
        removed: row.count("removed")?,
        stores,
    })
}

/// A changeset on a store, with the store's `name`.
pub fn changeset_store<E, R: Columns<E>>(row: &R) -> Result<ChangesetStore, E> {
    let manifest = match row.text("manifest")? {
        "waiting" | "syncing" => ManifestState::Waiting,
        "blocked" => ManifestState::Blocked,
        "pending" => ManifestState::Pending,
        "completed" => ManifestState::Completed,
        _ => ManifestState::Failed,
    };
    Ok(ChangesetStore {
        backend: row.word("name")?,
        // A fold that comes in parts may be below zero for a moment.
        waiting: u64::try_from(row.int("waiting")?).unwrap_or(0),
        failed: u64::try_from(row.int("failed")?).unwrap_or(0),
        manifest,
        error: row.string_opt("error_message")?,
    })
}

/// `id, filepath, size, content_hash, project, dataset`.
pub fn hit<E, R: Columns<E>>(row: &R) -> Result<SearchHit, E> {
    Ok(SearchHit {
        project: row.word("project")?,
        dataset: row.word("dataset")?,
        path: row.path("filepath")?,
        size: row.count("size")?,
        content_hash: row.content_opt("content_hash")?,
        row: row.int("id")?,
    })
}

/// A blob on a store.
pub fn placement<E, R: Columns<E>>(row: &R) -> Result<Placement, E> {
    Ok(Placement {
        blob: row.blob("blob_id")?,
        backend: row.backend()?,
        status: row.word("status")?,
        attempted_at: row.time_opt("attempted_at")?,
        completed_at: row.time_opt("completed_at")?,
        verified_at: row.time_opt("verified_at")?,
        retry_count: row.small("retry_count")?,
        error: row.failure()?,
    })
}

/// `name` of the project, `sealed_hash` and `encrypted_size`, or NULL in all.
pub fn owner<E, R: Columns<E>>(row: &R) -> Result<Option<BlobOwner>, E> {
    let Some(project) = row.word_opt("name")? else { return Ok(None) };
    let (sealed_hash, encrypted_size) = (row.sealed("sealed_hash")?, row.count("encrypted_size")?);
    Ok(Some(BlobOwner { project, sealed_hash, encrypted_size }))
}

/// A blob's own columns and `stored_on`.
pub fn blob<E, R: Columns<E>>(row: &R) -> Result<(ContentHash, FileBlob), E> {
    let content_hash = row.content("content_hash")?;
    let sealed_hash = row.sealed("sealed_hash")?;
    let blob = FileBlob {
        id: row.blob("id")?,
        content_hash,
        sealed_hash,
        encrypted_size: row.count("encrypted_size")?,
        staged: staged(row, sealed_hash, "staging_id")?,
        stored_on: row.int_list("stored_on")?.into_iter().map(n2s_domain::BackendId).collect(),
    };
    Ok((content_hash, blob))
}
