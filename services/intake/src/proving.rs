//! Proving, damages and syncing, over the catalog. What proves is given: intake knows no validator, only who asks for one.

use std::fmt;

use async_trait::async_trait;
use n2s_catalog as cat;
use n2s_client::seam::{
    Damage, DamageFilter, Moment, NeededBy, ProofWatch, SeamError, SyncCall, SyncNext, SyncStep,
    ValidateReport, ValidateRequest,
};
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{BackendId, BackendName};
use tokio_util::sync::CancellationToken;

use crate::Intake;
use crate::error::catalog;

/// Paths looked at in one transaction of a sync.
const SYNC_STEP: u32 = 5_000;
/// Places told of each damage.
const NEEDED_BY: u32 = 4;

/// What proves copies for an operator.
#[async_trait]
pub trait Prover: fmt::Debug + Send + Sync + 'static {
    /// Proves; on one store when it is named. Ends early, between two waves, when `stop` is cancelled.
    async fn prove(
        &self,
        request: &ValidateRequest,
        backend: Option<BackendId>,
        watch: &dyn ProofWatch,
        stop: &CancellationToken,
    ) -> Result<ValidateReport, SeamError>;
}

/// What listings and reports call an object.
pub fn object_name(object: cat::Vouched) -> String {
    match object {
        cat::Vouched::Blob(id) => format!("blob:{}", id.0),
        cat::Vouched::Manifest(changeset) => format!("manifest:{changeset}"),
    }
}

/// Who would miss it.
pub fn needed_by(affected: Vec<cat::Affected>) -> Vec<NeededBy> {
    let one = |needs: cat::Affected| NeededBy {
        project: needs.project,
        dataset: needs.dataset,
        version: needs.version,
        path: needs.path,
    };
    affected.into_iter().map(one).collect()
}

impl Intake {
    pub(crate) async fn validated(
        &self,
        request: &ValidateRequest,
        watch: &dyn ProofWatch,
        stop: &CancellationToken,
    ) -> Result<ValidateReport, SeamError> {
        if request.one_in == 0 || request.bytes_per_sec == Some(0) {
            return Err(SeamError::Invalid("one_in and bytes_per_sec are at least 1".to_owned()));
        }
        // Says what there is when it is unknown.
        let latest = cat::Selector::Latest;
        self.catalog.version(&request.project, &request.dataset, &latest).await.map_err(catalog)?;
        let backend = match &request.backend {
            Some(name) => Some(self.backend_id(name).await?),
            None => None,
        };
        let prover = self.prover.as_ref().ok_or_else(|| {
            SeamError::Invalid(
                "this server proves nothing on request; run `n2s validate` where the home is".to_owned(),
            )
        })?;
        prover.prove(request, backend, watch, stop).await
    }

    pub(crate) async fn open_damages(
        &self,
        filter: &DamageFilter,
        limit: u32,
    ) -> Result<Vec<Damage>, SeamError> {
        self.known(filter.project.as_ref(), filter.dataset.as_ref()).await?;
        if let Some(name) = &filter.backend {
            self.backend_id(name).await?;
        }
        let DamageFilter { project, dataset, backend, needed_by: wanted } = filter.clone();
        let scope = cat::DamageScope { project, dataset, backend };
        let rows = self.catalog.damages(&scope, limit.min(PAGE_ROWS_MAX)).await.map_err(catalog)?;
        let mut damages = Vec::with_capacity(rows.len());
        for row in rows {
            let affected = if wanted {
                self.catalog.affected(row.object, NEEDED_BY).await.map_err(catalog)?
            } else {
                Vec::new()
            };
            damages.push(Damage {
                object: object_name(row.object),
                backend: row.backend,
                since: Moment(row.since),
                pending: row.pending,
                lost: row.lost,
                message: row.message,
                needed_by: needed_by(affected),
            });
        }
        Ok(damages)
    }

    pub(crate) async fn sync_step(
        &self,
        backend: &BackendName,
        call: &SyncCall,
    ) -> Result<SyncStep, SeamError> {
        self.backend_id(backend).await?;
        let SyncNext { changeset, from } = if let Some(next) = call.next {
            next
        } else {
            // Says what there is when it is unknown.
            self.known(Some(&call.project), Some(&call.dataset)).await?;
            let begun = self.catalog.begin_sync(&call.project, &call.dataset, backend).await;
            let Some(changeset) = begun.map_err(catalog)? else { return Ok(SyncStep::default()) };
            SyncNext { changeset, from: 0 }
        };
        let step = self.catalog.sync_step(changeset, backend, from, SYNC_STEP).await.map_err(catalog)?;
        if step.next.is_none() {
            self.catalog.end_sync(changeset, backend).await.map_err(catalog)?;
        }
        (self.ring)();
        let next = step.next.map(|from| SyncNext { changeset, from });
        Ok(SyncStep { changeset: Some(changeset), jobs: step.jobs, next })
    }
}
