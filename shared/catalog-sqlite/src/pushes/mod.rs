//! See `n2s_catalog::pushes`.

mod commit;
mod entries;
mod offer;
mod open;
mod stepping;
mod undo;

use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::rows::pushes::{OpenRow, open_row};
use n2s_catalog::rows::{Columns as _, column};
use n2s_catalog::{
    Accepted, CatalogError, CommitPush, Committed, EntriesRecorded, Offered, OpenPush, OpenedPush, PushLease,
    Pushes, StagedBlob, StepOver, SteppedOver,
};
use n2s_domain::limits::PUSH_LEASE;
use n2s_domain::{ChangesetId, ContentHash, EntryChange, Timestamp};

use crate::connect::{SqliteCatalog, Tx, begin};
use crate::error::{Fail, ask};

#[async_trait]
impl Pushes for SqliteCatalog {
    async fn open_push(&self, open: &OpenPush) -> Result<OpenedPush, CatalogError> {
        ask!("open a push", self.open_one(open))
    }

    async fn renew_push(&self, lease: &PushLease, for_: Duration) -> Result<Timestamp, CatalogError> {
        ask!("renew a write lease", self.renew(lease, for_))
    }

    async fn offer(&self, lease: &PushLease, contents: &[ContentHash]) -> Result<Vec<Offered>, CatalogError> {
        ask!("look up offered blobs", self.offer_contents(lease, contents))
    }

    async fn record_staged(
        &self,
        lease: &PushLease,
        blobs: &[StagedBlob],
    ) -> Result<Vec<Accepted>, CatalogError> {
        ask!("record staged blobs", self.accept_staged(lease, blobs))
    }

    async fn record_entries(
        &self,
        lease: &PushLease,
        batch: u64,
        changes: &[EntryChange],
    ) -> Result<EntriesRecorded, CatalogError> {
        ask!("record entries", self.enter(lease, batch, changes))
    }

    async fn commit_push(&self, lease: &PushLease, commit: &CommitPush) -> Result<Committed, CatalogError> {
        ask!("commit a push", self.commit(lease, commit))
    }

    async fn abandon_push(
        &self,
        changeset: ChangesetId,
        lease: Option<&PushLease>,
    ) -> Result<(), CatalogError> {
        ask!("abandon a push", self.abandon(changeset, lease))
    }

    async fn abandon_idle(&self, idle: Duration) -> Result<u64, CatalogError> {
        ask!("abandon idle pushes", self.abandon_untouched(idle))
    }

    async fn undo_step(&self, limit: u32) -> Result<bool, CatalogError> {
        ask!("undo an abandoned push", self.undo(limit))
    }

    async fn step_over(&self, past: &StepOver) -> Result<SteppedOver, CatalogError> {
        ask!("step over versions", self.raise(past))
    }
}

impl SqliteCatalog {
    async fn renew(&self, lease: &PushLease, for_: Duration) -> Result<Timestamp, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let until = Timestamp::from_micros(self.now()).after(for_);
        sqlx::query("UPDATE changesets SET lease_until = ? WHERE id = ?")
            .bind(until.as_micros())
            .bind(push.id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(until)
    }

    /// Checks the lease and extends it. A lease that lapsed is still good as long as nobody took the push over.
    pub(crate) async fn hold(&self, tx: &mut Tx<'_>, lease: &PushLease) -> Result<OpenRow, Fail> {
        let now = self.now();
        let row = sqlx::query(
            "UPDATE changesets SET touched_at = ?3, lease_until = max(lease_until, ?4)
             WHERE uuid = ?1 AND lease_token = ?2 AND committed_at IS NULL AND abandoned_at IS NULL
             RETURNING id, dataset_id, version, parent_id, min_copies,
                (SELECT project_id FROM datasets d WHERE d.id = dataset_id) AS project_id",
        )
        .bind(lease.changeset.0.as_bytes().to_vec())
        .bind(lease.token.0.as_bytes().to_vec())
        .bind(now)
        .bind(Timestamp::from_micros(now).after(PUSH_LEASE).as_micros())
        .fetch_optional(&mut **tx)
        .await?;
        let row = row.ok_or(CatalogError::LeaseLost(lease.changeset))?;
        let backends = sqlx::query(
            "SELECT backend_id FROM changeset_backends WHERE changeset_id = ? ORDER BY backend_id",
        )
        .bind(row.int("id")?)
        .fetch_all(&mut **tx)
        .await?;
        open_row(&row, column(&backends, "backend_id")?)
    }
}
