//! What must hold whatever happens.

use n2s_domain::PlacementStatus;
use n2s_domain::job::JobState;
use stateright::Property;

use crate::model::{Rules, is_settled};
use crate::world::World;

/// Invariants, and things that must be possible lest the invariants hold of nothing.
pub fn all() -> Vec<Property<Rules>> {
    let always = Property::always;
    let sometimes = Property::sometimes;
    vec![
        always("completed means readable", |_, world: &World| {
            world.placement != PlacementStatus::Completed || world.stored
        }),
        always("what is pending has a job, and only that", |_, world: &World| {
            (world.placement == PlacementStatus::Pending) == world.job.is_some()
        }),
        always("what is pending has a source", |_, world: &World| {
            world.placement == PlacementStatus::Completed || world.staged
        }),
        always("a claim's outcome is accepted once", |_, world: &World| !world.accepted_twice),
        always("retry_count counts the object's own failures", |_, world: &World| {
            world.job.is_none_or(|(_, row)| row.retry_count == world.charged)
        }),
        always("lost_count counts lapsed leases", |_, world: &World| {
            world.job.is_none_or(|(_, row)| row.lost_count == world.lapsed)
        }),
        always("nothing is overdue after a sweep", |_, world: &World| {
            let overdue = |(_, row): (u32, n2s_domain::job::JobRow)| {
                row.state != JobState::Pending && row.deadline.as_micros() <= world.now
            };
            !world.just_swept || !world.job.is_some_and(overdue)
        }),
        always("no lease outlives its hard maximum", |_, world: &World| {
            world.job.is_none_or(|(_, row)| row.state != JobState::Leased || row.deadline <= row.held_until)
        }),
        always("a pending job is due within its backoff", |_, world: &World| {
            let far = |(_, row): (u32, n2s_domain::job::JobRow)| {
                // One tick of backoff, and one by which the clock may have been set back.
                row.state == JobState::Pending && row.due_at.as_micros() > world.now + 2
            };
            !world.job.is_some_and(far)
        }),
        always("completion fires once for a generation", |_, world: &World| world.fired <= 1),
        always("completion waits for everything", |_, world: &World| world.fired == 0 || is_settled(world)),
        sometimes("it completes", |_, world: &World| world.placement == PlacementStatus::Completed),
        sometimes("it fails by its own fault", |_, world: &World| world.placement == PlacementStatus::Failed),
        sometimes("it completes after a retry by an operator", |_, world: &World| {
            world.generation == 1 && world.placement == PlacementStatus::Completed
        }),
        sometimes("completion fires", |_, world: &World| world.fired == 1),
        sometimes("two workers work on one job", |_, world: &World| {
            world.workers.iter().all(|worker| matches!(worker, crate::world::Worker::Holds { .. }))
        }),
    ]
}
