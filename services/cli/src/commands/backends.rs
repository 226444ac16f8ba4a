//! `n2s backends`.

use std::process::ExitCode;

use n2s_assembly::{Home, Node};
use n2s_catalog::{BackendRecord, BackendState, BackendTally, CatalogError, ProofOverview, ValidationRecord};
use n2s_domain::{BackendName, Timestamp};
use serde_json::{Value, json};

use crate::args::Backends;
use crate::output::{Output, bytes, table};

pub async fn run(home: Home, args: Backends, output: &Output) -> anyhow::Result<ExitCode> {
    match args {
        Backends::List => {
            let (text, json) = backend_rows(&*super::open(home).await?).await?;
            output.answer(&text, &json!({ "backends": json }));
        }
        Backends::Add(add) => super::add::run(&home, *add, output)?,
        Backends::Pause { name, reason } => {
            let node = super::open(home).await?;
            node.catalog.pause(find(&node, &name).await?.id, true, &reason).await?;
            output.answer(&format!("paused {name}"), &json!({ "backend": name, "state": "paused" }));
        }
        Backends::Resume { name } => {
            let node = super::open(home).await?;
            node.catalog.resume(find(&node, &name).await?.id, true).await?;
            output.answer(&format!("resumed {name}"), &json!({ "backend": name, "state": "active" }));
        }
        Backends::Sync { name, project, dataset } => {
            return super::sync::run(home, &name, project.as_ref(), dataset.as_ref(), output).await;
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

/// The stores, for people and for programs.
pub async fn backend_rows(node: &Node) -> anyhow::Result<(String, Vec<Value>)> {
    let rows = node.catalog.backends().await?;
    let mut proofs = Vec::with_capacity(rows.len());
    for (row, _) in &rows {
        proofs.push(node.catalog.proof_overview(row.id).await?);
    }
    let line = |((row, tally), proof): (&(BackendRecord, BackendTally), &ProofOverview)| {
        let (state, reason, _) = state(row);
        let counts = [tally.completed, tally.pending, tally.failed].map(|count| count.to_string());
        let [completed, pending, failed] = counts;
        vec![
            row.name.to_string(),
            row.kind.clone(),
            state,
            completed,
            pending,
            failed,
            bytes(tally.bytes),
            match proof.oldest {
                Some(oldest) => oldest.to_string()[..10].to_owned(),
                None if tally.completed > 0 => "in doubt".to_owned(),
                None => String::new(),
            },
            proof.damaged.to_string(),
            reason,
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
    let text = table(&header, rows.iter().zip(&proofs).map(line).collect());
    let json = rows.iter().zip(&proofs).map(|((row, tally), proof)| {
        let (state, reason, since) = state(row);
        json!({
            "backend": row.name, "kind": row.kind, "state": state, "reason": reason,
            "since": since.map(|at| at.to_string()), "completed": tally.completed,
            "pending": tally.pending, "failed": tally.failed, "bytes": tally.bytes,
            "initialised_at": row.initialised_at.map(|at| at.to_string()), "concurrency": row.health.concurrency,
            "last_success_at": row.health.last_success_at.map(|at| at.to_string()),
            "proven_since": proof.oldest.map(|at| at.to_string()), "damaged": proof.damaged,
            "last_validation": proof.last.as_ref().map(validation_json),
        })
    });
    Ok((text, json.collect()))
}

fn validation_json(run: &ValidationRecord) -> Value {
    json!({
        "level": run.level, "started_at": run.started_at.to_string(), "ended_at": run.ended_at.map(|at| at.to_string()),
        "checked": run.checked, "bytes": run.bytes, "damaged": run.damaged, "unchecked": run.end.unchecked,
        "stopped": run.end.stopped,
    })
}

/// What it is, why, and since when.
fn state(row: &BackendRecord) -> (String, String, Option<Timestamp>) {
    match (&row.state, &row.health.open) {
        (BackendState::Paused { reason, since, .. }, _) => {
            ("paused".to_owned(), format!("{reason} (since {since})"), Some(*since))
        }
        (BackendState::Active, Some((since, _))) => {
            let error = row.health.last_error.as_ref().map_or("", |(_, text, _)| text);
            ("unreachable".to_owned(), format!("{error} (since {since})"), Some(*since))
        }
        (BackendState::Active, None) => ("active".to_owned(), String::new(), None),
    }
}
