//! What lies in staging.

use n2s_domain::SealedHash;

use super::Columns;
use crate::StagedKey;

/// `sealed_hash, staging_id`, of a row that is in staging.
pub fn key<E, R: Columns<E>>(row: &R) -> Result<StagedKey, E> {
    Ok(StagedKey { sealed_hash: row.sealed("sealed_hash")?, id: row.int("staging_id")? })
}

/// The key of an object that may have left staging.
pub fn staged<E, R: Columns<E>>(
    row: &R,
    sealed_hash: SealedHash,
    id: &'static str,
) -> Result<Option<StagedKey>, E> {
    Ok(row.int_opt(id)?.map(|id| StagedKey { sealed_hash, id }))
}
