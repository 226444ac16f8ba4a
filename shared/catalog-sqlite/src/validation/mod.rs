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
use crate::error::ask;

#[async_trait]
impl Validation for SqliteCatalog {
    async fn begin_validation(&self, run: &NewValidation) -> Result<Option<ValidationRun>, CatalogError> {
        ask!("begin a validation", self.begin_run(run))
    }

    async fn keep_validation(&self, run: ValidationRun) -> Result<Option<Timestamp>, CatalogError> {
        ask!("go on with a validation", self.keep_run(run))
    }

    async fn end_validation(&self, run: ValidationRun, end: &ValidationEnd) -> Result<(), CatalogError> {
        ask!("end a validation", self.end_run(run, end))
    }

    async fn dataset_proofs(
        &self,
        scope: &DatasetScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError> {
        ask!("read a dataset's proofs", self.dataset_page(scope, after, limit))
    }

    async fn oldest_proofs(
        &self,
        backend: BackendId,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError> {
        ask!("read a store's oldest proofs", self.due_page(backend, before, after, limit))
    }

    async fn proof_targets(&self, proofs: &[Proof]) -> Result<Vec<Option<ProofTarget>>, CatalogError> {
        ask!("read what is to be proven", self.targets(proofs))
    }

    async fn record_proofs(
        &self,
        run: ValidationRun,
        level: ProofLevel,
        proofs: &[Proof],
    ) -> Result<bool, CatalogError> {
        ask!("record proofs", self.prove(run, level, proofs))
    }

    async fn doubt(&self, copies: &[(Vouched, BackendId)]) -> Result<(), CatalogError> {
        ask!("doubt copies", self.take_back(copies))
    }

    async fn record_damage(
        &self,
        run: Option<ValidationRun>,
        damages: &[Damage],
    ) -> Result<Vec<bool>, CatalogError> {
        ask!("record damage", self.mark_damaged(run, damages))
    }

    async fn affected(&self, object: Vouched, limit: u32) -> Result<Vec<Affected>, CatalogError> {
        ask!("look for what damage concerns", self.who_needs(object, limit))
    }

    async fn damages(&self, scope: &DamageScope, limit: u32) -> Result<Vec<DamageRecord>, CatalogError> {
        ask!("list damage", self.open_damages(scope, limit))
    }

    async fn proof_overview(&self, backend: BackendId) -> Result<ProofOverview, CatalogError> {
        ask!("look how well a store is proven", self.overview(backend))
    }
}
