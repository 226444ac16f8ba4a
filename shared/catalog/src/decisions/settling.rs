//! What a fold does next about a manifest, and when a changeset has settled.

use n2s_domain::ChangesetStatus;
use n2s_domain::changeset::{StoreProgress, settle};

use crate::rows::completion::{Open, StoreRow};

/// The next step of a version's manifest on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// None, until something else happens there.
    Rest,
    /// Its job.
    Job,
    /// Its job, unless something that the version inherits has been found damaged: what the parent's header says holds only while
    /// nothing it speaks of has been lost since.
    JobUnlessHole,
    /// Its job if every blob of the version is there after all, otherwise it is blocked: the parent is not whole, and will not become
    /// so by itself.
    JobIfWhole,
}

/// Which step it is.
pub fn step(store: &StoreRow) -> Step {
    if !store.is_open() || store.waiting > 0 || store.failed > 0 {
        return Step::Rest;
    }
    match &store.parent {
        None => Step::Job,
        Some((manifest, _)) if manifest == "completed" => Step::JobUnlessHole,
        Some((manifest, failed)) if *failed > 0 || matches!(manifest.as_str(), "failed" | "blocked") => {
            Step::JobIfWhole
        }
        Some(_) => Step::Rest,
    }
}

/// The status to settle a changeset with; `None` while something is under way, or when it is settled so already.
pub fn verdict(open: &Open, stores: &[StoreProgress]) -> Option<ChangesetStatus> {
    let status = settle(stores, open.min_copies);
    let known = open.settled && status.as_str() == open.status;
    (status != ChangesetStatus::Pushing && !known).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(manifest: &str, (waiting, failed): (i64, i64), parent: Option<(&str, i64)>) -> StoreRow {
        let parent = parent.map(|(manifest, failed)| (manifest.to_owned(), failed));
        StoreRow { changeset: 2, backend: 1, waiting, failed, manifest: manifest.to_owned(), parent }
    }

    #[test]
    fn a_manifest_follows_its_blobs_and_its_parents() {
        let none = (0, 0);
        let cases = [
            (store("waiting", none, None), Step::Job),
            (store("waiting", (1, 0), None), Step::Rest),
            (store("blocked", (0, 1), None), Step::Rest),
            (store("syncing", none, None), Step::Rest),
            (store("completed", none, None), Step::Rest),
            (store("blocked", none, Some(("completed", 0))), Step::JobUnlessHole),
            (store("waiting", none, Some(("pending", 0))), Step::Rest),
            (store("waiting", none, Some(("pending", 1))), Step::JobIfWhole),
            (store("waiting", none, Some(("blocked", 0))), Step::JobIfWhole),
        ];
        for (store, wanted) in cases {
            assert_eq!(step(&store), wanted, "{store:?}");
        }
    }
}
