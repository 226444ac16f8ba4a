//! Stepping over versions that an older copy of this catalog knew.

use n2s_catalog::rows::{Columns as _, int};
use n2s_catalog::{StepOver, SteppedOver};

use super::open::{dataset, project};
use crate::connect::{SqliteCatalog, begin};
use crate::error::Fail;

impl SqliteCatalog {
    pub(super) async fn raise(&self, past: &StepOver) -> Result<SteppedOver, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let project = project(&mut tx, (&past.project, past.vault), now).await?;
        let dataset = dataset(&mut tx, project, (&past.dataset, past.store_key), now).await?;
        let next = sqlx::query("SELECT next_version FROM datasets WHERE id = ?");
        let from = next.bind(dataset).fetch_one(&mut *tx).await?.version("next_version")?;
        let row = sqlx::query(
            "UPDATE datasets SET next_version = max(next_version, ?2 + 1) WHERE id = ?1 RETURNING next_version",
        );
        let row = row.bind(dataset).bind(int(past.latest.0)).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(SteppedOver { from, to: row.version("next_version")? })
    }
}
