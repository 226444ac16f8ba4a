//! Vaults.

use n2s_domain::VaultId;

use super::Columns;
use super::backends::epoch;
use crate::VaultObjects;

/// `marker`, and `epoch, object` of each of its keys.
pub fn objects<E, R: Columns<E>>(vault: VaultId, found: &R, keys: &[R]) -> Result<VaultObjects, E> {
    let key = |row: &R| Ok((epoch(row)?, row.bytes("object")?.to_vec()));
    let epochs = keys.iter().map(key).collect::<Result<_, E>>()?;
    Ok(VaultObjects { vault, marker: found.bytes("marker")?.to_vec(), epochs })
}
