//! `n2s backends sync`.

use std::process::ExitCode;

use n2s_assembly::Engine;
use n2s_client::seam::{ChangesetFilter, FailedFilter, ManifestState, Paging, SyncCall};
use n2s_domain::{BackendName, ChangesetId, ChangesetStatus, DatasetName, ProjectName};
use serde_json::{Value, json};

use super::wait::{Waited, wait_for};
use crate::output::Output;
use crate::progress::Watch;
use crate::side::{Place, Side};

pub async fn run(
    place: Place,
    store: &BackendName,
    project: Option<&ProjectName>,
    dataset: Option<&DatasetName>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let side = place.open().await?;
    let datasets = wanted(&side, store, project, dataset).await?;
    let engine = match &side.node {
        Some(node) => Some(Engine::start(node).await?),
        None => None,
    };
    let watch = Watch::new(output);
    let synced = each(&side, &datasets, store, &watch).await;
    watch.end();
    if let Some(engine) = engine {
        engine.stop().await;
    }
    let (records, code) = synced?;
    let text = records.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("\n");
    let records: Vec<_> = records.iter().map(|(_, record)| record).collect();
    output.answer(&text, &json!({ "backend": store, "datasets": records }));
    Ok(code)
}

/// The datasets to bring over.
async fn wanted(
    side: &Side,
    store: &BackendName,
    project: Option<&ProjectName>,
    dataset: Option<&DatasetName>,
) -> anyhow::Result<Vec<Named>> {
    if let (Some(project), Some(dataset)) = (project, dataset) {
        return Ok(vec![(project.clone(), dataset.clone())]);
    }
    // Says what there is when one of them is unknown.
    let filter =
        FailedFilter { project: project.cloned(), backend: Some(store.clone()), ..FailedFilter::default() };
    side.operator.failed(&filter, &Paging { after: None, limit: 1 }).await?;
    let found = side.operator.overview().await?.datasets.into_iter();
    let found = found.filter(|found| project.is_none_or(|project| found.project == *project));
    Ok(found.map(|found| (found.project, found.dataset)).collect())
}

type Named = (ProjectName, DatasetName);

async fn each(
    side: &Side,
    datasets: &[Named],
    store: &BackendName,
    watch: &Watch,
) -> anyhow::Result<(Vec<(String, Value)>, ExitCode)> {
    let mut records = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for (project, dataset) in datasets {
        let (jobs, waited) = one(side, (project, dataset), store, watch).await?;
        let name = format!("{project}/{dataset}");
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
        let record = json!({ "project": project, "dataset": dataset, "objects": jobs, "status": status, "stuck": stuck });
        records.push((text, record));
    }
    Ok((records, code))
}

/// Syncs head after head: a push that was open meanwhile may have committed one that knows nothing of the store.
async fn one(
    side: &Side,
    (project, dataset): (&ProjectName, &DatasetName),
    store: &BackendName,
    watch: &Watch,
) -> anyhow::Result<(u64, Option<Waited>)> {
    let (mut jobs, mut waited) = (0, None);
    loop {
        let mut call = SyncCall { project: project.clone(), dataset: dataset.clone(), next: None };
        let mut step = side.operator.sync(store, &call).await?;
        let Some(changeset) = step.changeset else { break };
        jobs += step.jobs;
        while step.next.is_some() {
            call.next = step.next;
            step = side.operator.sync(store, &call).await?;
            jobs += step.jobs;
        }
        let ended = wait_for(side, changeset, watch).await?;
        let settled = ended.stuck.is_none() && ended.status == ChangesetStatus::Completed;
        waited = Some(ended);
        if !settled {
            break;
        }
    }
    if waited.is_none()
        && let Some(changeset) = under_way(side, (project, dataset), store).await?
    {
        waited = Some(wait_for(side, changeset, watch).await?);
    }
    Ok((jobs, waited))
}

/// The latest version, if the store does not have all of it yet: an earlier sync recorded what there is to do, and may be dead.
async fn under_way(
    side: &Side,
    (project, dataset): (&ProjectName, &DatasetName),
    store: &BackendName,
) -> anyhow::Result<Option<ChangesetId>> {
    let filter =
        ChangesetFilter { project: Some(project.clone()), dataset: Some(dataset.clone()), status: None };
    let mut paging = Paging { after: None, limit: 20 };
    let latest = loop {
        let page = side.operator.changesets(&filter, &paging).await?;
        if let Some(latest) = page.items.into_iter().find(|record| record.committed_at.is_some()) {
            break latest;
        }
        // Nothing has been pushed yet.
        let Some(next) = page.next else { return Ok(None) };
        paging.after = Some(next);
    };
    let open = |state| matches!(state, ManifestState::Waiting | ManifestState::Pending);
    let found = latest.stores.iter().find(|found| found.backend == *store);
    Ok(found.is_some_and(|found| found.waiting > 0 || open(found.manifest)).then_some(latest.changeset))
}
