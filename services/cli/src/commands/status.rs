//! `n2s status`, `n2s changesets`, `n2s audit`.

use std::process::ExitCode;

use n2s_client::seam::{ChangesetFilter, ChangesetRecord, Paging};
use serde_json::json;

use super::backends::backend_table;
use crate::args::{Changesets, Status};
use crate::output::{Output, bytes, table};
use crate::side::Side;

pub async fn status(side: &Side, args: Status, output: &Output) -> anyhow::Result<ExitCode> {
    if let Some(id) = args.changeset {
        let record = side.operator.changeset(id).await?;
        output.answer(&describe(&record), &json!(record));
        return Ok(ExitCode::SUCCESS);
    }
    let overview = side.operator.overview().await?;
    let mut text = backend_table(&overview.backends);
    let staging = overview.staging;
    text.push_str(
        &format_args!("\n{} blobs ({}) in staging", staging.blobs, bytes(staging.bytes)).to_string(),
    );
    for dataset in &overview.datasets {
        let head =
            dataset.head.map_or_else(|| "nothing committed yet".to_owned(), |head| format!("version {head}"));
        text.push_str(&format_args!("\n{}/{}: {head}", dataset.project, dataset.dataset).to_string());
    }
    output.answer(&text, &json!(overview));
    Ok(ExitCode::SUCCESS)
}

pub async fn changesets(side: &Side, args: Changesets, output: &Output) -> anyhow::Result<ExitCode> {
    let filter = ChangesetFilter { project: args.project, dataset: args.dataset, status: args.status };
    let found = side.operator.changesets(&filter, &Paging { after: None, limit: args.limit }).await?;
    let row = |record: &ChangesetRecord| {
        vec![
            record.changeset.to_string(),
            format!("{}/{}", record.project, record.dataset),
            record.version.to_string(),
            record.status.to_string(),
            record.created_at.to_string(),
            record.snapshot.clone().unwrap_or_default(),
        ]
    };
    let header = ["changeset", "dataset", "version", "status", "created", "snapshot"];
    let text = table(&header, found.items.iter().map(row).collect());
    output.answer(&text, &json!({ "changesets": found.items }));
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

pub async fn audit(side: &Side, output: &Output) -> anyhow::Result<ExitCode> {
    let drifts = side.operator.audit().await?;
    let lines = drifts
        .iter()
        .map(|drift| format!("{}: kept {}, counted {}", drift.counter, drift.kept, drift.counted));
    let text = if drifts.is_empty() {
        "every counter agrees with its rows".to_owned()
    } else {
        lines.collect::<Vec<_>>().join("\n")
    };
    output.answer(&text, &json!({ "drifts": drifts }));
    Ok(if drifts.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
