//! See `n2s_catalog::validation`.

mod damage;
mod due;
mod pages;
mod runs;
mod targets;

use async_trait::async_trait;
use n2s_catalog::{
    Affected, CatalogError, Damage, DamageRecord, DamageScope, DatasetScope, NewValidation, Proof,
    ProofOverview, ProofPage, ProofTarget, Validation, ValidationEnd, ValidationRun, Vouched,
};
use n2s_domain::{BackendId, BlobId, ProofLevel, Timestamp};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::connect::PostgresCatalog;
use crate::decode::{col, count, time};
use crate::error::{At as _, Fail, transact};

#[async_trait]
impl Validation for PostgresCatalog {
    async fn begin_validation(&self, run: &NewValidation) -> Result<Option<ValidationRun>, CatalogError> {
        transact!("begin a validation", self.begin_run(run))
    }

    async fn keep_validation(&self, run: ValidationRun) -> Result<Option<Timestamp>, CatalogError> {
        transact!("go on with a validation", self.keep_run(run))
    }

    async fn end_validation(&self, run: ValidationRun, end: &ValidationEnd) -> Result<(), CatalogError> {
        transact!("end a validation", self.end_run(run, end))
    }

    async fn dataset_proofs(
        &self,
        scope: &DatasetScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError> {
        self.dataset_page(scope, after, limit).await.at("read a dataset's proofs")
    }

    async fn oldest_proofs(
        &self,
        backend: BackendId,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError> {
        self.due_page(backend, before, after, limit).await.at("read a store's oldest proofs")
    }

    async fn proof_targets(&self, proofs: &[Proof]) -> Result<Vec<Option<ProofTarget>>, CatalogError> {
        self.targets(proofs).await.at("read what is to be proven")
    }

    async fn record_proofs(
        &self,
        run: ValidationRun,
        level: ProofLevel,
        proofs: &[Proof],
    ) -> Result<bool, CatalogError> {
        transact!("record proofs", self.prove(run, level, proofs))
    }

    async fn doubt(&self, copies: &[(Vouched, BackendId)]) -> Result<(), CatalogError> {
        transact!("doubt copies", self.take_back(copies))
    }

    async fn record_damage(
        &self,
        run: Option<ValidationRun>,
        damages: &[Damage],
    ) -> Result<Vec<bool>, CatalogError> {
        transact!("record damage", self.mark_damaged(run, damages))
    }

    async fn affected(&self, object: Vouched, limit: u32) -> Result<Vec<Affected>, CatalogError> {
        self.who_needs(object, limit).await.at("look for what damage concerns")
    }

    async fn damages(&self, scope: &DamageScope, limit: u32) -> Result<Vec<DamageRecord>, CatalogError> {
        self.open_damages(scope, limit).await.at("list damage")
    }

    async fn proof_overview(&self, backend: BackendId) -> Result<ProofOverview, CatalogError> {
        self.overview(backend).await.at("look how well a store is proven")
    }
}

/// Copies as bulk parameters: blobs and their stores, manifests' changesets and theirs.
#[derive(Default)]
struct Copies {
    blobs: (Vec<i64>, Vec<i64>),
    manifests: (Vec<Uuid>, Vec<i64>),
}

impl Copies {
    /// In order, for the locks that follow.
    fn new(copies: impl Iterator<Item = (Vouched, BackendId)>) -> Self {
        let mut sorted: Vec<_> = copies.collect();
        sorted.sort_unstable();
        let mut found = Self::default();
        for (object, backend) in sorted {
            match object {
                Vouched::Blob(blob) => {
                    found.blobs.0.push(blob.0);
                    found.blobs.1.push(backend.0);
                }
                Vouched::Manifest(changeset) => {
                    found.manifests.0.push(changeset.0);
                    found.manifests.1.push(backend.0);
                }
            }
        }
        found
    }
}

/// A row of `blob_id, backend_id, encrypted_size, proven_at`.
fn blob_proof(row: &PgRow) -> Result<Proof, Fail> {
    Ok(Proof {
        proven_at: time(row, "proven_at")?,
        object: Vouched::Blob(BlobId(col(row, "blob_id")?)),
        backend: BackendId(col(row, "backend_id")?),
        bytes: count(row, "encrypted_size")?,
    })
}

/// A row of `uuid, backend_id, bytes, proven_at`.
fn manifest_proof(row: &PgRow) -> Result<Proof, Fail> {
    Ok(Proof {
        proven_at: time(row, "proven_at")?,
        object: Vouched::Manifest(changeset(row)?),
        backend: BackendId(col(row, "backend_id")?),
        bytes: count(row, "bytes")?,
    })
}

fn changeset(row: &PgRow) -> Result<n2s_domain::ChangesetId, Fail> {
    Ok(n2s_domain::ChangesetId(col(row, "uuid")?))
}
