//! The catalog's conformance suite against a server, with two pools on one database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::Catalog;
use n2s_catalog::conformance::Bench;
use n2s_catalog_postgres::{PostgresCatalog, PostgresOptions, migrate};
use n2s_servers::Postgres;

struct Fleet {
    handles: [Arc<PostgresCatalog>; 2],
    offset: Arc<AtomicI64>,
}

#[async_trait]
impl Bench for Fleet {
    fn catalog(&self) -> Arc<dyn Catalog> {
        self.handles[0].clone()
    }

    fn second(&self) -> Arc<dyn Catalog> {
        self.handles[1].clone()
    }

    async fn advance(&self, by: Duration) {
        self.offset.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

async fn open() -> Fleet {
    let offset = Arc::new(AtomicI64::new(0));
    let make = async |url| assert_eq!(migrate(&PostgresOptions::new(url)).await.unwrap().0, 0);
    let url = Postgres::shared().database_like("n2s_pattern", make).await;
    let options =
        PostgresOptions { clock_offset: Some(offset.clone()), pool_size: 4, ..PostgresOptions::new(url) };
    let handle = || async { Arc::new(PostgresCatalog::open(&options).await.unwrap()) };
    Fleet { handles: [handle().await, handle().await], offset }
}

n2s_catalog::catalog_conformance!(open());
