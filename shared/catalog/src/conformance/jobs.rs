//! Promises of [`crate::Jobs`].

use std::time::Duration;

use n2s_domain::FailureKind;
use n2s_domain::job::{Event, FinishVerdict, JobRow, JobState, Step, step};
use n2s_domain::limits::{LOSSES_ALONE_MAX, LOSSES_BEFORE_ALONE};
use n2s_domain::{JobId, PlacementStatus, Timestamp};

use super::world::{HOUR, MINUTE, blob_of, failed, put, retry, stored, terms};
use super::{Rng, World};
use crate::{ClaimRef, FailedFilter, Finish, LeaseTerms, Outcome, Page, SweepReport, Ticket};

async fn one_job(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
}

/// Doubled, reordered and stale messages claim nothing.
pub async fn a_ticket_is_claimed_once(w: &World) {
    one_job(w).await;
    let tickets = w.dispatch(w.stores[0]).await;
    assert_eq!(tickets.len(), 1);
    assert_eq!(w.dispatch(w.stores[0]).await, [], "a queued job is dispatched again");
    assert_eq!(w.catalog.claim(w.stores[1], &tickets, &terms()).await.unwrap(), []);
    let doubled = [tickets[0], tickets[0]];
    assert_eq!(w.catalog.claim(w.stores[0], &doubled, &terms()).await.unwrap().len(), 1);
    assert_eq!(w.other.claim(w.stores[0], &tickets, &terms()).await.unwrap(), []);
    w.advance(HOUR).await;
    w.catalog.sweep_jobs(9).await.unwrap();
    let later = w.dispatch(w.stores[0]).await;
    assert!(later[0].dispatch_seq > tickets[0].dispatch_seq);
    assert_eq!(w.catalog.claim(w.stores[0], &tickets, &terms()).await.unwrap(), []);
    assert_eq!(w.catalog.claim(w.stores[0], &later, &terms()).await.unwrap().len(), 1);
}

/// A repeated or contradicting outcome of a finished claim is ignored, within a call and across calls.
pub async fn an_outcome_counts_once(w: &World) {
    one_job(w).await;
    let claim = w.claim(w.stores[0]).await.remove(0);
    let finish = |outcome| Finish { claim: claim.claim, outcome };
    let report = w.catalog.finish(&[finish(stored())]).await.unwrap();
    assert_eq!(report.accepted, [true]);
    for outcome in [stored(), failed(), retry(MINUTE, true)] {
        assert_eq!(w.other.finish(&[finish(outcome)]).await.unwrap().accepted, [false]);
    }
    let placed = w.catalog.placements(&[blob_of(&claim).unwrap().blob]).await.unwrap();
    assert_eq!((placed[0].status, placed[0].retry_count), (PlacementStatus::Completed, 0));
    let doubled = w.claim(w.stores[1]).await.remove(0).claim;
    let both = [Finish { claim: doubled, outcome: stored() }, Finish { claim: doubled, outcome: failed() }];
    assert_eq!(w.catalog.finish(&both).await.unwrap().accepted, [true, false]);
}

/// Whoever lost the lease has no say, before and after the next claim.
pub async fn a_fenced_outcome_is_discarded(w: &World) {
    one_job(w).await;
    let old = w.claim(w.stores[0]).await.remove(0);
    w.advance(HOUR).await;
    assert_eq!(w.catalog.sweep_jobs(9).await.unwrap().lost, 1);
    let late = [Finish { claim: old.claim, outcome: stored() }];
    assert_eq!(w.catalog.finish(&late).await.unwrap().accepted, [false]);
    let new = w.claim(w.stores[0]).await.remove(0);
    assert!(new.claim.epoch > old.claim.epoch);
    for outcome in [stored(), failed(), retry(MINUTE, true)] {
        let late = [Finish { claim: old.claim, outcome }];
        assert_eq!(w.catalog.finish(&late).await.unwrap().accepted, [false]);
    }
    // Beside an outcome that counts.
    let both = [(old.claim, failed()), (new.claim, retry(Duration::ZERO, false))];
    let both = both.map(|(claim, outcome)| Finish { claim, outcome });
    assert_eq!(w.catalog.finish(&both).await.unwrap().accepted, [false, true]);
    let new = w.claim(w.stores[0]).await.remove(0);
    assert_eq!(w.catalog.heartbeat(&[old.claim, new.claim], MINUTE).await.unwrap(), [new.claim]);
    w.finish(&[new], &stored()).await;
}

