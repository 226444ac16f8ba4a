//! The checker of `make soak` against histories that are wrong on purpose: it can fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checker;
#[expect(dead_code, reason = "only the soak itself writes one")]
mod history;
#[expect(dead_code, reason = "only the soak itself carries one out")]
mod plan;

use checker::{Charge, Committed, Facts, check};
use history::{Call, Told, What};

fn call(begun_ms: u64, what: What) -> Call {
    let (dataset, kind) = ("p/d".to_owned(), "push".to_owned());
    Call { dataset, kind, begun_ms, ended_ms: begun_ms + 10, code: 0, what }
}

fn pushed(begun_ms: u64, version: u64, tree: &str) -> Call {
    let told = Told { changeset: format!("c{version}"), version, status: "completed".to_owned() };
    call(begun_ms, What::Push { tree: tree.to_owned(), told: Some(told) })
}

fn pulled(begun_ms: u64, version: Option<u64>, tree: &str) -> Call {
    call(begun_ms, What::Pull { version, tree: Some(tree.to_owned()) })
}

fn version(version: u64, tree: &str) -> Committed {
    let (dataset, changeset) = ("p/d".to_owned(), format!("c{version}"));
    Committed { dataset, version, changeset, status: "completed".to_owned(), pulled: Ok(tree.to_owned()) }
}

/// Three versions; of the second nobody was told, because its client was killed.
fn right() -> (Vec<Call>, Facts) {
    let killed = call(20, What::Push { tree: "two".to_owned(), told: None });
    let calls = vec![pushed(0, 1, "one"), killed, pushed(40, 3, "three"), pulled(60, None, "three")];
    let versions = vec![version(1, "one"), version(2, "two"), version(3, "three")];
    (calls, Facts { versions, ..Facts::default() })
}

#[track_caller]
fn wrong(change: impl FnOnce(&mut Vec<Call>, &mut Facts), words: &str) {
    let (mut calls, mut facts) = right();
    change(&mut calls, &mut facts);
    let found = check(&calls, &facts);
    assert!(found.iter().any(|line| line.contains(words)), "'{words}' is missing in {found:?}");
}

#[test]
fn a_right_history_is_right() {
    let (calls, facts) = right();
    assert_eq!(check(&calls, &facts), Vec::<String>::new());
}

#[test]
fn an_acknowledged_version_that_is_gone_or_replaced_is_found() {
    wrong(|_, facts| drop(facts.versions.remove(0)), "acknowledged and is gone");
    wrong(|_, facts| facts.versions[0].changeset = "other".to_owned(), "is now other");
    wrong(|_, facts| facts.versions.push(version(3, "three")), "two versions 3");
    wrong(|_, facts| facts.versions[2].status = "failed".to_owned(), "is failed");
}

#[test]
fn versions_that_do_not_increase_are_found() {
    wrong(|calls, _| calls.push(pushed(80, 3, "three")), "began after version 3");
    wrong(|calls, _| calls.push(pushed(80, 2, "two")), "began after version 3");
    // Two at once may be told the same version: the second resumed the first's.
    let (mut calls, facts) = right();
    calls.push(pushed(45, 3, "three"));
    assert_eq!(check(&calls, &facts), Vec::<String>::new());
}

#[test]
fn a_tree_that_comes_back_as_another_is_found() {
    wrong(|_, facts| facts.versions[0].pulled = Ok("three".to_owned()), "another tree than was acknowledged");
    wrong(|_, facts| facts.versions[1].pulled = Ok("mixed".to_owned()), "nobody pushed");
    wrong(|_, facts| facts.versions[1].pulled = Err("exit 4".to_owned()), "does not come back: exit 4");
}

#[test]
fn a_pull_that_brought_something_else_or_something_old_is_found() {
    wrong(|calls, _| calls.push(pulled(70, Some(1), "two")), "no such version");
    wrong(|calls, _| calls.push(pulled(70, None, "one")), "no such version");
    let (mut calls, facts) = right();
    // Nobody had been told of the third when this began.
    calls.push(pulled(45, None, "two"));
    assert_eq!(check(&calls, &facts), Vec::<String>::new());
}

#[test]
fn what_is_left_unreadable_miscounted_overcharged_or_shown_is_found() {
    wrong(|_, facts| facts.unreadable.push("x on far".to_owned()), "not readable: x on far");
    wrong(|_, facts| facts.drifts.push("pending".to_owned()), "recount differs: pending");
    wrong(|_, facts| facts.left.push(("jobs".to_owned(), 2)), "2 jobs");
    wrong(|_, facts| facts.leaks.push("worker.log".to_owned()), "credential is shown: worker.log");
    let charge = |charged| Charge { store: "far".to_owned(), object: "x".to_owned(), charged, met: 2 };
    wrong(|_, facts| facts.charges.push(charge(3)), "charged with 3 failures and met 2");
    let (calls, mut facts) = right();
    facts.charges.push(charge(2));
    assert_eq!(check(&calls, &facts), Vec::<String>::new());
}

#[test]
fn a_seed_is_a_plan_and_another_seed_another() {
    assert_eq!(plan::deeds(7, 60), plan::deeds(7, 60));
    assert_ne!(plan::deeds(7, 60), plan::deeds(8, 60));
    let kinds = |secs| {
        plan::deeds(7, secs)
            .iter()
            .map(|planned| planned.deed.name())
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    assert!(kinds(120) > 40, "a short run leaves kinds out: {}", kinds(120));
    let steps = |client| {
        let dice = plan::dice_of(7, client);
        (0..50).map(|_| plan::step(&dice)).collect::<Vec<_>>()
    };
    assert_eq!(steps(0), steps(0));
    assert_ne!(steps(0), steps(1));
}
