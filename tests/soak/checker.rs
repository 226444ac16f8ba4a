//! Whether what clients were told was true: from the history and from what is there in the end, and from nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Call, Told, What};

/// A committed version as it is in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub dataset: String,
    pub version: u64,
    pub changeset: String,
    pub status: String,
    /// The digest of what a pull of it brought; why none could, otherwise.
    pub pulled: Result<String, String>,
}

/// Failures that an object's copy was charged with, and that it met as far as anybody saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub store: String,
    pub object: String,
    pub charged: u64,
    pub met: u64,
}

/// What is there in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub versions: Vec<Committed>,
    /// What is recorded as completed and is not what it should be.
    pub unreadable: Vec<String>,
    /// Counters that a recount does not confirm.
    pub drifts: Vec<String>,
    pub charges: Vec<Charge>,
    /// What is left, by name: unfinished jobs, failed placements, staged objects that every store has.
    pub left: Vec<(String, u64)>,
    /// Where a credential was seen.
    pub leaks: Vec<String>,
}

/// Everything that is wrong; nothing when all that was promised was kept.
pub fn check(calls: &[Call], facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    acknowledged(calls, facts, &mut wrong);
    order(calls, &mut wrong);
    trees(calls, facts, &mut wrong);
    pulls(calls, facts, &mut wrong);
    wrong.extend(facts.unreadable.iter().map(|what| format!("completed and not readable: {what}")));
    wrong.extend(facts.drifts.iter().map(|what| format!("a recount differs: {what}")));
    wrong.extend(facts.leaks.iter().map(|what| format!("a credential is shown: {what}")));
    for Charge { store, object, charged, met } in &facts.charges {
        if charged > met {
            wrong.push(format!("{object} on {store} was charged with {charged} failures and met {met}"));
        }
    }
    for (what, count) in facts.left.iter().filter(|(_, count)| *count > 0) {
        wrong.push(format!("left in the end: {count} {what}"));
    }
    wrong
}

/// Pushes that were told a version, with what they pushed.
fn told(calls: &[Call]) -> impl Iterator<Item = (&Call, &str, &Told)> {
    calls.iter().filter_map(|call| match &call.what {
        What::Push { tree, told: Some(told) } => Some((call, tree.as_str(), told)),
        _ => None,
    })
}

/// Every acknowledged version is there, is still that changeset, and is completed.
fn acknowledged(calls: &[Call], facts: &Facts, wrong: &mut Vec<String>) {
    let mut by_version: BTreeMap<(&str, u64), &Committed> = BTreeMap::new();
    for version in &facts.versions {
        if by_version.insert((&version.dataset, version.version), version).is_some() {
            wrong.push(format!("{} has two versions {}", version.dataset, version.version));
        }
    }
    for (call, _, told) in told(calls) {
        let named = format!("version {} of {}, changeset {}", told.version, call.dataset, told.changeset);
        match by_version.get(&(call.dataset.as_str(), told.version)) {
            None => wrong.push(format!("{named} was acknowledged and is gone")),
            Some(found) if found.changeset != told.changeset => {
                wrong.push(format!("{named} was acknowledged and is now {}", found.changeset));
            }
            Some(_) => {}
        }
    }
    for version in facts.versions.iter().filter(|version| version.status != "completed") {
        wrong.push(format!("version {} of {} is {}", version.version, version.dataset, version.status));
    }
}

/// Versions of a dataset strictly increase in the order in which calls followed each other.
fn order(calls: &[Call], wrong: &mut Vec<String>) {
    for (earlier, _, first) in told(calls) {
        for (later, _, second) in told(calls) {
            let follows = earlier.dataset == later.dataset && earlier.ended_ms < later.begun_ms;
            if follows && second.version <= first.version {
                wrong.push(format!(
                    "{}: version {} was acknowledged to a push that began after version {} was acknowledged",
                    later.dataset, second.version, first.version
                ));
            }
        }
    }
}

/// What comes back is what was pushed: by that call, or, for a version that nobody was told of, by some call.
fn trees(calls: &[Call], facts: &Facts, wrong: &mut Vec<String>) {
    for version in &facts.versions {
        let named = format!("version {} of {}", version.version, version.dataset);
        let pulled = match &version.pulled {
            Ok(pulled) => pulled,
            Err(why) => {
                wrong.push(format!("{named} does not come back: {why}"));
                continue;
            }
        };
        let of = |call: &Call| call.dataset == version.dataset;
        let promised: BTreeSet<_> = told(calls)
            .filter(|(call, _, told)| of(call) && told.version == version.version)
            .map(|(_, tree, _)| tree)
            .collect();
        let attempted = || {
            calls
                .iter()
                .any(|call| of(call) && matches!(&call.what, What::Push { tree, .. } if tree == pulled))
        };
        if promised.iter().any(|tree| tree != pulled) {
            wrong.push(format!("{named} comes back as another tree than was acknowledged"));
        } else if promised.is_empty() && !attempted() {
            wrong.push(format!("{named} comes back as a tree that nobody pushed"));
        }
    }
}

/// What came back meanwhile was what that version is, and the latest was no older than what had been acknowledged.
fn pulls(calls: &[Call], facts: &Facts, wrong: &mut Vec<String>) {
    for call in calls {
        let What::Pull { version: asked, tree: Some(tree) } = &call.what else { continue };
        let is =
            |version: &&Committed| version.dataset == call.dataset && version.pulled.as_ref() == Ok(tree);
        let bound = |earlier: &(&Call, &str, &Told)| {
            earlier.0.dataset == call.dataset && earlier.0.ended_ms < call.begun_ms
        };
        let acknowledged = told(calls).filter(bound).map(|(_, _, told)| told.version).max().unwrap_or(0);
        let holds = |version: &Committed| match asked {
            Some(asked) => version.version == *asked,
            None => version.version >= acknowledged,
        };
        if !facts.versions.iter().filter(is).any(holds) {
            wrong.push(format!(
                "{}: a pull of {asked:?} brought tree {tree}, which is no such version",
                call.dataset
            ));
        }
    }
}