/// Only the dispatch it belongs to.
pub async fn a_refused_message_is_due_again(w: &World) {
    one_job(w).await;
    let tickets = w.dispatch(w.stores[0]).await;
    let stale = Ticket { dispatch_seq: tickets[0].dispatch_seq - 1, ..tickets[0] };
    w.catalog.unpublish(&[stale]).await.unwrap();
    assert_eq!(w.catalog.in_window(w.stores[0]).await.unwrap(), 1);
    w.catalog.unpublish(&tickets).await.unwrap();
    assert_eq!(w.catalog.in_window(w.stores[0]).await.unwrap(), 0);
    let claims = w.claim(w.stores[0]).await;
    w.catalog.unpublish(&[Ticket { dispatch_seq: 2, ..tickets[0] }]).await.unwrap();
    w.finish(&claims, &stored()).await;
}

/// What was queued is due at once, what is leased goes on, and the lost messages are stale should they turn up.
pub async fn a_wiped_broker_costs_only_its_messages(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let held = w.claim(w.stores[0]).await;
    w.push(&w.spec("e"), &[put("y", &[2])]).await;
    let lost = w.dispatch(w.stores[0]).await;
    let queued = lost.len() as u64 + w.dispatch(w.stores[1]).await.len() as u64;
    assert_eq!(w.other.requeue_jobs().await.unwrap(), queued);
    assert_eq!(w.catalog.requeue_jobs().await.unwrap(), 0);
    let again = w.dispatch(w.stores[0]).await;
    assert_eq!(again.len(), lost.len());
    assert_eq!(w.catalog.claim(w.stores[0], &lost, &terms()).await.unwrap(), []);
    let claims = w.catalog.claim(w.stores[0], &again, &terms()).await.unwrap();
    assert!(claims.iter().all(|claim| (claim.retry_count, claim.alone) == (0, false)));
    w.finish(&held, &stored()).await;
}

/// Its deadline brings it back, at nobody's cost.
pub async fn a_lost_message_is_due_again(w: &World) {
    one_job(w).await;
    w.dispatch(w.stores[0]).await;
    assert_eq!(w.catalog.sweep_jobs(9).await.unwrap(), SweepReport::default());
    w.advance(HOUR).await;
    let swept = w.catalog.sweep_jobs(9).await.unwrap();
    assert_eq!(swept, SweepReport { requeued: 1, ..SweepReport::default() });
    let claim = w.claim(w.stores[0]).await.remove(0);
    assert_eq!((claim.retry_count, claim.alone), (0, false));
}

/// Outages, hand-backs and lapses cost no attempt.
pub async fn only_the_objects_failures_are_charged(w: &World) {
    one_job(w).await;
    let back = Outcome::Retry { after: Duration::ZERO, charged: false, error: None };
    for outcome in [retry(Duration::ZERO, false), back, retry(Duration::ZERO, true)] {
        let claims = w.claim(w.stores[0]).await;
        assert_eq!(claims[0].retry_count, 0);
        w.finish(&claims, &outcome).await;
    }
    let claims = w.claim(w.stores[0]).await;
    assert_eq!(claims[0].retry_count, 1);
    w.advance(HOUR).await;
    w.catalog.sweep_jobs(9).await.unwrap();
    let claims = w.claim(w.stores[0]).await;
    assert_eq!((claims[0].retry_count, claims[0].alone), (1, false));
    let placed = w.catalog.placements(&[blob_of(&claims[0]).unwrap().blob]).await.unwrap();
    assert_eq!(placed[0].retry_count, 1);
    w.finish(&claims, &stored()).await;
}

/// Two lapses may be somebody else's crash; five more, alone, are the job's.
pub async fn lapses_alone_fail_a_job(w: &World) {
    one_job(w).await;
    for lapse in 0..LOSSES_BEFORE_ALONE + LOSSES_ALONE_MAX {
        let claims = w.claim(w.stores[0]).await;
        assert_eq!((claims[0].alone, claims[0].retry_count), (lapse >= LOSSES_BEFORE_ALONE, 0));
        w.advance(HOUR).await;
        w.catalog.sweep_jobs(9).await.unwrap();
    }
    assert_eq!(w.claim(w.stores[0]).await, []);
    let page = Page { after: None, limit: 9 };
    let failures = w.catalog.failed_uploads(&FailedFilter::default(), &page).await.unwrap();
    assert_eq!((failures.len(), failures[0].kind, failures[0].retry_count), (1, FailureKind::Lost, 0));
}

