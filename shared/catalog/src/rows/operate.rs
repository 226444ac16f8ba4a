//! Failures.

use super::Columns;
use crate::{Drift, FailedUpload};

/// A failed placement, or a failed manifest.
pub fn failed<E, R: Columns<E>>(row: &R) -> Result<FailedUpload, E> {
    Ok(FailedUpload {
        backend: row.word("backend")?,
        project: row.word("project")?,
        dataset: row.word_opt("dataset")?,
        path: row.path_opt("filepath")?,
        content_hash: row.content_opt("content_hash")?,
        sealed_hash: row.sealed("sealed_hash")?,
        kind: row.word("error_kind")?,
        message: row.string_opt("error_message")?.unwrap_or_default(),
        retry_count: row.small("retry_count")?,
        attempted_at: row.time_opt("attempted_at")?,
        key: row.string("key")?,
    })
}

/// What of such a row is tried again, on which store.
pub enum Again {
    /// A blob and its store.
    Placement(i64, i64),
    /// A changeset and its store.
    Manifest(i64, i64),
}

/// `blob_id` or `changeset_id`, and `backend_id`.
pub fn again<E, R: Columns<E>>(row: &R) -> Result<Again, E> {
    let backend = row.int("backend_id")?;
    Ok(match row.int_opt("blob_id")? {
        Some(blob) => Again::Placement(blob, backend),
        None => Again::Manifest(row.int("changeset_id")?, backend),
    })
}

/// `counter, kept, counted`; `None` where they agree.
pub fn drift<E, R: Columns<E>>(row: &R) -> Result<Option<Drift>, E> {
    let (kept, counted) = (row.int("kept")?, row.int("counted")?);
    let counter = row.string("counter")?;
    Ok((kept != counted).then_some(Drift { counter, kept, counted }))
}
