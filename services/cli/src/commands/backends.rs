//! `n2s backends`.

use std::process::ExitCode;

use n2s_assembly::Node;
use n2s_catalog::{BackendRecord, CatalogError};
use n2s_client::seam::BackendStatus;
use n2s_domain::BackendName;
use serde_json::json;

use crate::args::Backends;
use crate::output::{Output, bytes, table};
use crate::side::Place;

pub async fn run(place: Place, args: Backends, output: &Output) -> anyhow::Result<ExitCode> {
    match args {
        Backends::List => {
            let rows = place.open().await?.operator.backends().await?;
            output.answer(&backend_table(&rows), &json!({ "backends": rows }));
        }
        Backends::Add(add) => super::add::run(&place.home_only("backends add")?, *add, output)?,
        Backends::Pause { name, reason } => {
            place.open().await?.operator.pause(&name, &reason).await?;
            output.answer(&format!("paused {name}"), &json!({ "backend": name, "state": "paused" }));
        }
        Backends::Resume { name } => {
            place.open().await?.operator.resume(&name).await?;
            output.answer(&format!("resumed {name}"), &json!({ "backend": name, "state": "active" }));
        }
        Backends::Sync { name, project, dataset } => {
            let place = Place { home: place.home_only("backends sync")?, server: None };
            return super::sync::run(place, &name, project.as_ref(), dataset.as_ref(), output).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn find(node: &Node, name: &BackendName) -> anyhow::Result<BackendRecord> {
    let rows = node.catalog.backends().await?;
    let names: Vec<_> = rows.iter().map(|(row, _)| row.name.to_string()).collect();
    let found = rows.into_iter().map(|(row, _)| row).find(|row| row.name == *name);
    let hint = format!("; there are: {}", names.join(", "));
    Ok(found.ok_or(CatalogError::Unknown { what: "backend", name: name.to_string(), hint })?)
}

/// The stores, for people.
pub fn backend_table(rows: &[BackendStatus]) -> String {
    let line = |row: &BackendStatus| {
        let [completed, pending, failed] =
            [row.completed, row.pending, row.failed].map(|count| count.to_string());
        vec![
            row.backend.to_string(),
            row.kind.clone(),
            row.state.as_str().to_owned(),
            completed,
            pending,
            failed,
            bytes(row.bytes),
            match row.proven_since {
                Some(oldest) => oldest.0.to_string()[..10].to_owned(),
                None if row.completed > 0 => "in doubt".to_owned(),
                None => String::new(),
            },
            row.damaged.to_string(),
            row.reason.clone(),
        ]
    };
    let header = [
        "backend",
        "kind",
        "state",
        "completed",
        "pending",
        "failed",
        "bytes",
        "proven since",
        "damaged",
        "why",
    ];
    table(&header, rows.iter().map(line).collect())
}
