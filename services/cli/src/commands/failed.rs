//! `n2s failed`, `n2s retry` and `n2s cancel`.

use std::process::ExitCode;

use n2s_assembly::Engine;
use n2s_client::seam::{ChangesetFilter, FailedFilter, FailedUpload, Paging, Retried};
use n2s_domain::{ChangesetId, ChangesetStatus};
use serde_json::json;

use super::wait::wait_for;
use crate::args::Failed;
use crate::output::{Output, table};
use crate::progress::Watch;
use crate::side::Side;

const PAGE: u32 = 1_000;
const FIRST: Paging = Paging { after: None, limit: PAGE };

fn filter(args: Failed) -> FailedFilter {
    FailedFilter {
        project: args.project,
        dataset: args.dataset,
        backend: args.backend,
        changeset: args.changeset,
        kind: args.kind,
    }
}

pub async fn failed(side: &Side, args: Failed, output: &Output) -> anyhow::Result<ExitCode> {
    let failures = side.operator.failed(&filter(args), &FIRST).await?.items;
    let row = |failure: &FailedUpload| {
        vec![
            failure.backend.to_string(),
            failure.path.as_ref().map_or_else(|| "(manifest)".to_owned(), ToString::to_string),
            failure.kind.to_string(),
            failure.retry_count.to_string(),
            failure.message.clone(),
        ]
    };
    let rows: Vec<_> = failures.iter().map(row).collect();
    let text = if rows.is_empty() {
        "nothing has failed".to_owned()
    } else {
        table(&["backend", "path", "kind", "tries", "why"], rows)
    };
    output.answer(&text, &json!({ "failed": failures }));
    Ok(ExitCode::SUCCESS)
}

pub async fn retry(side: &Side, args: Failed, output: &Output) -> anyhow::Result<ExitCode> {
    let filter = filter(args);
    let (mut placements, mut manifests) = (0, 0);
    loop {
        let retried = side.operator.retry(&filter, PAGE).await?;
        if retried == Retried::default() {
            break;
        }
        placements += retried.placements;
        manifests += retried.manifests;
    }
    if placements + manifests > 0 {
        let engine = match &side.node {
            Some(node) => Some(Engine::start(node).await?),
            None => None,
        };
        let watch = Watch::new(output);
        let waited = settle(side, &filter, filter.changeset, &watch).await;
        watch.end();
        if let Some(engine) = engine {
            engine.stop().await;
        }
        waited?;
    }
    let left = side.operator.failed(&filter, &FIRST).await?.items.len();
    let text = format!("tried {placements} blobs and {manifests} manifests again; {left} still fail");
    output.answer(&text, &json!({ "placements": placements, "manifests": manifests, "failed": left }));
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Waits for what is under way again.
async fn settle(
    side: &Side,
    filter: &FailedFilter,
    changeset: Option<ChangesetId>,
    watch: &Watch,
) -> anyhow::Result<()> {
    let unsettled = ChangesetFilter {
        project: filter.project.clone(),
        dataset: None,
        status: Some(ChangesetStatus::Pushing),
    };
    let unsettled = side.operator.changesets(&unsettled, &FIRST).await?.items;
    for record in unsettled.iter().filter(|record| changeset.is_none_or(|id| id == record.changeset)) {
        wait_for(side, record.changeset, watch).await?;
    }
    Ok(())
}

pub async fn cancel(side: &Side, changeset: ChangesetId, output: &Output) -> anyhow::Result<ExitCode> {
    let cancelled = side.operator.cancel(changeset).await?;
    let text = format!(
        "gave up {} blobs on stores; `n2s retry --changeset {changeset}` takes them up again",
        cancelled.placements
    );
    output.answer(&text, &json!(cancelled));
    Ok(ExitCode::SUCCESS)
}
