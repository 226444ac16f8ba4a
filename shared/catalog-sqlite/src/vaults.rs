//! See `n2s_catalog::vaults`.

use async_trait::async_trait;
use n2s_catalog::rows::{Columns as _, vaults};
use n2s_catalog::{CatalogError, VaultObjects, Vaults};
use n2s_domain::VaultId;
use n2s_failpoints::Point;
use uuid::Uuid;

use crate::connect::{SqliteCatalog, begin, commit};
use crate::error::{Fail, ask};

#[async_trait]
impl Vaults for SqliteCatalog {
    async fn catalog_id(&self) -> Result<Uuid, CatalogError> {
        ask!("read its own id", self.id())
    }

    async fn register_vault(&self, objects: &VaultObjects) -> Result<(), CatalogError> {
        ask!("register a vault", self.register(objects))
    }

    async fn vault_objects(&self, vault: VaultId) -> Result<Option<VaultObjects>, CatalogError> {
        ask!("read a vault's objects", self.objects(vault))
    }
}

impl SqliteCatalog {
    async fn id(&self) -> Result<Uuid, Fail> {
        let row = sqlx::query("SELECT catalog_id FROM catalog").fetch_one(self.readers()).await?;
        row.uuid("catalog_id")
    }

    async fn register(&self, objects: &VaultObjects) -> Result<(), Fail> {
        let known = self.objects(objects.vault).await?;
        if known.is_some_and(|known| objects.epochs.iter().all(|epoch| known.epochs.contains(epoch))) {
            return Ok(());
        }
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        sqlx::query(
            "INSERT INTO vaults (vault_id, marker, registered_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(objects.vault.0.to_vec())
        .bind(objects.marker.clone())
        .bind(now)
        .execute(&mut *tx)
        .await?;
        for (epoch, object) in &objects.epochs {
            sqlx::query(
                "INSERT INTO vault_epochs (vault_id, epoch, object, registered_at) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
            )
            .bind(objects.vault.0.to_vec())
            .bind(i64::from(epoch.0))
            .bind(object.clone())
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        commit(tx, Point::VaultRegistered).await
    }

    async fn objects(&self, vault: VaultId) -> Result<Option<VaultObjects>, Fail> {
        let found = sqlx::query("SELECT marker FROM vaults WHERE vault_id = ?")
            .bind(vault.0.to_vec())
            .fetch_optional(self.readers())
            .await?;
        let Some(found) = found else { return Ok(None) };
        let rows = sqlx::query("SELECT epoch, object FROM vault_epochs WHERE vault_id = ? ORDER BY epoch")
            .bind(vault.0.to_vec())
            .fetch_all(self.readers())
            .await?;
        Ok(Some(vaults::objects(vault, &found, &rows)?))
    }
}
