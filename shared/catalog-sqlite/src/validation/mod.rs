//! See `n2s_catalog::validation`.

mod damage;
mod due;
mod pages;
#[cfg(test)]
mod plans;
mod runs;
mod targets;

use async_trait::async_trait;
use n2s_catalog::{
    Affected, CatalogError, Damage, DamageRecord, DamageScope, DatasetScope, NewValidation, Proof,
    ProofOverview, ProofPage, ProofTarget, Validation, ValidationEnd, ValidationRun, Vouched,
};
use n2s_domain::{BackendId, ProofLevel, Timestamp};

use crate::connect::SqliteCatalog;
use crate::error::At as _;

#[async_trait]
impl Validation for SqliteCatalog {
    async fn begin_validation(&self, run: &NewValidation) -> Result<Option<ValidationRun>, CatalogError> {
        self.begin_run(run).await.at("begin a validation")
    }

    async fn keep_validation(&self, run: ValidationRun) -> Result<Option<Timestamp>, CatalogError> {
        self.keep_run(run).await.at("go on with a validation")
    }

    async fn end_validation(&self, run: ValidationRun, end: &ValidationEnd) -> Result<(), CatalogError> {
        self.end_run(run, end).await.at("end a validation")
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
        self.prove(run, level, proofs).await.at("record proofs")
    }

    async fn doubt(&self, copies: &[(Vouched, BackendId)]) -> Result<(), CatalogError> {
        self.take_back(copies).await.at("doubt copies")
    }

    async fn record_damage(
        &self,
        run: Option<ValidationRun>,
        damages: &[Damage],
    ) -> Result<Vec<bool>, CatalogError> {
        self.mark_damaged(run, damages).await.at("record damage")
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
