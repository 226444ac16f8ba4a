//! The schema's versions.
//!
//! A fleet is upgraded while it works: migrate with the new program, then replace the processes. For as long as that takes, processes of the
//! former release work with the new schema, so a release only adds to it; what it takes away goes in the next one. The database says which
//! programs may still open it (`usable_from`). Rejected: one number that has to be equal, with which a process of the former release that
//! is started anew in the middle of an upgrade (a crash, a drained machine) stays down until its turn comes.

use n2s_catalog::CatalogError;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::error::{At as _, Fail};
use crate::leader::soon;
use crate::options::PostgresOptions;

/// Every migration, in order. Never edit one that has been released: expand, then contract.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_catalog.sql"),
    include_str!("../../../migrations/postgres/0002_validation.sql"),
    include_str!("../../../migrations/postgres/0003_api_tokens.sql"),
    include_str!("../../../migrations/postgres/0004_lanes.sql"),
    include_str!("../../../migrations/postgres/0005_held_jobs.sql"),
    include_str!("../../../migrations/postgres/0006_failures.sql"),
];

/// Grants; run after every migration.
const ROLES: &str = include_str!("../../../migrations/postgres/worker_role.sql");

/// The version this program works with.
pub(crate) const KNOWN: i64 = 6;

/// The oldest program, by the version it knows, that works with the schema as this program leaves it. Raised by a migration that takes
/// something away, and never to more than what the release before knows.
const USABLE_FROM: i64 = 4;

/// What a database says of its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Zero where there is none.
    pub version: i64,
    usable_from: i64,
}

impl Schema {
    /// Why this program cannot work with it, if it cannot.
    pub(crate) fn refusal(self) -> Option<CatalogError> {
        let advice = match self.version {
            version if version < KNOWN => "run `n2s migrate` with this n2s",
            KNOWN => return None,
            _ if self.usable_from <= KNOWN => return None,
            _ => "use the newer n2s that migrated it",
        };
        Some(CatalogError::Schema { found: self.version, known: KNOWN, advice })
    }
}

/// The advisory lock of migrations: "n2s" and a number.
const LOCK: i64 = 0x6e32_7300_0000_0001;

/// Brings the database's schema to this program's version and answers from which version to which. Several at once wait for each other. Refuses
/// a schema that a newer n2s has migrated. Safe to repeat; repeats the grants of `n2s_worker`.
pub async fn migrate(options: &PostgresOptions) -> Result<(i64, i64), CatalogError> {
    let options = options.connection()?;
    let connect = async { Ok(PgConnection::connect_with(&options).await?) };
    let mut connection = soon(connect).await.at("connect to migrate")?;
    let done = locked(&mut connection).await.at("migrate the catalog");
    // The lock goes with the connection; a failure to say goodbye changes nothing.
    let _ = connection.close().await;
    done
}

async fn locked(connection: &mut PgConnection) -> Result<(i64, i64), Fail> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    let found = check(connection).await?.version;
    if found > KNOWN {
        let advice = "use the newer n2s that migrated it";
        return Err(CatalogError::Schema { found, known: KNOWN, advice }.into());
    }
    let mut tx = connection.begin().await?;
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        sqlx::raw_sql(*migration).execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO catalog (one, schema_version, usable_from) VALUES (1, $1, $2)
         ON CONFLICT (one) DO UPDATE SET schema_version = excluded.schema_version, usable_from = excluded.usable_from",
    )
    .bind(i32::try_from(KNOWN).expect("migrations are few"))
    .bind(i32::try_from(USABLE_FROM).expect("migrations are few"))
    .execute(&mut *tx)
    .await?;
    sqlx::raw_sql(ROLES).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok((found, KNOWN))
}

/// The schema's version.
pub(crate) async fn check(connection: &mut PgConnection) -> Result<Schema, Fail> {
    let there =
        sqlx::query("SELECT to_regclass('catalog') IS NOT NULL AS there").fetch_one(&mut *connection).await?;
    if !there.try_get::<bool, _>("there")? {
        return Ok(Schema { version: 0, usable_from: 0 });
    }
    // Through JSON, because the first schemas have no such column, and no older program may open theirs.
    let sql = "SELECT schema_version, coalesce((to_jsonb(c) ->> 'usable_from')::integer, schema_version) FROM catalog c";
    let Some(row) = sqlx::query(sql).fetch_optional(&mut *connection).await? else {
        return Ok(Schema { version: 0, usable_from: 0 });
    };
    Ok(Schema { version: row.try_get::<i32, _>(0)?.into(), usable_from: row.try_get::<i32, _>(1)?.into() })
}
