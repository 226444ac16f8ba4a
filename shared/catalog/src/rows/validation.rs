//! Proofs, what they look for, and damage.

use n2s_domain::{StoreKey, Timestamp};

use super::Columns;
use crate::{
    Affected, DamageRecord, Proof, ProofOverview, ProofTarget, ValidationEnd, ValidationRecord, Vouched,
};

/// The proof of what is doubted: older than any.
pub const DOUBT: Timestamp = Timestamp::from_micros(0);

/// `blob_id, backend_id, encrypted_size, proven_at`.
pub fn blob_proof<E, R: Columns<E>>(row: &R) -> Result<Proof, E> {
    proof(row, Vouched::Blob(row.blob("blob_id")?), "encrypted_size")
}

/// `uuid, backend_id, bytes, proven_at`.
pub fn manifest_proof<E, R: Columns<E>>(row: &R) -> Result<Proof, E> {
    proof(row, Vouched::Manifest(row.changeset("uuid")?), "bytes")
}

fn proof<E, R: Columns<E>>(row: &R, object: Vouched, bytes: &'static str) -> Result<Proof, E> {
    let (proven_at, backend, bytes) = (row.time("proven_at")?, row.backend()?, row.count(bytes)?);
    Ok(Proof { proven_at, object, backend, bytes })
}

/// A copy and what to look for.
pub type Sought = ((Vouched, i64), ProofTarget);

/// `id, backend_id, content_hash, sealed_hash, encrypted_size`.
pub fn blob_target<E, R: Columns<E>>(row: &R) -> Result<Sought, E> {
    let target = ProofTarget::Blob {
        content_hash: row.content("content_hash")?,
        sealed_hash: row.sealed("sealed_hash")?,
        bytes: row.count("encrypted_size")?,
    };
    Ok(((Vouched::Blob(row.blob("id")?), row.int("backend_id")?), target))
}

/// `uuid, backend_id, project, dataset, version, store_key` and the digests and sizes of two objects.
pub fn manifest_target<E, R: Columns<E>>(row: &R) -> Result<Sought, E> {
    let target = ProofTarget::Manifest {
        project: row.word("project")?,
        dataset: row.word("dataset")?,
        version: row.version("version")?,
        store_key: StoreKey(row.array("store_key")?),
        header: (row.sealed("header_hash")?, row.count("header_size")?),
        body: (row.sealed("body_hash")?, row.count("body_size")?),
    };
    Ok(((Vouched::Manifest(row.changeset("uuid")?), row.int("backend_id")?), target))
}

/// `project, dataset, version, filepath`.
pub fn affected<E, R: Columns<E>>(row: &R) -> Result<Affected, E> {
    Ok(Affected {
        project: row.word("project")?,
        dataset: row.word("dataset")?,
        version: row.version("version")?,
        path: row.path_opt("filepath")?,
    })
}

/// `blob_id` or `uuid`, `backend, damaged_at, pending, lost, error_message`.
pub fn damage<E, R: Columns<E>>(row: &R) -> Result<DamageRecord, E> {
    let object = match row.int_opt("blob_id")? {
        Some(_) => Vouched::Blob(row.blob("blob_id")?),
        None => Vouched::Manifest(row.changeset("uuid")?),
    };
    Ok(DamageRecord {
        object,
        backend: row.word("backend")?,
        since: row.time("damaged_at")?,
        pending: row.flag("pending")?,
        lost: row.flag("lost")?,
        message: row.string_opt("error_message")?.unwrap_or_default(),
    })
}

/// A run's row.
pub fn run<E, R: Columns<E>>(row: &R) -> Result<ValidationRecord, E> {
    Ok(ValidationRecord {
        level: row.word("level")?,
        started_at: row.time("started_at")?,
        ended_at: row.time_opt("ended_at")?,
        checked: row.count("checked")?,
        bytes: row.count("bytes")?,
        damaged: row.count("damaged")?,
        end: ValidationEnd { unchecked: row.count("unchecked")?, stopped: row.string_opt("stopped")? },
    })
}

/// `blob, manifest`, the oldest proofs of either, and `damaged`; the row of the latest run.
pub fn overview<E, R: Columns<E>>(row: &R, last: Option<&R>) -> Result<ProofOverview, E> {
    let oldest = [row.time_opt("blob")?, row.time_opt("manifest")?].into_iter().flatten().min();
    Ok(ProofOverview {
        oldest: oldest.filter(|oldest| *oldest != DOUBT),
        damaged: row.count("damaged")?,
        last: last.map(run).transpose()?,
    })
}
