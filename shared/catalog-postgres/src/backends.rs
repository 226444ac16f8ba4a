//! See `n2s_catalog::backends`. Totals are a folded part in the store's row and what has been appended since.

use async_trait::async_trait;
use n2s_catalog::rows::backends;
use n2s_catalog::{
    BackendRecord, BackendTally, Backends, CatalogError, HealthReport, LANE_KEPT, LANE_SILENCE_MAX,
    LaneRecord, LaneReport,
};
use n2s_domain::{BackendId, BackendName, Epoch, VaultId};

use crate::connect::PostgresCatalog;
use crate::decode::{micros, text};
use crate::error::{Fail, ask, transact};

#[async_trait]
impl Backends for PostgresCatalog {
    async fn ensure_backends(
        &self,
        configured: &[(BackendName, String)],
    ) -> Result<Vec<BackendRecord>, CatalogError> {
        transact!(self, "record the configured backends", self.ensure(configured))
    }

    async fn backends(&self) -> Result<Vec<(BackendRecord, BackendTally)>, CatalogError> {
        ask!(self, "list backends", self.all_backends())
    }

    async fn set_initialised(&self, backend: BackendId, vault: VaultId) -> Result<(), CatalogError> {
        let sql = "UPDATE backends SET initialised_at = n2s_now(), vault_id = $1 WHERE id = $2 AND initialised_at IS NULL";
        let query = || sqlx::query(sql).bind(vault.0.to_vec()).bind(backend.0);
        transact!(self, "note that a store is initialised", self.run(query()))
    }

    async fn placed_epochs(&self, backend: BackendId) -> Result<Vec<Epoch>, CatalogError> {
        ask!(self, "read which keys a store has", self.epochs_on(backend))
    }

    async fn epoch_placed(&self, backend: BackendId, epoch: Epoch) -> Result<(), CatalogError> {
        let sql = "INSERT INTO backend_epochs (backend_id, epoch) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let query = || sqlx::query(sql).bind(backend.0).bind(i64::from(epoch.0));
        transact!(self, "note that a key is on a store", self.run(query()))
    }

    async fn pause(&self, backend: BackendId, by_operator: bool, reason: &str) -> Result<(), CatalogError> {
        let by = if by_operator { "operator" } else { "health" };
        let sql = "UPDATE backends SET pause_reason = $1,
                paused_at = CASE WHEN paused_by IS NOT DISTINCT FROM $2 THEN paused_at ELSE n2s_now() END, paused_by = $2
             WHERE id = $3 AND ($2 = 'operator' OR paused_by IS DISTINCT FROM 'operator')";
        let query = || sqlx::query(sql).bind(text(reason)).bind(by).bind(backend.0);
        transact!(self, "pause a backend", self.run(query()))
    }

    async fn resume(&self, backend: BackendId, by_operator: bool) -> Result<(), CatalogError> {
        let sql = "UPDATE backends SET paused_by = NULL, pause_reason = NULL, paused_at = NULL, open_since = NULL, probe_at = NULL
             WHERE id = $1 AND ($2 OR paused_by = 'health')";
        let query = || sqlx::query(sql).bind(backend.0).bind(by_operator);
        transact!(self, "resume a backend", self.run(query()))
    }

    async fn report_health(&self, backend: BackendId, report: &HealthReport) -> Result<(), CatalogError> {
        let sql = "UPDATE backends SET
                open_since = CASE WHEN $1::bigint IS NULL THEN NULL ELSE coalesce(open_since, n2s_now()) END,
                probe_at = n2s_now() + $1::bigint * interval '1 microsecond',
                error_kind = coalesce($2, error_kind), error_message = coalesce($3, error_message),
                error_at = CASE WHEN $2::text IS NULL THEN error_at ELSE n2s_now() END,
                success_at = CASE WHEN $4 THEN n2s_now() ELSE success_at END, concurrency = coalesce($5, concurrency)
             WHERE id = $6";
        let query = || {
            let (kind, message) = report
                .error
                .as_ref()
                .map_or((None, None), |(kind, words)| (Some(kind.as_str()), Some(text(words))));
            let query = sqlx::query(sql).bind(report.open_for.map(micros)).bind(kind).bind(message);
            query.bind(report.success).bind(report.concurrency.map(i64::from)).bind(backend.0)
        };
        transact!(self, "record a store's health", self.run(query()))
    }

