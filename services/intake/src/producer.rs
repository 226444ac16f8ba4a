//! Pushing, over catalog and staging.

use std::collections::BTreeMap;

use async_trait::async_trait;
use n2s_catalog as cat;
use n2s_client::seam::{
    Commit, Committed, GroupKind, Lease, ManifestGroup, NewGroup, Offered, OpenRequest, Opened, Parent,
    PlainBlob, PlainCommit, PlainTerms, Producer, SealedObject, SealedRef, SeamError, SegmentRef, SendBlob,
    StoredBlob, TakeOver, VersionCounts,
};
use n2s_domain::limits::{BATCH_ITEMS_MAX, PUSH_LEASE, SEALED_BYTES_MAX};
use n2s_domain::{
    ChangesetId, ContentHash, DatasetName, EntryChange, LeaseToken, ProjectName, RelPath, SealedHash, Version,
};
use n2s_failpoints::{Point, failpoint};
use n2s_storage::StagingKey;
use uuid::Uuid;

use crate::Intake;
use crate::error::{catalog, staging};

/// Rows of an abandoned push that one transaction undoes.
const UNDO_STEP_ROWS: u32 = 5_000;

fn lease_of(lease: &Lease) -> cat::PushLease {
    cat::PushLease { changeset: lease.changeset, token: lease.token }
}

fn bounded(what: &'static str, items: usize) -> Result<(), SeamError> {
    if items <= BATCH_ITEMS_MAX {
        return Ok(());
    }
    Err(SeamError::Invalid(format!(
        "{items} {what} in one call are too many; send at most {BATCH_ITEMS_MAX}"
    )))
}

/// With the trace that the request belongs to, unless the producer has named one.
fn in_trace(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut metadata = metadata.clone();
    if let Some(trace) = n2s_telemetry::trace::current() {
        metadata.entry(cat::METADATA_TRACE.to_owned()).or_insert_with(|| trace.to_string());
    }
    metadata
}

impl Intake {
    /// As `open`, with a token of the caller's choice for the lease.
    pub(crate) async fn open_with(
        &self,
        request: &OpenRequest,
        token: LeaseToken,
    ) -> Result<Opened, SeamError> {
        self.acceptable(request).await?;
        let open = cat::OpenPush {
            changeset: ChangesetId::new(&*self.clock, &*self.entropy),
            token,
            project: request.project.clone(),
            dataset: request.dataset.clone(),
            vault: request.vault,
            store_key: request.store_key,
            snapshot: request.snapshot.clone(),
            description: request.description.clone(),
            client_id: request.client_id.clone(),
            metadata: in_trace(&request.metadata),
            backends: request.backends.clone(),
            min_copies: request.min_copies.or(self.min_copies),
            take_over: match request.take_over {
                TakeOver::IfLapsed => cat::TakeOver::IfLapsed,
                TakeOver::OwnEvenIfLive => cat::TakeOver::OwnEvenIfLive,
                TakeOver::Abandon => cat::TakeOver::Abandon,
            },
            lease: PUSH_LEASE,
        };
        let opened = match self.catalog.open_push(&open).await {
            // The undo goes on here rather than making the caller wait for the sweeper's next round.
            Err(cat::CatalogError::Undoing(_)) => {
                while self.catalog.undo_step(UNDO_STEP_ROWS).await.map_err(catalog)? {}
                let again = cat::OpenPush { take_over: cat::TakeOver::IfLapsed, ..open };
                self.catalog.open_push(&again).await.map_err(catalog)?
            }
            other => other.map_err(catalog)?,
        };
        Ok(Opened {
            lease: Lease { changeset: opened.lease.changeset, token: opened.lease.token },
            version: opened.version,
            parent: opened.parent.map(|parent| Parent {
                version: parent.version,
                changeset: parent.changeset,
                file_count: parent.file_count,
            }),
            resumed: opened.resumed,
            recorded: opened.recorded,
            backends: opened.backends,
            resend: opened.resend,
        })
    }

    /// What cannot be kept is refused before anything is begun: copies on more stores than there are, and stores that are not there.
    async fn acceptable(&self, request: &OpenRequest) -> Result<(), SeamError> {
        let stores = self.stores.len();
        let most = u32::try_from(stores).unwrap_or(u32::MAX);
        if let Some(copies) = request.min_copies.filter(|copies| *copies > most || *copies == 0) {
            return Err(SeamError::Invalid(format!(
                "--min-copies {copies}: there are {stores} stores; choose 1 to {stores}, or add stores"
            )));
        }
        for name in &request.backends {
            self.backend_id(name).await?;
        }
        Ok(())
    }

    fn staging_id(&self) -> i64 {
        // Positive, because databases count with signed numbers.
        i64::try_from(self.entropy.next_u64() >> 2).expect("62 bits fit")
    }

