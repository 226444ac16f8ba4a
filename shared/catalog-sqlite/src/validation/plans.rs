//! What is asked for often costs what it returns: the plans say so.

use std::sync::Arc;

use n2s_domain::{SeededEntropy, SystemClock};
use sqlx::Row as _;

use super::{damage, due, pages, runs};
use crate::connect::SqliteCatalog;

async fn plan(catalog: &SqliteCatalog, sql: &str) -> String {
    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(sql).fetch_all(catalog.readers()).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn nothing_scans_history() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let catalog =
        SqliteCatalog::open(&path, Arc::new(SystemClock), Arc::new(SeededEntropy::new(1))).await.unwrap();
    let expected = [
        (due::BLOBS, "INDEX blob_backends_proof (backend_id=? AND <expr>>? AND <expr><?)"),
        (due::MANIFESTS, "INDEX changeset_backends_proof (backend_id=? AND <expr>>? AND <expr><?)"),
        (pages::FILES, "INDEX files_from (dataset_id=? AND from_version=? AND rowid>?)"),
        (pages::NEXT, "INDEX files_from (dataset_id=? AND from_version>?)"),
        (pages::GROUPS, "INDEX manifest_groups_dataset (dataset_id=? AND rowid>?)"),
        (pages::SINGLES, "INDEX files_blob (blob_id=? AND rowid<?)"),
        (pages::PIECES, "INDEX file_blobs_blob (blob_id=? AND file_id<?)"),
        (runs::OVERVIEW, "INDEX blob_backends_proof (backend_id=?)"),
        (damage::OPEN, "INDEX blob_backends_damaged"),
        (damage::OPEN, "INDEX changeset_backends_damaged"),
        (damage::OWNERS, "INDEX files_blob (blob_id=?)"),
    ];
    for (sql, wanted) in expected {
        let plan = plan(&catalog, sql).await;
        assert!(plan.contains(wanted), "no {wanted} in the plan of\n{sql}\n\n{plan}");
        let sorted = sql != damage::OPEN && sql != damage::OWNERS && plan.contains("FOR ORDER BY");
        assert!(!sorted, "it sorts:\n{sql}\n\n{plan}");
    }
}
