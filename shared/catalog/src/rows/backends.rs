//! Stores.

use n2s_domain::{BackendId, BackendName, Epoch, VaultId};

use super::Columns;
use crate::{BackendHealth, BackendRecord, BackendState, BackendTally, LaneRecord, LaneReport};

/// A store's row and its totals.
pub fn backend<E, R: Columns<E>>(row: &R) -> Result<(BackendRecord, BackendTally), E> {
    let vault = row.bytes_opt("vault_id")?.map(|_| row.vault()).transpose()?;
    Ok((record(row, vault)?, tally(row)?))
}

fn record<E, R: Columns<E>>(row: &R, vault: Option<VaultId>) -> Result<BackendRecord, E> {
    let state = match row.text_opt("paused_by")? {
        None => BackendState::Active,
        Some(by) => BackendState::Paused {
            by_operator: by == "operator",
            reason: row.string_opt("pause_reason")?.unwrap_or_default(),
            since: row.time("paused_at")?,
        },
    };
    let error_at = row.time_opt("error_at")?;
    let health = BackendHealth {
        open: row.time_opt("open_since")?.zip(row.time_opt("probe_at")?),
        last_error: row.failure()?.zip(error_at).map(|((kind, words), at)| (kind, words, at)),
        last_success_at: row.time_opt("success_at")?,
        concurrency: row.int_opt("concurrency")?.and_then(|limit| u32::try_from(limit).ok()),
    };
    Ok(BackendRecord {
        id: BackendId(row.int("id")?),
        name: row.word("name")?,
        kind: row.string("kind")?,
        created_at: row.time("created_at")?,
        initialised_at: row.time_opt("initialised_at")?,
        vault,
        state,
        health,
    })
}

fn tally<E, R: Columns<E>>(row: &R) -> Result<BackendTally, E> {
    Ok(BackendTally {
        pending: row.count("pending")?,
        completed: row.count("completed")?,
        failed: row.count("failed")?,
        bytes: row.count("bytes")?,
    })
}

/// A worker at a store.
pub fn lane<E, R: Columns<E>>(row: &R) -> Result<LaneRecord, E> {
    let draining_at = row.time_opt("draining_at")?;
    Ok(LaneRecord {
        backend: row.backend()?,
        report: LaneReport {
            worker: row.string("worker")?,
            draining: draining_at.is_some(),
            limit: row.small("allowed")?,
            in_flight: row.small("in_flight")?,
            why: row.string("why")?,
        },
        joined_at: row.time("joined_at")?,
        draining_at,
        decided_at: row.time("decided_at")?,
        reported_at: row.time("reported_at")?,
    })
}

/// `epoch`.
pub fn epoch<E, R: Columns<E>>(row: &R) -> Result<Epoch, E> {
    row.small("epoch").map(Epoch)
}

/// `id, name`.
pub fn named<E, R: Columns<E>>(row: &R) -> Result<(i64, BackendName), E> {
    Ok((row.int("id")?, row.word("name")?))
}

/// The stores that are configured, in that order.
pub fn in_order(
    configured: &[(BackendName, String)],
    known: &[(BackendRecord, BackendTally)],
) -> Vec<BackendRecord> {
    let record = |name: &BackendName| {
        known.iter().find(|(record, _)| record.name == *name).map(|(record, _)| record.clone())
    };
    configured.iter().filter_map(|(name, _)| record(name)).collect()
}