    pub(crate) fn staging_key(&self, sealed_hash: SealedHash) -> StagingKey {
        StagingKey { sealed_hash, id: self.staging_id() }
    }

    /// Keys that follow each other from a random number on: the catalog finds neighbours in the same place, and a call asks for
    /// randomness once. That another call's stretch meets this one is as unlikely as that two random numbers are equal.
    fn staging_keys(&self, objects: &[SealedObject]) -> Vec<StagingKey> {
        let ids = self.staging_id()..;
        ids.zip(objects).map(|(id, object)| StagingKey { sealed_hash: object.sealed_hash, id }).collect()
    }

    /// Writes objects to staging after checking that their bytes are what they are called.
    async fn stage(&self, objects: Vec<SealedObject>) -> Result<Vec<StagingKey>, SeamError> {
        for object in &objects {
            check(object)?;
        }
        let keys = self.staging_keys(&objects);
        let keyed = keys.iter().copied().zip(objects.into_iter().map(|object| object.bytes)).collect();
        failpoint(Point::Staging);
        let answers = self.staging.put(keyed).await;
        let mut failed = None;
        let mut written = Vec::new();
        for (answer, key) in answers.into_iter().zip(&keys) {
            match answer {
                Ok(()) => written.push(*key),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let Some(error) = failed else { return Ok(keys) };
        // Nothing of this call is recorded, so nothing of it may stay; what cannot be deleted is an orphan for the sweeper.
        drop(self.staging.delete(&written).await);
        Err(staging(error))
    }

    async fn unstage(&self, keys: &[StagingKey]) {
        if !keys.is_empty() {
            // What cannot be deleted is an orphan for the sweeper.
            drop(self.staging.delete(keys).await);
        }
    }
}

fn check(object: &SealedObject) -> Result<(), SeamError> {
    if object.bytes.len() > SEALED_BYTES_MAX {
        return Err(SeamError::Invalid(format!(
            "a sealed object of {} bytes is too large",
            object.bytes.len()
        )));
    }
    if n2s_envelope::sealed_hash(&object.bytes) != object.sealed_hash {
        return Err(SeamError::Invalid(format!(
            "the bytes sent as {} are other bytes; send them again",
            object.sealed_hash
        )));
    }
    n2s_envelope::peek(&object.bytes).map(drop).map_err(|error| SeamError::Invalid(error.to_string()))
}

fn catalog_key(key: StagingKey) -> cat::StagedKey {
    cat::StagedKey { sealed_hash: key.sealed_hash, id: key.id }
}

#[async_trait]
impl Producer for Intake {
    async fn catalog_id(&self) -> Result<Uuid, SeamError> {
        self.catalog.catalog_id().await.map_err(catalog)
    }

    async fn open(&self, request: &OpenRequest) -> Result<Opened, SeamError> {
        self.open_with(request, LeaseToken::new(&*self.entropy)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), SeamError> {
        self.catalog.renew_push(&lease_of(lease), PUSH_LEASE).await.map(drop).map_err(catalog)
    }

    async fn offer(&self, lease: &Lease, contents: &[ContentHash]) -> Result<Vec<Offered>, SeamError> {
        bounded("hashes", contents.len())?;
        let answers = self.catalog.offer(&lease_of(lease), contents).await.map_err(catalog)?;
        let answer = |answer| match answer {
            cat::Offered::Missing => Offered::Missing,
            cat::Offered::Held(sealed) => Offered::Held(sealed),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    async fn send(&self, lease: &Lease, blobs: Vec<SendBlob>) -> Result<Vec<SealedHash>, SeamError> {
        bounded("blobs", blobs.len())?;
        let objects = blobs
            .iter()
            .map(|blob| SealedObject { sealed_hash: blob.sealed_hash, bytes: blob.bytes.clone() });
        let keys = self.stage(objects.collect()).await?;
        failpoint(Point::Staged);
        let staged = |(blob, key): (&SendBlob, &StagingKey)| cat::StagedBlob {
            content_hash: blob.content_hash,
            size: blob.size,
            encrypted_size: blob.bytes.len() as u64,
            epoch: blob.epoch,
            staged: catalog_key(*key),
        };
        let rows: Vec<_> = blobs.iter().zip(&keys).map(staged).collect();
        let accepted = match self.catalog.record_staged(&lease_of(lease), &rows).await {
            Ok(accepted) => accepted,
            Err(error) => {
                self.unstage(&keys).await;
                return Err(catalog(error));
            }
        };
        let mut unneeded = Vec::new();
        for (accepted, key) in accepted.iter().zip(&keys).filter(|(accepted, _)| !accepted.keep_staged) {
            tracing::debug!(blob.content = %accepted.content_hash, changeset.id = %lease.changeset, "a blob was sent again");
            unneeded.push(*key);
        }
        self.unstage(&unneeded).await;
        Ok(accepted.into_iter().map(|accepted| accepted.sealed_hash).collect())
    }

    async fn entries(&self, lease: &Lease, batch: u64, changes: &[EntryChange]) -> Result<(), SeamError> {
        bounded("entries", changes.len())?;
        self.catalog.record_entries(&lease_of(lease), batch, changes).await.map_err(catalog)?;
        (self.ring)();
        Ok(())
    }

    async fn manifest_groups(&self, lease: &Lease) -> Result<Vec<ManifestGroup>, SeamError> {
        let groups = self.catalog.manifest_groups(&lease_of(lease)).await.map_err(catalog)?;
        let segment = |segment: cat::SegmentRef| SegmentRef {
            content_hash: segment.content_hash,
            sealed_hash: segment.sealed_hash,
            size: segment.size,
            encrypted_size: segment.encrypted_size,
        };
        let group = |group: cat::ManifestGroup| ManifestGroup {
            kind: match group.kind {
                cat::GroupKind::List => GroupKind::List,
                cat::GroupKind::Map => GroupKind::Map,
            },
            since: group.since,
            through: group.through,
            entries: group.entries,
            segments: group.segments.into_iter().map(segment).collect(),
        };
        Ok(groups.into_iter().map(group).collect())
    }

    async fn version_counts(&self, lease: &Lease) -> Result<VersionCounts, SeamError> {
        let counts = self.catalog.version_counts(&lease_of(lease)).await.map_err(catalog)?;
        let cat::VersionCounts { files, bytes, changed, removed } = counts;
        Ok(VersionCounts { files, bytes, changed, removed })
    }

    async fn manifest_changes(
        &self,
        lease: &Lease,
        since: Version,
        after: Option<&RelPath>,
        limit: u32,
    ) -> Result<Vec<EntryChange>, SeamError> {
        self.catalog.manifest_changes(&lease_of(lease), since, after, limit).await.map_err(catalog)
    }

    async fn manifest_blobs(
        &self,
        lease: &Lease,
        since: Version,
        after: Option<ContentHash>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, SeamError> {
        let blobs =
            self.catalog.manifest_blobs(&lease_of(lease), since, after, limit).await.map_err(catalog)?;
        let blob = |blob: cat::StoredBlob| StoredBlob {
            content_hash: blob.content_hash,
            sealed_hash: blob.sealed_hash,
            epoch: blob.epoch,
            encrypted_size: blob.encrypted_size,
        };
        Ok(blobs.into_iter().map(blob).collect())
    }

    async fn replaced_sealings(&self, lease: &Lease) -> Result<Vec<(SealedHash, SealedHash)>, SeamError> {
        self.catalog.replaced_sealings(&lease_of(lease)).await.map_err(catalog)
    }

    async fn record_groups(&self, lease: &Lease, groups: &[NewGroup]) -> Result<(), SeamError> {
        let group = |group: &NewGroup| cat::NewGroup {
            kind: match group.kind {
                GroupKind::List => cat::GroupKind::List,
                GroupKind::Map => cat::GroupKind::Map,
            },
            since: group.since,
            entries: group.entries,
            segments: group.segments.clone(),
        };
        let groups: Vec<_> = groups.iter().map(group).collect();
        self.catalog.record_groups(&lease_of(lease), &groups).await.map_err(catalog)?;
        (self.ring)();
        Ok(())
    }

    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Committed, SeamError> {
        let sizes = [commit.header.bytes.len() as u64, commit.body.bytes.len() as u64];
        let keys = self.stage(vec![commit.header, commit.body]).await?;
        failpoint(Point::ManifestStaged);
        let object = |at: usize| cat::StagedObject { staged: catalog_key(keys[at]), size: sizes[at] };
        let push = cat::CommitPush { batches: commit.batches, header: object(0), body: object(1) };
        match self.catalog.commit_push(&lease_of(lease), &push).await {
            Ok(committed) => {
                if committed.repeated {
                    self.unstage(&keys).await;
                }
                (self.ring)();
                Ok(Committed { version: committed.version })
            }
            Err(error) => {
                self.unstage(&keys).await;
                Err(catalog(error))
            }
        }
    }

    async fn plain_terms(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
    ) -> Result<PlainTerms, SeamError> {
        self.terms(project, dataset)
    }

    async fn send_plain(&self, lease: &Lease, blobs: Vec<PlainBlob>) -> Result<Vec<SealedRef>, SeamError> {
        self.seal_and_send(lease, blobs).await
    }

    async fn commit_plain(&self, lease: &Lease, commit: PlainCommit) -> Result<Committed, SeamError> {
        self.seal_and_commit(lease, commit).await
    }

    async fn abandon(&self, lease: &Lease) -> Result<(), SeamError> {
        self.catalog.abandon_push(lease.changeset, Some(&lease_of(lease))).await.map_err(catalog)?;
        while self.catalog.undo_step(UNDO_STEP_ROWS).await.map_err(catalog)? {}
        Ok(())
    }
}
