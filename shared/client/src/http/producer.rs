//! Pushing over HTTP.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{ContentHash, DatasetName, EntryChange, ProjectName, RelPath, SealedHash, Version};
use reqwest::Method;
use uuid::{Builder, Uuid};

use super::Remote;
use super::call::{Call, unreadable};
use super::parcel::parcels;
use crate::seam::{
    Commit, Committed, Lease, ManifestGroup, NewGroup, Offered, OpenRequest, Opened, PlainBlob, PlainCommit,
    PlainTerms, Producer, SealedRef, SeamError, SendBlob, StoredBlob, VersionCounts,
};
use crate::wire::calls::{
    CatalogInfo, GroupsCall, ManifestHead, OfferAnswer, OfferCall, PlainManifestHead, ReplacedAnswer,
    VaultObjects,
};
use crate::wire::{FRAMES, LEASE_HEADER, NDJSON, frames, lines};

pub(super) fn push(method: Method, lease: &Lease, what: &str) -> Call {
    Call::new(method, format!("/v1/pushes/{}{what}", lease.changeset)).header(LEASE_HEADER, lease.token.0)
}

impl Remote {
    /// What the server has registered for a vault must be what this vault has: somebody else's objects would be copied to every store.
    async fn register(&self) -> Result<(), SeamError> {
        let Some((vault, own)) = &self.vault else { return Ok(()) };
        let call = Call::new(Method::PUT, format!("/v1/vaults/{vault}")).json(own);
        let registered: VaultObjects = self.line.ask(&call).await?;
        let same = registered.marker == own.marker
            && own.epochs.iter().all(|epoch| registered.epochs.contains(epoch));
        if same {
            return Ok(());
        }
        Err(SeamError::WrongVault(format!(
            "the server has other objects registered for vault {vault}; somebody else registered them, or the vault here was changed"
        )))
    }
}

pub(super) fn incomplete() -> SeamError {
    let source = anyhow::anyhow!("it left some items unanswered");
    SeamError::Other { doing: "reading the server's answer", source }
}

#[async_trait]
impl Producer for Remote {
    async fn catalog_id(&self) -> Result<Uuid, SeamError> {
        let info: CatalogInfo = self.line.ask(&Call::get("/v1/catalog")).await?;
        Ok(info.catalog)
    }

    async fn open(&self, request: &OpenRequest) -> Result<Opened, SeamError> {
        self.register().await?;
        let mut random = [0; 16];
        self.line.entropy().fill(&mut random);
        let key = Builder::from_random_bytes(random).into_uuid();
        let call = Call::new(Method::POST, "/v1/pushes").header("idempotency-key", key).json(request);
        self.line.ask(&call).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), SeamError> {
        self.line.call(&push(Method::POST, lease, "/renew")).await.map(drop)
    }

    async fn offer(&self, lease: &Lease, contents: &[ContentHash]) -> Result<Vec<Offered>, SeamError> {
        let call = push(Method::POST, lease, "/offers").json(&OfferCall { contents: contents.to_vec() });
        let answer: OfferAnswer = self.line.ask(&call).await?;
        if answer.held.len() != contents.len() {
            return Err(incomplete());
        }
        Ok(answer.held.into_iter().map(|held| held.map_or(Offered::Missing, Offered::Held)).collect())
    }

    async fn send(&self, lease: &Lease, blobs: Vec<SendBlob>) -> Result<Vec<SealedHash>, SeamError> {
        let mut accepted = Vec::with_capacity(blobs.len());
        for parcel in parcels(&blobs) {
            let stored = self.send_parcel(lease, parcel).await?;
            accepted.extend(stored.into_iter().map(|stored| stored.sealed_hash));
        }
        Ok(accepted)
    }

    async fn entries(&self, lease: &Lease, batch: u64, changes: &[EntryChange]) -> Result<(), SeamError> {
        let call = push(Method::PUT, lease, &format!("/entries/{batch}"));
        self.line.call(&call.body(NDJSON, lines::write_changes(changes))).await.map(drop)
    }

    async fn manifest_groups(&self, lease: &Lease) -> Result<Vec<ManifestGroup>, SeamError> {
        self.line.ask(&push(Method::GET, lease, "/groups")).await
    }

    async fn version_counts(&self, lease: &Lease) -> Result<VersionCounts, SeamError> {
        self.line.ask(&push(Method::GET, lease, "/counts")).await
    }

    async fn manifest_changes(
        &self,
        lease: &Lease,
        since: Version,
        after: Option<&RelPath>,
        limit: u32,
    ) -> Result<Vec<EntryChange>, SeamError> {
        let call = push(Method::GET, lease, "/changes").query("since", Some(since));
        let call = call.query("after", after.map(RelPath::to_text)).query("limit", Some(limit));
        let body = self.line.call(&call).await?;
        lines::read_changes(&body, PAGE_ROWS_MAX as usize).map_err(unreadable)
    }

    async fn manifest_blobs(
        &self,
        lease: &Lease,
        since: Version,
        after: Option<ContentHash>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, SeamError> {
        let call = push(Method::GET, lease, "/stored").query("since", Some(since));
        let call = call.query("after", after).query("limit", Some(limit));
        lines::read(&self.line.call(&call).await?, PAGE_ROWS_MAX as usize).map_err(unreadable)
    }

    async fn replaced_sealings(&self, lease: &Lease) -> Result<Vec<(SealedHash, SealedHash)>, SeamError> {
        let answer: ReplacedAnswer = self.line.ask(&push(Method::GET, lease, "/replaced")).await?;
        Ok(answer.replaced)
    }

    async fn record_groups(&self, lease: &Lease, groups: &[NewGroup]) -> Result<(), SeamError> {
        let call = push(Method::PUT, lease, "/groups").json(&GroupsCall { groups: groups.to_vec() });
        self.line.call(&call).await.map(drop)
    }

    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Committed, SeamError> {
        let mut body = BytesMut::new();
        for object in [&commit.header, &commit.body] {
            let head = ManifestHead { sealed_hash: object.sealed_hash, length: object.bytes.len() as u64 };
            body.extend_from_slice(&frames::head(&head));
            body.extend_from_slice(&object.bytes);
        }
        let call = push(Method::POST, lease, "/commit").query("batches", Some(commit.batches));
        self.line.ask(&call.body(FRAMES, Bytes::from(body))).await
    }

    async fn plain_terms(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
    ) -> Result<PlainTerms, SeamError> {
        let call = Call::get("/v1/plain").query("project", Some(project)).query("dataset", Some(dataset));
        self.line.ask(&call).await
    }

    async fn send_plain(&self, lease: &Lease, blobs: Vec<PlainBlob>) -> Result<Vec<SealedRef>, SeamError> {
        let mut stored = Vec::with_capacity(blobs.len());
        for parcel in parcels(&blobs) {
            stored.extend(self.send_parcel(lease, parcel).await?);
        }
        Ok(stored)
    }

    async fn commit_plain(&self, lease: &Lease, commit: PlainCommit) -> Result<Committed, SeamError> {
        let mut body = BytesMut::new();
        for object in [&commit.header, &commit.body] {
            body.extend_from_slice(&frames::head(&PlainManifestHead { length: object.len() as u64 }));
            body.extend_from_slice(object);
        }
        let call = push(Method::POST, lease, "/commit-plain").query("batches", Some(commit.batches));
        self.line.ask(&call.body(FRAMES, Bytes::from(body))).await
    }

    async fn abandon(&self, lease: &Lease) -> Result<(), SeamError> {
        self.line.call(&push(Method::DELETE, lease, "")).await.map(drop)
    }
}
