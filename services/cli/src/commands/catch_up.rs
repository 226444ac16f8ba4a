//! `n2s catalog catch-up`.

use std::process::ExitCode;

use n2s_assembly::{CaughtUp, Home, Node, Outrun};
use serde_json::json;

use crate::output::Output;

pub async fn run(home: Home, output: &Output) -> anyhow::Result<ExitCode> {
    let node = Node::open(home).await?;
    let done = node.intake.catch_up(&node.vault).await?;
    let line = |CaughtUp { project, dataset, from, to }: &CaughtUp| {
        if from == to {
            format!("{project}/{dataset}: nothing to step over; the next version is {to}")
        } else {
            format!("{project}/{dataset}: the next version is {to}, not {from}")
        }
    };
    let mut lines: Vec<_> = done.datasets.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("no store that could be read holds a version".to_owned());
    }
    let outrun = |Outrun { project, dataset, version }: &Outrun| {
        format!(
            "{project}/{dataset}: the push of version {version} was open, and a store holds another version {version}; it is given up: push again"
        )
    };
    lines.extend(done.abandoned.iter().map(outrun));
    lines.extend(
        done.unread.iter().map(|why| format!("not looked at: {why}; run this again when it can be read")),
    );
    let record = |CaughtUp { project, dataset, from, to }: &CaughtUp| json!({ "project": project, "dataset": dataset, "from": from, "to": to });
    let records: Vec<_> = done.datasets.iter().map(record).collect();
    let outrun = |Outrun { project, dataset, version }: &Outrun| json!({ "project": project, "dataset": dataset, "version": version });
    let abandoned: Vec<_> = done.abandoned.iter().map(outrun).collect();
    let record = json!({ "datasets": records, "abandoned": abandoned, "unread": done.unread });
    output.answer(&lines.join("\n"), &record);
    Ok(if done.unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
