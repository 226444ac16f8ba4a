//! Jobs: dispatch, messages that come late, twice or never, claims, outcomes, sweeps.

use std::collections::{BTreeMap, BTreeSet};

use n2s_domain::job::{Event, FinishVerdict, JobRow, JobState, Step, step};
use n2s_domain::{JobId, PlacementStatus};

use super::super::world::{HOUR, MINUTE, failed, retry, stored};
use super::state::{Held, Job, Target, sealed_number};
use super::{LEASE, Run};
use crate::{Claim, ClaimTarget, Finish, LeaseTerms, Outcome, Pick, SweepReport, Ticket};

fn terms() -> LeaseTerms {
    LeaseTerms { worker: "w".into(), lease: LEASE, held_max: 10 * HOUR }
}

impl Run<'_> {
    /// Plays an event to a job of the model; true when it changes something.
    pub(super) fn play(&mut self, at: (Target, usize), event: Event) -> bool {
        let Some(job) = self.state.jobs.get_mut(&at) else { return false };
        match step(job.row, event) {
            Step::Nothing => return false,
            Step::Becomes(row) => job.row = row,
            Step::EndsStored => self.ended(at, PlacementStatus::Completed),
            Step::EndsFailed { .. } => self.ended(at, PlacementStatus::Failed),
        }
        true
    }

    fn ended(&mut self, at: (Target, usize), status: PlacementStatus) {
        self.state.jobs.remove(&at);
        match at {
            (Target::Blob(key), store) => {
                let blob = self.state.blobs.get_mut(&key).unwrap();
                blob.placed.get_mut(&store).unwrap().status = status;
            }
            (Target::Manifest(changeset), store) => {
                let ended = (changeset, store);
                let whole = status == PlacementStatus::Completed;
                let list = if whole { &mut self.state.whole } else { &mut self.state.broken };
                assert!(list.insert(ended), "a manifest ended twice");
            }
        }
    }

    /// Everything that is due on a store. Jobs dispatched for the first time are claimed at once: only then is it known
    /// which they are. The messages of the others may arrive later, or never.
    pub(super) async fn dispatch(&mut self, store: usize) {
        let (hand, backend) = (self.hand(), self.w.stores[store]);
        let groups = hand.due_groups(backend, 1_000).await.unwrap();
        let picks: Vec<_> =
            groups.iter().map(|group| Pick { changeset: group.changeset, limit: group.due }).collect();
        let tickets = hand.dispatch(backend, &picks, LEASE).await.unwrap();
        self.log.add(format!("dispatch on {store}: {}", tickets.len()));
        let event = Event::Dispatch { now: self.now, queued_until: self.now.after(LEASE) };
        let due = self.state.jobs.iter().filter(|(at, job)| {
            at.1 == store && !self.state.paused[store] && step(job.row, event) != Step::Nothing
        });
        let due: Vec<((Target, usize), Option<JobId>)> = due.map(|(at, job)| (*at, job.id)).collect();
        let (mut known, mut new) = (Vec::new(), Vec::new());
        for ticket in tickets {
            let of_old = due.iter().any(|(_, id)| *id == Some(ticket.job));
            if of_old { &mut known } else { &mut new }.push(ticket);
        }
        for (at, _) in &due {
            self.play(*at, event);
        }
        let expected = due.iter().filter_map(|(at, id)| {
            Some(Ticket { job: (*id)?, dispatch_seq: self.state.jobs[at].row.dispatch_seq })
        });
        assert_eq!(by_job(known.clone()), by_job(expected.collect()));
        self.state.messages.extend(known.into_iter().map(|ticket| (store, ticket)));
        let nameless: BTreeSet<_> = due.iter().filter(|(_, id)| id.is_none()).map(|(at, _)| *at).collect();
        self.name(store, &new, nameless).await;
    }

    /// Claims jobs whose names are not known yet: the uploads that are expected, and manifests.
    async fn name(&mut self, store: usize, tickets: &[Ticket], mut nameless: BTreeSet<(Target, usize)>) {
        let claims = self.hand().claim(self.w.stores[store], tickets, &terms()).await.unwrap();
        assert_eq!(claims.len(), tickets.len());
        for claim in claims {
            let at = (target_of(&claim), store);
            if matches!(at.0, Target::Blob(_)) {
                assert!(nameless.remove(&at), "nobody asked for {at:?}");
            } else {
                self.manifest_job(at);
            }
            let job = self.state.jobs.get_mut(&at).unwrap();
            job.id = Some(claim.claim.job);
            let ticket = Ticket { job: claim.claim.job, dispatch_seq: 1 };
            assert!(tickets.contains(&ticket));
            self.claimed(at, &ticket, &claim);
        }
        assert!(nameless.is_empty(), "due and not dispatched: {nameless:?}");
    }

    /// A header says that the whole version is there: nothing of it may be missing when its job is made.
    fn manifest_job(&mut self, at: (Target, usize)) {
        let (Target::Manifest(changeset), store) = at else { panic!("{at:?}") };
        let (d, v) = self.state.kept(changeset);
        let dataset = &self.state.datasets[d];
        for n in dataset.versions[v].tree.values().flatten() {
            let placed = self.state.blobs[&(dataset.project, *n)].placed.get(&store);
            let there = placed.is_some_and(|placement| placement.status == PlacementStatus::Completed);
            assert!(there, "a header of {changeset} without content {n} on {store}");
        }
        assert!(!self.state.whole.contains(&(changeset, store)), "it is there already");
        let event = Event::Dispatch { now: self.now, queued_until: self.now.after(LEASE) };
        let Step::Becomes(row) = step(JobRow::new(self.now), event) else { panic!() };
        assert!(self.state.jobs.insert(at, Job { id: None, row }).is_none(), "two jobs for one manifest");
    }

    fn claimed(&mut self, at: (Target, usize), ticket: &Ticket, claim: &Claim) {
        let before = self.state.jobs[&at].row;
        let (lease_until, held_until) = (self.now.after(LEASE), self.now.after(10 * HOUR));
        let event = Event::Claim { dispatch_seq: ticket.dispatch_seq, lease_until, held_until };
        assert!(self.play(at, event), "a stale message was claimed: {at:?}");
        assert_eq!(claim.claim.epoch, before.epoch + 1);
        assert_eq!((claim.retry_count, claim.alone), (before.retry_count, before.runs_alone()));
        let (mut readable, mut sealing) = (true, 0);
        if let (Target::Blob(key), ClaimTarget::Upload(target)) = (at.0, &claim.target) {
            let blob = self.state.blobs.get_mut(&key).unwrap();
            assert_eq!(target.staged, blob.staged);
            assert_eq!(target.encrypted_size, blob.encrypted_size());
            assert_eq!(*blob.id.get_or_insert(target.blob), target.blob);
            let (_, number) = sealed_number(target.sealed_hash);
            assert_eq!(number, blob.sealing);
            (readable, sealing) = (blob.sourced(), blob.sealing);
        }
        self.state.held.push(Held { at, claim: claim.claim, readable, sealing });
    }

    /// Some messages of a store, in any order; some stay, and come again.
    pub(super) async fn deliver(&mut self, store: usize) {
        let mut tickets = Vec::new();
        for _ in 0..=self.rng.below(4) {
            let of_store: Vec<_> = (0..self.state.messages.len())
                .filter(|place| self.state.messages[*place].0 == store || self.rng.below(9) == 0)
                .collect();
            if of_store.is_empty() {
                return;
            }
            let place = of_store[self.below(of_store.len())];
            let stays = self.one_in(4);
            let message = self.state.messages[place];
            if !stays {
                self.state.messages.remove(place);
            }
            tickets.push(message);
        }
        self.claim_messages(store, &tickets).await;
    }

    pub(super) async fn claim_messages(&mut self, store: usize, tickets: &[(usize, Ticket)]) {
        self.log.add(format!("deliver on {store}: {tickets:?}"));
        let event = |run: &Self, ticket: &Ticket| Event::Claim {
            dispatch_seq: ticket.dispatch_seq,
            lease_until: run.now.after(LEASE),
            held_until: run.now.after(10 * HOUR),
        };
        let mut expected = BTreeMap::new();
        for (of, ticket) in tickets {
            if let Some(at) = self.state.job_of(ticket.job)
                && *of == store
                && step(self.state.jobs[&at].row, event(self, ticket)) != Step::Nothing
            {
                expected.insert(ticket.job, (at, *ticket));
            }
        }
        let list: Vec<_> = tickets.iter().map(|(_, ticket)| *ticket).collect();
        let claims = self.hand().claim(self.w.stores[store], &list, &terms()).await.unwrap();
        assert_eq!(claims.len(), expected.len());
        for claim in claims {
            let (at, ticket) = expected[&claim.claim.job];
            self.claimed(at, &ticket, &claim);
        }
    }

    pub(super) async fn unpublish(&mut self) {
        if self.state.messages.is_empty() {
            return;
        }
        let place = self.below(self.state.messages.len());
        let (_, ticket) = self.state.messages[place];
        self.log.add(format!("unpublish {ticket:?}"));
        self.hand().unpublish(&[ticket]).await.unwrap();
        if let Some(at) = self.state.job_of(ticket.job) {
            self.play(at, Event::Unpublish { dispatch_seq: ticket.dispatch_seq });
        }
    }

    /// Outcomes of some claims, each once or again later, fenced ones among them.
    pub(super) async fn finish(&mut self) {
        let mut outcomes = Vec::new();
        for _ in 0..=self.rng.below(5) {
            if self.state.held.is_empty() {
                break;
            }
            let place = self.below(self.state.held.len());
            let held = self.state.held[place];
            if !self.one_in(5) {
                self.state.held.remove(place);
            }
            outcomes.push((held, self.outcome(held.readable)));
        }
        self.report(&outcomes).await;
    }

    fn outcome(&mut self, readable: bool) -> Outcome {
        match self.rng.below(8) {
            0 => failed(),
            1 => retry(10 * MINUTE, true),
            2 => Outcome::Retry { after: std::time::Duration::ZERO, charged: false, error: None },
            _ if readable => stored(),
            _ => retry(10 * MINUTE, false),
        }
    }

    pub(super) async fn report(&mut self, outcomes: &[(Held, Outcome)]) {
        self.log.add(format!("finish {outcomes:?}"));
        let list: Vec<_> = outcomes
            .iter()
            .map(|(held, outcome)| Finish { claim: held.claim, outcome: outcome.clone() })
            .collect();
        let report = self.hand().finish(&list).await.unwrap();
        let mut accepted = Vec::new();
        for (held, outcome) in outcomes {
            accepted.push(self.outcome_of(held, outcome));
        }
        assert_eq!(report.accepted, accepted);
        self.freed_by_finish(&report.freed);
    }

    /// What the model makes of an outcome: whether it counts.
    fn outcome_of(&mut self, held: &Held, outcome: &Outcome) -> bool {
        let same_job = self.state.jobs.get(&held.at).is_some_and(|job| job.id == Some(held.claim.job));
        let (verdict, charged) = match outcome {
            Outcome::Stored { .. } => (FinishVerdict::Stored, false),
            Outcome::Failed { .. } => (FinishVerdict::Failed, true),
            Outcome::Retry { after, charged, .. } => {
                let due_at = self.now.after(*after);
                (FinishVerdict::Retry { due_at, charged: *charged }, *charged)
            }
        };
        let counts = same_job && self.play(held.at, Event::Finish { epoch: held.claim.epoch, verdict });
        if let (Target::Blob(key), true) = (held.at.0, counts) {
            let blob = self.state.blobs.get_mut(&key).unwrap();
            assert_eq!(held.sealing, blob.sealing, "bytes of another sealing count as the blob");
            blob.placed.get_mut(&held.at.1).unwrap().charged += u32::from(charged);
        }
        counts
    }

    pub(super) async fn heartbeat(&mut self) {
        let count = self.state.held.len().min(3);
        let from = self.below(self.state.held.len() - count + 1);
        let held: Vec<Held> = self.state.held[from..from + count].to_vec();
        self.log.add(format!("heartbeat {held:?}"));
        let claims: BTreeSet<_> = held.iter().map(|held| (held.claim.job, held.claim.epoch)).collect();
        let list: Vec<_> = claims.iter().map(|&(job, epoch)| crate::ClaimRef { job, epoch }).collect();
        let alive = self.hand().heartbeat(&list, LEASE).await.unwrap();
        let alive: BTreeSet<_> = alive.iter().map(|claim| (claim.job, claim.epoch)).collect();
        let mut expected = BTreeSet::new();
        for (job, epoch) in claims {
            let event = Event::Heartbeat { epoch, lease_until: self.now.after(LEASE) };
            if let Some(at) = self.state.job_of(job)
                && self.play(at, event)
            {
                expected.insert((job, epoch));
            }
        }
        assert_eq!(alive, expected);
    }

    pub(super) async fn sweep(&mut self) {
        let swept = self.hand().sweep_jobs(1_000).await.unwrap();
        self.log.add(format!("sweep: {swept:?}"));
        let mut expected = SweepReport::default();
        let all: Vec<_> = self.state.jobs.iter().map(|(at, job)| (*at, job.row.state)).collect();
        for (at, state) in all {
            if self.play(at, Event::Sweep { now: self.now }) {
                match (state, self.state.jobs.contains_key(&at)) {
                    (JobState::Queued, _) => expected.requeued += 1,
                    (_, true) => expected.lost += 1,
                    (_, false) => expected.failed += 1,
                }
            }
        }
        assert_eq!(swept, expected);
    }

    pub(super) async fn take_over_jobs(&mut self) {
        self.log.add("take over all jobs".into());
        let taken = self.hand().take_over_jobs().await.unwrap();
        let all: Vec<_> = self.state.jobs.keys().copied().collect();
        let played = all.into_iter().filter(|at| self.play(*at, Event::TakeOver { now: self.now }));
        assert_eq!(taken, played.count() as u64);
    }
}

fn by_job(mut tickets: Vec<Ticket>) -> Vec<Ticket> {
    tickets.sort_by_key(|ticket| ticket.job);
    tickets
}

fn target_of(claim: &Claim) -> Target {
    match &claim.target {
        ClaimTarget::Upload(target) => Target::Blob(sealed_number(target.sealed_hash).0),
        ClaimTarget::Manifest(target) => Target::Manifest(target.changeset),
    }
}
