//! Looking and pulling over HTTP.

use async_trait::async_trait;
use bytes::Bytes;
use n2s_domain::limits::{BATCH_ITEMS_MAX, PAGE_ROWS_MAX};
use n2s_domain::{BackendName, DatasetName, FileEntry, PathSpan, ProjectName, RelPath};
use reqwest::Method;

use super::Remote;
use super::call::{Call, unreadable};
use crate::seam::{Fetched, FileBlob, FileRow, Page, Reader, SeamError, Selector, VersionRef};
use crate::wire::calls::{FetchCall, FetchedHead};
use crate::wire::{BLOBS_BODY_WANTED, frames, lines};

/// A page of a part of a version.
pub(super) fn part(version: &VersionRef, what: &str, within: &PathSpan, page: &Page<RelPath>) -> Call {
    let call = Call::get(format!("/v1/changesets/{}/{what}", version.changeset));
    let call = match within {
        PathSpan::Everything => call,
        PathSpan::At(path) => call.query("at", Some(path.to_text())),
        PathSpan::Below(path) => call.query("below", Some(path.to_text())),
    };
    call.query("after", page.after.as_ref().map(RelPath::to_text)).query("limit", Some(page.limit))
}

/// So many blobs that their answer fits in a hand.
fn parcels(blobs: &[FileBlob]) -> impl Iterator<Item = &[FileBlob]> {
    let mut rest = blobs;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |blob: &&FileBlob| {
            bytes += blob.encrypted_size;
            bytes <= BLOBS_BODY_WANTED as u64
        };
        let count = rest.iter().take(BATCH_ITEMS_MAX).take_while(fits).count().max(1).min(rest.len());
        let (parcel, after) = rest.split_at(count);
        rest = after;
        (!parcel.is_empty()).then_some(parcel)
    })
}

fn answer(blob: &FileBlob, open: bool, head: FetchedHead, bytes: Bytes) -> Result<Fetched, SeamError> {
    if let Some(problem) = head.problem {
        return Err(problem.into());
    }
    // Opened ones are compared where they are written.
    if !open && n2s_envelope::sealed_hash(&bytes) != blob.sealed_hash {
        let tried = "the server sent other bytes".to_owned();
        return Err(SeamError::NoIntactCopy { content: blob.content_hash, tried });
    }
    Ok(Fetched { bytes, bad_copies: head.bad_copies })
}

impl Remote {
    async fn fetch_parcel(
        &self,
        blobs: &[FileBlob],
        (from, open): (Option<&BackendName>, bool),
    ) -> Result<Vec<Result<Fetched, SeamError>>, SeamError> {
        let call = FetchCall { blobs: blobs.to_vec(), from: from.cloned(), open };
        let body = self.line.call(&Call::new(Method::POST, "/v1/blobs/fetch").json(&call)).await?;
        let frames = frames::read::<FetchedHead>(body, blobs.len()).map_err(unreadable)?;
        if frames.len() != blobs.len() {
            let source = anyhow::anyhow!("it left some blobs unanswered");
            return Err(SeamError::Other { doing: "reading the server's answer", source });
        }
        Ok(blobs.iter().zip(frames).map(|(blob, (head, bytes))| answer(blob, open, head, bytes)).collect())
    }

    async fn fetch_all(
        &self,
        blobs: &[FileBlob],
        how: (Option<&BackendName>, bool),
    ) -> Vec<Result<Fetched, SeamError>> {
        let mut answers = Vec::with_capacity(blobs.len());
        for parcel in parcels(blobs) {
            match self.fetch_parcel(parcel, how).await {
                Ok(fetched) => answers.extend(fetched),
                Err(error) => {
                    let problem = crate::wire::problem::Problem::from(&error);
                    let told = std::error::Error::source(&error).map(ToString::to_string);
                    let again = || match &told {
                        Some(told) => SeamError::Other {
                            doing: "fetching from the server",
                            source: anyhow::anyhow!(told.clone()),
                        },
                        None => problem.clone().into(),
                    };
                    answers.extend(parcel.iter().map(|_| Err(again())));
                }
            }
        }
        answers
    }
}

#[async_trait]
impl Reader for Remote {
    async fn version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, SeamError> {
        let call = Call::get("/v1/version").query("project", Some(project)).query("dataset", Some(dataset));
        let call = match selector {
            Selector::Latest => call,
            Selector::Version(version) => call.query("version", Some(version)),
            Selector::Snapshot(label) => call.query("snapshot", Some(label)),
            Selector::Changeset(id) => call.query("changeset", Some(id)),
            Selector::Open(id) => call.query("open", Some(id)),
        };
        self.line.ask(&call).await
    }

    async fn tree(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, SeamError> {
        let body = self.line.call(&part(version, "tree", within, page)).await?;
        lines::read_tree(&body, PAGE_ROWS_MAX as usize).map_err(unreadable)
    }

    async fn entries(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, SeamError> {
        let body = self.line.call(&part(version, "entries", within, page)).await?;
        lines::read_entries(&body, PAGE_ROWS_MAX as usize).map_err(unreadable)
    }

    async fn directories_last_first(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, SeamError> {
        let body = self.line.call(&part(version, "directories", within, page)).await?;
        lines::read_entries(&body, PAGE_ROWS_MAX as usize).map_err(unreadable)
    }

    async fn fetch(&self, blobs: &[FileBlob], from: Option<&BackendName>) -> Vec<Result<Fetched, SeamError>> {
        self.fetch_all(blobs, (from, false)).await
    }

    async fn fetch_opened(
        &self,
        blobs: &[FileBlob],
        from: Option<&BackendName>,
    ) -> Vec<Result<Fetched, SeamError>> {
        self.fetch_all(blobs, (from, true)).await
    }
}
