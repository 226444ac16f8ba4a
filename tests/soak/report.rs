//! What is said while it runs and in the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use n2s_tests::{World, files};
use serde_json::{Value, json};

use crate::checker::Facts;
use crate::faults::Havoc;
use crate::history::{Call, What};
use crate::plan::{BUCKETS, LINKS};

/// A line for whoever watches.
pub fn say(line: &str) {
    // Whoever reads may have gone away.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Calls by kind and by how they ended.
fn actions(calls: &[Call]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let end = match call.code {
            0 => "done".to_owned(),
            -1 => "killed".to_owned(),
            code => format!("exit {code}"),
        };
        *counts.entry(format!("{}: {end}", call.kind)).or_default() += 1;
    }
    counts
}

/// How many pushes were told a version.
pub fn acknowledged(calls: &[Call]) -> usize {
    calls.iter().filter(|call| matches!(call.what, What::Push { told: Some(_), .. })).count()
}

/// The summary, in JSON.
pub fn summary(calls: &[Call], facts: &Facts, havoc: &Havoc<'_>, violations: &[String]) -> Value {
    let targets = &havoc.targets;
    let buckets: BTreeMap<_, _> =
        BUCKETS.iter().zip(&targets.buckets).map(|(name, faulty)| (*name, faulty.injected())).collect();
    let links: BTreeMap<_, _> = LINKS
        .iter()
        .zip(&targets.links)
        .map(|(name, link)| {
            (*name, json!({ "reset": link.reset_connections(), "held_back": link.held_back() }))
        })
        .collect();
    let charged: u64 = facts.charges.iter().map(|charge| charge.charged).sum();
    json!({
        "actions": actions(calls), "faults": havoc.done, "requests_spoiled": buckets, "links": links,
        "pushes_acknowledged": acknowledged(calls), "versions_checked": facts.versions.len(),
        "failures_charged": charged, "violations": violations,
        "verdict": if violations.is_empty() { "every promise was kept" } else { "violated" },
    })
}

/// Copies every log beside the history.
pub fn keep(world: &World, beside: &Path) {
    for log in
        files(&world.path(".")).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "log"))
    {
        let name = log.file_name().expect("a file has a name");
        let _ = fs::copy(&log, beside.join(name));
    }
}
