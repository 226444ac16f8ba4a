//! What goes wrong while objects come back.

use n2s_servers::s3_faulty::{Fault, Rule};
use n2s_tests::assert_same;

use crate::stage::Stage;

/// Every object is spoiled at its first reading; the other store has it.
fn falls_back(fault: Fault) {
    let stage = Stage::with_disk();
    stage.write(2..40);
    stage.push();
    stage.completes();
    stage.faulty.rule(Rule::new(fault).method("GET").path("/blobs/"));
    stage.world.pull("out", &["--from", "far", "--verify"]).code(0);
    assert!(stage.faulty.count(fault) > 0);
    assert_same(&stage.world.path("src"), &stage.world.path("out"));
    stage.faulty.heal();
    std::fs::remove_dir_all(stage.world.path("out")).unwrap();
    stage.is_whole();
}

#[test]
fn truncated_answers_are_no_content() {
    falls_back(Fault::Truncate);
}

#[test]
fn bytes_that_changed_on_their_way_back_are_no_content() {
    falls_back(Fault::Corrupt);
}

#[test]
fn wrong_checksums_are_no_content() {
    falls_back(Fault::WrongSums);
}

#[test]
fn a_reader_passes_over_a_store_that_stalls() {
    falls_back(Fault::Stall);
}

/// The only store spoils each object's first reading.
fn reads_again(fault: Fault) {
    let stage = Stage::new();
    stage.write(2..40);
    stage.push();
    stage.completes();
    stage.faulty.rule(Rule::new(fault).method("GET").path("/blobs/").each(1));
    stage.world.pull("out", &["--verify"]).code(0);
    assert!(stage.faulty.count(fault) >= 38, "{:?}", stage.faulty.injected());
    assert_same(&stage.world.path("src"), &stage.world.path("out"));
}

#[test]
fn answers_that_break_off_are_asked_for_again() {
    reads_again(Fault::CutAnswer);
}

#[test]
fn a_store_that_spoils_what_it_holds_is_found_out_and_replaced() {
    let stage = Stage::with_disk();
    stage.write(2..10);
    stage.push();
    stage.completes();
    let (name, _) = stage.charged("far").swap_remove(3);
    stage.faulty.rule(Rule::new(Fault::Corrupt).method("GET").path(&name[2..]).times(4));
    let proven = ["validate", "--project", "p", "--dataset", "d", "--output", "json"];
    let found = stage.world.n2s(&proven).json();
    let damages = found["damages"].as_array().unwrap();
    assert_eq!(damages.len(), 1, "{found}");
    stage.faulty.heal();
    stage.world.n2s(&["repair"]).code(0);
    stage.is_whole();
    stage.world.n2s(&proven).code(0);
}
