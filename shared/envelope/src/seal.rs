//! Sealing: metadata and payload in, an object named by its own bytes out.

use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use n2s_domain::limits::{BLOB_BYTES_MAX, METADATA_BYTES_MAX};
use n2s_domain::{ContentHash, Epoch, SealedHash, VaultId};
use zstd::zstd_safe::compress_bound;

use crate::compress::{append, promises};
use crate::error::EnvelopeError;
use crate::hash::{content_hash, sealed_hash};
use crate::keys::{self, Secret};
use crate::metadata::Metadata;
use crate::open::holds;

pub(crate) const MAGIC: &[u8; 4] = b"N2SB";
pub(crate) const FORMAT: u8 = 1;
pub(crate) const SUITE: u8 = 1;
/// Magic, format, suite, vault id, epoch, nonce: everything before the ciphertext, and its associated data.
pub(crate) const HEADER_BYTES: usize = 4 + 1 + 1 + 8 + 4 + 24;
pub(crate) const TAG_BYTES: usize = 16;

/// zstd level: 1 is where the time a push takes stops depending on it.
const LEVEL: i32 = 1;

/// A sealed object.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The object, as it goes on stores.
    pub bytes: Bytes,
    /// BLAKE3 of `bytes`: its name.
    pub sealed_hash: SealedHash,
    /// BLAKE3 of the payload.
    pub content_hash: ContentHash,
    /// Payload bytes.
    pub size: u64,
    /// The epoch that sealed it.
    pub epoch: Epoch,
}

/// Seals under one epoch. Cheap to clone and to share.
#[derive(Clone)]
pub struct Sealer {
    pub(crate) vault: VaultId,
    pub(crate) epoch: Epoch,
    pub(crate) cipher: XChaCha20Poly1305,
    pub(crate) nonce_key: Secret,
    self_check: bool,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer(vault {}, epoch {})", self.vault, self.epoch)
    }
}

impl Sealer {
    pub(crate) fn new(vault: VaultId, epoch: Epoch, secret: &Secret) -> Self {
        let cipher = XChaCha20Poly1305::new((&keys::sealing(secret).0).into());
        Self { vault, epoch, cipher, nonce_key: keys::nonces(secret), self_check: true }
    }

    /// The same sealer without the self-check, for measuring what it costs.
    #[must_use]
    pub fn without_self_check(self) -> Self {
        Self { self_check: false, ..self }
    }

    /// The vault it seals for.
    pub fn vault(&self) -> VaultId {
        self.vault
    }

    /// Seals `payload`. Hash, size and compression of `metadata` are set here. The same arguments give the same bytes.
    ///
    /// Every object is opened and compared with the payload before it is returned: a processor or memory that corrupts data
    /// is found before the only copy depends on it.
    pub fn seal(&self, metadata: &Metadata, payload: &[u8]) -> Result<Sealed, EnvelopeError> {
        if payload.len() > BLOB_BYTES_MAX {
            let (bytes, max) = (payload.len() as u64, BLOB_BYTES_MAX as u64);
            return Err(EnvelopeError::TooLarge { what: "the payload", bytes, max });
        }
        let content_hash = content_hash(payload);
        let metadata = Metadata { content_hash, size: payload.len() as u64, padding: 0, ..metadata.clone() };
        let mut object = self.lay(metadata, payload)?;
        self.encrypt(&mut object)?;
        if self.self_check {
            self.check(&object, content_hash, payload)?;
        }
        object.shrink_to_fit();
        let (size, epoch) = (payload.len() as u64, self.epoch);
        Ok(Sealed {
            sealed_hash: sealed_hash(&object),
            bytes: Bytes::from(object),
            content_hash,
            size,
            epoch,
        })
    }

