//! Runs, and what they proved.

use n2s_catalog::decisions::proving::Copies;
use n2s_catalog::rows::validation::{self, DOUBT};
use n2s_catalog::rows::{Columns as _, int};
use n2s_catalog::{NewValidation, Proof, ProofOverview, ValidationEnd, ValidationRun, Vouched};
use n2s_domain::{BackendId, ProofLevel, Timestamp};
use sqlx::sqlite::SqliteRow;

use crate::connect::{SqliteCatalog, Tx, begin};
use crate::decode::{hex, json};
use crate::error::Fail;

/// The oldest proofs and the number of damages of a store.
pub(super) const OVERVIEW: &str = "SELECT
        (SELECT coalesce(verified_at, completed_at) FROM blob_backends WHERE backend_id = ?1 AND status = 'completed'
         ORDER BY coalesce(verified_at, completed_at) LIMIT 1) AS blob,
        (SELECT coalesce(verified_at, completed_at) FROM changeset_backends WHERE backend_id = ?1 AND manifest = 'completed'
         ORDER BY coalesce(verified_at, completed_at) LIMIT 1) AS manifest,
        (SELECT count(*) FROM blob_backends WHERE damaged_at IS NOT NULL AND backend_id = ?1)
            + (SELECT count(*) FROM changeset_backends WHERE damaged_at IS NOT NULL AND backend_id = ?1) AS damaged";

impl SqliteCatalog {
    pub(super) async fn begin_run(&self, run: &NewValidation) -> Result<Option<ValidationRun>, Fail> {
        let now = self.now();
        let dataset = match &run.scope {
            Some((project, dataset)) => Some(self.dataset(project, dataset).await?.0),
            None => None,
        };
        let lease = i64::try_from(run.lease.as_micros()).unwrap_or(i64::MAX);
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        if dataset.is_none() {
            sqlx::query(
                "UPDATE validations SET ended_at = ?2, stopped = 'its process ended' WHERE backend_id = ?1 AND dataset_id IS NULL
                 AND ended_at IS NULL AND lease_until <= ?2",
            )
            .bind(run.backend.0)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        let made = sqlx::query(
            "INSERT INTO validations (backend_id, dataset_id, level, one_in, started_at, touched_at, lease_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, CASE WHEN ?2 IS NULL THEN ?6 END) ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(run.backend.0)
        .bind(dataset)
        .bind(run.level.as_str())
        .bind(int(run.one_in.max(1)))
        .bind(now)
        .bind(lease.saturating_add(now))
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let run = |row: SqliteRow| {
            Ok::<_, Fail>(ValidationRun { id: row.int("id")?, started_at: Timestamp::from_micros(now) })
        };
        made.map(run).transpose()
    }

    pub(super) async fn keep_run(&self, run: ValidationRun) -> Result<Option<Timestamp>, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let alive = touch(&mut tx, run, (0, 0, 0), now).await?;
        tx.commit().await?;
        Ok(alive.then_some(Timestamp::from_micros(now)))
    }

    pub(super) async fn end_run(&self, run: ValidationRun, end: &ValidationEnd) -> Result<(), Fail> {
        let query = sqlx::query(
            "UPDATE validations SET ended_at = ?2, unchecked = ?3, stopped = ?4 WHERE id = ?1 AND ended_at IS NULL",
        );
        self.run(query.bind(run.id).bind(self.now()).bind(int(end.unchecked)).bind(end.stopped.clone())).await
    }

    pub(super) async fn overview(&self, backend: BackendId) -> Result<ProofOverview, Fail> {
        let row = sqlx::query(OVERVIEW).bind(backend.0).fetch_one(self.readers()).await?;
        let last = sqlx::query("SELECT * FROM validations WHERE backend_id = ? ORDER BY id DESC LIMIT 1");
        let last = last.bind(backend.0).fetch_optional(self.readers()).await?;
        validation::overview(&row, last.as_ref())
    }

    pub(super) async fn take_back(&self, copies: &[(Vouched, BackendId)]) -> Result<(), Fail> {
        let (blobs, manifests) = parameters(copies.iter().copied());
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        sqlx::query(
            "UPDATE blob_backends SET seen_at = ?2, verified_at = ?2 FROM json_each(?1) j
             WHERE blob_id = j.value ->> 0 AND backend_id = j.value ->> 1 AND status = 'completed'",
        )
        .bind(blobs)
        .bind(DOUBT.as_micros())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE changeset_backends SET seen_at = ?2, verified_at = ?2 FROM json_each(?1) j
             WHERE changeset_id = (SELECT id FROM changesets WHERE uuid = unhex(j.value ->> 0))
               AND backend_id = j.value ->> 1 AND manifest = 'completed'",
        )
        .bind(manifests)
        .bind(DOUBT.as_micros())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn prove(
        &self,
        run: ValidationRun,
        level: ProofLevel,
        proofs: &[Proof],
    ) -> Result<bool, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let bytes = proofs.iter().map(|proof| proof.bytes).sum();
        let alive = touch(&mut tx, run, (proofs.len() as u64, bytes, 0), now).await?;
        let (blobs, manifests) = parameters(proofs.iter().map(|proof| (proof.object, proof.backend)));
        // A look at existence does not put off a reading; a reading is also a look.
        sqlx::query(
            "UPDATE blob_backends SET seen_at = ?2, verified_at = CASE WHEN ?3 THEN ?2 ELSE verified_at END
             FROM json_each(?1) j
             WHERE blob_id = j.value ->> 0 AND backend_id = j.value ->> 1 AND status = 'completed'",
        )
        .bind(blobs)
        .bind(now)
        .bind(level.reads_bytes())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE changeset_backends SET seen_at = ?2, verified_at = CASE WHEN ?3 THEN ?2 ELSE verified_at END
             FROM json_each(?1) j
             WHERE changeset_id = (SELECT id FROM changesets WHERE uuid = unhex(j.value ->> 0))
               AND backend_id = j.value ->> 1 AND manifest = 'completed'",
        )
        .bind(manifests)
        .bind(now)
        .bind(level.reads_bytes())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(alive)
    }
}

/// Bulk parameters: blobs by id, manifests by the changeset's UUID in hex; each with its store.
pub(super) fn parameters(copies: impl Iterator<Item = (Vouched, BackendId)>) -> (String, String) {
    let copies = Copies::new(copies);
    let manifests = copies.manifests.iter().map(|(uuid, backend)| (hex(uuid.as_bytes()), backend));
    (json(&copies.blobs), json(&manifests.collect::<Vec<_>>()))
}

/// Adds to a run's totals and extends its lease by as much as it had. False when it has ended.
pub(super) async fn touch(
    tx: &mut Tx<'_>,
    run: ValidationRun,
    (checked, bytes, damaged): (u64, u64, u64),
    now: i64,
) -> Result<bool, Fail> {
    let touched = sqlx::query(
        "UPDATE validations SET checked = checked + ?3, bytes = bytes + ?4, damaged = damaged + ?5,
            lease_until = lease_until - touched_at + ?2, touched_at = ?2
         WHERE id = ?1 AND ended_at IS NULL",
    );
    let touched = touched.bind(run.id).bind(now).bind(int(checked)).bind(int(bytes)).bind(int(damaged));
    Ok(touched.execute(&mut **tx).await?.rows_affected() == 1)
}