/// A wedged upload is not kept alive.
pub async fn heartbeats_end_at_the_maximum(w: &World) {
    one_job(w).await;
    let tickets = w.dispatch(w.stores[0]).await;
    let terms = LeaseTerms { held_max: 30 * MINUTE, ..terms() };
    let claim = w.catalog.claim(w.stores[0], &tickets, &terms).await.unwrap()[0].claim;
    w.catalog.heartbeat(&[claim], 20 * MINUTE).await.unwrap();
    w.advance(10 * MINUTE).await;
    assert_eq!(w.catalog.sweep_jobs(9).await.unwrap().lost, 0);
    assert_eq!(w.catalog.heartbeat(&[claim], 5 * HOUR).await.unwrap(), [claim]);
    w.advance(30 * MINUTE).await;
    assert_eq!(w.catalog.sweep_jobs(9).await.unwrap().lost, 1);
    assert_eq!(w.catalog.heartbeat(&[claim], HOUR).await.unwrap(), []);
}

/// A new engine gets everything back at once.
pub async fn a_take_over_blames_nobody(w: &World) {
    one_job(w).await;
    let queued = w.dispatch(w.stores[1]).await;
    let leased = w.claim(w.stores[0]).await.remove(0);
    assert_eq!(w.other.take_over_jobs().await.unwrap(), 2);
    assert_eq!(w.catalog.claim(w.stores[1], &queued, &terms()).await.unwrap(), []);
    let late = [Finish { claim: leased.claim, outcome: stored() }];
    assert_eq!(w.catalog.finish(&late).await.unwrap().accepted, [false]);
    for store in &w.stores {
        let claims = w.claim(*store).await;
        assert_eq!((claims.len(), claims[0].retry_count, claims[0].alone), (1, 0, false));
    }
}

/// Not due before its delay has passed.
pub async fn a_backoff_is_waited_out(w: &World) {
    one_job(w).await;
    let claims = w.claim(w.stores[0]).await;
    w.finish(&claims, &retry(HOUR, true)).await;
    assert_eq!(w.dispatch(w.stores[0]).await, []);
    w.advance(HOUR / 2).await;
    assert_eq!(w.dispatch(w.stores[0]).await, []);
    w.advance(HOUR).await;
    assert_eq!(w.dispatch(w.stores[0]).await.len(), 1);
}

/// Random events drive the catalog and `n2s_domain::job::step` side by side.
pub async fn states_are_the_domains(w: &World) {
    const SEED: u64 = 0x6A6F_6273;
    let mut rng = Rng(SEED);
    for round in 0..12 {
        let mut spec = w.spec("d");
        spec.dataset = format!("d{round}").parse().unwrap();
        spec.backends = vec![super::world::store("a")];
        w.push(&spec, &[put("x", &[1_000 + round])]).await;
        let mut job = Twin::new(w).await;
        for _ in 0..40 {
            if !job.play(&mut rng).await {
                break;
            }
        }
        let claims = async || w.claim(w.stores[0]).await;
        w.catalog.take_over_jobs().await.unwrap();
        w.advance(HOUR).await;
        w.finish(&claims().await, &stored()).await;
        w.fold().await;
        w.finish(&claims().await, &stored()).await;
    }
}

/// One job in the catalog and in the domain's model. The model's clock is its own: it moves by the same hops.
struct Twin<'w> {
    w: &'w World,
    id: JobId,
    row: JobRow,
    now: Timestamp,
}

impl<'w> Twin<'w> {
    async fn new(w: &'w World) -> Self {
        let tickets = w.dispatch(w.stores[0]).await;
        let now = Timestamp::from_micros(0);
        let Step::Becomes(row) =
            step(JobRow::new(now), Event::Dispatch { now, queued_until: now.after(MINUTE) })
        else {
            panic!()
        };
        assert_eq!((tickets.len(), tickets[0].dispatch_seq), (1, row.dispatch_seq));
        Self { w, id: tickets[0].job, row, now }
    }

    /// False when the job has ended.
    async fn play(&mut self, rng: &mut Rng) -> bool {
        let before = self.row;
        let seq = self.row.dispatch_seq.saturating_sub(rng.below(2));
        let epoch = self.row.epoch.saturating_sub(rng.below(2));
        let (event, changed) = match rng.below(8) {
            0 | 1 => self.dispatch().await,
            2 => self.unpublish(seq).await,
            3 | 4 => self.claim(seq).await,
            5 => self.heartbeat(epoch).await,
            6 => self.finish(epoch, rng.below(5)).await,
            _ => {
                // Hops of whole half hours, deadlines of whole minutes: no event falls onto a boundary.
                let hop = HOUR / 2 * u32::try_from(rng.below(3)).unwrap();
                self.w.advance(hop).await;
                self.now = self.now.after(hop);
                self.sweep().await
            }
        };
        let next = step(before, event);
        assert_eq!(
            changed,
            next != Step::Nothing && next != Step::Becomes(before),
            "{event:?} on {before:?}"
        );
        match next {
            Step::Becomes(row) => self.row = row,
            Step::Nothing => {}
            Step::EndsStored | Step::EndsFailed { .. } => {
                self.agree(None).await;
                return false;
            }
        }
        self.agree(Some(self.row.state)).await;
        true
    }

