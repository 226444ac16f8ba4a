//! `n2s status`, `n2s changesets`, `n2s audit`.

use std::process::ExitCode;

use n2s_assembly::Node;
use n2s_catalog::{CatalogError, ChangesetFilter, ChangesetRecord, Page};
use n2s_domain::{DatasetName, ProjectName};
use serde_json::{Value, json};

use super::backends::backend_rows;
use crate::args::{Changesets, Status};
use crate::output::{Output, bytes, table};

pub async fn status(node: &Node, args: Status, output: &Output) -> anyhow::Result<ExitCode> {
    if let Some(id) = args.changeset {
        let record = node.catalog.changeset(id).await?;
        output.answer(&describe(&record), &changeset_json(&record));
        return Ok(ExitCode::SUCCESS);
    }
    let (text, json) = backend_rows(node).await?;
    let (blobs, staged) = node.catalog.staged_total().await?;
    let mut text = format!("{text}\n{blobs} blobs ({}) in staging", bytes(staged));
    let datasets = node.catalog.datasets(None).await?;
    for dataset in &datasets {
        let head =
            dataset.head.map_or_else(|| "nothing committed yet".to_owned(), |head| format!("version {head}"));
        text.push_str(&format_args!("\n{}/{}: {head}", dataset.project, dataset.dataset).to_string());
    }
    let heads = datasets.iter().map(
        |d| json!({ "project": d.project, "dataset": d.dataset, "head": d.head, "backends": d.backends }),
    );
    let staging = json!({ "blobs": blobs, "bytes": staged });
    output.answer(
        &text,
        &json!({ "backends": json, "staging": staging, "datasets": heads.collect::<Vec<_>>() }),
    );
    Ok(ExitCode::SUCCESS)
}

/// A project and a dataset that a filter names must exist: nothing is found of a misspelt one, and that would comfort wrongly.
pub async fn known(
    node: &Node,
    project: Option<&ProjectName>,
    dataset: Option<&DatasetName>,
) -> anyhow::Result<()> {
    let datasets = node.catalog.datasets(project).await?;
    let Some(name) = dataset.filter(|name| datasets.iter().all(|found| found.dataset != **name)) else {
        return Ok(());
    };
    let names: Vec<_> = datasets.iter().map(|found| found.dataset.to_string()).collect();
    let hint = format!("; there are: {}", names.join(", "));
    Err(CatalogError::Unknown { what: "dataset", name: name.to_string(), hint }.into())
}

pub async fn changesets(node: &Node, args: Changesets, output: &Output) -> anyhow::Result<ExitCode> {
    known(node, args.project.as_ref(), args.dataset.as_ref()).await?;
    let filter = ChangesetFilter { project: args.project, dataset: args.dataset, status: args.status };
    let records = node.catalog.changesets(&filter, &Page { after: None, limit: args.limit }).await?;
    let row = |record: &ChangesetRecord| {
        vec![
            record.id.to_string(),
            format!("{}/{}", record.project, record.dataset),
            record.version.to_string(),
            record.status.to_string(),
            record.created_at.to_string(),
            record.snapshot.clone().unwrap_or_default(),
        ]
    };
    let header = ["changeset", "dataset", "version", "status", "created", "snapshot"];
    let text = table(&header, records.iter().map(row).collect());
    output.answer(&text, &json!({ "changesets": records.iter().map(changeset_json).collect::<Vec<_>>() }));
    Ok(ExitCode::SUCCESS)
}

fn describe(record: &ChangesetRecord) -> String {
    let mut text = format!(
        "{}/{} version {}: {}\n{} paths, {}; {} added, {} changed, {} removed\ncreated {}",
        record.project,
        record.dataset,
        record.version,
        record.status,
        record.file_count,
        bytes(record.total_size),
        record.added,
        record.modified,
        record.removed,
        record.created_at
    );
    for (what, at) in [("committed", record.committed_at), ("settled", record.completed_at)] {
        text.extend(at.map(|at| format!("\n{what} {at}")));
    }
    text.extend(record.error.as_ref().map(|error| format!("\n{error}")));
    for store in &record.stores {
        let error = store.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        text.push_str(
            &format_args!(
                "\n  {}: {} waiting, {} failed, manifest {}{error}",
                store.backend,
                store.waiting,
                store.failed,
                store.manifest.as_str()
            )
            .to_string(),
        );
    }
    text
}

fn changeset_json(record: &ChangesetRecord) -> Value {
    let at = |at: Option<n2s_domain::Timestamp>| at.map(|at| at.to_string());
    let stores = record.stores.iter().map(|store| {
        json!({
            "backend": store.backend, "waiting": store.waiting, "failed": store.failed, "manifest": store.manifest.as_str(),
            "error": store.error,
        })
    });
    json!({
        "changeset": record.id, "project": record.project, "dataset": record.dataset, "version": record.version,
        "snapshot": record.snapshot, "description": record.description, "client_id": record.client_id,
        "metadata": record.metadata, "status": record.status, "error": record.error,
        "created_at": record.created_at.to_string(), "committed_at": at(record.committed_at),
        "completed_at": at(record.completed_at), "file_count": record.file_count, "blob_count": record.blob_count,
        "total_size": record.total_size, "added": record.added, "modified": record.modified, "removed": record.removed,
        "stores": stores.collect::<Vec<_>>(),
    })
}

pub async fn audit(node: &Node, output: &Output) -> anyhow::Result<ExitCode> {
    let drifts = node.catalog.audit().await?;
    let lines = drifts
        .iter()
        .map(|drift| format!("{}: kept {}, counted {}", drift.counter, drift.kept, drift.counted));
    let text = if drifts.is_empty() {
        "every counter agrees with its rows".to_owned()
    } else {
        lines.collect::<Vec<_>>().join("\n")
    };
    let json = drifts
        .iter()
        .map(|drift| json!({ "counter": drift.counter, "kept": drift.kept, "counted": drift.counted }));
    output.answer(&text, &json!({ "drifts": json.collect::<Vec<_>>() }));
    Ok(if drifts.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
