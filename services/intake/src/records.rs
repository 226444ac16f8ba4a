//! The catalog's rows as operators see them.

use n2s_catalog as cat;
use n2s_catalog::{BackendRecord, BackendState, BackendTally, LaneRecord, ProofOverview, ValidationRecord};
use n2s_client::seam::{
    BackendStatus, ChangesetRecord, FailedUpload, LaneStatus, ListedFile, ManifestState, Moment, PathKind,
    PausedBy, StoreError, StoreProgress, StoreState, ValidationStatus,
};
use n2s_domain::{BackendName, Content, FailureKind, Timestamp, path::escape};

type Stores = [(BackendRecord, BackendTally)];

pub(crate) fn backend_status(
    row: BackendRecord,
    tally: &BackendTally,
    proof: ProofOverview,
    lanes: Vec<LaneRecord>,
) -> BackendStatus {
    let (state, reason, since) = state(&row);
    let paused_by = match row.state {
        BackendState::Active => None,
        BackendState::Paused { by_operator: true, .. } => Some(PausedBy::Operator),
        BackendState::Paused { by_operator: false, .. } => Some(PausedBy::Health),
    };
    let error = |(kind, message, at)| StoreError { kind, message, at: Moment(at) };
    let allowed = lanes.iter().map(|lane| lane.report.limit).sum();
    BackendStatus {
        backend: row.name,
        kind: row.kind,
        state,
        reason,
        since: since.map(Moment),
        paused_by,
        probe_at: row.health.open.map(|(_, at)| Moment(at)),
        last_error: row.health.last_error.map(error),
        completed: tally.completed,
        pending: tally.pending,
        failed: tally.failed,
        bytes: tally.bytes,
        initialised_at: row.initialised_at.map(Moment),
        // Without workers, what the last one had.
        concurrency: if lanes.is_empty() { row.health.concurrency } else { Some(allowed) },
        in_flight: lanes.iter().map(|lane| lane.report.in_flight).sum(),
        workers: lanes.into_iter().map(lane_status).collect(),
        last_success_at: row.health.last_success_at.map(Moment),
        proven_since: proof.oldest.map(Moment),
        damaged: proof.damaged,
        last_validation: proof.last.map(validation_status),
    }
}

fn lane_status(lane: LaneRecord) -> LaneStatus {
    LaneStatus {
        worker: lane.report.worker,
        since: Moment(lane.joined_at),
        draining_since: lane.draining_at.map(Moment),
        concurrency: lane.report.limit,
        in_flight: lane.report.in_flight,
        why: lane.report.why,
        decided_at: Moment(lane.decided_at),
        reported_at: Moment(lane.reported_at),
    }
}

fn validation_status(run: ValidationRecord) -> ValidationStatus {
    ValidationStatus {
        level: run.level,
        started_at: Moment(run.started_at),
        ended_at: run.ended_at.map(Moment),
        checked: run.checked,
        bytes: run.bytes,
        damaged: run.damaged,
        unchecked: run.end.unchecked,
        stopped: run.end.stopped,
    }
}

fn state(row: &BackendRecord) -> (StoreState, String, Option<Timestamp>) {
    match (&row.state, &row.health.open) {
        (BackendState::Paused { reason, since, by_operator }, _) => {
            let who = if *by_operator { "by an operator: " } else { "" };
            (StoreState::Paused, format!("{who}{reason} (since {since})"), Some(*since))
        }
        (BackendState::Active, Some((since, probe))) => {
            let error = row.health.last_error.as_ref().map_or("", |(_, text, _)| text);
            (
                StoreState::Unreachable,
                format!("{error} (since {since}, asked again at {probe})"),
                Some(*since),
            )
        }
        (BackendState::Active, None) => (StoreState::Active, String::new(), None),
    }
}

pub(crate) fn changeset_record(row: cat::ChangesetRecord, stores: &Stores) -> ChangesetRecord {
    ChangesetRecord {
        changeset: row.id,
        project: row.project,
        dataset: row.dataset,
        version: row.version,
        snapshot: row.snapshot,
        description: row.description,
        client_id: row.client_id,
        metadata: row.metadata,
        status: row.status,
        error: row.error,
        created_at: Moment(row.created_at),
        committed_at: row.committed_at.map(Moment),
        completed_at: row.completed_at.map(Moment),
        file_count: row.file_count,
        blob_count: row.blob_count,
        total_size: row.total_size,
        added: row.added,
        modified: row.modified,
        removed: row.removed,
        stores: row.stores.into_iter().map(|store| store_progress(store, stores)).collect(),
    }
}

fn store_progress(row: cat::ChangesetStore, stores: &Stores) -> StoreProgress {
    let manifest = match row.manifest {
        cat::ManifestState::Waiting => ManifestState::Waiting,
        cat::ManifestState::Blocked => ManifestState::Blocked,
        cat::ManifestState::Pending => ManifestState::Pending,
        cat::ManifestState::Completed => ManifestState::Completed,
        cat::ManifestState::Failed => ManifestState::Failed,
    };
    let open = row.waiting > 0 || matches!(manifest, ManifestState::Waiting | ManifestState::Pending);
    let store = stores.iter().find(|(store, _)| open && store.name == row.backend);
    StoreProgress {
        backend: row.backend,
        waiting: row.waiting,
        failed: row.failed,
        manifest,
        error: row.error,
        unreachable: store.and_then(|(store, _)| unreachable_why(store).or_else(|| starved_why(store))),
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

/// Why nothing comes to a store that could take it.
fn starved_why(row: &BackendRecord) -> Option<String> {
    let (kind, text, at) = row.health.last_error.as_ref()?;
    let starved = *kind == FailureKind::SourceMissing;
    (starved && row.health.last_success_at.is_none_or(|success| success < *at)).then(|| text.clone())
}

pub(crate) fn listed_file(row: cat::FileRow, stores: &Stores) -> ListedFile {
    let held = stores_of(&row, stores);
    let size = row.entry.size();
    let (kind, content_hash, link_target) = match row.entry.content {
        Content::Directory => (PathKind::Directory, None, None),
        Content::Symlink { target } => (PathKind::Symlink, None, Some(escape(&target))),
        Content::File { hash, .. } => (PathKind::File, Some(hash), None),
    };
    let meta = row.entry.meta;
    ListedFile {
        path: row.entry.path,
        kind,
        size,
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime: (meta.mtime.secs, meta.mtime.nanos),
        content_hash,
        link_target,
        changeset: row.changeset,
        stores: Some(held),
    }
}

/// Stores that hold every piece of the file.
fn stores_of(row: &cat::FileRow, stores: &Stores) -> Vec<BackendName> {
    let Some(first) = row.blobs.first() else { return Vec::new() };
    let everywhere = first.stored_on.iter().filter(|id| row.blobs.iter().all(|b| b.stored_on.contains(id)));
    let name = |id| stores.iter().find(|(store, _)| store.id == id).map(|(store, _)| store.name.clone());
    everywhere.filter_map(|id| name(*id)).collect()
}

pub(crate) fn failed_upload(row: cat::FailedUpload) -> FailedUpload {
    FailedUpload {
        backend: row.backend,
        project: row.project,
        dataset: row.dataset,
        path: row.path,
        content_hash: row.content_hash,
        sealed_hash: row.sealed_hash,
        kind: row.kind,
        message: row.message,
        retry_count: row.retry_count,
        attempted_at: row.attempted_at.map(Moment),
    }
}
