//! See `n2s_catalog::pushes`.

mod commit;
mod entries;
mod offer;
mod open;
mod stepping;
mod undo;

use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::rows::Columns as _;
use n2s_catalog::rows::pushes::{OpenRow, open_row};
use n2s_catalog::{
    Accepted, CatalogError, CommitPush, Committed, EntriesRecorded, Offered, OpenPush, OpenedPush, PushLease,
    Pushes, StagedBlob, StepOver, SteppedOver,
};
use n2s_domain::limits::PUSH_LEASE;
use n2s_domain::{ChangesetId, ContentHash, EntryChange, Timestamp};

use crate::connect::{PostgresCatalog, Tx};
use crate::decode::micros;
use crate::error::{Fail, transact};

#[async_trait]
impl Pushes for PostgresCatalog {
    async fn open_push(&self, open: &OpenPush) -> Result<OpenedPush, CatalogError> {
        transact!(self, "open a push", self.open_one(open))
    }

    async fn renew_push(&self, lease: &PushLease, for_: Duration) -> Result<Timestamp, CatalogError> {
        transact!(self, "renew a write lease", self.renew(lease, for_))
    }

    async fn offer(&self, lease: &PushLease, contents: &[ContentHash]) -> Result<Vec<Offered>, CatalogError> {
        transact!(self, "look up offered blobs", self.offer_contents(lease, contents))
    }

    async fn record_staged(
        &self,
        lease: &PushLease,
        blobs: &[StagedBlob],
    ) -> Result<Vec<Accepted>, CatalogError> {
        transact!(self, "record staged blobs", self.accept_staged(lease, blobs))
    }

    async fn record_entries(
        &self,
        lease: &PushLease,
        batch: u64,
        changes: &[EntryChange],
    ) -> Result<EntriesRecorded, CatalogError> {
        transact!(self, "record entries", self.enter(lease, batch, changes))
    }

    async fn commit_push(&self, lease: &PushLease, commit: &CommitPush) -> Result<Committed, CatalogError> {
        transact!(self, "commit a push", self.commit(lease, commit))
    }

    async fn abandon_push(
        &self,
        changeset: ChangesetId,
        lease: Option<&PushLease>,
    ) -> Result<(), CatalogError> {
        transact!(self, "abandon a push", self.abandon(changeset, lease))
    }

    async fn abandon_idle(&self, idle: Duration) -> Result<u64, CatalogError> {
        transact!(self, "abandon idle pushes", self.abandon_untouched(idle))
    }

    async fn undo_step(&self, limit: u32) -> Result<bool, CatalogError> {
        transact!(self, "undo an abandoned push", self.undo(limit))
    }

    async fn step_over(&self, past: &StepOver) -> Result<SteppedOver, CatalogError> {
        transact!(self, "step over versions", self.raise(past))
    }
}

impl PostgresCatalog {
    async fn renew(&self, lease: &PushLease, for_: Duration) -> Result<Timestamp, Fail> {
        let mut tx = self.begin().await?;
        let push = self.hold(&mut tx, lease).await?;
        let row = sqlx::query(
            "UPDATE changesets SET lease_until = n2s_now() + $1::bigint * interval '1 microsecond' WHERE id = $2
             RETURNING lease_until",
        );
        let row = row.bind(micros(for_)).bind(push.id).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        row.time("lease_until")
    }

    /// Checks the lease and extends it; holds the changeset's row until the transaction ends, so that the calls of one push that begin so take turns. A
    /// lease that lapsed is still good as long as nobody took the push over.
    pub(crate) async fn hold(&self, tx: &mut Tx, lease: &PushLease) -> Result<OpenRow, Fail> {
        let row = sqlx::query(
            "UPDATE changesets c SET touched_at = n2s_now(),
                lease_until = greatest(lease_until, n2s_now() + $3::bigint * interval '1 microsecond')
             FROM datasets d WHERE d.id = c.dataset_id AND c.uuid = $1 AND c.lease_token = $2 AND c.committed_at IS NULL
                AND c.abandoned_at IS NULL
             RETURNING c.id, c.dataset_id, c.version, c.parent_id, c.min_copies, d.project_id,
                ARRAY (SELECT s.backend_id FROM changeset_backends s WHERE s.changeset_id = c.id ORDER BY s.backend_id) AS backends",
        )
        .bind(lease.changeset.0)
        .bind(lease.token.0)
        .bind(micros(PUSH_LEASE))
        .fetch_optional(&mut **tx)
        .await?;
        let row = row.ok_or(CatalogError::LeaseLost(lease.changeset))?;
        open_row(&row, row.int_list("backends")?)
    }

    /// As [`Self::hold`], for calls that change nothing of the changeset's own: a push has several under way, and they need not take turns. While one
    /// lasts, the push can be neither committed nor given up. The lease is extended once half of it is gone, by a transaction of its
    /// own: two calls that each had the row shared would wait for each other to change it.
    pub(crate) async fn attend(&self, lease: &PushLease) -> Result<(Tx, OpenRow), Fail> {
        let (tx, push, late) = self.share(lease).await?;
        if !late {
            return Ok((tx, push));
        }
        // Rolled back: the renewal waits for that.
        drop(tx);
        self.renew(lease, PUSH_LEASE).await?;
        let (tx, push, _) = self.share(lease).await?;
        Ok((tx, push))
    }

    async fn share(&self, lease: &PushLease) -> Result<(Tx, OpenRow, bool), Fail> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "SELECT c.id, c.dataset_id, c.version, c.parent_id, c.min_copies, d.project_id,
                ARRAY (SELECT s.backend_id FROM changeset_backends s WHERE s.changeset_id = c.id ORDER BY s.backend_id) AS backends,
                coalesce(c.lease_until < n2s_now() + $3::bigint * interval '1 microsecond', true) AS late
             FROM changesets c JOIN datasets d ON d.id = c.dataset_id
             WHERE c.uuid = $1 AND c.lease_token = $2 AND c.committed_at IS NULL AND c.abandoned_at IS NULL FOR SHARE OF c",
        )
        .bind(lease.changeset.0)
        .bind(lease.token.0)
        .bind(micros(PUSH_LEASE / 2))
        .fetch_optional(&mut *tx)
        .await?;
        let row = row.ok_or(CatalogError::LeaseLost(lease.changeset))?;
        let push = open_row(&row, row.int_list("backends")?)?;
        let late = row.flag("late")?;
        Ok((tx, push, late))
    }
}