    async fn report_lane(&self, backend: BackendId, report: &LaneReport) -> Result<(), CatalogError> {
        let sql = "INSERT INTO lanes AS l (backend_id, worker, joined_at, draining_at, reported_at, allowed, in_flight, why, decided_at)
             VALUES ($1, $2, n2s_now(), CASE WHEN $3 THEN n2s_now() END, n2s_now(), $4, $5, $6, n2s_now())
             ON CONFLICT (backend_id, worker) DO UPDATE SET
                draining_at = CASE WHEN $3 THEN coalesce(l.draining_at, n2s_now()) END, reported_at = n2s_now(),
                allowed = $4, in_flight = $5, why = $6,
                decided_at = CASE WHEN l.why = $6 THEN l.decided_at ELSE n2s_now() END";
        let query = || {
            let query = sqlx::query(sql).bind(backend.0).bind(text(&report.worker)).bind(report.draining);
            query.bind(i64::from(report.limit)).bind(i64::from(report.in_flight)).bind(text(&report.why))
        };
        transact!(self, "record what a worker does", self.run(query()))
    }

    async fn forget_lanes(&self, worker: &str) -> Result<(), CatalogError> {
        let sql = "DELETE FROM lanes WHERE worker = $1 OR reported_at < n2s_now() - $2::bigint * interval '1 microsecond'";
        let query = || sqlx::query(sql).bind(text(worker)).bind(micros(LANE_KEPT));
        transact!(self, "forget a worker", self.run(query()))
    }

    async fn lanes(&self) -> Result<Vec<LaneRecord>, CatalogError> {
        ask!(self, "list workers", self.live_lanes())
    }
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl PostgresCatalog {
    /// One statement is one transaction.
    pub(crate) async fn run(&self, query: Statement<'_>) -> Result<(), Fail> {
        query.execute(&mut *self.link().await?).await?;
        Ok(())
    }

    async fn ensure(&self, configured: &[(BackendName, String)]) -> Result<Vec<BackendRecord>, Fail> {
        let known = self.all_backends().await?;
        let missing = configured.iter().filter(|(name, _)| !known.iter().any(|(row, _)| row.name == *name));
        for (name, kind) in missing {
            let sql = "INSERT INTO backends (name, kind) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.run(sqlx::query(sql).bind(name.to_string()).bind(kind.clone())).await?;
        }
        let rows = self.all_backends().await?;
        Ok(backends::in_order(configured, &rows))
    }

    async fn all_backends(&self) -> Result<Vec<(BackendRecord, BackendTally)>, Fail> {
        let rows = sqlx::query(
            "SELECT b.id, b.name, b.kind, b.created_at, b.initialised_at, b.vault_id, b.paused_by, b.pause_reason, b.paused_at,
                b.open_since, b.probe_at, b.error_kind, b.error_message, b.error_at, b.success_at, b.concurrency,
                t.pending, t.completed, t.failed, t.bytes
             FROM backends b JOIN backend_totals t ON t.backend_id = b.id ORDER BY b.name",
        );
        let rows = rows.fetch_all(&mut *self.link().await?).await?;
        rows.iter().map(backends::backend).collect()
    }

    async fn live_lanes(&self) -> Result<Vec<LaneRecord>, Fail> {
        let rows = sqlx::query(
            "SELECT * FROM lanes WHERE reported_at >= n2s_now() - $1::bigint * interval '1 microsecond'
             ORDER BY backend_id, worker",
        );
        let rows = rows.bind(micros(LANE_SILENCE_MAX)).fetch_all(&mut *self.link().await?).await?;
        rows.iter().map(backends::lane).collect()
    }

    async fn epochs_on(&self, backend: BackendId) -> Result<Vec<Epoch>, Fail> {
        let rows = sqlx::query("SELECT epoch FROM backend_epochs WHERE backend_id = $1 ORDER BY epoch")
            .bind(backend.0)
            .fetch_all(&mut *self.link().await?)
            .await?;
        rows.iter().map(backends::epoch).collect()
    }
}
