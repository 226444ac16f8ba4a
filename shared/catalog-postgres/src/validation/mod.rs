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
use n2s_domain::{BackendId, ProofLevel, Timestamp};

use crate::connect::PostgresCatalog;
use crate::error::{ask, transact};

#[async_trait]
impl Validation for PostgresCatalog {
    async fn begin_validation(&self, run: &NewValidation) -> Result<Option<ValidationRun>, CatalogError> {
        transact!(self, "begin a validation", self.begin_run(run))
    }

    async fn keep_validation(&self, run: ValidationRun) -> Result<Option<Timestamp>, CatalogError> {
        transact!(self, "go on with a validation", self.keep_run(run))
    }

    async fn end_validation(&self, run: ValidationRun, end: &ValidationEnd) -> Result<(), CatalogError> {
        transact!(self, "end a validation", self.end_run(run, end))
    }

    async fn dataset_proofs(
        &self,
        scope: &DatasetScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError> {
        ask!(self, "read a dataset's proofs", self.dataset_page(scope, after, limit))
    }

    async fn oldest_proofs(
        &self,
        backend: BackendId,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError> {
        ask!(self, "read a store's oldest proofs", self.due_page(backend, before, after, limit))
    }

    async fn proof_targets(&self, proofs: &[Proof]) -> Result<Vec<Option<ProofTarget>>, CatalogError> {
        ask!(self, "read what is to be proven", self.targets(proofs))
    }

    async fn record_proofs(
        &self,
        run: ValidationRun,
        level: ProofLevel,
        proofs: &[Proof],
    ) -> Result<bool, CatalogError> {
        transact!(self, "record proofs", self.prove(run, level, proofs))
    }

    async fn doubt(&self, copies: &[(Vouched, BackendId)]) -> Result<(), CatalogError> {
        transact!(self, "doubt copies", self.take_back(copies))
    }

    async fn record_damage(
        &self,
        run: Option<ValidationRun>,
        damages: &[Damage],
    ) -> Result<Vec<bool>, CatalogError> {
        transact!(self, "record damage", self.mark_damaged(run, damages))
    }

    async fn affected(&self, object: Vouched, limit: u32) -> Result<Vec<Affected>, CatalogError> {
        ask!(self, "look for what damage concerns", self.who_needs(object, limit))
    }

    async fn damages(&self, scope: &DamageScope, limit: u32) -> Result<Vec<DamageRecord>, CatalogError> {
        ask!(self, "list damage", self.open_damages(scope, limit))
    }

    async fn proof_overview(&self, backend: BackendId) -> Result<ProofOverview, CatalogError> {
        ask!(self, "look how well a store is proven", self.overview(backend))
    }
}
