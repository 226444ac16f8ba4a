//! Sealing and opening for clients without the vault.
//!
//! What is sealed here says what the push says: project and dataset come from the changeset, never from the caller, and a manifest's header
//! is sealed only if it describes this very push.

use bytes::Bytes;
use n2s_client::seam::{
    Commit, Committed, Fetched, FileBlob, FirstSeen, Lease, PlainBlob, PlainCommit, PlainTerms,
    Producer as _, SealedObject, SealedRef, SeamError, SendBlob,
};
use n2s_domain::limits::{BATCH_ITEMS_MAX, BLOB_BYTES_MAX};
use n2s_domain::{DatasetName, ProjectName};
use n2s_envelope::manifest::{Body, ManifestHeader, ObjectRef};
use n2s_envelope::{EnvelopeError, Expect, Kind, Metadata, Sealer, content_hash};

use crate::Intake;
use crate::error::catalog;
use crate::vaults::Keys;

fn invalid(why: impl Into<String>) -> SeamError {
    SeamError::Invalid(why.into())
}

fn sealing(error: EnvelopeError) -> SeamError {
    SeamError::Other { doing: "sealing", source: error.into() }
}

impl Intake {
    pub(crate) fn keys(&self) -> Result<&Keys, SeamError> {
        self.keys.as_deref().ok_or_else(|| {
            invalid(
                "this server does not have the vault: give the client the vault, or let the server have it",
            )
        })
    }

    pub(crate) fn terms(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
    ) -> Result<PlainTerms, SeamError> {
        let vault = &self.keys()?.0;
        let store_key = vault.store_key(project, dataset);
        Ok(PlainTerms { vault: vault.id(), store_key, chunk_seed: vault.chunk_seed() })
    }

    /// The sealer for a push, and what all its objects say.
    async fn sealer(&self, lease: &Lease) -> Result<(Sealer, Metadata), SeamError> {
        let vault = &self.keys()?.0;
        let record = self.catalog.changeset(lease.changeset).await.map_err(catalog)?;
        let datasets = self.catalog.datasets(Some(&record.project)).await.map_err(catalog)?;
        let own = datasets.iter().any(|row| row.dataset == record.dataset && row.vault == vault.id());
        if !own {
            return Err(SeamError::WrongVault(format!(
                "project '{}' is sealed with another vault than this server's; push with that vault",
                record.project
            )));
        }
        let sealer = vault.sealer().ok_or_else(|| invalid("the server's vault has no epoch to seal with"))?;
        Ok((sealer, Metadata::blob(record.project, record.dataset)))
    }

    pub(crate) async fn seal_and_send(
        &self,
        lease: &Lease,
        blobs: Vec<PlainBlob>,
    ) -> Result<Vec<SealedRef>, SeamError> {
        if blobs.len() > BATCH_ITEMS_MAX {
            return Err(invalid(format!("at most {BATCH_ITEMS_MAX} contents can be sent at once")));
        }
        let (sealer, metadata) = self.sealer(lease).await?;
        let seal =
            move || blobs.iter().map(|blob| seal(&sealer, &metadata, blob)).collect::<Result<Vec<_>, _>>();
        let sealed = tokio::task::spawn_blocking(seal).await.expect("sealing does not panic")?;
        let sizes: Vec<_> = sealed.iter().map(|blob| blob.bytes.len() as u64).collect();
        let accepted = self.send(lease, sealed).await?;
        let stored = accepted.into_iter().zip(sizes);
        Ok(stored.map(|(sealed_hash, size)| SealedRef { sealed_hash, encrypted_size: Some(size) }).collect())
    }

