//! See `n2s_catalog::vaults`.

use async_trait::async_trait;
use n2s_catalog::rows::{Columns as _, vaults};
use n2s_catalog::{CatalogError, VaultObjects, Vaults};
use n2s_domain::VaultId;
use uuid::Uuid;

use crate::connect::PostgresCatalog;
use crate::error::{Fail, ask, transact};

#[async_trait]
impl Vaults for PostgresCatalog {
    async fn catalog_id(&self) -> Result<Uuid, CatalogError> {
        ask!(self, "read its own id", self.id())
    }

    async fn register_vault(&self, objects: &VaultObjects) -> Result<(), CatalogError> {
        transact!(self, "register a vault", self.register(objects))
    }

    async fn vault_objects(&self, vault: VaultId) -> Result<Option<VaultObjects>, CatalogError> {
        ask!(self, "read a vault's objects", self.objects(vault))
    }
}

impl PostgresCatalog {
    /// Whether a vault has been registered. A home that has lost its own must not make another over what was sealed with it.
    pub async fn knows_vaults(&self) -> Result<bool, CatalogError> {
        ask!(self, "look for vaults", self.any_vault())
    }

    /// The id of the staging that holds this catalog's blobs: `id` itself where there was none. A process with another one would take every staged
    /// blob for lost.
    pub async fn staging_id(&self, id: &str) -> Result<String, CatalogError> {
        transact!(self, "compare staging", self.keep_staging(id))
    }

    /// The same for a login that may only read: `None` where nobody has said yet which staging it is.
    pub async fn known_staging_id(&self) -> Result<Option<String>, CatalogError> {
        ask!(self, "compare staging", self.kept_staging())
    }

    async fn kept_staging(&self) -> Result<Option<String>, Fail> {
        let kept = sqlx::query("SELECT staging_id FROM catalog").fetch_one(&mut *self.link().await?).await?;
        kept.string_opt("staging_id")
    }

    async fn any_vault(&self) -> Result<bool, Fail> {
        let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM vaults) AS known")
            .fetch_one(&mut *self.link().await?)
            .await?;
        row.flag("known")
    }

    async fn keep_staging(&self, id: &str) -> Result<String, Fail> {
        if let Some(kept) = self.kept_staging().await? {
            return Ok(kept);
        }
        let sql = "UPDATE catalog SET staging_id = coalesce(staging_id, $1) RETURNING staging_id";
        sqlx::query(sql).bind(id).fetch_one(&mut *self.link().await?).await?.string("staging_id")
    }

    async fn id(&self) -> Result<Uuid, Fail> {
        let row = sqlx::query("SELECT catalog_id FROM catalog").fetch_one(&mut *self.link().await?).await?;
        row.uuid("catalog_id")
    }

    async fn register(&self, objects: &VaultObjects) -> Result<(), Fail> {
        let known = self.objects(objects.vault).await?;
        if known.is_some_and(|known| objects.epochs.iter().all(|epoch| known.epochs.contains(epoch))) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO vaults (vault_id, marker) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(objects.vault.0.to_vec())
            .bind(objects.marker.clone())
            .execute(&mut *tx)
            .await?;
        let (epochs, wrapped): (Vec<_>, Vec<_>) =
            objects.epochs.iter().map(|(epoch, object)| (i64::from(epoch.0), object.clone())).unzip();
        sqlx::query(
            "INSERT INTO vault_epochs (vault_id, epoch, object)
             SELECT $1, e.epoch, e.object FROM unnest($2::bigint[], $3::bytea[]) e (epoch, object) ORDER BY e.epoch
             ON CONFLICT DO NOTHING",
        )
        .bind(objects.vault.0.to_vec())
        .bind(epochs)
        .bind(wrapped)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    async fn objects(&self, vault: VaultId) -> Result<Option<VaultObjects>, Fail> {
        let found = sqlx::query("SELECT marker FROM vaults WHERE vault_id = $1")
            .bind(vault.0.to_vec())
            .fetch_optional(&mut *self.link().await?)
            .await?;
        let Some(found) = found else { return Ok(None) };
        let rows = sqlx::query("SELECT epoch, object FROM vault_epochs WHERE vault_id = $1 ORDER BY epoch")
            .bind(vault.0.to_vec())
            .fetch_all(&mut *self.link().await?)
            .await?;
        Ok(Some(vaults::objects(vault, &found, &rows)?))
    }
}
