//! Who seals: this side, which has the vault, or the other, which then has it.

use bytes::Bytes;
use n2s_domain::{ContentHash, StoreKey, VaultId};
use n2s_envelope::{Metadata, Sealer, content_hash};
use n2s_failpoints::{Point, failpoint};

use super::batch::{Done, Shared};
use super::error::PushError;
use super::options::{PushDeps, PushOptions};
use crate::cpu::on_a_core;
use crate::seam::{FirstSeen, PlainBlob, PlainTerms, SealedRef, SendBlob};

/// Who seals.
#[derive(Clone, Debug)]
pub(super) enum Seals {
    Here(Sealer),
    There,
}

/// What of a vault a push needs besides sealing.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) vault: VaultId,
    pub(super) store_key: StoreKey,
    pub(super) chunk_seed: u64,
    pub(super) seals: Seals,
}

impl Terms {
    pub(super) async fn of(deps: &PushDeps, options: &PushOptions) -> Result<Self, PushError> {
        if let Some(vault) = &deps.vault {
            return Ok(Self {
                vault: vault.id(),
                store_key: vault.store_key(&options.project, &options.dataset),
                chunk_seed: vault.chunk_seed(),
                seals: Seals::Here(vault.sealer().ok_or(PushError::NoEpoch)?),
            });
        }
        let terms = deps.producer.plain_terms(&options.project, &options.dataset).await?;
        let PlainTerms { vault, store_key, chunk_seed } = terms;
        Ok(Self { vault, store_key, chunk_seed, seals: Seals::There })
    }
}

/// A content and where it was seen.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) hash: ContentHash,
    pub(super) metadata: Metadata,
    pub(super) bytes: Bytes,
}

/// Has contents sealed and staged; answers in the order given.
pub(super) async fn store(
    shared: &Shared,
    contents: Vec<Content>,
    done: &mut Done,
) -> Result<Vec<SealedRef>, PushError> {
    let stored = match &shared.seals {
        Seals::Here(sealer) => seal(shared, sealer.clone(), contents, done).await?,
        Seals::There => {
            done.sent_bytes += tell(shared, contents.iter().map(|content| content.bytes.len()));
            let plain = contents.into_iter().map(plain).collect();
            shared.producer.send_plain(&shared.lease, plain).await?
        }
    };
    Ok(stored)
}

async fn seal(
    shared: &Shared,
    sealer: Sealer,
    contents: Vec<Content>,
    done: &mut Done,
) -> Result<Vec<SealedRef>, PushError> {
    let seal = move |content: Content| sealed(&sealer, &content.metadata, &content.bytes);
    let blobs = on_a_core(move || contents.into_iter().map(seal).collect::<Result<Vec<_>, _>>()).await?;
    failpoint(Point::BatchSealed);
    let sizes: Vec<_> = blobs.iter().map(|blob| blob.bytes.len()).collect();
    let accepted = shared.producer.send(&shared.lease, blobs).await?;
    done.sent_bytes += tell(shared, sizes.iter().copied());
    let stored = accepted.into_iter().zip(sizes);
    Ok(stored
        .map(|(sealed_hash, size)| SealedRef { sealed_hash, encrypted_size: Some(size as u64) })
        .collect())
}

fn tell(shared: &Shared, sizes: impl Iterator<Item = usize>) -> u64 {
    let bytes = sizes.map(|size| size as u64).sum();
    shared.progress.sent(bytes);
    bytes
}

fn sealed(sealer: &Sealer, metadata: &Metadata, bytes: &[u8]) -> Result<SendBlob, PushError> {
    let sealed = sealer.seal(metadata, bytes)?;
    Ok(SendBlob {
        content_hash: sealed.content_hash,
        size: sealed.size,
        sealed_hash: sealed.sealed_hash,
        epoch: sealed.epoch,
        bytes: sealed.bytes,
    })
}

fn plain(content: Content) -> PlainBlob {
    let Metadata { filepath, mtime, mode, offset, file_size, .. } = content.metadata;
    let seen = FirstSeen { filepath, mtime, mode, offset, file_size };
    PlainBlob { content_hash: content.hash, seen, bytes: content.bytes }
}

/// A manifest's segment: its content is nobody's file.
pub(super) fn segment(shared: &Shared, bytes: Vec<u8>) -> Content {
    Content { hash: content_hash(&bytes), metadata: shared.blob.clone(), bytes: bytes.into() }
}
