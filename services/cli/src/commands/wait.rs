//! Waiting until a changeset is settled, or until only stores that cannot be reached are left.

use std::time::{Duration, Instant};

use n2s_client::seam::ManifestState;
use n2s_domain::{ChangesetId, ChangesetStatus};

use crate::progress::Watch;
use crate::side::Side;

/// Between two looks: into the home's own catalog, where a small push is done soon.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_EARLY_EVERY: Duration = Duration::from_millis(5);
const EARLY: Duration = Duration::from_secs(1);
/// Between two questions to a server: a tenth of what was waited, so that little is added to any wait, within these.
const ASK_EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// Unreachable stores get this long to come back before the push stops waiting for them: counted from the last object that arrived somewhere, since
/// it takes some seconds until a store that works again is known to.
const PATIENCE: Duration = Duration::from_secs(5);
/// A broker gets longer: it may only be starting anew, and without it nothing moves at all.
const QUEUE_PATIENCE: Duration = Duration::from_mins(1);

/// Where a changeset stands after waiting.
#[derive(Debug)]
pub struct Waited {
    /// Its status.
    pub status: ChangesetStatus,
    /// Why waiting ended before it settled.
    pub stuck: Option<String>,
}

pub async fn wait_for(side: &Side, changeset: ChangesetId, watch: &Watch) -> anyhow::Result<Waited> {
    let who = match side.node {
        Some(_) => "the next command, or `n2s up`, catches up",
        None => "the server catches up by itself",
    };
    let began = Instant::now();
    let mut unreachable_since: Option<Instant> = None;
    let mut least_waiting = u64::MAX;
    let mut queue_failed_since: Option<Instant> = None;
    loop {
        let record = side.operator.changeset(changeset).await?;
        if !matches!(record.status, ChangesetStatus::Pending | ChangesetStatus::Pushing) {
            return Ok(Waited { status: record.status, stuck: None });
        }
        let open = record.stores.iter().filter(|s| {
            s.waiting > 0 || matches!(s.manifest, ManifestState::Waiting | ManifestState::Pending)
        });
        let (mut reachable, mut reasons) = (false, Vec::new());
        for store in open {
            match &store.unreachable {
                Some(why) => {
                    reasons.push(format!("{} ({} objects waiting): {why}", store.backend, store.waiting));
                }
                None => reachable = true,
            }
        }
        let waiting: u64 = record.stores.iter().map(|store| store.waiting).sum();
        let arrived = waiting < least_waiting;
        least_waiting = waiting.min(least_waiting);
        if reachable || reasons.is_empty() || arrived {
            unreachable_since = None;
        } else if unreachable_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            let stuck = format!("{}; {who}", reasons.join("; "));
            return Ok(Waited { status: record.status, stuck: Some(stuck) });
        }
        if let Some(why) = side.node.as_ref().and_then(|node| node.queue_trouble()) {
            if queue_failed_since.get_or_insert_with(Instant::now).elapsed() > QUEUE_PATIENCE {
                let stuck =
                    format!("the queue does not work: {why}; the next command, or `n2s up`, catches up");
                return Ok(Waited { status: record.status, stuck: Some(stuck) });
            }
            reasons.push(format!("the queue: {why}"));
        } else {
            queue_failed_since = None;
        }
        watch.waiting(waiting, &reasons);
        let every = match side.node {
            Some(_) if began.elapsed() < EARLY => LOOK_EARLY_EVERY,
            Some(_) => LOOK_EVERY,
            None => (began.elapsed() / 10).clamp(ASK_EVERY.0, ASK_EVERY.1),
        };
        tokio::time::sleep(every).await;
    }
}
