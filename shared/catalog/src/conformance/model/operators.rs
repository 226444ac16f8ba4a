//! The folder, operators' retries and pauses, and what becomes of staging.

use std::time::Duration;

use n2s_domain::job::JobRow;
use n2s_domain::{ChangesetStatus, FailureKind, PlacementStatus};

use super::super::world::{HOUR, sealed, store as store_name};
use super::Run;
use super::state::{Blob, Job, Key, PROJECTS, Placement, Target};
use crate::{Damage, FailedFilter, Retried, Settled, StagedKey, Vouched};

impl Run<'_> {
    pub(super) async fn fold(&mut self) -> bool {
        let limit = 1 + u32::try_from(self.rng.below(6)).unwrap();
        let (settled, more) = self.hand().fold(limit).await.unwrap();
        self.log.add(format!("fold {limit}: {settled:?}"));
        for settled in settled {
            self.settled(settled);
        }
        more
    }

    /// Only when it is so, and once for each time it came to be so.
    fn settled(&mut self, Settled { changeset, status }: Settled) {
        let (d, v) = self.state.kept(changeset);
        let dataset = &mut self.state.datasets[d];
        let there = |n: &u64, store: usize| {
            let placed = self.state.blobs[&(dataset.project, *n)].placed.get(&store);
            placed.is_some_and(|placed| placed.status == PlacementStatus::Completed)
        };
        // A header that was placed is no proof: something of the version may have been found damaged since.
        let own = &dataset.versions[v].own;
        let is_whole = |store: usize| {
            self.state.whole.contains(&(changeset, store)) && own.iter().all(|n| there(n, store))
        };
        let whole = dataset.stores.iter().filter(|store| is_whole(**store));
        let expected = match u32::try_from(whole.count()).unwrap() {
            all if all as usize == dataset.stores.len() => ChangesetStatus::Completed,
            some if some >= dataset.copies() => ChangesetStatus::Degraded,
            _ => ChangesetStatus::Failed,
        };
        assert_eq!(status, expected, "{changeset}");
        for store in dataset.stores.iter().filter(|store| !is_whole(**store)) {
            let placed = |n: &u64| self.state.blobs[&(dataset.project, *n)].placed.get(store);
            let under_way =
                |n: &&u64| placed(n).is_some_and(|placed| placed.status == PlacementStatus::Pending);
            let under_way = dataset.versions[v].own.iter().find(under_way);
            assert_eq!(under_way, None, "{changeset} settled while it waits for a content on {store}");
        }
        let before = dataset.versions[v].settled.replace(status);
        assert_ne!(before, Some(status), "{changeset} settled twice");
    }

    /// What had failed is under way again: whoever had settled may settle again.
    pub(super) fn reopened(&mut self) {
        let kept = self.state.datasets.iter_mut().flat_map(|dataset| &mut dataset.versions);
        kept.for_each(|kept| kept.settled = None);
    }

    /// Of one store, one project, or all.
    pub(super) async fn retry_failed(&mut self, store: usize) {
        match self.rng.below(3) {
            0 => self.retry(Some(store), None).await,
            1 => self.retry(None, Some(0)).await,
            _ => self.retry(None, None).await,
        }
    }

    pub(super) async fn retry(&mut self, of_store: Option<usize>, of_project: Option<usize>) {
        let filter = FailedFilter {
            backend: of_store.map(|store| store_name(["a", "b"][store])),
            project: of_project.map(|project| PROJECTS[project].parse().unwrap()),
            ..FailedFilter::default()
        };
        self.log.add(format!("retry {of_store:?} {of_project:?}"));
        let answer = self.hand().retry_failed(&filter, 10_000).await.unwrap();
        let meant = |project: usize, store: usize| {
            of_store.is_none_or(|of| of == store) && of_project.is_none_or(|of| of == project)
        };
        let mut expected = Retried::default();
        for (key, blob) in &mut self.state.blobs {
            for (store, placement) in &mut blob.placed {
                if placement.status == PlacementStatus::Failed && meant(key.0, *store) {
                    (placement.status, placement.charged) = (PlacementStatus::Pending, 0);
                    let job = Job { id: None, row: JobRow::new(self.now) };
                    assert!(self.state.jobs.insert((Target::Blob(*key), *store), job).is_none());
                    expected.placements += 1;
                }
            }
        }
        let broken: Vec<_> = self.state.broken.iter().copied().collect();
        for (changeset, store) in broken {
            let project = self.state.datasets[self.state.kept(changeset).0].project;
            if meant(project, store) {
                self.state.broken.remove(&(changeset, store));
                expected.manifests += 1;
            }
        }
        assert_eq!(answer, expected);
        if expected != Retried::default() {
            self.reopened();
        }
    }

    /// A staged object is found missing; and one that no row names, which nobody misses.
    pub(super) async fn lose(&mut self) {
        let staged: Vec<(Key, StagedKey)> =
            self.state.blobs.iter().filter_map(|(key, blob)| Some((*key, blob.staged?))).collect();
        if staged.is_empty() {
            return;
        }
        let (key, staged) = staged[self.below(staged.len())];
        self.log.add(format!("staging lost {key:?}"));
        let nobodys = self.w.key(sealed(1));
        self.hand().staging_lost(&[nobodys, staged]).await.unwrap();
        self.state.blobs.get_mut(&key).unwrap().staged = None;
    }

    /// A copy is found damaged: on its way again, wherever its bytes may come from.
    pub(super) async fn damage(&mut self, store: usize) {
        let completed = |blob: &Blob| {
            blob.placed.get(&store).is_some_and(|placed| placed.status == PlacementStatus::Completed)
        };
        let copies = self.state.blobs.iter().filter(|(_, blob)| completed(blob));
        let copies: Vec<_> = copies.filter_map(|(key, blob)| Some((*key, blob.id?, blob.sealing))).collect();
        if copies.is_empty() {
            return;
        }
        let (key, id, sealing) = copies[self.below(copies.len())];
        self.log.add(format!("damaged {key:?} on {store}"));
        let damage = |sealing| Damage {
            object: Vouched::Blob(id),
            backend: self.w.stores[store],
            sealed_hash: sealed(sealing),
            kind: FailureKind::Corrupt,
            message: "other bytes".into(),
        };
        // Another sealing's damage, and the same once more, change nothing.
        let damages = [damage(sealing + 500), damage(sealing), damage(sealing)];
        let answers = self.hand().record_damage(None, &damages).await.unwrap();
        assert_eq!(answers, [false, true, false]);
        let placement = Placement { status: PlacementStatus::Pending, charged: 0 };
        self.state.blobs.get_mut(&key).unwrap().placed.insert(store, placement);
        let job = Job { id: None, row: JobRow::new(self.now) };
        assert!(self.state.jobs.insert((Target::Blob(key), store), job).is_none());
        // Headers on their way to the store are called back, because the blob may be one of theirs.
        let kept = self.state.datasets.iter().filter(|dataset| dataset.project == key.0);
        let kept: Vec<_> =
            kept.flat_map(|dataset| &dataset.versions).map(|kept| kept.lease.changeset).collect();
        for changeset in kept {
            self.state.jobs.remove(&(Target::Manifest(changeset), store));
        }
        self.reopened();
    }

    pub(super) async fn free(&mut self) {
        let limit = 1 + u32::try_from(self.rng.below(4)).unwrap();
        if self.one_in(3) {
            let freed = self.hand().free_early(limit).await.unwrap();
            self.log.add(format!("free early: {}", freed.len()));
            self.freed(&freed, |blob, _| blob.count(PlacementStatus::Completed) > 0);
        } else {
            let grace = if self.one_in(2) { Duration::ZERO } else { 2 * HOUR };
            self.free_unneeded(grace, limit).await;
        }
    }

    pub(super) async fn free_unneeded(&mut self, grace: Duration, limit: u32) -> usize {
        let freed = self.hand().free_unneeded(grace, limit).await.unwrap();
        self.log.add(format!("free unneeded: {}", freed.len()));
        let allowed = |blob: &Blob, referenced: bool| {
            let finished = blob.count(PlacementStatus::Completed) == blob.placed.len();
            finished && (!blob.placed.is_empty() || !referenced)
        };
        self.freed(&freed, allowed);
        freed.len()
    }

    /// Manifests' objects are among them; theirs are no blob's keys.
    pub(super) fn freed_by_finish(&mut self, freed: &[StagedKey]) {
        let of_blobs = |key: &&StagedKey| self.state.blobs.values().any(|blob| blob.staged == Some(**key));
        let of_blobs: Vec<_> = freed.iter().filter(of_blobs).copied().collect();
        self.freed(&of_blobs, |blob, _| {
            let copies = blob.count(PlacementStatus::Completed);
            blob.count(PlacementStatus::Pending) == 0 && copies >= blob.min_copies as usize
        });
    }

    fn freed(&mut self, keys: &[StagedKey], allowed: impl Fn(&Blob, bool) -> bool) {
        for staged in keys {
            let found = self.state.blobs.iter().find(|(_, blob)| blob.staged == Some(*staged));
            let key = *found.unwrap_or_else(|| panic!("{staged:?} is nobody's")).0;
            assert!(!self.state.pinned(key), "a pinned blob was freed: {key:?}");
            let referenced = self.state.referenced(key);
            let blob = self.state.blobs.get_mut(&key).unwrap();
            assert!(allowed(blob, referenced), "freed too early: {key:?}");
            blob.staged = None;
        }
    }

    pub(super) async fn pause(&mut self, store: usize) {
        let pause = !self.state.paused[store] && self.one_in(2);
        self.log.add(format!("pause {store}: {pause}"));
        let (hand, backend) = (self.hand(), self.w.stores[store]);
        if pause {
            hand.pause(backend, true, "a model's operator").await.unwrap();
        } else {
            hand.resume(backend, true).await.unwrap();
        }
        self.state.paused[store] = pause;
    }
}