    pub(crate) async fn seal_and_commit(
        &self,
        lease: &Lease,
        commit: PlainCommit,
    ) -> Result<Committed, SeamError> {
        let (sealer, metadata) = self.sealer(lease).await?;
        let record = self.catalog.changeset(lease.changeset).await.map_err(catalog)?;
        let read: Result<ManifestHeader, _> = serde_json::from_slice(&commit.header);
        let mut header = read.map_err(|error| invalid(format!("the manifest's header: {error}")))?;
        let read: Result<Body, _> = serde_json::from_slice(&commit.body);
        read.map_err(|error| invalid(format!("the manifest's body: {error}")))?;
        let catalog_id = self.catalog_id().await?;
        let this = (header.vault, header.catalog, &header.project, &header.dataset)
            == (sealer.vault(), catalog_id, &record.project, &record.dataset)
            && (header.version, header.changeset) == (record.version, lease.changeset);
        if !this {
            return Err(invalid("the manifest's header describes another push"));
        }
        let metadata = Metadata {
            version: Some(record.version),
            changeset: Some(lease.changeset),
            catalog: Some(catalog_id),
            ..metadata
        };
        let body = object(&sealer, &metadata, Kind::ManifestBody, &commit.body)?;
        header.body = ObjectRef { sealed_hash: body.sealed_hash, size: body.bytes.len() as u64 };
        let header = serde_json::to_vec(&header).expect("headers serialise into memory");
        let header = object(&sealer, &metadata, Kind::ManifestHeader, &header)?;
        self.commit(lease, Commit { batches: commit.batches, header, body }).await
    }

    /// Opens what was fetched. What cannot be opened is no intact copy.
    pub(crate) async fn open_fetched(
        &self,
        blobs: &[FileBlob],
        fetched: Vec<Result<Fetched, SeamError>>,
    ) -> Vec<Result<Fetched, SeamError>> {
        if let Err(error) = self.keys() {
            let text = error.to_string();
            return blobs.iter().map(|_| Err(invalid(text.clone()))).collect();
        }
        let keys = self.keys.clone();
        let wanted: Vec<_> = blobs.iter().copied().zip(fetched).collect();
        let open = move || {
            let opener = keys.expect("it was looked at").0.opener();
            let open = |(blob, fetched): (FileBlob, Result<Fetched, SeamError>)| {
                let Fetched { bytes, bad_copies } = fetched?;
                match opener.open(&bytes, &Expect::Blob(blob.content_hash)) {
                    Ok(opened) => Ok(Fetched { bytes: opened.payload, bad_copies }),
                    Err(error) => {
                        Err(SeamError::NoIntactCopy { content: blob.content_hash, tried: error.to_string() })
                    }
                }
            };
            wanted.into_iter().map(open).collect()
        };
        tokio::task::spawn_blocking(open).await.expect("opening does not panic")
    }
}

fn seal(sealer: &Sealer, metadata: &Metadata, blob: &PlainBlob) -> Result<SendBlob, SeamError> {
    if blob.bytes.len() > BLOB_BYTES_MAX {
        return Err(invalid(format!("a content has at most {BLOB_BYTES_MAX} bytes; cut larger files")));
    }
    if content_hash(&blob.bytes) != blob.content_hash {
        return Err(invalid(format!(
            "the bytes sent as {} are other bytes; send them again",
            blob.content_hash
        )));
    }
    let FirstSeen { filepath, mtime, mode, offset, file_size } = blob.seen.clone();
    let metadata = Metadata { filepath, mtime, mode, offset, file_size, ..metadata.clone() };
    let sealed = sealer.seal(&metadata, &blob.bytes).map_err(sealing)?;
    Ok(SendBlob {
        content_hash: sealed.content_hash,
        size: sealed.size,
        sealed_hash: sealed.sealed_hash,
        epoch: sealed.epoch,
        bytes: sealed.bytes,
    })
}

fn object(sealer: &Sealer, metadata: &Metadata, kind: Kind, json: &[u8]) -> Result<SealedObject, SeamError> {
    let sealed = sealer.seal(&Metadata { kind, ..metadata.clone() }, json).map_err(sealing)?;
    Ok(SealedObject { sealed_hash: sealed.sealed_hash, bytes: sealed.bytes })
}

/// Bytes of a manifest's part as they came.
pub(crate) fn plain_commit(batches: u64, parts: Vec<Bytes>) -> Option<PlainCommit> {
    let [header, body] = <[Bytes; 2]>::try_from(parts).ok()?;
    Some(PlainCommit { batches, header, body })
}
