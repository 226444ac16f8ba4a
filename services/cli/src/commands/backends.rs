//! `n2s backends`.

use std::process::ExitCode;

use n2s_client::seam::{BackendStatus, LaneStatus};
use serde_json::json;

use crate::args::Backends;
use crate::output::{Output, bytes, table};
use crate::side::Place;

pub async fn run(place: Place, args: Backends, output: &Output) -> anyhow::Result<ExitCode> {
    match args {
        Backends::List => {
            let rows = place.open().await?.operator.backends().await?;
            let text = format!("{}{}", backend_table(&rows), worker_lines(&rows));
            output.answer(&text, &json!({ "backends": rows }));
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
            return super::sync::run(place, &name, project.as_ref(), dataset.as_ref(), output).await;
        }
    }
    Ok(ExitCode::SUCCESS)
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
            match (row.workers.len(), row.concurrency) {
                (0, _) | (_, None) => String::new(),
                (_, Some(most)) => format!("{} of {most}", row.in_flight),
            },
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
        "under way",
        "proven since",
        "damaged",
        "why",
    ];
    table(&header, rows.iter().map(line).collect())
}

/// Workers shown of one store; JSON has all.
const WORKERS_SHOWN: usize = 10;

/// What each worker allows each store at once, since when, and why.
fn worker_lines(rows: &[BackendStatus]) -> String {
    let mut text = String::new();
    for row in rows {
        for worker in row.workers.iter().take(WORKERS_SHOWN) {
            let LaneStatus { worker, in_flight, concurrency, why, decided_at, draining_since, .. } = worker;
            let draining =
                draining_since.map(|since| format!(", draining since {since}")).unwrap_or_default();
            let line = format_args!(
                "\n{}: {worker} has {in_flight} of {concurrency} under way{draining}; {why} (since {decided_at})",
                row.backend
            );
            text.push_str(&line.to_string());
        }
        if let more @ 1.. = row.workers.len().saturating_sub(WORKERS_SHOWN) {
            text.push_str(&format_args!("\n{}: and {more} more", row.backend).to_string());
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
