//! The vault that intake may have, and vaults' public objects as they cross the network.

use std::sync::Arc;

use n2s_catalog as cat;
use n2s_client::seam::SeamError;
use n2s_client::wire::calls::VaultObjects;
use n2s_domain::VaultId;
use n2s_envelope::Vault;

/// The vault of a server that seals and opens for its clients.
pub(crate) struct Keys(pub(crate) Arc<Vault>);

/// A vault's marker, and a wrapped epoch: both are far smaller.
const OBJECT_BYTES_MAX: usize = 64 * 1024;
/// Epochs of one vault.
const EPOCHS_MAX: usize = 10_000;

/// Hex to bytes. The objects are opaque here: nobody without the root can tell whether they are genuine, so whoever registers them
/// compares what is registered with its own.
pub(crate) fn read(vault: VaultId, objects: &VaultObjects) -> Result<cat::VaultObjects, SeamError> {
    if objects.epochs.is_empty() || objects.epochs.len() > EPOCHS_MAX {
        return Err(SeamError::Invalid(format!("a vault has 1 to {EPOCHS_MAX} epochs")));
    }
    let epoch = |(epoch, object): &(_, String)| Ok((*epoch, bytes(object)?));
    Ok(cat::VaultObjects {
        vault,
        marker: bytes(&objects.marker)?,
        epochs: objects.epochs.iter().map(epoch).collect::<Result<_, SeamError>>()?,
    })
}

fn bytes(hex: &str) -> Result<Vec<u8>, SeamError> {
    let decoded = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok();
    let fits = decoded.filter(|bytes| !bytes.is_empty() && bytes.len() <= OBJECT_BYTES_MAX);
    fits.ok_or_else(|| {
        SeamError::Invalid("a vault's object is not lower-case hex of a fitting length".to_owned())
    })
}

pub(crate) fn show(objects: &cat::VaultObjects) -> VaultObjects {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let epochs = objects.epochs.iter().map(|(epoch, object)| (*epoch, hex(object)));
    VaultObjects { marker: hex(&objects.marker), epochs: epochs.collect() }
}
