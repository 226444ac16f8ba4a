//! Sealing: metadata and payload in, an object named by its own bytes out.

use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use n2s_domain::limits::{BLOB_BYTES_MAX, METADATA_BYTES_MAX};
use n2s_domain::{ContentHash, Epoch, SealedHash, VaultId};

use crate::compress::compress;
use crate::error::EnvelopeError;
use crate::hash::{content_hash, sealed_hash};
use crate::keys::{self, Secret};
use crate::metadata::Metadata;
use crate::open::{Expect, open_with};

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
        let compressed = compress(payload, LEVEL);
        let (body, compression) = compressed.as_deref().map_or((payload, "none"), |frame| (frame, "zstd"));
        let metadata = Metadata {
            content_hash,
            size: payload.len() as u64,
            compression: compression.to_owned(),
            padding: 0,
            ..metadata.clone()
        };
        let bytes = self.encrypt(&metadata, body)?;
        if self.self_check {
            self.check(&bytes, content_hash, payload)?;
        }
        let (size, epoch) = (payload.len() as u64, self.epoch);
        Ok(Sealed { sealed_hash: sealed_hash(&bytes), bytes: Bytes::from(bytes), content_hash, size, epoch })
    }

    /// One buffer from metadata to object: the plaintext is laid where the ciphertext will be.
    fn encrypt(&self, metadata: &Metadata, body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let json = serde_json::to_vec(metadata).map_err(|_| EnvelopeError::Malformed("the metadata"))?;
        if json.len() > METADATA_BYTES_MAX {
            let (bytes, max) = (json.len() as u64, METADATA_BYTES_MAX as u64);
            return Err(EnvelopeError::TooLarge { what: "the metadata", bytes, max });
        }
        let mut object = Vec::with_capacity(HEADER_BYTES + 4 + json.len() + body.len() + TAG_BYTES);
        object.extend_from_slice(MAGIC);
        object.extend_from_slice(&[FORMAT, SUITE]);
        object.extend_from_slice(&self.vault.0);
        object.extend_from_slice(&self.epoch.0.to_le_bytes());
        object.resize(HEADER_BYTES, 0);
        object.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
        object.extend_from_slice(&json);
        object.extend_from_slice(body);
        let nonce = keys::nonce(&self.nonce_key, &object[HEADER_BYTES..]);
        object[HEADER_BYTES - 24..HEADER_BYTES].copy_from_slice(&nonce);
        let (header, plaintext) = object.split_at_mut(HEADER_BYTES);
        let tag = self
            .cipher
            .encrypt_inout_detached((&nonce).into(), header, plaintext.into())
            .map_err(|_| EnvelopeError::Malformed("too long to encrypt"))?;
        object.extend_from_slice(&tag);
        Ok(object)
    }

    fn check(&self, object: &[u8], content: ContentHash, payload: &[u8]) -> Result<(), EnvelopeError> {
        match open_with(&self.cipher, self.epoch, object, &Expect::Blob(content)) {
            Ok(opened) if opened.payload == payload => Ok(()),
            // A manifest is checked like a blob: by its content.
            _ => Err(EnvelopeError::SelfCheck),
        }
    }
}
