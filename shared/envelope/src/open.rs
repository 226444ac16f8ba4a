//! Opening: an object in, what was asked for out, or a reason why not.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::AeadInOut as _;
use n2s_domain::limits::{BLOB_BYTES_MAX, METADATA_BYTES_MAX, SEALED_BYTES_MAX};
use n2s_domain::{ChangesetId, ContentHash, DatasetName, Epoch, ProjectName, VaultId, Version};

use crate::compress::{decompress, unpack as unpack_frame};
use crate::error::EnvelopeError;
use crate::hash::content_hash;
use crate::metadata::{Kind, Metadata};
use crate::seal::{FORMAT, HEADER_BYTES, MAGIC, SUITE, Sealer, TAG_BYTES};

/// What can be read without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The vault.
    pub vault: VaultId,
    /// The epoch.
    pub epoch: Epoch,
}

/// What the object must be; authentication alone would accept any object of the vault in place of any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The blob with this content.
    Blob(ContentHash),
    /// This manifest.
    Manifest {
        /// Header or body.
        kind: Kind,
        /// Its project.
        project: ProjectName,
        /// Its dataset.
        dataset: DatasetName,
        /// Its version.
        version: Version,
        /// Its changeset, where it is known.
        changeset: Option<ChangesetId>,
    },
    /// Whatever it is: for looking at a single object.
    Anything,
}

/// An opened object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its payload.
    pub payload: Bytes,
}

/// Opens objects of one vault. Cheap to share.
#[derive(Debug)]
pub struct Opener {
    pub(crate) vault: VaultId,
    pub(crate) epochs: BTreeMap<Epoch, Sealer>,
}

impl Opener {
    /// Opens `object` and checks that it is what is expected.
    pub fn open(&self, object: &[u8], expect: &Expect) -> Result<Opened, EnvelopeError> {
        let header = peek(object)?;
        if header.vault != self.vault {
            return Err(EnvelopeError::WrongVault { found: header.vault, own: self.vault });
        }
        let sealer = self.epochs.get(&header.epoch).ok_or(EnvelopeError::UnknownEpoch(header.epoch))?;
        open_with(&sealer.cipher, header.epoch, object, expect)
    }
}

/// Reads the part that needs no key.
pub fn peek(object: &[u8]) -> Result<Header, EnvelopeError> {
    if object.len() < HEADER_BYTES + 4 + TAG_BYTES {
        return Err(EnvelopeError::NotSealed("it is too short"));
    }
    if object.len() > SEALED_BYTES_MAX {
        let (bytes, max) = (object.len() as u64, SEALED_BYTES_MAX as u64);
        return Err(EnvelopeError::TooLarge { what: "the object", bytes, max });
    }
    if &object[..4] != MAGIC {
        return Err(EnvelopeError::NotSealed("it does not begin with N2SB"));
    }
    let (format, suite) = (object[4], object[5]);
    if (format, suite) != (FORMAT, SUITE) {
        return Err(EnvelopeError::Unsupported { format, suite });
    }
    let vault = VaultId(object[6..14].try_into().expect("14 - 6 is 8"));
    let epoch = Epoch(u32::from_le_bytes(object[14..18].try_into().expect("18 - 14 is 4")));
    Ok(Header { vault, epoch })
}

pub(crate) fn open_with(
    cipher: &XChaCha20Poly1305,
    epoch: Epoch,
    object: &[u8],
    expect: &Expect,
) -> Result<Opened, EnvelopeError> {
    unpack(decrypt(cipher, epoch, object)?, expect)
}

/// Opens `object` and compares it with the payload it must hold, without another copy of the payload.
pub(crate) fn holds(
    cipher: &XChaCha20Poly1305,
    epoch: Epoch,
    object: &[u8],
    payload: &[u8],
) -> Result<Metadata, EnvelopeError> {
    let plaintext = decrypt(cipher, epoch, object)?;
    let (metadata, body) = split(&plaintext)?;
    let mut hasher = blake3::Hasher::new();
    let mut rest = payload;
    let mut same = |piece: &[u8]| {
        hasher.update(piece);
        let (wanted, after) = rest.split_at(piece.len().min(rest.len()));
        rest = after;
        wanted == piece
    };
    let body = &plaintext[body];
    let whole = if metadata.compression == "zstd" { unpack_frame(body, &mut same) } else { same(body) };
    if !whole || !rest.is_empty() || hasher.finalize() != metadata.content_hash.0 {
        return Err(EnvelopeError::SelfCheck);
    }
    Ok(metadata)
}

