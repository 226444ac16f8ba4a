//! The catalog's conformance suite against a file, with two handles on it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::Catalog;
use n2s_catalog::conformance::Bench;
use n2s_catalog_sqlite::SqliteCatalog;
use n2s_domain::{SeededEntropy, TestClock};

struct Sqlite {
    handles: [Arc<SqliteCatalog>; 2],
    clock: Arc<TestClock>,
    _dir: tempfile::TempDir,
}

#[async_trait]
impl Bench for Sqlite {
    fn catalog(&self) -> Arc<dyn Catalog> {
        self.handles[0].clone()
    }

    fn second(&self) -> Arc<dyn Catalog> {
        self.handles[1].clone()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

async fn open() -> Sqlite {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let path = dir.path().join("catalog.db");
    let handle = || async {
        let entropy = Arc::new(SeededEntropy::new(1));
        Arc::new(SqliteCatalog::open(&path, clock.clone(), entropy).await.unwrap())
    };
    let handles = [handle().await, handle().await];
    Sqlite { handles, clock, _dir: dir }
}

n2s_catalog::catalog_conformance!(open());
