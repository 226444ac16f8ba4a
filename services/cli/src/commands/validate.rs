//! `n2s validate`.

use std::process::ExitCode;

use n2s_assembly::Engine;
use n2s_client::seam::{DamageFilter, FoundDamage, StoreProof, ValidateReport, ValidateRequest};
use n2s_domain::limits::PAGE_ROWS_MAX;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::repair::{Open, advice, by_object, needed_by, settle, state};
use crate::args::Validate;
use crate::output::{Output, bytes, table};
use crate::progress::{ValidateWatch, Watch};
use crate::side::{Place, Side};

pub async fn run(place: Place, args: Validate, output: &Output) -> anyhow::Result<ExitCode> {
    let side = place.open().await?;
    let request = ValidateRequest {
        project: args.dataset.project.clone(),
        dataset: args.dataset.dataset.clone(),
        backend: args.backend.clone(),
        level: args.level,
        one_in: args.sample_rate,
        bytes_per_sec: args.limit_bytes_per_second,
    };
    // It probes stores that an earlier command found away, and replaces what is found damaged while the run goes on.
    let engine = match &side.node {
        Some(node) => Some(Engine::start(node).await?),
        None => None,
    };
    let done = look(&side, &request, args.no_wait, output).await;
    if let Some(engine) = engine {
        engine.stop().await;
    }
    let (report, open) = done?;
    Ok(tell(&args, &report, &open, output))
}

/// Validates, then waits for repairs.
async fn look(
    side: &Side,
    request: &ValidateRequest,
    no_wait: bool,
    output: &Output,
) -> anyhow::Result<(ValidateReport, Open)> {
    let stop = CancellationToken::new();
    let interrupted = tokio::spawn({
        let stop = stop.clone();
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.cancel();
            }
        }
    });
    let watch = ValidateWatch::new(output);
    let report = side.operator.validate(request, &watch, &stop).await;
    watch.end();
    interrupted.abort();
    let report = report?;
    let scope = DamageFilter {
        project: Some(request.project.clone()),
        dataset: Some(request.dataset.clone()),
        ..DamageFilter::default()
    };
    let found = report.totals()[2] > 0;
    let open = if found && !no_wait && !stop.is_cancelled() {
        let watch = Watch::new(output);
        let open = settle(side, &scope, &watch).await;
        watch.end();
        open?
    } else if found {
        by_object(side.operator.damages(&scope, PAGE_ROWS_MAX).await?)
    } else {
        Open::new()
    };
    Ok((report, open))
}

/// What has become of a damage by now.
fn now(store: &StoreProof, found: &FoundDamage, open: &Open) -> &'static str {
    let record = found.object.as_ref().and_then(|object| open.get(&(object.clone(), store.backend.clone())));
    match record {
        Some(record) => state(record),
        None if found.object.is_none() && found.message.contains("could not be replaced") => "failed",
        None => "replaced",
    }
}

fn tell(args: &Validate, report: &ValidateReport, open: &Open, output: &Output) -> ExitCode {
    for store in &report.stores {
        if let Some(why) = &store.stopped {
            output.note(&format!("{}: not validated to the end: {why}", store.backend));
        } else if let Some(why) = &store.unchecked_why {
            output.note(&format!(
                "{}: {} copies could not be looked at: {why}",
                store.backend, store.unchecked
            ));
        }
    }
    let (mut rows, mut damages) = (Vec::new(), Vec::new());
    for (store, found) in report.stores.iter().flat_map(|s| s.found.iter().map(move |found| (s, found))) {
        let now = now(store, found, open);
        let wrong = if found.kind == n2s_domain::FailureKind::NotFound { "missing" } else { "corrupt" };
        let cells = [store.backend.as_str(), wrong, &found.key, &needed_by(&found.needed_by), now];
        rows.push(cells.map(str::to_owned).to_vec());
        damages.push(damage_json(store, found, now));
    }
    let [checked, read, damaged, unchecked] = report.totals();
    let stopped = report.stores.iter().filter(|store| store.stopped.is_some()).count();
    let count = |state: &str| damages.iter().filter(|damage| damage["state"] == state).count();
    let summary = Summary { checked, read, damaged, stores: report.stores.len() - stopped };
    let text = words(&summary, rows, count);
    output.answer(
        &text,
        &json!({
            "project": args.dataset.project, "dataset": args.dataset.dataset, "level": args.level.as_str(),
            "sample_rate": args.sample_rate, "checked": checked, "bytes": read, "damaged": damaged,
            "unchecked": unchecked, "damages": damages,
            "stores": report.stores.iter().map(store_json).collect::<Vec<_>>(),
        }),
    );
    match (damaged, stopped, unchecked) {
        (0, 0, 0) => ExitCode::SUCCESS,
        (0, ..) => ExitCode::from(1),
        _ => ExitCode::from(4),
    }
}

struct Summary {
    checked: u64,
    read: u64,
    damaged: u64,
    stores: usize,
}

fn words(summary: &Summary, rows: Vec<Vec<String>>, count: impl Fn(&str) -> usize + Copy) -> String {
    let Summary { checked, read, damaged, stores } = summary;
    let read = bytes(*read);
    let looked = format!("{checked} copies looked at on {stores} stores, {read} read, {damaged} damaged");
    if *damaged == 0 {
        return looked;
    }
    let table = table(&["backend", "wrong", "object", "needed by", "now"], rows);
    let states = ["replaced", "waiting", "failed", "lost"].map(|state| format!("{} {state}", count(state)));
    format!("{table}\n{looked}: {}{}", states.join(", "), advice(count))
}

fn damage_json(store: &StoreProof, found: &FoundDamage, now: &str) -> Value {
    json!({
        "backend": store.backend, "what": found.what, "object": found.key, "kind": found.kind,
        "message": found.message, "state": now, "needed_by": found.needed_by,
    })
}

fn store_json(store: &StoreProof) -> Value {
    json!({
        "backend": store.backend, "checked": store.checked, "bytes": store.bytes, "damaged": store.damaged,
        "unchecked": store.unchecked, "unchecked_why": store.unchecked_why, "stopped": store.stopped,
    })
}
