//! Jobs and claims.

use std::time::Duration;

use n2s_domain::fairness::DueGroup;
use n2s_domain::limits::{JOB_HELD_MAX, LOSSES_BEFORE_ALONE, QUEUED_MAX};
use n2s_domain::{BackendId, JobId, StoreKey, Traceparent};

use super::Columns;
use super::staging::staged;
use crate::{
    Backlog, Claim, ClaimRef, ClaimTarget, Copy, Depth, ManifestObject, ManifestTarget, Ticket, UploadTarget,
};

/// `project_id, changeset_id, due`.
pub fn group<E, R: Columns<E>>(row: &R) -> Result<DueGroup, E> {
    let (project, changeset) = (row.int("project_id")?, row.int("changeset_id")?);
    Ok(DueGroup { project, changeset, due: row.small("due")? })
}

/// `id, dispatch_seq`.
pub fn ticket<E, R: Columns<E>>(row: &R) -> Result<Ticket, E> {
    Ok(Ticket { job: JobId(row.int("id")?), dispatch_seq: row.count("dispatch_seq")? })
}

/// `id, trace`; `None` where a producer wrote down something else.
pub fn trace<E, R: Columns<E>>(row: &R) -> Result<Option<(JobId, Traceparent)>, E> {
    let job = JobId(row.int("id")?);
    Ok(row.text_opt("trace")?.and_then(|text| text.parse().ok()).map(|trace| (job, trace)))
}

/// `id, epoch`.
pub fn claim_ref<E, R: Columns<E>>(row: &R) -> Result<ClaimRef, E> {
    Ok(ClaimRef { job: JobId(row.int("id")?), epoch: row.count("epoch")? })
}

/// `blob_id, sealed_hash, encrypted_size, key_epoch, staging_id, vault_id, repair`, besides the job's.
pub fn upload<E, R: Columns<E>>(row: &R) -> Result<Claim, E> {
    let sealed_hash = row.sealed("sealed_hash")?;
    let target = UploadTarget {
        blob: row.blob("blob_id")?,
        sealed_hash,
        encrypted_size: row.count("encrypted_size")?,
        vault: row.vault()?,
        epoch: n2s_domain::Epoch(row.small("key_epoch")?),
        staged: staged(row, sealed_hash, "staging_id")?,
        repair: row.flag("repair")?,
    };
    claim(row, ClaimTarget::Upload(target))
}

/// `uuid, version, store_key, vault_id, repair` and two objects, besides the job's.
pub fn manifest<E, R: Columns<E>>(row: &R) -> Result<Claim, E> {
    let target = ManifestTarget {
        changeset: row.changeset("uuid")?,
        store_key: StoreKey(row.array("store_key")?),
        version: row.version("version")?,
        vault: row.vault()?,
        body: object(row, ["body_hash", "body_size", "body_staged"])?,
        header: object(row, ["header_hash", "header_size", "header_staged"])?,
        repair: row.flag("repair")?,
    };
    claim(row, ClaimTarget::Manifest(Box::new(target)))
}

fn claim<E, R: Columns<E>>(row: &R, target: ClaimTarget) -> Result<Claim, E> {
    Ok(Claim {
        claim: claim_ref(row)?,
        backend: row.backend()?,
        retry_count: row.small("retry_count")?,
        alone: row.small("lost_count")? >= LOSSES_BEFORE_ALONE,
        target,
    })
}

fn object<E, R: Columns<E>>(row: &R, [hash, size, id]: [&'static str; 3]) -> Result<ManifestObject, E> {
    let sealed_hash = row.sealed(hash)?;
    Ok(ManifestObject { sealed_hash, size: row.count(size)?, staged: staged(row, sealed_hash, id)? })
}

/// `backend_id, location`.
pub fn copy<E, R: Columns<E>>(row: &R) -> Result<Copy, E> {
    Ok(Copy { backend: row.backend()?, location: row.string_opt("location")? })
}

/// `backend_id` and the counts of its live jobs.
pub fn depth<E, R: Columns<E>>(row: &R) -> Result<(BackendId, Depth), E> {
    let depth = Depth {
        pending: row.count("pending")?,
        due: row.count("due")?,
        queued: row.count("queued")?,
        leased: row.count("leased")?,
        oldest_due: row.time_opt("oldest_due")?,
        next_due: row.time_opt("next_due")?,
    };
    Ok((row.backend()?, depth))
}

/// `now`, `backend_id`, the counts of what is held, and the first of each kind of waiting.
pub fn backlog<E, R: Columns<E>>(row: &R) -> Result<(BackendId, Backlog), E> {
    let now = row.time("now")?;
    let since = |name, term: Duration| Ok(row.time_opt(name)?.map(|end| now.since(end.before(term))));
    let backlog = Backlog {
        queued: row.count("queued")?,
        leased: row.count("leased")?,
        held_uploads: row.count("held_uploads")?,
        damaged: row.count("damaged")?,
        due_for: since("due_at", Duration::ZERO)?,
        queued_for: since("queued_until", QUEUED_MAX)?,
        leased_for: since("held_until", JOB_HELD_MAX)?,
        failed_for: since("failed_at", Duration::ZERO)?,
        proof_age: since("proven_at", Duration::ZERO)?,
    };
    Ok((row.backend()?, backlog))
}

/// The job of an outcome whose claim still holds.
#[derive(Clone, Copy, Debug)]
pub struct HeldJob {
    /// Its row.
    pub id: i64,
    /// Its store's.
    pub backend: i64,
    /// The changeset it is counted to.
    pub changeset: i64,
    /// `None` for a manifest.
    pub blob: Option<i64>,
}

/// `id, epoch, backend_id, changeset_id, blob_id`: by job and epoch.
pub fn held<E, R: Columns<E>>(row: &R) -> Result<((i64, i64), HeldJob), E> {
    let id = row.int("id")?;
    let (backend, changeset) = (row.int("backend_id")?, row.int("changeset_id")?);
    let job = HeldJob { id, backend, changeset, blob: row.int_opt("blob_id")? };
    Ok(((id, row.int("epoch")?), job))
}
