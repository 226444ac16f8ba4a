//! `n2s pull`.

use std::process::ExitCode;
use std::sync::Arc;

use n2s_client::pull::{PassedOver, PullDeps, PullOptions, PullReport, pull};
use n2s_client::seam::Selector;
use n2s_domain::Version;
use serde_json::json;

use crate::args::{Pull, Which};
use crate::output::{Output, bytes};
use crate::progress::PullWatch;
use crate::side::Place;

pub async fn run(place: Place, args: Pull, output: &Output) -> anyhow::Result<ExitCode> {
    let side = place.open().await?;
    let watch = Arc::new(PullWatch::new(output));
    let deps =
        PullDeps { reader: Arc::clone(&side.reader), vault: side.vault(), progress: Arc::clone(&watch) as _ };
    let options = PullOptions {
        project: args.dataset.project,
        dataset: args.dataset.dataset,
        selector: selector(args.which),
        target: args.target,
        globs: args.globs,
        force: args.force,
        dry_run: args.dry_run,
        verify: args.verify,
        from: args.from,
    };
    let pulled = pull(&deps, &options).await;
    watch.end();
    Ok(tell(&pulled?, args.dry_run, output))
}

pub fn selector(which: Which) -> Selector {
    match (which.snapshot, which.version) {
        (Some(label), _) => Selector::Snapshot(label),
        (None, Some(version)) => Selector::Version(Version(version)),
        (None, None) => Selector::Latest,
    }
}

fn tell(report: &PullReport, dry_run: bool, output: &Output) -> ExitCode {
    let (outages, damage): (Vec<_>, Vec<_>) =
        report.bad_copies.iter().partition(|copy| copy.kind.is_an_outage());
    for PassedOver { backend, what, .. } in &damage {
        output.note(&format!("a damaged or missing copy on {backend}: {what}"));
    }
    for PassedOver { backend, kind, what, objects } in outages {
        let copies = if *objects == 1 { "1 copy" } else { &format!("{objects} copies") };
        output.note(&format!("{backend} could not be read ({kind}): {what}; {copies} there passed over"));
    }
    if !damage.is_empty() {
        output.note("`n2s validate` proves those copies first and has them replaced");
    }
    for (path, what) in report.problems.iter().chain(&report.lost) {
        output.note(&format!("{path}: {what}"));
    }
    let done = if dry_run { "would restore" } else { "restored" };
    let not_done = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!("; {count} {what}"),
    };
    let text = format!(
        "version {}: {done} {} files, {} directories, {} links, {}; {} were there already{}{}",
        report.version,
        report.files,
        report.dirs,
        report.links,
        bytes(report.bytes),
        report.kept,
        not_done(report.problems.len(), "could not be restored, as said above"),
        not_done(report.lost.len(), "have NO intact copy"),
    );
    let pairs = |pairs: &[(n2s_domain::RelPath, String)]| {
        pairs.iter().map(|(path, what)| json!({ "path": path, "what": what })).collect::<Vec<_>>()
    };
    let bad = report.bad_copies.iter().map(|PassedOver { backend, kind, what, objects }| {
        json!({ "backend": backend, "kind": kind, "what": what, "objects": objects })
    });
    output.answer(
        &text,
        &json!({
            "changeset": report.changeset, "version": report.version, "files": report.files, "dirs": report.dirs,
            "links": report.links, "bytes": report.bytes, "kept": report.kept, "problems": pairs(&report.problems),
            "lost": pairs(&report.lost), "bad_copies": bad.collect::<Vec<_>>(), "dry_run": dry_run,
        }),
    );
    match (report.lost.is_empty(), report.problems.is_empty()) {
        (false, _) => ExitCode::from(4),
        (true, false) => ExitCode::from(1),
        (true, true) => ExitCode::SUCCESS,
    }
}
