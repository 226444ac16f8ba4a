//! Whether intake can do its work.

use bytes::Bytes;

use crate::Intake;

/// What is written to staging to see whether it can be.
const PROBE: &[u8] = b"n2s asks whether staging can be written";

impl Intake {
    /// Whether requests can be served: the catalog answers, with a schema this program knows, and staging can be written.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        self.catalog.catalog_id().await?;
        let key = self.staging_key(n2s_envelope::sealed_hash(PROBE));
        let written = self.staging.put(vec![(key, Bytes::from_static(PROBE))]).await;
        // Should it stay, it is an orphan for the sweeper.
        drop(self.staging.delete(&[key]).await);
        written.into_iter().collect::<Result<(), _>>()?;
        Ok(())
    }
}
