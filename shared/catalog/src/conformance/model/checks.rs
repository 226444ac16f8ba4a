//! What the catalog shows, beside what the model holds.

use std::collections::{BTreeMap, BTreeSet};

use n2s_domain::job::JobState;
use n2s_domain::{ChangesetStatus, EntryChange, FileEntry, PathSpan, PlacementStatus, RelPath, Version};

use super::super::world::{content, entry, sealed};
use super::Run;
use super::state::{PROJECTS, Target, Tree};
use crate::library::FileBlob;
use crate::{FailedFilter, Page, PushLease, Selector};

impl Run<'_> {
    /// After every step, what costs little.
    pub(super) async fn glance(&mut self) {
        for (place, store) in self.w.stores.iter().enumerate() {
            let jobs = self.state.jobs.iter().filter(|(at, _)| at.1 == place);
            let out = jobs.filter(|(_, job)| job.row.state != JobState::Pending).count();
            assert_eq!(self.w.other.in_window(*store).await.unwrap(), out as u64, "jobs queued or leased");
        }
        let staged = self.state.blobs.values().filter(|blob| blob.staged.is_some());
        let staged: Vec<u64> = staged.map(super::state::Blob::encrypted_size).collect();
        let expected = (staged.len() as u64, staged.iter().sum());
        assert_eq!(self.w.catalog.staged_total().await.unwrap(), expected, "what is staged");
    }

    /// Now and then, everything.
    pub(super) async fn check(&mut self) {
        self.w.audit().await;
        self.tallies().await;
        self.placements().await;
        self.failures().await;
        for d in 0..self.state.datasets.len() {
            self.versions(d).await;
            self.manifest_of_open(d).await;
        }
        self.statuses().await;
    }

    async fn tallies(&self) {
        for (place, (_, tally)) in self.w.catalog.backends().await.unwrap().iter().enumerate() {
            let blobs = self.state.blobs.values();
            let with = |wanted| {
                let on = move |blob: &&super::state::Blob| {
                    blob.placed.get(&place).is_some_and(|placement| placement.status == wanted)
                };
                blobs.clone().filter(on)
            };
            let bytes = with(PlacementStatus::Completed).map(super::state::Blob::encrypted_size).sum();
            let [pending, completed, failed] =
                [PlacementStatus::Pending, PlacementStatus::Completed, PlacementStatus::Failed]
                    .map(|status| with(status).count() as u64);
            assert_eq!(*tally, crate::BackendTally { pending, completed, failed, bytes }, "store {place}");
        }
    }

    async fn placements(&self) {
        let ids: Vec<_> = self.state.blobs.values().filter_map(|blob| blob.id).collect();
        let mut expected = BTreeMap::new();
        for blob in self.state.blobs.values() {
            for (store, placement) in &blob.placed {
                let id = blob.id.map(|id| (id, self.w.stores[*store]));
                expected.extend(id.map(|at| (at, (placement.status, placement.charged))));
            }
        }
        let found = self.w.other.placements(&ids).await.unwrap();
        let found: BTreeMap<_, _> =
            found.iter().map(|p| ((p.blob, p.backend), (p.status, p.retry_count))).collect();
        assert_eq!(found, expected);
    }

    async fn failures(&self) {
        let page = Page { after: None, limit: 10_000 };
        let listed = self.w.catalog.failed_uploads(&FailedFilter::default(), &page).await.unwrap();
        let (blobs, manifests): (Vec<_>, Vec<_>) =
            listed.iter().partition(|failure| failure.content_hash.is_some());
        let failed = self.state.blobs.values().map(|blob| blob.count(PlacementStatus::Failed));
        assert_eq!((blobs.len(), manifests.len()), (failed.sum(), self.state.broken.len()));
    }

    /// The head, what is open, and a version of old: each as it was.
    async fn versions(&mut self, d: usize) {
        let kept = self.state.datasets[d].versions.len();
        let old = if kept == 0 { 0 } else { self.below(kept) };
        let dataset = &self.state.datasets[d];
        let mut trees: Vec<(Selector, &Tree)> = Vec::new();
        trees.extend(dataset.versions.last().map(|kept| (Selector::Latest, &kept.tree)));
        trees.extend(dataset.versions.get(old).map(|kept| (Selector::Version(kept.version), &kept.tree)));
        let open = dataset.open.as_ref();
        trees.extend(open.map(|open| (Selector::Open(open.lease.changeset), &open.tree)));
        for (selector, tree) in trees {
            self.same_tree(d, selector, tree).await;
        }
    }

    async fn same_tree(&self, d: usize, selector: Selector, tree: &Tree) {
        let dataset = &self.state.datasets[d];
        let (project, name) = (PROJECTS[dataset.project].parse().unwrap(), dataset.name.parse().unwrap());
        let version = self.w.catalog.version(&project, &name, &selector).await.unwrap();
        let expected = entries(tree);
        let size: u64 = expected.iter().map(FileEntry::size).sum();
        assert_eq!((version.file_count, version.total_size), (tree.len() as u64, size), "{d} {selector:?}");
        let page = Page { after: None, limit: 10_000 };
        let rows = self.w.catalog.tree(&version, &PathSpan::Everything, &page).await.unwrap();
        assert!(rows.iter().map(|row| &row.entry).eq(&expected), "{d} {selector:?}: {rows:?}\n{expected:?}");
        for (row, contents) in rows.iter().zip(tree.values()) {
            assert_eq!(row.blobs.len(), contents.len());
            for (found, n) in row.blobs.iter().zip(contents) {
                self.same_blob(found, (dataset.project, *n));
            }
        }
    }

    fn same_blob(&self, found: &FileBlob, key: (usize, u64)) {
        let blob = &self.state.blobs[&key];
        assert!(blob.id.is_none_or(|id| id == found.id));
        assert_eq!((found.content_hash, found.sealed_hash), (content(key.1), sealed(blob.sealing)));
        assert_eq!((found.encrypted_size, found.staged), (blob.encrypted_size(), blob.staged), "{key:?}");
        let completed = blob.placed.iter().filter(|(_, p)| p.status == PlacementStatus::Completed);
        let stored: BTreeSet<_> = completed.map(|(store, _)| self.w.stores[*store]).collect();
        assert_eq!(found.stored_on.iter().copied().collect::<BTreeSet<_>>(), stored);
    }

    /// The changes since any version, laid over it, give the push; what it references is listed, each once.
    async fn manifest_of_open(&mut self, d: usize) {
        let kept = self.state.datasets[d].versions.len();
        let since = self.below(kept + 1);
        let dataset = &self.state.datasets[d];
        let Some(open) = &dataset.open else { return };
        let lease = open.lease;
        let base = since.checked_sub(1).map(|v| &dataset.versions[v]);
        let mut tree = base.map(|base| as_map(&base.tree)).unwrap_or_default();
        let since = base.map_or(Version(0), |base| base.version);
        for change in self.changes_since(&lease, since).await {
            match change {
                EntryChange::Put(entry) => tree.insert(entry.path.clone(), entry),
                EntryChange::Remove(path) => tree.remove(&path),
            };
        }
        assert_eq!(tree, as_map(&open.tree), "changes of {d} since {since}");
        let blobs = self.w.catalog.manifest_blobs(&lease, Version(0), None, 10_000).await.unwrap();
        let found: Vec<_> = blobs.iter().map(|blob| (blob.content_hash, blob.sealed_hash)).collect();
        let needed: BTreeSet<u64> = open.tree.values().flatten().copied().collect();
        let sealing = |n: &u64| sealed(self.state.blobs[&(dataset.project, *n)].sealing);
        let mut expected: Vec<_> = needed.iter().map(|n| (content(*n), sealing(n))).collect();
        expected.sort();
        assert_eq!(found, expected, "blobs of {d}");
        let counts = self.w.catalog.version_counts(&lease).await.unwrap();
        assert_eq!(counts.files, open.tree.len() as u64);
        // Reading what a manifest is made of is a sign of life, too.
        self.state.datasets[d].open.as_mut().unwrap().lapsed = false;
    }

    async fn changes_since(&self, lease: &PushLease, since: Version) -> Vec<EntryChange> {
        let mut all: Vec<EntryChange> = Vec::new();
        loop {
            let after = all.last().map(EntryChange::path);
            let page = self.w.other.manifest_changes(lease, since, after, 3).await.unwrap();
            if page.is_empty() {
                assert!(all.is_sorted_by(|a, b| a.path() < b.path()));
                return all;
            }
            all.extend(page);
        }
    }

    async fn statuses(&self) {
        for dataset in &self.state.datasets {
            for kept in dataset.versions.iter().rev().take(4) {
                let changeset = kept.lease.changeset;
                let record = self.w.catalog.changeset(changeset).await.unwrap();
                if let Some(settled) = kept.settled {
                    assert_eq!(record.status, settled, "{changeset}");
                }
                let whole = |store: &&usize| self.state.whole.contains(&(changeset, **store));
                let copies = dataset.stores.iter().filter(whole).count();
                if record.status == ChangesetStatus::Completed {
                    assert_eq!(copies, dataset.stores.len(), "{changeset}");
                }
                let held = self.w.other.manifest_copies(changeset).await.unwrap();
                assert_eq!(held.len(), copies, "manifests of {changeset}");
                let jobs = self.state.jobs.keys().filter(|at| at.0 == Target::Manifest(changeset)).count();
                assert!(copies + jobs <= dataset.stores.len());
            }
        }
    }
}

fn entries(tree: &Tree) -> Vec<FileEntry> {
    tree.iter().map(|(at, contents)| entry(&at.to_text(), contents)).collect()
}

fn as_map(tree: &Tree) -> BTreeMap<RelPath, FileEntry> {
    entries(tree).into_iter().map(|entry| (entry.path.clone(), entry)).collect()
}
