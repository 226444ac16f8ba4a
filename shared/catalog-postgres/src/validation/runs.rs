//! Runs, and what they proved.

use n2s_catalog::decisions::proving::Copies;
use n2s_catalog::rows::{Columns as _, int, validation};
use n2s_catalog::{NewValidation, Proof, ProofOverview, ValidationEnd, ValidationRun, Vouched};
use n2s_domain::{BackendId, ProofLevel, Timestamp};
use sqlx::postgres::PgRow;

use crate::connect::{PostgresCatalog, Tx};
use crate::decode::{arrays, micros, text};
use crate::error::Fail;

/// The oldest proofs and the number of damages of a store.
const OVERVIEW: &str = "SELECT
        (SELECT coalesce(verified_at, completed_at) FROM blob_backends WHERE backend_id = $1 AND status = 'completed'
         ORDER BY coalesce(verified_at, completed_at) LIMIT 1) AS blob,
        (SELECT coalesce(verified_at, completed_at) FROM changeset_backends WHERE backend_id = $1 AND manifest = 'completed'
         ORDER BY coalesce(verified_at, completed_at) LIMIT 1) AS manifest,
        (SELECT count(*) FROM blob_backends WHERE damaged_at IS NOT NULL AND backend_id = $1)
            + (SELECT count(*) FROM changeset_backends WHERE damaged_at IS NOT NULL AND backend_id = $1) AS damaged";

/// Completed placements, locked in order, then changed as `$set` says.
macro_rules! blobs {
    ($set:literal) => {
        concat!(
            "WITH mine AS MATERIALIZED (SELECT s.blob_id, s.backend_id FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
                JOIN blob_backends s ON s.blob_id = j.blob AND s.backend_id = j.backend AND s.status = 'completed'
                ORDER BY s.blob_id, s.backend_id FOR NO KEY UPDATE OF s)
             UPDATE blob_backends s SET ",
            $set,
            " FROM mine WHERE s.blob_id = mine.blob_id AND s.backend_id = mine.backend_id"
        )
    };
}

/// The same for manifests.
macro_rules! manifests {
    ($set:literal) => {
        concat!(
            "WITH mine AS MATERIALIZED (SELECT s.changeset_id, s.backend_id FROM unnest($1::uuid[], $2::bigint[]) j (uuid, backend)
                JOIN changesets c ON c.uuid = j.uuid
                JOIN changeset_backends s ON s.changeset_id = c.id AND s.backend_id = j.backend AND s.manifest = 'completed'
                ORDER BY s.changeset_id, s.backend_id FOR NO KEY UPDATE OF s)
             UPDATE changeset_backends s SET ",
            $set,
            " FROM mine WHERE s.changeset_id = mine.changeset_id AND s.backend_id = mine.backend_id"
        )
    };
}

impl PostgresCatalog {
    pub(super) async fn begin_run(&self, run: &NewValidation) -> Result<Option<ValidationRun>, Fail> {
        let dataset = match &run.scope {
            Some((project, dataset)) => Some(self.dataset(project, dataset).await?.0),
            None => None,
        };
        let mut tx = self.begin().await?;
        if dataset.is_none() {
            let lapsed = sqlx::query(
                "UPDATE validations SET ended_at = n2s_now(), stopped = 'its process ended'
                 WHERE backend_id = $1 AND dataset_id IS NULL AND ended_at IS NULL AND lease_until <= n2s_now()",
            );
            lapsed.bind(run.backend.0).execute(&mut *tx).await?;
        }
        let made = sqlx::query(
            "INSERT INTO validations (backend_id, dataset_id, level, one_in, started_at, touched_at, lease_until)
             VALUES ($1, $2, $3, $4, n2s_now(), n2s_now(),
                CASE WHEN $2::bigint IS NULL THEN n2s_now() + $5::bigint * interval '1 microsecond' END)
             ON CONFLICT DO NOTHING RETURNING id, started_at",
        );
        let made =
            made.bind(run.backend.0).bind(dataset).bind(run.level.as_str()).bind(int(run.one_in.max(1)));
        let made = made.bind(micros(run.lease)).fetch_optional(&mut *tx).await?;
        tx.commit().await?;
        let begun =
            |row: PgRow| Ok(ValidationRun { id: row.int("id")?, started_at: row.time("started_at")? });
        made.map(begun).transpose()
    }

