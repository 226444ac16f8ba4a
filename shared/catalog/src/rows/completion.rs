//! Changesets on stores, as the folder sees them.

use n2s_domain::ChangesetId;
use n2s_domain::changeset::StoreProgress;

use super::Columns;

/// A committed changeset on one store.
#[derive(Clone, Debug)]
pub struct StoreRow {
    /// The changeset's row.
    pub changeset: i64,
    /// The store's.
    pub backend: i64,
    /// Placements waited for.
    pub waiting: i64,
    /// Placements that failed.
    pub failed: i64,
    /// Its manifest's state there.
    pub manifest: String,
    /// What its parent's manifest is there, and whether something of the parent's own has failed there; `None` without a parent.
    pub parent: Option<(String, i64)>,
}

impl StoreRow {
    /// Whether its manifest is still to be begun.
    pub fn is_open(&self) -> bool {
        matches!(self.manifest.as_str(), "waiting" | "blocked")
    }
}

/// `waiting, failed, manifest, parent_id, parent_manifest, parent_failed`.
pub fn store<E, R: Columns<E>>(row: &R, changeset: i64, backend: i64) -> Result<StoreRow, E> {
    let parent = match row.int_opt("parent_id")? {
        None => None,
        // A store the parent was never asked onto is one where it is not whole.
        Some(_) => Some((
            row.string_opt("parent_manifest")?.unwrap_or_else(|| "blocked".to_owned()),
            row.int("parent_failed")?,
        )),
    };
    let (waiting, failed) = (row.int("waiting")?, row.int("failed")?);
    Ok(StoreRow { changeset, backend, waiting, failed, manifest: row.string("manifest")?, parent })
}

/// `waiting, failed, manifest`: how far a changeset is on a store.
pub fn progress<E, R: Columns<E>>(row: &R) -> Result<StoreProgress, E> {
    let (waiting, failed) = (row.int("waiting")?, row.int("failed")?);
    Ok(match row.text("manifest")? {
        "syncing" => StoreProgress::Waiting,
        _ if waiting > 0 => StoreProgress::Waiting,
        // Before the manifest: where it is completed, a copy was found damaged later and could not be replaced.
        _ if failed > 0 => StoreProgress::Broken,
        "completed" => StoreProgress::Whole,
        "failed" | "blocked" => StoreProgress::Broken,
        _ => StoreProgress::Waiting,
    })
}

/// A committed changeset that may settle.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its id.
    pub changeset: ChangesetId,
    /// What it was settled as, or is.
    pub status: String,
    /// Whether it was settled.
    pub settled: bool,
    /// Goes up with every reason to settle again.
    pub generation: i64,
    /// Copies that make it safe.
    pub min_copies: usize,
}

/// `uuid, status, settled, generation, min_copies`.
pub fn open<E, R: Columns<E>>(row: &R) -> Result<Open, E> {
    Ok(Open {
        changeset: row.changeset("uuid")?,
        status: row.string("status")?,
        settled: row.flag("settled")?,
        generation: row.int("generation")?,
        min_copies: usize::try_from(row.int("min_copies")?).unwrap_or(usize::MAX),
    })
}
