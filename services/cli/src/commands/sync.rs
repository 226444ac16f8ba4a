//! `n2s backends sync`.

use std::process::ExitCode;

use n2s_assembly::{Engine, Node};
use n2s_catalog::{CatalogError, DatasetRecord, ManifestState, Selector};
use n2s_domain::{BackendName, ChangesetId, ChangesetStatus, DatasetName, ProjectName};
use serde_json::json;

use super::wait::{Waited, wait_for};
use crate::output::Output;
use crate::progress::Watch;
use crate::side::{Place, Side};

/// Paths looked at in one transaction.
const STEP: u32 = 5_000;

pub async fn run(
    place: Place,
    store: &BackendName,
    project: Option<&ProjectName>,
    dataset: Option<&DatasetName>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let side = place.open().await?;
    let node = side.node.as_ref().expect("the caller named no server");
    super::backends::find(node, store).await?;
    let mut datasets = node.catalog.datasets(project).await?;
    if let (Some(project), Some(name)) = (project, dataset) {
        // Says what there is when it is unknown.
        node.catalog.version(project, name, &Selector::Latest).await?;
        datasets.retain(|found| found.dataset == *name);
    }
    let engine = Engine::start(node).await?;
    let watch = Watch::new(output);
    let mut records = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for dataset in &datasets {
        let synced = one(&side, dataset, store, &watch).await;
        let (jobs, waited) = match synced {
            Ok(synced) => synced,
            Err(error) => {
                watch.end();
                engine.stop().await;
                return Err(error);
            }
        };
        let name = format!("{}/{}", dataset.project, dataset.dataset);
        let (status, stuck) = waited.map_or((None, None), |waited| (Some(waited.status), waited.stuck));
        if stuck.is_some() || matches!(status, Some(ChangesetStatus::Failed | ChangesetStatus::Degraded)) {
            code = ExitCode::from(1);
        }
        let text = match (&stuck, status) {
            (Some(stuck), _) => format!("{name}: not everything yet: {stuck}"),
            (None, None) => format!("{name}: nothing to bring over"),
            (None, Some(status)) => {
                format!("{name}: {jobs} objects brought over; its latest version is {status}")
            }
        };
        records.push((
            text,
            json!({ "project": dataset.project, "dataset": dataset.dataset, "objects": jobs,
            "status": status, "stuck": stuck }),
        ));
    }
    watch.end();
    engine.stop().await;
    let text = records.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("\n");
    let records: Vec<_> = records.iter().map(|(_, record)| record).collect();
    output.answer(&text, &json!({ "backend": store, "datasets": records }));
    Ok(code)
}

/// Syncs head after head: a push that was open meanwhile may have committed one that knows nothing of the store.
async fn one(
    side: &Side,
    dataset: &DatasetRecord,
    store: &BackendName,
    watch: &Watch,
) -> anyhow::Result<(u64, Option<Waited>)> {
    let node = side.node.as_ref().expect("the caller named no server");
    let (mut jobs, mut waited) = (0, None);
    while let Some(changeset) = node.catalog.begin_sync(&dataset.project, &dataset.dataset, store).await? {
        let mut from = Some(0);
        while let Some(at) = from {
            let step = node.catalog.sync_step(changeset, store, at, STEP).await?;
            jobs += step.jobs;
            from = step.next;
            node.bell().ring();
        }
        node.catalog.end_sync(changeset, store).await?;
        node.bell().ring();
        let ended = wait_for(side, changeset, watch).await?;
        let settled = ended.stuck.is_none() && ended.status == ChangesetStatus::Completed;
        waited = Some(ended);
        if !settled {
            break;
        }
    }
    if waited.is_none()
        && let Some(changeset) = under_way(node, dataset, store).await?
    {
        waited = Some(wait_for(side, changeset, watch).await?);
    }
    Ok((jobs, waited))
}

/// The latest version, if the store does not have all of it yet: an earlier sync recorded what there is to do, and may be dead.
async fn under_way(
    node: &Node,
    dataset: &DatasetRecord,
    store: &BackendName,
) -> anyhow::Result<Option<ChangesetId>> {
    let latest = node.catalog.version(&dataset.project, &dataset.dataset, &Selector::Latest).await;
    let changeset = match latest {
        Ok(version) => version.changeset,
        // Nothing has been pushed yet.
        Err(CatalogError::Unknown { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let stores = node.catalog.changeset(changeset).await?.stores;
    let open = |state| matches!(state, ManifestState::Waiting | ManifestState::Pending);
    let found = stores.iter().find(|found| found.backend == *store);
    Ok(found.is_some_and(|found| found.waiting > 0 || open(found.manifest)).then_some(changeset))
}
