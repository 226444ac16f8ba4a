//! See `n2s_catalog::backends`.

use async_trait::async_trait;
use n2s_catalog::rows::backends;
use n2s_catalog::{
    BackendRecord, BackendTally, Backends, CatalogError, HealthReport, LANE_KEPT, LANE_SILENCE_MAX,
    LaneRecord, LaneReport,
};
use n2s_domain::{BackendId, BackendName, Epoch, Timestamp, VaultId};

use crate::connect::SqliteCatalog;
use crate::error::{Fail, ask};

#[async_trait]
impl Backends for SqliteCatalog {
    async fn ensure_backends(
        &self,
        configured: &[(BackendName, String)],
    ) -> Result<Vec<BackendRecord>, CatalogError> {
        ask!("record the configured backends", self.ensure(configured))
    }

    async fn backends(&self) -> Result<Vec<(BackendRecord, BackendTally)>, CatalogError> {
        ask!("list backends", self.all_backends())
    }

    async fn set_initialised(&self, backend: BackendId, vault: VaultId) -> Result<(), CatalogError> {
        let sql =
            "UPDATE backends SET initialised_at = ?, vault_id = ? WHERE id = ? AND initialised_at IS NULL";
        let query = sqlx::query(sql).bind(self.now()).bind(vault.0.to_vec()).bind(backend.0);
        ask!("note that a store is initialised", self.run(query))
    }

    async fn placed_epochs(&self, backend: BackendId) -> Result<Vec<Epoch>, CatalogError> {
        ask!("read which keys a store has", self.epochs_on(backend))
    }

    async fn epoch_placed(&self, backend: BackendId, epoch: Epoch) -> Result<(), CatalogError> {
        let sql = "INSERT INTO backend_epochs (backend_id, epoch, placed_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql).bind(backend.0).bind(i64::from(epoch.0)).bind(self.now());
        ask!("note that a key is on a store", self.run(query))
    }

    async fn pause(&self, backend: BackendId, by_operator: bool, reason: &str) -> Result<(), CatalogError> {
        let by = if by_operator { "operator" } else { "health" };
        let query = sqlx::query(
            "UPDATE backends SET pause_reason = ?1, paused_at = CASE WHEN paused_by IS ?2 THEN paused_at ELSE ?3 END,
                paused_by = ?2
             WHERE id = ?4 AND (?2 = 'operator' OR paused_by IS NOT 'operator')",
        );
        let query = query.bind(reason.to_owned()).bind(by).bind(self.now()).bind(backend.0);
        ask!("pause a backend", self.run(query))
    }

    async fn resume(&self, backend: BackendId, by_operator: bool) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "UPDATE backends SET paused_by = NULL, pause_reason = NULL, paused_at = NULL, open_since = NULL, probe_at = NULL
             WHERE id = ? AND (? OR paused_by = 'health')",
        );
        ask!("resume a backend", self.run(query.bind(backend.0).bind(by_operator)))
    }

    async fn report_health(&self, backend: BackendId, report: &HealthReport) -> Result<(), CatalogError> {
        let now = self.now();
        let probe_at = report.open_for.map(|wait| Timestamp::from_micros(now).after(wait).as_micros());
        let (kind, message) =
            report.error.clone().map_or((None, None), |(kind, text)| (Some(kind.as_str()), Some(text)));
        let query = sqlx::query(
            "UPDATE backends SET
                open_since = CASE WHEN ?1 IS NULL THEN NULL ELSE coalesce(open_since, ?2) END, probe_at = ?1,
                error_kind = coalesce(?3, error_kind), error_message = coalesce(?4, error_message),
                error_at = CASE WHEN ?3 IS NULL THEN error_at ELSE ?2 END,
                success_at = CASE WHEN ?5 THEN ?2 ELSE success_at END, concurrency = coalesce(?6, concurrency)
             WHERE id = ?7",
        );
        let query = query.bind(probe_at).bind(now).bind(kind).bind(message).bind(report.success);
        ask!(
            "record a store's health",
            self.run(query.bind(report.concurrency.map(i64::from)).bind(backend.0))
        )
    }

    async fn report_lane(&self, backend: BackendId, report: &LaneReport) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO lanes (backend_id, worker, joined_at, draining_at, reported_at, allowed, in_flight, why, decided_at)
             VALUES (?1, ?2, ?7, iif(?3, ?7, NULL), ?7, ?4, ?5, ?6, ?7)
             ON CONFLICT (backend_id, worker) DO UPDATE SET draining_at = iif(?3, coalesce(draining_at, ?7), NULL),
                reported_at = ?7, allowed = ?4, in_flight = ?5, why = ?6, decided_at = iif(why = ?6, decided_at, ?7)",
        );
        let query = query.bind(backend.0).bind(report.worker.clone()).bind(report.draining);
        let query = query.bind(i64::from(report.limit)).bind(i64::from(report.in_flight));
        ask!("record what a worker does", self.run(query.bind(report.why.clone()).bind(self.now())))
    }

    async fn forget_lanes(&self, worker: &str) -> Result<(), CatalogError> {
        let silent = Timestamp::from_micros(self.now()).before(LANE_KEPT).as_micros();
        let query = sqlx::query("DELETE FROM lanes WHERE worker = ? OR reported_at < ?");
        ask!("forget a worker", self.run(query.bind(worker.to_owned()).bind(silent)))
    }

    async fn lanes(&self) -> Result<Vec<LaneRecord>, CatalogError> {
        ask!("list workers", self.live_lanes())
    }
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl SqliteCatalog {
    /// One statement is one transaction.
    pub(crate) async fn run(&self, query: Statement<'_>) -> Result<(), Fail> {
        let mut writer = self.writer().await;
        query.execute(&mut *writer).await?;
        Ok(())
    }

    async fn ensure(&self, configured: &[(BackendName, String)]) -> Result<Vec<BackendRecord>, Fail> {
        let known = self.all_backends().await?;
        let missing = configured.iter().filter(|(name, _)| !known.iter().any(|(row, _)| row.name == *name));
        for (name, kind) in missing {
            let sql = "INSERT INTO backends (name, kind, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
            self.run(sqlx::query(sql).bind(name.to_string()).bind(kind.clone()).bind(self.now())).await?;
        }
        let rows = self.all_backends().await?;
        Ok(backends::in_order(configured, &rows))
    }

    async fn all_backends(&self) -> Result<Vec<(BackendRecord, BackendTally)>, Fail> {
        let rows = sqlx::query("SELECT * FROM backends ORDER BY name").fetch_all(self.readers()).await?;
        rows.iter().map(backends::backend).collect()
    }

    async fn live_lanes(&self) -> Result<Vec<LaneRecord>, Fail> {
        let since = Timestamp::from_micros(self.now()).before(LANE_SILENCE_MAX).as_micros();
        let rows = sqlx::query("SELECT * FROM lanes WHERE reported_at >= ? ORDER BY backend_id, worker");
        let rows = rows.bind(since).fetch_all(self.readers()).await?;
        rows.iter().map(backends::lane).collect()
    }

    async fn epochs_on(&self, backend: BackendId) -> Result<Vec<Epoch>, Fail> {
        let rows = sqlx::query("SELECT epoch FROM backend_epochs WHERE backend_id = ? ORDER BY epoch")
            .bind(backend.0)
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(backends::epoch).collect()
    }
}
