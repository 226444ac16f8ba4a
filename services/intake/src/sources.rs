//! Reading sealed blobs back: from the store asked for, from any other, from staging; every byte checked against its digest.

use std::collections::BTreeMap;

use bytes::Bytes;
use n2s_catalog::Vouched;
use n2s_client::seam::{BadCopy, Fetched, FileBlob, SeamError};
use n2s_domain::{BackendId, BackendName, FailureKind};
use n2s_storage::{Get, StagingKey, StorageError, layout};

use crate::Intake;
use crate::error::catalog;

/// A blob on the way: where it has been looked for in vain.
struct Wanted {
    blob: FileBlob,
    stores: Vec<BackendId>,
    /// Where it was missing or wrong, which the validator is to look at.
    doubted: Vec<BackendId>,
    bad: Vec<BadCopy>,
    /// Copies of which nothing is known: their stores do not answer, or are not among this process's.
    unknown: bool,
    found: Option<Bytes>,
}

impl Intake {
    pub(crate) async fn fetch_all(
        &self,
        blobs: &[FileBlob],
        from: Option<&BackendName>,
    ) -> Vec<Result<Fetched, SeamError>> {
        let mut wanted = match self.plan(blobs, from).await {
            Ok(wanted) => wanted,
            Err(error) => {
                return blobs.iter().map(|_| Err(same(&error))).collect();
            }
        };
        while wanted.iter().any(|wanted| wanted.found.is_none() && !wanted.stores.is_empty()) {
            self.try_next(&mut wanted).await;
        }
        self.doubt(&wanted).await;
        let mut answers = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            answers.push(self.answer(wanted).await);
        }
        answers
    }

    async fn plan(&self, blobs: &[FileBlob], from: Option<&BackendName>) -> Result<Vec<Wanted>, SeamError> {
        let ids: Vec<_> = blobs.iter().map(Self::blob_id).collect();
        let placements = self.catalog.placements(&ids).await.map_err(catalog)?;
        let mut stores: BTreeMap<i64, Vec<BackendId>> = BTreeMap::new();
        for placement in placements.iter().filter(|p| p.status == n2s_domain::PlacementStatus::Completed) {
            stores.entry(placement.blob.0).or_default().push(placement.backend);
        }
        let preferred = |id: &BackendId| self.stores.get(id).is_some_and(|(name, _)| Some(name) == from);
        let wanted = |blob: &FileBlob| {
            let all = stores.get(&blob.id).map_or(&[][..], Vec::as_slice);
            let mut stores: Vec<_> = all.iter().copied().filter(|id| self.stores.contains_key(id)).collect();
            let unknown = stores.len() < all.len();
            // Tried from the end.
            stores.sort_by_key(|id| (preferred(id), std::cmp::Reverse(*id)));
            Wanted { blob: *blob, stores, doubted: Vec::new(), bad: Vec::new(), unknown, found: None }
        };
        Ok(blobs.iter().map(wanted).collect())
    }

    /// Asks each blob's next store, all blobs of one store in one call.
    async fn try_next(&self, wanted: &mut [Wanted]) {
        let mut by_store: BTreeMap<BackendId, Vec<usize>> = BTreeMap::new();
        for (index, wanted) in wanted.iter_mut().enumerate().filter(|(_, wanted)| wanted.found.is_none()) {
            if let Some(store) = wanted.stores.pop() {
                by_store.entry(store).or_default().push(index);
            }
        }
        for (store, indices) in by_store {
            let (name, storage) = &self.stores[&store];
            let get = |index: &usize| Get { key: layout::blob(wanted[*index].blob.sealed_hash), range: None };
            let answers = storage.retrieve(indices.iter().map(get).collect()).await;
            for (index, answer) in indices.into_iter().zip(answers) {
                match answer {
                    Ok(bytes) => wanted[index].found = Some(bytes),
                    Err(error) => {
                        if says_it_is_lost(error.kind) {
                            wanted[index].doubted.push(store);
                        } else {
                            wanted[index].unknown = true;
                        }
                        wanted[index].bad.push(bad_copy(name, &error));
                    }
                }
            }
        }
    }

    /// What cannot be noted, as in a home that is read-only, the validator finds in its turn.
    async fn doubt(&self, wanted: &[Wanted]) {
        let copies = wanted.iter().flat_map(|wanted| {
            wanted.doubted.iter().map(|store| (Vouched::Blob(Self::blob_id(&wanted.blob)), *store))
        });
        let copies: Vec<_> = copies.collect();
        if !copies.is_empty() {
            let _ = self.catalog.doubt(&copies).await;
        }
    }

    /// Staging is the last resort: what is only there has not reached a store yet.
    async fn answer(&self, wanted: Wanted) -> Result<Fetched, SeamError> {
        let Wanted { blob, mut found, bad, mut unknown, .. } = wanted;
        let mut tried: Vec<_> = bad.iter().map(|bad| format!("{}: {}", bad.backend, bad.what)).collect();
        if found.is_none() {
            match self.staged(&blob).await {
                Ok(bytes) => found = bytes,
                Err(NotStaged::Unknown(error)) => return Err(error),
                Err(NotStaged::Unreadable(error)) => {
                    unknown |= !says_it_is_lost(error.kind);
                    tried.push(format!("staging: {}", error.report()));
                }
            }
        }
        let content = blob.content_hash;
        let none = || match (tried.is_empty(), unknown) {
            (true, true) => "the stores that have it are not in this configuration".to_owned(),
            (true, false) => "no store has it yet, and it is not in staging".to_owned(),
            (false, _) => tried.join("; "),
        };
        match found {
            Some(bytes) => Ok(Fetched { bytes, bad_copies: bad }),
            None if unknown => Err(SeamError::OutOfReach { content, tried: none() }),
            None => Err(SeamError::NoIntactCopy { content, tried: none() }),
        }
    }

    async fn staged(&self, blob: &FileBlob) -> Result<Option<Bytes>, NotStaged> {
        let key = self.catalog.staged(Self::blob_id(blob)).await;
        let key = key.map_err(|error| NotStaged::Unknown(catalog(error)))?;
        let Some(key) = key else { return Ok(None) };
        let key = StagingKey { sealed_hash: key.sealed_hash, id: key.id };
        let body = self.staging.get(&[key]).await.pop().expect("one answer per question");
        body.map(|body| Some(body.bytes().clone())).map_err(NotStaged::Unreadable)
    }
}

/// Why nothing came from staging.
enum NotStaged {
    /// The catalog does not say whether it is there, so nothing is known to be lost.
    Unknown(SeamError),
    /// It should be there.
    Unreadable(StorageError),
}

/// Whether a copy is known to be no good. Of any other the store has said nothing.
const fn says_it_is_lost(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::NotFound | FailureKind::Corrupt)
}

/// The catalog's failure once more, for another blob: what is away for one is away for all of them, and can be asked again.
fn same(error: &SeamError) -> SeamError {
    let (doing, source) = ("looking for copies", anyhow::anyhow!(n2s_telemetry::report(error)));
    match error {
        SeamError::Unavailable { .. } => SeamError::Unavailable { doing, source },
        _ => SeamError::Other { doing, source },
    }
}

/// Of an outage only the cause: the object that met it says nothing about it.
fn bad_copy(backend: &BackendName, error: &StorageError) -> BadCopy {
    let what = if error.kind.is_an_outage() { format!("{:#}", error.source) } else { error.report() };
    BadCopy { backend: backend.clone(), kind: error.kind, what }
}