    /// Header and plaintext, where the ciphertext will be: one buffer from metadata to object.
    fn lay(&self, mut metadata: Metadata, payload: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let mut object = Vec::new();
        if promises(payload) {
            "zstd".clone_into(&mut metadata.compression);
            self.begin(&mut object, &metadata, compress_bound(payload.len()))?;
            if append(&mut object, payload, LEVEL) {
                return Ok(object);
            }
            object.clear();
        }
        "none".clone_into(&mut metadata.compression);
        self.begin(&mut object, &metadata, payload.len())?;
        object.extend_from_slice(payload);
        Ok(object)
    }

    /// Everything before the payload, and room for `body` bytes of it.
    fn begin(&self, object: &mut Vec<u8>, metadata: &Metadata, body: usize) -> Result<(), EnvelopeError> {
        let json = serde_json::to_vec(metadata).map_err(|_| EnvelopeError::Malformed("the metadata"))?;
        if json.len() > METADATA_BYTES_MAX {
            let (bytes, max) = (json.len() as u64, METADATA_BYTES_MAX as u64);
            return Err(EnvelopeError::TooLarge { what: "the metadata", bytes, max });
        }
        object.reserve_exact(HEADER_BYTES + 4 + json.len() + body + TAG_BYTES);
        object.extend_from_slice(MAGIC);
        object.extend_from_slice(&[FORMAT, SUITE]);
        object.extend_from_slice(&self.vault.0);
        object.extend_from_slice(&self.epoch.0.to_le_bytes());
        object.resize(HEADER_BYTES, 0);
        object.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
        object.extend_from_slice(&json);
        Ok(())
    }

    /// Turns the plaintext behind the header into the ciphertext, in place, and adds the tag.
    fn encrypt(&self, object: &mut Vec<u8>) -> Result<(), EnvelopeError> {
        let nonce = keys::nonce(&self.nonce_key, &object[HEADER_BYTES..]);
        object[HEADER_BYTES - 24..HEADER_BYTES].copy_from_slice(&nonce);
        let (header, plaintext) = object.split_at_mut(HEADER_BYTES);
        let tag = self
            .cipher
            .encrypt_inout_detached((&nonce).into(), header, plaintext.into())
            .map_err(|_| EnvelopeError::Malformed("too long to encrypt"))?;
        object.extend_from_slice(&tag);
        Ok(())
    }

    fn check(&self, object: &[u8], content: ContentHash, payload: &[u8]) -> Result<(), EnvelopeError> {
        match holds(&self.cipher, self.epoch, object, payload) {
            Ok(metadata) if metadata.content_hash == content => Ok(()),
            _ => Err(EnvelopeError::SelfCheck),
        }
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::SeededEntropy;
    use proptest::prelude::*;

    use super::*;
    use crate::{Expect, Vault};

    proptest! {
        // n2s adds no padding yet; readers must take it off all the same.
        #[test]
        fn padding_is_taken_off_and_a_wrong_length_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..99), times in 1usize..9, padding in 0usize..200, wrong in 0u64..600
        ) {
            let payload = bytes.repeat(times);
            let vault = Vault::create(&SeededEntropy::new(1));
            let sealer = vault.sealer().unwrap();
            let mut body = Vec::new();
            let compressed = promises(&payload) && append(&mut body, &payload, LEVEL);
            if !compressed {
                body.clone_from(&payload);
            }
            body.resize(body.len() + padding, 0);
            let open = |padding| {
                let metadata = Metadata {
                    content_hash: content_hash(&payload),
                    size: payload.len() as u64,
                    compression: if compressed { "zstd" } else { "none" }.to_owned(),
                    padding,
                    ..Metadata::blob("p".parse().unwrap(), "d".parse().unwrap())
                };
                let mut object = Vec::new();
                sealer.begin(&mut object, &metadata, body.len()).unwrap();
                object.extend_from_slice(&body);
                sealer.encrypt(&mut object).unwrap();
                vault.opener().open(&object, &Expect::Anything)
            };
            prop_assert_eq!(&open(padding as u64).unwrap().payload[..], &payload[..]);
            prop_assume!(wrong != padding as u64);
            prop_assert!(open(wrong).is_err(), "padding of {} read as {}", padding, wrong);
            prop_assert!(open(u64::MAX).is_err());
        }
    }
}
