//! `n2s repair`, and waiting until damaged copies are replaced.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use n2s_assembly::{Engine, Home, Node};
use n2s_catalog::{
    Affected, ChangesetFilter, ChangesetRecord, DamageRecord, DamageScope, FailedFilter, Page, Retried,
    Vouched,
};
use n2s_domain::{BackendName, ChangesetStatus};
use serde_json::json;

use crate::args::Repair;
use crate::output::{Output, table};
use crate::progress::Watch;

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Without any progress for so long, what is left waits for a store that is away.
const PATIENCE: Duration = Duration::from_secs(10);
const PAGE: u32 = 1_000;
/// Damages looked at; more are counted when these are done.
const DAMAGES: u32 = 10_000;

/// What is still damaged, by object and store.
pub type Open = HashMap<(Vouched, BackendName), DamageRecord>;

pub async fn run(home: Home, args: Repair, output: &Output) -> anyhow::Result<ExitCode> {
    let node = super::open(home).await?;
    if let Some(backend) = &args.backend {
        super::backends::find(&node, backend).await?;
    }
    let scope = DamageScope { project: args.project, dataset: args.dataset, backend: args.backend };
    let before = node.catalog.damages(&scope, DAMAGES).await?.len();
    let filter = FailedFilter {
        project: scope.project.clone(),
        dataset: scope.dataset.clone(),
        backend: scope.backend.clone(),
        ..FailedFilter::default()
    };
    while node.catalog.retry_failed(&filter, PAGE).await? != Retried::default() {}
    let engine = Engine::start(&node).await?;
    let watch = Watch::new(output);
    let open = settle(&node, &scope, &watch).await;
    watch.end();
    engine.stop().await;
    tell(&node, before, open?, output).await
}

/// Waits until nothing that can be replaced is left to be replaced, and the changesets know it.
pub async fn settle(node: &Node, scope: &DamageScope, watch: &Watch) -> anyhow::Result<Open> {
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        let damages = node.catalog.damages(scope, DAMAGES).await?;
        let pending = damages.iter().filter(|damage| damage.pending).count();
        let unsettled = unsettled(node, scope).await?;
        let left = pending + unsettled;
        if left < least {
            (least, since) = (left, Instant::now());
        }
        if left == 0 || since.elapsed() > PATIENCE {
            let key = |damage: DamageRecord| ((damage.object, damage.backend.clone()), damage);
            return Ok(damages.into_iter().map(key).collect());
        }
        watch.waiting(left as u64, &[]);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What changesets wait for, and those themselves.
async fn unsettled(node: &Node, scope: &DamageScope) -> anyhow::Result<usize> {
    let mut left = 0;
    for status in [ChangesetStatus::Pushing, ChangesetStatus::Degraded] {
        let filter = ChangesetFilter {
            project: scope.project.clone(),
            dataset: scope.dataset.clone(),
            status: Some(status),
        };
        let records = node.catalog.changesets(&filter, &Page { after: None, limit: PAGE }).await?;
        let open = records.iter().filter(|record| record.completed_at.is_none());
        let waiting =
            |record: &ChangesetRecord| record.stores.iter().map(|store| store.waiting).sum::<u64>() + 1;
        left += open.map(waiting).sum::<u64>();
    }
    Ok(usize::try_from(left).unwrap_or(usize::MAX))
}

async fn tell(node: &Node, before: usize, open: Open, output: &Output) -> anyhow::Result<ExitCode> {
    let mut records: Vec<_> = open.into_values().collect();
    records.sort_by(|a, b| (a.since, &a.backend, a.object).cmp(&(b.since, &b.backend, b.object)));
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for record in &records {
        let affected = node.catalog.affected(record.object, 4).await?;
        let state = state(record);
        rows.push(vec![
            record.backend.to_string(),
            needed_by(&affected),
            state.to_owned(),
            record.message.clone(),
        ]);
        lines.push(json!({
            "backend": record.backend, "state": state, "message": record.message, "since": record.since.to_string(),
            "needed_by": affected_json(&affected),
        }));
    }
    let lost = records.iter().filter(|record| record.lost).count();
    let mut text = match (before, records.len()) {
        (0, 0) => "nothing is damaged".to_owned(),
        (_, 0) => format!("{before} damaged copies were replaced"),
        (_, left) => {
            format!(
                "{}\n{left} of {} damaged copies are not replaced",
                table(&HEADER, rows),
                before.max(left)
            )
        }
    };
    text.push_str(&advice(|wanted| records.iter().filter(|record| state(record) == wanted).count()));
    output.answer(&text, &json!({ "damaged": before, "left": lines, "lost": lost }));
    Ok(match (lost, records.len()) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(1),
        _ => ExitCode::from(4),
    })
}

const HEADER: [&str; 4] = ["backend", "needed by", "now", "why"];
/// What to do about what is not replaced, by the number of each state.
pub fn advice(count: impl Fn(&str) -> usize) -> String {
    let say = |state, text: &str| if count(state) > 0 { format!("\n{text}") } else { String::new() };
    [
        say(
            "waiting",
            "what waits is replaced when a store that has it is back: by the next command, or by `n2s up`",
        ),
        say("failed", "what failed is tried again by `n2s repair`; `n2s failed` says why"),
        say(
            "lost",
            "what is lost has no intact copy on any store: push the same files again, and they are sent anew",
        ),
    ]
    .concat()
}

/// What becomes of a damaged copy, in a word that programs may rely on.
pub fn state(record: &DamageRecord) -> &'static str {
    match (record.lost, record.pending) {
        (true, _) => "lost",
        (false, true) => "waiting",
        (false, false) => "failed",
    }
}

/// Who would miss it, for people.
pub fn needed_by(affected: &[Affected]) -> String {
    let one = |needs: &Affected| match &needs.path {
        Some(path) => format!("{}/{}:{path}", needs.project, needs.dataset),
        None => format!("the manifest of {}/{} version {}", needs.project, needs.dataset, needs.version),
    };
    let mut names: Vec<_> = affected.iter().take(3).map(one).collect();
    if affected.len() > 3 {
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// Who would miss it, for programs.
pub fn affected_json(affected: &[Affected]) -> Vec<serde_json::Value> {
    let one = |needs: &Affected| json!({ "project": needs.project, "dataset": needs.dataset, "version": needs.version, "path": needs.path });
    affected.iter().map(one).collect()
}
