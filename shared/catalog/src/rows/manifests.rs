//! What manifests are made of.

use n2s_domain::SealedHash;

use super::Columns;
use super::backends::epoch;
use crate::{GroupKind, ManifestGroup, SegmentRef, StoredBlob, VersionCounts};

/// `since, through, entries`.
pub fn group<E, R: Columns<E>>(
    row: &R,
    kind: GroupKind,
    segments: Vec<SegmentRef>,
) -> Result<ManifestGroup, E> {
    Ok(ManifestGroup {
        kind,
        since: row.version("since")?,
        through: row.version("through")?,
        entries: row.count("entries")?,
        segments,
    })
}

/// A blob's own columns.
pub fn segment<E, R: Columns<E>>(row: &R) -> Result<SegmentRef, E> {
    Ok(SegmentRef {
        content_hash: row.content("content_hash")?,
        sealed_hash: row.sealed("sealed_hash")?,
        size: row.count("size")?,
        encrypted_size: row.count("encrypted_size")?,
    })
}

/// A blob's own columns.
pub fn stored<E, R: Columns<E>>(row: &R) -> Result<StoredBlob, E> {
    Ok(StoredBlob {
        content_hash: row.content("content_hash")?,
        sealed_hash: row.sealed("sealed_hash")?,
        epoch: epoch(row)?,
        encrypted_size: row.count("encrypted_size")?,
    })
}

/// `file_count, total_size, put, removed`.
pub fn counts<E, R: Columns<E>>(row: &R) -> Result<VersionCounts, E> {
    let removed = row.count("removed")?;
    Ok(VersionCounts {
        files: row.count("file_count")?,
        bytes: row.count("total_size")?,
        changed: row.count("put")? + removed,
        removed,
    })
}

/// `old_sealed, new_sealed`.
pub fn replaced<E, R: Columns<E>>(row: &R) -> Result<(SealedHash, SealedHash), E> {
    Ok((row.sealed("old_sealed")?, row.sealed("new_sealed")?))
}
