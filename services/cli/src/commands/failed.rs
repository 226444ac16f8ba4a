//! `n2s failed` and `n2s retry`.

use std::process::ExitCode;

use n2s_assembly::{Engine, Home, Node};
use n2s_catalog::{FailedFilter, FailedUpload, Page};
use serde_json::json;

use super::wait::wait_for;
use crate::args::Failed;
use crate::output::{Output, table};
use crate::progress::Watch;

const PAGE: u32 = 1_000;

fn filter(args: Failed) -> FailedFilter {
    FailedFilter {
        project: args.project,
        dataset: args.dataset,
        backend: args.backend,
        changeset: args.changeset,
        kind: args.kind,
    }
}

/// What a filter names must exist: "nothing has failed" of a store that is misspelt would comfort wrongly.
async fn known(node: &Node, args: &Failed) -> anyhow::Result<()> {
    if let Some(name) = &args.backend {
        super::backends::find(node, name).await?;
    }
    if let Some(id) = args.changeset {
        node.catalog.changeset(id).await?;
    }
    super::status::known(node, args.project.as_ref(), args.dataset.as_ref()).await
}

pub async fn failed(node: &Node, args: Failed, output: &Output) -> anyhow::Result<ExitCode> {
    known(node, &args).await?;
    let failures = node.catalog.failed_uploads(&filter(args), &Page { after: None, limit: PAGE }).await?;
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
    let json = failures.iter().map(|failure| {
        json!({
            "backend": failure.backend, "project": failure.project, "dataset": failure.dataset, "path": failure.path,
            "content_hash": failure.content_hash, "sealed_hash": failure.sealed_hash, "kind": failure.kind,
            "message": failure.message, "retry_count": failure.retry_count,
            "attempted_at": failure.attempted_at.map(|at| at.to_string()),
        })
    });
    output.answer(&text, &json!({ "failed": json.collect::<Vec<_>>() }));
    Ok(ExitCode::SUCCESS)
}

pub async fn retry(home: Home, args: Failed, output: &Output) -> anyhow::Result<ExitCode> {
    let node = super::open(home).await?;
    known(&node, &args).await?;
    let changeset = args.changeset;
    let filter = filter(args);
    let (mut placements, mut manifests) = (0, 0);
    loop {
        let retried = node.catalog.retry_failed(&filter, PAGE).await?;
        if retried == n2s_catalog::Retried::default() {
            break;
        }
        placements += retried.placements;
        manifests += retried.manifests;
    }
    if placements + manifests > 0 {
        let engine = Engine::start(&node).await?;
        let watch = Watch::new(output);
        let unsettled = n2s_catalog::ChangesetFilter {
            status: Some(n2s_domain::ChangesetStatus::Pushing),
            ..Default::default()
        };
        let unsettled = node.catalog.changesets(&unsettled, &Page { after: None, limit: PAGE }).await?;
        for record in unsettled.iter().filter(|record| changeset.is_none_or(|id| id == record.id)) {
            wait_for(&node, record.id, &watch).await?;
        }
        watch.end();
        engine.stop().await;
    }
    let left = node.catalog.failed_uploads(&filter, &Page { after: None, limit: PAGE }).await?.len();
    let text = format!("tried {placements} blobs and {manifests} manifests again; {left} still fail");
    output.answer(&text, &json!({ "placements": placements, "manifests": manifests, "failed": left }));
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