    pub(super) async fn keep_run(&self, run: ValidationRun) -> Result<Option<Timestamp>, Fail> {
        let mut tx = self.begin().await?;
        let alive = touch(&mut tx, run, (0, 0, 0)).await?;
        tx.commit().await?;
        Ok(alive)
    }

    pub(super) async fn end_run(&self, run: ValidationRun, end: &ValidationEnd) -> Result<(), Fail> {
        let query = sqlx::query(
            "UPDATE validations SET ended_at = n2s_now(), unchecked = $2, stopped = $3 WHERE id = $1 AND ended_at IS NULL",
        );
        self.run(query.bind(run.id).bind(int(end.unchecked)).bind(end.stopped.as_deref().map(text))).await
    }

    pub(super) async fn overview(&self, backend: BackendId) -> Result<ProofOverview, Fail> {
        let row = sqlx::query(OVERVIEW).bind(backend.0).fetch_one(&mut *self.link().await?).await?;
        let last = sqlx::query("SELECT * FROM validations WHERE backend_id = $1 ORDER BY id DESC LIMIT 1");
        let last = last.bind(backend.0).fetch_optional(&mut *self.link().await?).await?;
        validation::overview(&row, last.as_ref())
    }

    pub(super) async fn take_back(&self, copies: &[(Vouched, BackendId)]) -> Result<(), Fail> {
        let copies = Copies::new(copies.iter().copied());
        let (blobs, manifests) = (arrays(copies.blobs), arrays(copies.manifests));
        let mut tx = self.begin().await?;
        let doubted = sqlx::query(blobs!("seen_at = timestamptz 'epoch', verified_at = timestamptz 'epoch'"));
        doubted.bind(blobs.0).bind(blobs.1).execute(&mut *tx).await?;
        if !manifests.0.is_empty() {
            let doubted =
                sqlx::query(manifests!("seen_at = timestamptz 'epoch', verified_at = timestamptz 'epoch'"));
            doubted.bind(manifests.0).bind(manifests.1).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    pub(super) async fn prove(
        &self,
        run: ValidationRun,
        level: ProofLevel,
        proofs: &[Proof],
    ) -> Result<bool, Fail> {
        let copies = Copies::new(proofs.iter().map(|proof| (proof.object, proof.backend)));
        let (blobs, manifests) = (arrays(copies.blobs), arrays(copies.manifests));
        let bytes = proofs.iter().map(|proof| proof.bytes).sum();
        let mut tx = self.begin().await?;
        // A look at existence does not put off a reading; a reading is also a look.
        let proven = sqlx::query(blobs!(
            "seen_at = n2s_now(), verified_at = CASE WHEN $3 THEN n2s_now() ELSE verified_at END"
        ));
        let proven = proven.bind(blobs.0).bind(blobs.1).bind(level.reads_bytes());
        proven.execute(&mut *tx).await?;
        let proven = sqlx::query(manifests!(
            "seen_at = n2s_now(), verified_at = CASE WHEN $3 THEN n2s_now() ELSE verified_at END"
        ));
        let proven = proven.bind(manifests.0).bind(manifests.1).bind(level.reads_bytes());
        proven.execute(&mut *tx).await?;
        let alive = touch(&mut tx, run, (proofs.len() as u64, bytes, 0)).await?;
        tx.commit().await?;
        Ok(alive.is_some())
    }
}

/// Adds to a run's totals, extends its lease by as much as it had and tells the time. `None` when it has ended.
pub(super) async fn touch(
    tx: &mut Tx,
    run: ValidationRun,
    (checked, bytes, damaged): (u64, u64, u64),
) -> Result<Option<Timestamp>, Fail> {
    let touched = sqlx::query(
        "UPDATE validations SET checked = checked + $2, bytes = bytes + $3, damaged = damaged + $4,
            lease_until = lease_until - touched_at + n2s_now(), touched_at = n2s_now()
         WHERE id = $1 AND ended_at IS NULL RETURNING touched_at",
    );
    let touched = touched.bind(run.id).bind(int(checked)).bind(int(bytes)).bind(int(damaged));
    let touched = touched.fetch_optional(&mut **tx).await?;
    touched.map(|row| row.time("touched_at")).transpose()
}
