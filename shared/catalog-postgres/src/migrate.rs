//! The schema's versions.

use n2s_catalog::CatalogError;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::error::{At as _, Fail};
use crate::options::PostgresOptions;

/// Every migration, in order. Never edit one that has been released: expand, then contract.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_catalog.sql"),
    include_str!("../../../migrations/postgres/0002_validation.sql"),
    include_str!("../../../migrations/postgres/0003_api_tokens.sql"),
    include_str!("../../../migrations/postgres/0004_held_jobs.sql"),
];

/// Grants; run after every migration.
const ROLES: &str = include_str!("../../../migrations/postgres/worker_role.sql");

/// The version this program works with.
pub(crate) const KNOWN: i64 = 4;

/// The advisory lock of migrations: "n2s" and a number.
const LOCK: i64 = 0x6e32_7300_0000_0001;

/// Brings the database's schema to this program's version and answers from which version to which. Several at once wait for each other. Refuses
/// a schema that a newer n2s has migrated. Safe to repeat; repeats the grants of `n2s_worker`.
pub async fn migrate(options: &PostgresOptions) -> Result<(i64, i64), CatalogError> {
    let connection = options.connection()?;
    let mut connection =
        PgConnection::connect_with(&connection).await.map_err(Fail::from).at("connect to migrate")?;
    let done = locked(&mut connection).await.at("migrate the catalog");
    // The lock goes with the connection; a failure to say goodbye changes nothing.
    let _ = connection.close().await;
    done
}

async fn locked(connection: &mut PgConnection) -> Result<(i64, i64), Fail> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    let found = check(connection).await?;
    if found > KNOWN {
        let advice = "use the newer n2s that migrated it";
        return Err(CatalogError::Schema { found, known: KNOWN, advice }.into());
    }
    let mut tx = connection.begin().await?;
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        sqlx::raw_sql(*migration).execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO catalog (one, schema_version) VALUES (1, $1)
         ON CONFLICT (one) DO UPDATE SET schema_version = excluded.schema_version",
    )
    .bind(i32::try_from(KNOWN).expect("migrations are few"))
    .execute(&mut *tx)
    .await?;
    sqlx::raw_sql(ROLES).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok((found, KNOWN))
}

/// The schema's version; zero for a database without one.
pub(crate) async fn check(connection: &mut PgConnection) -> Result<i64, Fail> {
    let there =
        sqlx::query("SELECT to_regclass('catalog') IS NOT NULL AS there").fetch_one(&mut *connection).await?;
    if !there.try_get::<bool, _>("there")? {
        return Ok(0);
    }
    let row = sqlx::query("SELECT schema_version FROM catalog").fetch_optional(&mut *connection).await?;
    Ok(row.map(|row| row.try_get::<i32, _>(0)).transpose()?.map_or(0, i64::from))
}
