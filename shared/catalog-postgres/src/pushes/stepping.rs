//! Stepping over versions that an older copy of this catalog knew.

use n2s_catalog::rows::{Columns as _, int};
use n2s_catalog::{StepOver, SteppedOver};

use super::open::{dataset, project};
use crate::connect::PostgresCatalog;
use crate::error::Fail;

impl PostgresCatalog {
    pub(super) async fn raise(&self, past: &StepOver) -> Result<SteppedOver, Fail> {
        let mut tx = self.begin().await?;
        let project = project(&mut tx, (&past.project, past.vault)).await?;
        let dataset = dataset(&mut tx, project, (&past.dataset, past.store_key)).await?;
        let row = sqlx::query(
            "UPDATE datasets d SET next_version = greatest(d.next_version, $2 + 1) FROM datasets before
             WHERE d.id = $1 AND before.id = d.id RETURNING before.next_version AS former, d.next_version AS next",
        );
        let row = row.bind(dataset).bind(int(past.latest.0)).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(SteppedOver { from: row.version("former")?, to: row.version("next")? })
    }
}
