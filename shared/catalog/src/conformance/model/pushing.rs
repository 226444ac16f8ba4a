//! Pushes: open, resume, take over, offer, stage, enter, commit, abandon, undo.

use std::collections::{BTreeMap, BTreeSet};

use n2s_domain::job::{Event, JobRow, JobState};
use n2s_domain::{ContentHash, EntryChange, PlacementStatus, Version};

use super::super::world::{content, path, put, remove, sealed};
use super::state::{Blob, Job, Kept, Key, Open, PROJECTS, Placement, Target, encrypted_size, sealing};
use super::{LEASE, Run};
use crate::{
    Accepted, CatalogError, EntriesRecorded, Offered, OpenPush, OpenedPush, PushLease, StagedBlob, StepOver,
    TakeOver,
};

impl Run<'_> {
    fn spec(&mut self, d: usize) -> OpenPush {
        let dataset = &self.state.datasets[d];
        let (stores, all) = (dataset.stores.clone(), dataset.stores.len() == self.w.stores.len());
        let (name, project, min_copies) = (dataset.name, PROJECTS[dataset.project], dataset.min_copies);
        // Left out, a first push goes to all stores, and a later one where the first went.
        let named = !all || self.one_in(2);
        let backends = if named { stores } else { Vec::new() };
        OpenPush {
            project: project.parse().unwrap(),
            client_id: if self.one_in(2) { "one" } else { "two" }.into(),
            backends: backends.iter().map(|store| ["a", "b"][*store].parse().unwrap()).collect(),
            min_copies,
            take_over: match self.rng.below(8) {
                0 => TakeOver::Abandon,
                1..=3 => TakeOver::OwnEvenIfLive,
                _ => TakeOver::IfLapsed,
            },
            lease: LEASE,
            ..self.w.spec(name)
        }
    }

    pub(super) async fn open(&mut self, d: usize) {
        let spec = self.spec(d);
        self.log.add(format!("open {d} by {} {:?}", spec.client_id, spec.take_over));
        let answer = self.hand().open_push(&spec).await;
        let dataset = &mut self.state.datasets[d];
        if dataset.undoing && matches!(answer, Err(CatalogError::Undoing(_))) {
            return;
        }
        // Steps of the undo say that they are done only when all undos are.
        dataset.undoing = false;
        let Some(open) = &mut dataset.open else { return self.opened(d, &spec, &answer.unwrap()) };
        if spec.take_over == TakeOver::Abandon {
            assert!(matches!(answer, Err(CatalogError::Undoing(_))), "{answer:?}");
            return self.given_up(d);
        }
        let own = spec.client_id == open.client;
        if !own || (spec.take_over == TakeOver::IfLapsed && !open.lapsed) {
            let Err(CatalogError::Held(held)) = answer else { panic!("{answer:?}") };
            assert_eq!((held.changeset, held.lapsed), (open.lease.changeset, open.lapsed));
            assert_eq!(held.client_id, open.client);
            return;
        }
        let opened = answer.unwrap();
        assert_eq!((opened.lease.changeset, opened.version), (open.lease.changeset, open.version));
        assert_eq!(opened.resumed, Some(open.batches.last().copied().unwrap_or(0)));
        assert_eq!(opened.recorded, open.batches.len() as u64);
        self.state.stale.push(std::mem::replace(&mut open.lease, opened.lease));
        open.lapsed = false;
    }

    fn opened(&mut self, d: usize, spec: &OpenPush, opened: &OpenedPush) {
        let dataset = &self.state.datasets[d];
        let head = dataset.versions.last();
        assert_eq!((opened.lease.changeset, opened.version), (spec.changeset, Version(dataset.next)));
        assert_eq!((opened.resumed, opened.recorded), (None, 0));
        let parent = opened.parent.map(|parent| (parent.version, parent.changeset, parent.file_count));
        let expected = head.map(|head| (head.version, head.lease.changeset, head.tree.len() as u64));
        assert_eq!(parent, expected);
        assert_eq!(opened.backends.len(), dataset.stores.len());
        let tree = head.map(|head| head.tree.clone()).unwrap_or_default();
        let lost = |n: &u64| !self.state.sourced((dataset.project, *n));
        let lost: BTreeSet<ContentHash> =
            tree.values().flatten().filter(|n| lost(n)).map(|n| content(*n)).collect();
        let resend: BTreeSet<_> = opened.resend.iter().copied().collect();
        assert!(resend.is_superset(&lost), "the parent lost {lost:?}, asked for is {resend:?}");
        let number = |hash: &ContentHash| u64::from_le_bytes(hash.0[..8].try_into().unwrap());
        assert!(resend.iter().all(|hash| !self.state.sourced((dataset.project, number(hash)))));
        let open = Open {
            lease: opened.lease,
            version: opened.version,
            client: if spec.client_id == "one" { "one" } else { "two" },
            lapsed: false,
            tree,
            own: BTreeSet::new(),
            batches: BTreeSet::new(),
            pins: BTreeSet::new(),
        };
        let dataset = &mut self.state.datasets[d];
        dataset.next += 1;
        dataset.open = Some(open);
    }

    /// To a number that may be behind already. What was never pushed is left alone: it would be there all at once.
    pub(super) async fn step_over(&mut self, d: usize) {
        if self.state.datasets[d].versions.is_empty() {
            return;
        }
        let next = self.state.datasets[d].next;
        let latest = (next + self.rng.below(6)).saturating_sub(4);
        self.log.add(format!("step {d} over {latest}"));
        let OpenPush { project, dataset, vault, store_key, .. } = self.spec(d);
        let past = StepOver { project, dataset, vault, store_key, latest: Version(latest) };
        let stepped = self.hand().step_over(&past).await.unwrap();
        let to = next.max(latest + 1);
        assert_eq!((stepped.from, stepped.to), (Version(next), Version(to)));
        self.state.datasets[d].next = to;
    }

    /// A few changes, what they need offered and, mostly, sent; then entered, mostly under a new number.
    pub(super) async fn enter(&mut self, d: usize) {
        if self.state.datasets[d].open.is_none() {
            self.open(d).await;
        }
        let Some(open) = &self.state.datasets[d].open else { return };
        let (lease, numbers) = (open.lease, open.batches.iter().copied().collect::<Vec<_>>());
        let changes = self.changes();
        let needed: BTreeSet<u64> = changes.values().flatten().flatten().copied().collect();
        let missing = self.offer(d, &needed.iter().copied().collect::<Vec<_>>()).await;
        if !self.one_in(8) {
            self.send(d, &missing).await;
        }
        let repeat = !numbers.is_empty() && self.one_in(8);
        let batch = if repeat { numbers[self.below(numbers.len())] } else { self.state.fresh() };
        self.log.add(format!("enter {d} batch {batch}: {changes:?}"));
        let list: Vec<EntryChange> = changes
            .iter()
            .map(|(at, put_)| put_.as_ref().map_or_else(|| remove(at), |contents| put(at, contents)))
            .collect();
        let answer = self.hand().record_entries(&lease, batch, &list).await;
        self.touched_if(d, answer.is_ok());
        if repeat {
            return assert_eq!(answer.unwrap(), EntriesRecorded { jobs: 0, repeated: true });
        }
        let project = self.state.datasets[d].project;
        let lost: BTreeSet<_> =
            needed.iter().filter(|n| !self.state.sourced((project, **n))).map(|n| content(*n)).collect();
        if !lost.is_empty() {
            let Err(CatalogError::Unsourced(said)) = answer else { panic!("{answer:?}, lost {lost:?}") };
            return assert_eq!(said.into_iter().collect::<BTreeSet<_>>(), lost);
        }
        let jobs = self.place(d, &needed);
        assert_eq!(answer.unwrap(), EntriesRecorded { jobs, repeated: false });
        let open = self.state.datasets[d].open.as_mut().unwrap();
        open.batches.insert(batch);
        for (at, contents) in changes {
            let at = path(&at);
            match contents {
                Some(contents) => (open.own.insert(at.clone()), open.tree.insert(at, contents)).0,
                None => (open.own.remove(&at), open.tree.remove(&at)).0,
            };
        }
    }

    /// By path: what it holds from now on, or nothing any more.
    fn changes(&mut self) -> BTreeMap<String, Option<Vec<u64>>> {
        let change = |run: &mut Self| {
            let n = run.rng.below(10);
            let at = if n < 5 { format!("f{n}") } else { format!("f/{n}") };
            let contents = (0..run.rng.below(4)).map(|_| run.content()).collect();
            (at, (run.rng.below(4) > 0).then_some(contents))
        };
        (0..=self.rng.below(3)).map(|_| change(self)).collect()
    }

    fn touched(&mut self, d: usize) {
        self.touched_if(d, true);
    }

    /// Whatever is refused changes nothing, the lease's end included.
    fn touched_if(&mut self, d: usize, done: bool) {
        if let Some(open) = &mut self.state.datasets[d].open {
            open.lapsed &= !done;
        }
    }

    /// Returns what is to be sent.
    pub(super) async fn offer(&mut self, d: usize, contents: &[u64]) -> Vec<u64> {
        let hashes: Vec<_> = contents.iter().map(|n| content(*n)).collect();
        let lease = self.state.datasets[d].open.as_ref().unwrap().lease;
        let answers = self.hand().offer(&lease, &hashes).await.unwrap();
        self.touched(d);
        let project = self.state.datasets[d].project;
        let mut missing = Vec::new();
        for (n, answer) in contents.iter().zip(answers) {
            let blob = self.state.blobs.get(&(project, *n)).filter(|blob| blob.sourced());
            let expected = blob.map_or(Offered::Missing, |blob| Offered::Held(sealed(blob.sealing)));
            assert_eq!(answer, expected, "content {n}");
            match answer {
                Offered::Missing => missing.push(*n),
                Offered::Held(_) => {
                    self.state.datasets[d].open.as_mut().unwrap().pins.insert(*n);
                }
            }
        }
        missing
    }

    /// Under the first sealing or a new one; now and then something that is there already.
    pub(super) async fn send(&mut self, d: usize, contents: &[u64]) {
        let mut contents = contents.to_vec();
        if self.one_in(6) {
            contents.push(self.content());
        }
        let project = self.state.datasets[d].project;
        let mut blobs = Vec::new();
        for n in &contents {
            let nth = if self.one_in(2) { 0 } else { self.state.fresh() % 900 };
            let number = sealing((project, *n), nth);
            let staged = self.w.key(sealed(number));
            let encrypted_size = encrypted_size(number);
            blobs.push((number, StagedBlob { encrypted_size, staged, ..self.w.staged(*n) }));
        }
        self.log.add(format!("send {d}: {:?}", blobs.iter().map(|(number, _)| number).collect::<Vec<_>>()));
        let lease = self.state.datasets[d].open.as_ref().unwrap().lease;
        let list: Vec<_> = blobs.iter().map(|(_, blob)| *blob).collect();
        let answers = self.hand().record_staged(&lease, &list).await.unwrap();
        self.touched(d);
        assert_eq!(answers.len(), contents.len());
        for ((n, (number, blob)), answer) in contents.into_iter().zip(blobs).zip(answers) {
            let expected = self.staged(d, (project, n), number, &blob);
            assert_eq!(answer, expected, "content {n}");
            self.state.datasets[d].open.as_mut().unwrap().pins.insert(n);
        }
    }

    /// The first sealing counts for as long as there is something to read it from.
    fn staged(&mut self, d: usize, key: Key, number: u64, sent: &StagedBlob) -> Accepted {
        let min_copies = self.state.datasets[d].copies();
        let fresh = Blob { id: None, sealing: number, staged: None, min_copies, placed: BTreeMap::new() };
        let blob = self.state.blobs.entry(key).or_insert(fresh);
        let keep_staged = !blob.sourced();
        if keep_staged {
            let replaced = std::mem::replace(&mut blob.sealing, number) != number;
            blob.staged = Some(sent.staged);
            if replaced {
                self.fence(key);
            }
            self.again(key);
        }
        let sealed_hash = sealed(self.state.blobs[&key].sealing);
        Accepted { content_hash: sent.content_hash, sealed_hash, keep_staged }
    }

    /// What was given up for want of a source is on its way again.
    fn again(&mut self, key: Key) {
        let mut any = false;
        for (store, placement) in &mut self.state.blobs.get_mut(&key).unwrap().placed {
            if placement.status == PlacementStatus::Failed {
                *placement = Placement { status: PlacementStatus::Pending, charged: 0 };
                let job = Job { id: None, row: JobRow::new(self.now) };
                assert!(self.state.jobs.insert((Target::Blob(key), *store), job).is_none());
                any = true;
            }
        }
        if any {
            self.reopened();
        }
    }

    /// Whoever uploads bytes that are not the blob's any more has no say.
    fn fence(&mut self, key: Key) {
        let leased = |store: &usize| {
            let job = self.state.jobs.get(&(Target::Blob(key), *store));
            job.is_some_and(|job| job.row.state == JobState::Leased)
        };
        for store in (0..self.w.stores.len()).filter(leased).collect::<Vec<_>>() {
            self.play((Target::Blob(key), store), Event::TakeOver { now: self.now });
        }
    }

    /// On every store of the push: there, or on its way. Says how many uploads that takes.
    fn place(&mut self, d: usize, contents: &BTreeSet<u64>) -> u64 {
        let dataset = &mut self.state.datasets[d];
        let (project, copies, stores) = (dataset.project, dataset.copies(), dataset.stores.clone());
        dataset.open.as_mut().unwrap().pins.retain(|n| !contents.contains(n));
        let mut started = 0;
        for key in contents.iter().map(|n| (project, *n)) {
            let blob = self.state.blobs.get_mut(&key).unwrap();
            blob.min_copies = blob.min_copies.max(copies);
            for store in &stores {
                let placed = blob.placed.get(store).map(|placement| placement.status);
                if matches!(placed, None | Some(PlacementStatus::Failed)) {
                    blob.placed.insert(*store, Placement { status: PlacementStatus::Pending, charged: 0 });
                    let job = Job { id: None, row: JobRow::new(self.now) };
                    assert!(self.state.jobs.insert((Target::Blob(key), *store), job).is_none());
                    started += 1;
                }
            }
        }
        started
    }

    pub(super) async fn commit(&mut self, d: usize) {
        let Some(open) = &self.state.datasets[d].open else { return };
        let (lease, arrived) = (open.lease, open.batches.len() as u64);
        let announced = if self.one_in(6) { arrived + 1 } else { arrived };
        self.log.add(format!("commit {d}, {announced} batches"));
        let commit = self.w.commitment(announced);
        let answer = self.hand().commit_push(&lease, &commit).await;
        if announced != arrived {
            let said = matches!(answer, Err(CatalogError::BatchesMissing { arrived: a, .. }) if a == arrived);
            return assert!(said, "{answer:?}");
        }
        let lost = self.lost(d);
        if !lost.is_empty() {
            let Err(CatalogError::Unsourced(said)) = answer else { panic!("{answer:?}, lost {lost:?}") };
            let lost: BTreeSet<_> = lost.iter().map(|n| content(*n)).collect();
            return assert_eq!(said.into_iter().collect::<BTreeSet<_>>(), lost);
        }
        let (committed, open) = (answer.unwrap(), self.state.datasets[d].open.take().unwrap());
        assert_eq!((committed.version, committed.repeated), (open.version, false));
        if self.one_in(3) {
            let again = self.hand().commit_push(&lease, &commit).await.unwrap();
            assert_eq!((again.version, again.repeated), (open.version, true));
        }
        let kept =
            Kept { version: open.version, lease, own: open.contents(), tree: open.tree, settled: None };
        self.state.datasets[d].versions.push(kept);
    }

    /// What the push itself names and nobody has any more.
    pub(super) fn lost(&self, d: usize) -> Vec<u64> {
        let dataset = &self.state.datasets[d];
        let open = dataset.open.as_ref().unwrap();
        let lost = |n: &u64| !self.state.sourced((dataset.project, *n));
        open.contents().into_iter().filter(lost).collect()
    }

    pub(super) async fn abandon(&mut self, d: usize) {
        let Some(open) = &self.state.datasets[d].open else { return };
        let lease = open.lease;
        self.log.add(format!("abandon {d}"));
        let by_its_client = self.one_in(2);
        let held = by_its_client.then_some(&lease);
        self.hand().abandon_push(lease.changeset, held).await.unwrap();
        self.given_up(d);
    }

    fn given_up(&mut self, d: usize) {
        let dataset = &mut self.state.datasets[d];
        self.state.stale.push(dataset.open.take().unwrap().lease);
        dataset.undoing = true;
    }

    pub(super) async fn undo(&mut self) {
        let limit = 1 + u32::try_from(self.rng.below(4)).unwrap();
        self.log.add(format!("undo {limit}"));
        let more = self.hand().undo_step(limit).await.unwrap();
        if more {
            return assert!(self.state.datasets.iter().any(|dataset| dataset.undoing));
        }
        self.state.datasets.iter_mut().for_each(|dataset| dataset.undoing = false);
    }

    /// Whoever lost the lease can do nothing with it.
    pub(super) async fn stale(&mut self) {
        if self.state.stale.is_empty() {
            return;
        }
        let place = self.below(self.state.stale.len());
        let lease: PushLease = self.state.stale[place];
        let which = self.rng.below(5);
        self.log.add(format!("stale call {which} of {}", lease.changeset));
        let (hand, commit) = (self.hand(), self.w.commitment(0));
        let refused = match which {
            0 => hand.offer(&lease, &[content(1)]).await.err(),
            1 => hand.record_staged(&lease, &[self.w.staged(1)]).await.err(),
            2 => hand.record_entries(&lease, 1, &[put("stale", &[])]).await.err(),
            3 => hand.commit_push(&lease, &commit).await.err(),
            _ => hand.abandon_push(lease.changeset, Some(&lease)).await.err(),
        };
        assert!(matches!(refused, Some(CatalogError::LeaseLost(_))), "{refused:?}");
    }
}
