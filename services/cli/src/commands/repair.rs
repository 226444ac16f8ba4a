//! `n2s repair`, and waiting until damaged copies are replaced.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use n2s_assembly::Engine;
use n2s_client::seam::{
    ChangesetFilter, ChangesetRecord, Damage, DamageFilter, FailedFilter, NeededBy, Paging, Retried,
};
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{BackendName, ChangesetStatus};
use serde_json::json;

use crate::args::Repair;
use crate::output::{Output, table};
use crate::progress::Watch;
use crate::side::{Place, Side};

/// Between two looks: into the home's own catalog, and at a server.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Without any progress for so long, what is left waits for a store that is away.
const PATIENCE: Duration = Duration::from_secs(10);
const PAGE: u32 = 1_000;

/// What is still damaged, by object and store.
pub type Open = HashMap<(String, BackendName), Damage>;

pub async fn run(place: Place, args: Repair, output: &Output) -> anyhow::Result<ExitCode> {
    let side = place.open().await?;
    let Repair { project, dataset, backend } = args;
    let scope = DamageFilter { project, dataset, backend, needed_by: false };
    let before = side.operator.damages(&scope, PAGE_ROWS_MAX).await?.len();
    let filter = FailedFilter {
        project: scope.project.clone(),
        dataset: scope.dataset.clone(),
        backend: scope.backend.clone(),
        ..FailedFilter::default()
    };
    while side.operator.retry(&filter, PAGE).await? != Retried::default() {}
    let engine = match &side.node {
        Some(node) => Some(Engine::start(node).await?),
        None => None,
    };
    let watch = Watch::new(output);
    let settled = settle(&side, &scope, &watch).await;
    watch.end();
    if let Some(engine) = engine {
        engine.stop().await;
    }
    settled?;
    tell(&side, before, &scope, output).await
}

/// Waits until nothing that can be replaced is left to be replaced, and the changesets know it.
pub async fn settle(side: &Side, scope: &DamageFilter, watch: &Watch) -> anyhow::Result<Open> {
    let every = if side.node.is_some() { LOOK_EVERY } else { ASK_EVERY };
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        let damages = side.operator.damages(scope, PAGE_ROWS_MAX).await?;
        let pending = damages.iter().filter(|damage| damage.pending).count();
        let unsettled = unsettled(side, scope).await?;
        let left = pending + unsettled;
        if left < least {
            (least, since) = (left, Instant::now());
        }
        if left == 0 || since.elapsed() > PATIENCE {
            return Ok(by_object(damages));
        }
        watch.waiting(left as u64, &[]);
        tokio::time::sleep(every).await;
    }
}

pub fn by_object(damages: Vec<Damage>) -> Open {
    let key = |damage: Damage| ((damage.object.clone(), damage.backend.clone()), damage);
    damages.into_iter().map(key).collect()
}

/// What changesets wait for, and those themselves.
async fn unsettled(side: &Side, scope: &DamageFilter) -> anyhow::Result<usize> {
    let mut left = 0;
    for status in [ChangesetStatus::Pushing, ChangesetStatus::Degraded] {
        let filter = ChangesetFilter {
            project: scope.project.clone(),
            dataset: scope.dataset.clone(),
            status: Some(status),
        };
        let records = side.operator.changesets(&filter, &Paging { after: None, limit: PAGE }).await?.items;
        let open = records.iter().filter(|record| record.completed_at.is_none());
        let waiting =
            |record: &ChangesetRecord| record.stores.iter().map(|store| store.waiting).sum::<u64>() + 1;
        left += open.map(waiting).sum::<u64>();
    }
    Ok(usize::try_from(left).unwrap_or(usize::MAX))
}

async fn tell(side: &Side, before: usize, scope: &DamageFilter, output: &Output) -> anyhow::Result<ExitCode> {
    let scope = DamageFilter { needed_by: true, ..scope.clone() };
    let mut records = side.operator.damages(&scope, PAGE_ROWS_MAX).await?;
    records.sort_by(|a, b| (a.since, &a.backend, &a.object).cmp(&(b.since, &b.backend, &b.object)));
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for record in &records {
        let state = state(record);
        rows.push(vec![
            record.backend.to_string(),
            needed_by(&record.needed_by),
            state.to_owned(),
            record.message.clone(),
        ]);
        lines.push(json!({
            "backend": record.backend, "state": state, "message": record.message, "since": record.since,
            "needed_by": record.needed_by,
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
pub fn state(record: &Damage) -> &'static str {
    match (record.lost, record.pending) {
        (true, _) => "lost",
        (false, true) => "waiting",
        (false, false) => "failed",
    }
}

/// Who would miss it, for people.
pub fn needed_by(affected: &[NeededBy]) -> String {
    let one = |needs: &NeededBy| match &needs.path {
        Some(path) => format!("{}/{}:{path}", needs.project, needs.dataset),
        None => format!("the manifest of {}/{} version {}", needs.project, needs.dataset, needs.version),
    };
    let mut names: Vec<_> = affected.iter().take(3).map(one).collect();
    if affected.len() > 3 {
        names.push("…".to_owned());
    }
    names.join(", ")
}
