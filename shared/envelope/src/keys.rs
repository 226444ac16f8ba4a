//! Every key of n2s and the context string it is derived with. FORMAT.md repeats this list.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes, wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret(pub(crate) [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    fn derive(&self, context: &'static str) -> Self {
        Self(blake3::derive_key(context, &self.0))
    }
}

/// From the root: the vault's public id (its first 8 bytes).
pub(crate) fn vault_id(root: &Secret) -> [u8; 8] {
    let derived = root.derive("n2s v1 vault id");
    derived.0[..8].try_into().expect("32 bytes have 8")
}

/// From the root: authenticates `n2s.json`.
pub(crate) fn marker(root: &Secret) -> Secret {
    root.derive("n2s v1 store marker")
}

/// From the root: wraps epoch secrets.
pub(crate) fn wrapping(root: &Secret) -> Secret {
    root.derive("n2s v1 epoch wrapping")
}

/// From the root: names datasets on stores.
pub(crate) fn naming(root: &Secret) -> Secret {
    root.derive("n2s v1 dataset naming")
}

/// From the root: seeds the chunker (its first 8 bytes, little-endian).
pub(crate) fn chunking(root: &Secret) -> u64 {
    let derived = root.derive("n2s v1 chunking");
    u64::from_le_bytes(derived.0[..8].try_into().expect("32 bytes have 8"))
}

/// From an epoch's secret: seals.
pub(crate) fn sealing(epoch: &Secret) -> Secret {
    epoch.derive("n2s v1 sealing")
}

/// From an epoch's secret: derives nonces.
pub(crate) fn nonces(epoch: &Secret) -> Secret {
    epoch.derive("n2s v1 nonces")
}

/// 24 bytes: the same plaintext gives the same nonce, another plaintext another.
pub(crate) fn nonce(key: &Secret, plaintext: &[u8]) -> [u8; 24] {
    let hash = blake3::keyed_hash(&key.0, plaintext);
    hash.as_bytes()[..24].try_into().expect("32 bytes have 24")
}