    /// The catalog shows the model's state.
    async fn agree(&self, state: Option<JobState>) {
        let depths = self.w.catalog.depths().await.unwrap();
        let depth =
            depths.iter().find(|(id, _)| *id == self.w.stores[0]).map(|(_, d)| *d).unwrap_or_default();
        let expected =
            [JobState::Pending, JobState::Queued, JobState::Leased].map(|s| u64::from(state == Some(s)));
        assert_eq!([depth.pending, depth.queued, depth.leased], expected);
        let backlogs = self.w.catalog.backlogs().await.unwrap();
        let backlog = backlogs.iter().find(|(id, _)| *id == self.w.stores[0]).map(|(_, b)| *b).unwrap();
        assert_eq!([backlog.queued, backlog.leased], expected[1..]);
        assert_eq!(backlog.held_uploads, expected[1] + expected[2]);
        let due_for =
            (state == Some(JobState::Pending)).then_some(self.row.due_at).filter(|due| *due <= self.now);
        let due_for = due_for.map(|due| self.now.since(due));
        // Where the database's clock runs by itself, it has been a little longer.
        assert_eq!(backlog.due_for.is_some(), due_for.is_some(), "{:?}", self.row);
        assert!(backlog.due_for >= due_for, "{:?} of {:?}", backlog.due_for, self.row);
        assert_eq!(backlog.queued_for.is_some(), state == Some(JobState::Queued));
        assert_eq!(backlog.leased_for.is_some(), state == Some(JobState::Leased));
    }

    async fn dispatch(&self) -> (Event, bool) {
        let tickets = self.w.dispatch(self.w.stores[0]).await;
        if let [ticket] = tickets[..] {
            assert_eq!(ticket, Ticket { job: self.id, dispatch_seq: self.row.dispatch_seq + 1 });
        }
        (Event::Dispatch { now: self.now, queued_until: self.now.after(MINUTE) }, !tickets.is_empty())
    }

    async fn unpublish(&self, dispatch_seq: u64) -> (Event, bool) {
        let before = self.w.catalog.in_window(self.w.stores[0]).await.unwrap();
        self.w.catalog.unpublish(&[Ticket { job: self.id, dispatch_seq }]).await.unwrap();
        let after = self.w.catalog.in_window(self.w.stores[0]).await.unwrap();
        (Event::Unpublish { dispatch_seq }, before != after)
    }

    async fn claim(&self, dispatch_seq: u64) -> (Event, bool) {
        let tickets = [Ticket { job: self.id, dispatch_seq }];
        let claims = self.w.catalog.claim(self.w.stores[0], &tickets, &terms()).await.unwrap();
        if let [claim] = &claims[..] {
            assert_eq!(claim.claim, ClaimRef { job: self.id, epoch: self.row.epoch + 1 });
            assert_eq!((claim.retry_count, claim.alone), (self.row.retry_count, self.row.runs_alone()));
        }
        let (lease_until, held_until) = (self.now.after(MINUTE), self.now.after(HOUR));
        (Event::Claim { dispatch_seq, lease_until, held_until }, !claims.is_empty())
    }

    async fn heartbeat(&self, epoch: u64) -> (Event, bool) {
        let lease = 10 * MINUTE;
        let held = self.w.catalog.heartbeat(&[ClaimRef { job: self.id, epoch }], lease).await.unwrap();
        let event = Event::Heartbeat { epoch, lease_until: self.now.after(lease) };
        let alive = step(self.row, event) != Step::Nothing;
        assert_eq!(!held.is_empty(), alive, "{event:?} on {:?}", self.row);
        (event, alive && step(self.row, event) != Step::Becomes(self.row))
    }

    async fn finish(&self, epoch: u64, which: u64) -> (Event, bool) {
        let due_at = self.now.after(MINUTE);
        let (outcome, verdict) = match which {
            0 => (stored(), FinishVerdict::Stored),
            1 => (failed(), FinishVerdict::Failed),
            n => (retry(MINUTE, n > 2), FinishVerdict::Retry { due_at, charged: n > 2 }),
        };
        let finish = [Finish { claim: ClaimRef { job: self.id, epoch }, outcome }];
        let report = self.w.catalog.finish(&finish).await.unwrap();
        (Event::Finish { epoch, verdict }, report.accepted[0])
    }

    async fn sweep(&self) -> (Event, bool) {
        let swept = self.w.catalog.sweep_jobs(9).await.unwrap();
        let event = Event::Sweep { now: self.now };
        assert_eq!(swept.failed == 1, step(self.row, event) == Step::EndsFailed { lost: true });
        (event, swept.requeued + swept.lost + swept.failed > 0)
    }
}
