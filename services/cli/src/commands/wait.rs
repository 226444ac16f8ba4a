//! Waiting until a changeset is settled, or until only stores that cannot be reached are left.

use std::time::{Duration, Instant};

use n2s_assembly::Node;
use n2s_catalog::{BackendRecord, BackendState, ManifestState};
use n2s_domain::{ChangesetId, ChangesetStatus};

use crate::progress::Watch;

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Unreachable stores get this long to come back before the push stops waiting for them.
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

pub async fn wait_for(node: &Node, changeset: ChangesetId, watch: &Watch) -> anyhow::Result<Waited> {
    let mut unreachable_since: Option<Instant> = None;
    let mut queue_failed_since: Option<Instant> = None;
    loop {
        let record = node.catalog.changeset(changeset).await?;
        if !matches!(record.status, ChangesetStatus::Pending | ChangesetStatus::Pushing) {
            return Ok(Waited { status: record.status, stuck: None });
        }
        let backends = node.catalog.backends().await?;
        let open = record.stores.iter().filter(|s| {
            s.waiting > 0 || matches!(s.manifest, ManifestState::Waiting | ManifestState::Pending)
        });
        let (mut reachable, mut reasons) = (false, Vec::new());
        for store in open {
            match backends
                .iter()
                .find(|(row, _)| row.name == store.backend)
                .and_then(|(row, _)| unreachable_why(row))
            {
                Some(why) => {
                    reasons.push(format!("{} ({} objects waiting): {why}", store.backend, store.waiting));
                }
                None => reachable = true,
            }
        }
        if reachable || reasons.is_empty() {
            unreachable_since = None;
        } else if unreachable_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            let stuck = format!("{}; the next command, or `n2s up`, catches up", reasons.join("; "));
            return Ok(Waited { status: record.status, stuck: Some(stuck) });
        }
        if let Some(why) = node.queue_trouble() {
            if queue_failed_since.get_or_insert_with(Instant::now).elapsed() > QUEUE_PATIENCE {
                let stuck =
                    format!("the queue does not work: {why}; the next command, or `n2s up`, catches up");
                return Ok(Waited { status: record.status, stuck: Some(stuck) });
            }
            reasons.push(format!("the queue: {why}"));
        } else {
            queue_failed_since = None;
        }
        let waiting: u64 = record.stores.iter().map(|store| store.waiting).sum();
        watch.waiting(waiting, &reasons);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn unreachable_why(row: &BackendRecord) -> Option<String> {
    match &row.state {
        BackendState::Paused { reason, .. } => Some(format!("paused: {reason}")),
        BackendState::Active => {
            let error = row.health.last_error.as_ref();
            // Between two probes the circuit may be closed for a moment; what counts is that nothing has worked since the error.
            let fruitless = error.is_some_and(|(kind, _, at)| {
                kind.is_an_outage() && row.health.last_success_at.is_none_or(|success| success < *at)
            });
            let text = error.map_or_else(|| "it does not answer".to_owned(), |(_, text, _)| text.clone());
            (row.health.open.is_some() || fruitless).then_some(text)
        }
    }
}
