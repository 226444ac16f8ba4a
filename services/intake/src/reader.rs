//! Looking and pulling, over the catalog.

use async_trait::async_trait;
use n2s_catalog as cat;
use n2s_client::seam::{Fetched, FileBlob, FileRow, Page, Reader, SeamError, Selector, VersionRef};
use n2s_domain::{BackendName, BlobId, DatasetName, FileEntry, PathSpan, ProjectName, RelPath};

use crate::Intake;
use crate::error::catalog;

pub(crate) fn version_of(version: &VersionRef) -> cat::VersionRef {
    cat::VersionRef {
        dataset: version.dataset,
        version: version.version,
        changeset: version.changeset,
        snapshot: version.snapshot.clone(),
        file_count: version.file_count,
        total_size: version.total_size,
        vault: version.vault,
    }
}

pub(crate) fn page_of(page: &Page<RelPath>) -> cat::Page<RelPath> {
    cat::Page { after: page.after.clone(), limit: page.limit.min(n2s_domain::limits::PAGE_ROWS_MAX) }
}

#[async_trait]
impl Reader for Intake {
    async fn version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, SeamError> {
        let selector = match selector {
            Selector::Latest => cat::Selector::Latest,
            Selector::Version(version) => cat::Selector::Version(*version),
            Selector::Snapshot(label) => cat::Selector::Snapshot(label.clone()),
            Selector::Changeset(id) => cat::Selector::Changeset(*id),
            Selector::Open(id) => cat::Selector::Open(*id),
        };
        let version = self.catalog.version(project, dataset, &selector).await.map_err(catalog)?;
        Ok(VersionRef {
            dataset: version.dataset,
            version: version.version,
            changeset: version.changeset,
            snapshot: version.snapshot,
            file_count: version.file_count,
            total_size: version.total_size,
            vault: version.vault,
        })
    }

    async fn tree(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, SeamError> {
        let rows = self.catalog.tree(&version_of(version), within, &page_of(page)).await.map_err(catalog)?;
        let blob = |blob: cat::library::FileBlob| FileBlob {
            id: blob.id.0,
            content_hash: blob.content_hash,
            sealed_hash: blob.sealed_hash,
            encrypted_size: blob.encrypted_size,
        };
        let row = |row: cat::FileRow| FileRow {
            entry: row.entry,
            blobs: row.blobs.into_iter().map(blob).collect(),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn entries(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, SeamError> {
        self.catalog.entries(&version_of(version), within, &page_of(page)).await.map_err(catalog)
    }

    async fn directories_last_first(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, SeamError> {
        self.catalog
            .directories_last_first(&version_of(version), within, &page_of(page))
            .await
            .map_err(catalog)
    }

    async fn fetch(&self, blobs: &[FileBlob], from: Option<&BackendName>) -> Vec<Result<Fetched, SeamError>> {
        if let Some(unknown) = from.and_then(|from| self.no_store(from)) {
            return blobs.iter().map(|_| Err(unknown.clone().into())).collect();
        }
        self.fetch_all(blobs, from).await
    }

    async fn fetch_opened(
        &self,
        blobs: &[FileBlob],
        from: Option<&BackendName>,
    ) -> Vec<Result<Fetched, SeamError>> {
        let fetched = self.fetch(blobs, from).await;
        self.open_fetched(blobs, fetched).await
    }
}

/// A store that is not configured.
#[derive(Clone, Debug)]
pub(crate) struct NoStore {
    name: String,
    hint: String,
}

impl From<NoStore> for SeamError {
    fn from(NoStore { name, hint }: NoStore) -> Self {
        Self::Unknown { what: "backend", name, hint }
    }
}

impl Intake {
    /// What to say when there is no such store.
    pub(crate) fn no_store(&self, name: &BackendName) -> Option<NoStore> {
        if self.stores.values().any(|(known, _)| known == name) {
            return None;
        }
        let names: Vec<_> = self.stores.values().map(|(name, _)| name.to_string()).collect();
        Some(NoStore { name: name.to_string(), hint: format!("; there are: {}", names.join(", ")) })
    }

    pub(crate) fn blob_id(blob: &FileBlob) -> BlobId {
        BlobId(blob.id)
    }
}
