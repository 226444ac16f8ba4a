//! What goes wrong while objects go to a store.

use n2s_servers::s3_faulty::{Fault, Rule};
use n2s_tests::until;

use crate::stage::Stage;

const FILES: std::ops::Range<usize> = 2..40;

/// The whole store has this for a while.
fn a_while_of(fault: Fault, enough: u64) {
    let stage = Stage::new();
    stage.write(FILES);
    stage.suffer(Rule::new(fault), fault, enough);
    stage.is_whole();
    stage.nothing_is_charged();
}

#[test]
fn a_store_that_resets_in_the_middle_of_bodies_costs_time_only() {
    a_while_of(Fault::CutRequest, 20);
}

#[test]
fn a_store_that_stalls_costs_time_only() {
    a_while_of(Fault::Stall, 6);
}

#[test]
fn a_store_that_answers_500_costs_time_only() {
    a_while_of(Fault::Answer(500, "InternalError", None), 6);
}

#[test]
fn a_store_that_answers_503_with_retry_after_costs_time_only() {
    a_while_of(Fault::Answer(503, "ServiceUnavailable", Some(1)), 6);
}

#[test]
fn answers_that_break_off_cost_time_only() {
    a_while_of(Fault::CutAnswer, 20);
}

#[test]
fn bursts_of_429_cost_no_budget_and_pause_nobody() {
    let stage = Stage::new();
    stage.write(FILES);
    for round in 1..=2_u64 {
        // A burst ends by itself: a throttled store is not a broken one, and is not probed.
        stage.faulty.rule(Rule::new(Fault::Answer(429, "TooManyRequests", Some(1))).method("PUT").times(20));
        stage.world.write(&format!("src/round-{round}"), format!("{round}").repeat(50));
        stage.push();
        stage.completes();
        assert!(
            stage.faulty.count(Fault::Answer(429, "", None)) >= 5 * round,
            "{:?}",
            stage.faulty.injected()
        );
        stage.faulty.heal();
    }
    stage.is_whole();
    stage.nothing_is_charged();
}

#[test]
fn writes_whose_answer_is_lost_are_found_done() {
    let stage = Stage::new();
    stage.write(FILES);
    stage.faulty.rule(Rule::new(Fault::LoseAnswer).method("PUT").path("/blobs/").each(1));
    stage.push();
    stage.completes();
    assert!(stage.faulty.count(Fault::LoseAnswer) >= 38);
    stage.is_whole();
    stage.nothing_is_charged();
}

#[test]
fn answers_that_name_other_bytes_sums_are_no_proof_and_no_harm() {
    let stage = Stage::new();
    stage.write(FILES);
    stage.faulty.rule(Rule::new(Fault::WrongSums).method("PUT"));
    stage.push();
    stage.completes();
    assert!(stage.faulty.count(Fault::WrongSums) >= 38);
    stage.faulty.heal();
    stage.is_whole();
}

/// Each object has its own failures: so many requests for one, so often.
fn each_is_charged(fault: Fault, times: u64, requests: u64) {
    let stage = Stage::new();
    stage.write(FILES);
    stage.faulty.rule(Rule::new(fault).method("PUT").path("/blobs/").each(times * requests));
    stage.push();
    stage.completes();
    assert!(stage.faulty.count(fault) >= 38 * times * requests);
    for (name, count) in stage.charged("far") {
        assert_eq!(count * requests, stage.harmed(&name), "{name}");
    }
    stage.faulty.heal();
    stage.is_whole();
    stage.nothing_is_given_up();
}

#[test]
fn an_object_whose_bytes_arrive_wrong_is_charged_with_its_own_failures() {
    // What the store has under a name may be damaged, so the same attempt overwrites it.
    each_is_charged(Fault::Answer(400, "BadDigest", None), 2, 2);
}

#[test]
fn an_object_that_is_denied_where_the_probe_is_not_is_charged_with_its_own_failures() {
    each_is_charged(Fault::Answer(403, "AccessDenied", None), 2, 1);
}

#[test]
fn an_object_that_is_refused_alone_pays_for_no_more_than_it_met() {
    let stage = Stage::new();
    stage.write(FILES);
    let refused = Fault::Answer(503, "ServiceUnavailable", None);
    stage.faulty.rule(Rule::new(refused).method("PUT").path("/blobs/").each(2));
    stage.push();
    stage.completes();
    assert!(stage.faulty.count(refused) >= 76);
    // Charged where others got through meanwhile, and excused where nobody did.
    for (name, count) in stage.charged("far") {
        assert!(count <= stage.harmed(&name), "{name}: charged {count}");
    }
    stage.is_whole();
    stage.nothing_is_given_up();
}

#[test]
fn what_a_store_acknowledged_and_lost_is_found_and_replaced() {
    let stage = Stage::with_disk();
    stage.write(FILES);
    stage.faulty.rule(Rule::new(Fault::LosePut).method("PUT").path("/blobs/").times(5));
    stage.push();
    stage.completes();
    assert_eq!(stage.faulty.count(Fault::LosePut), 5);
    let lost = || stage.charged("far").iter().filter(|(name, _)| !stage.object(name).exists()).count();
    assert_eq!(lost(), 5);
    let proven = ["validate", "--project", "p", "--dataset", "d", "--output", "json"];
    let found = stage.world.n2s(&proven);
    let damages = found.json()["damages"].as_array().unwrap().clone();
    assert_eq!(damages.len(), 5, "{found:?}");
    assert!(
        damages.iter().all(|damage| damage["kind"] == "not-found" && damage["backend"] == "far"),
        "{found:?}"
    );
    stage.world.n2s(&["repair"]).code(0);
    until("the repair", || lost() == 0);
    stage.is_whole();
    stage.world.n2s(&proven).code(0);
    stage.nothing_is_charged();
}