fn decrypt(cipher: &XChaCha20Poly1305, epoch: Epoch, object: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let (header, rest) = object.split_at(HEADER_BYTES);
    let (ciphertext, tag) = rest.split_at(rest.len() - TAG_BYTES);
    let nonce: &[u8; 24] = header[HEADER_BYTES - 24..].try_into().expect("it has 24 bytes");
    let tag: &[u8; 16] = tag.try_into().expect("it has 16 bytes");
    let mut plaintext = ciphertext.to_vec();
    cipher
        .decrypt_inout_detached(nonce.into(), header, plaintext.as_mut_slice().into(), tag.into())
        .map_err(|_| EnvelopeError::Forged(epoch))?;
    Ok(plaintext)
}

/// The metadata, and where the body is.
fn split(plaintext: &[u8]) -> Result<(Metadata, Range<usize>), EnvelopeError> {
    let length = u32::from_le_bytes(plaintext[..4].try_into().expect("the shortest object holds 4")) as usize;
    if length > METADATA_BYTES_MAX || length > plaintext.len() - 4 {
        return Err(EnvelopeError::Malformed("the metadata's length"));
    }
    let metadata: Metadata = serde_json::from_slice(&plaintext[4..4 + length])
        .map_err(|_| EnvelopeError::Malformed("the metadata"))?;
    let padding = usize::try_from(metadata.padding).unwrap_or(usize::MAX);
    let end = plaintext.len().checked_sub(padding).filter(|end| *end >= 4 + length);
    let end = end.ok_or(EnvelopeError::Malformed("the padding"))?;
    Ok((metadata, 4 + length..end))
}

fn unpack(plaintext: Vec<u8>, expect: &Expect) -> Result<Opened, EnvelopeError> {
    let (metadata, body) = split(&plaintext)?;
    let size = usize::try_from(metadata.size).unwrap_or(usize::MAX);
    if size > BLOB_BYTES_MAX {
        return Err(EnvelopeError::Malformed("the size"));
    }
    let payload = match metadata.compression.as_str() {
        "none" if body.len() == size => Bytes::from(plaintext).slice(body),
        "zstd" => {
            let payload = decompress(&plaintext[body], size);
            Bytes::from(payload.ok_or(EnvelopeError::Malformed("the compressed payload"))?)
        }
        _ => return Err(EnvelopeError::Malformed("the compression")),
    };
    if content_hash(&payload) != metadata.content_hash {
        return Err(EnvelopeError::Malformed("the content hash"));
    }
    check(&metadata, expect)?;
    Ok(Opened { metadata, payload })
}

fn check(metadata: &Metadata, expect: &Expect) -> Result<(), EnvelopeError> {
    match expect {
        Expect::Anything => Ok(()),
        Expect::Blob(wanted) => same("content_hash", &metadata.content_hash, wanted),
        Expect::Manifest { kind, project, dataset, version, changeset } => {
            same("kind", &format!("{:?}", metadata.kind), &format!("{kind:?}"))?;
            same("project", &metadata.project, project)?;
            same("dataset", &metadata.dataset, dataset)?;
            same("version", &metadata.version.unwrap_or(Version(0)), version)?;
            match (changeset, metadata.changeset) {
                (None, _) => Ok(()),
                (Some(wanted), Some(found)) => same("changeset", &found, wanted),
                (Some(_), None) => Err(EnvelopeError::Malformed("a manifest without a changeset")),
            }
        }
    }
}

fn same<T: PartialEq + std::fmt::Display>(
    what: &'static str,
    found: &T,
    wanted: &T,
) -> Result<(), EnvelopeError> {
    if found == wanted {
        return Ok(());
    }
    Err(EnvelopeError::NotAsked { what, found: found.to_string(), wanted: wanted.to_string() })
}
