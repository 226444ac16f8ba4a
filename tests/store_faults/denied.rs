//! Stores that refuse, and stores that are away, while others go on.

use n2s_servers::s3::S3Server;
use n2s_servers::s3_faulty::{Fault, Faulty, Rule};
use n2s_tests::until;

use crate::stage::{Stage, bucket, disk};

const DENIED: Fault = Fault::Answer(403, "AccessDenied", None);

/// By the clock that its process has. Whoever begins makes a probe of its own, so an operator who tries everything makes dozens.
#[test]
fn a_store_that_denies_for_an_hour_costs_no_budget_and_fails_no_row() {
    let mut stage = Stage::with_disk_and_clock();
    stage.write(2..40);
    stage.faulty.rule(Rule::new(DENIED));
    stage.push();
    until("the pause", || stage.store("far")["state"] == "paused");
    let reason = stage.store("far").to_string();
    assert!(reason.contains("denied") && reason.contains("GetObject"), "{reason}");
    for minutes in [0, 10, 20, 30, 40, 50, 60] {
        let before = stage.faulty.count(DENIED);
        stage.restart_at(minutes * 60);
        until("another probe", || stage.faulty.count(DENIED) > before);
        stage.nothing_is_charged();
        assert_eq!(stage.store("far")["state"], "paused");
    }
    assert!(stage.faulty.asked("PUT", "/blobs/") < 40, "a paused store is sent blobs");
    assert_eq!(stage.store("near")["pending"], 0);
    let pending = stage.store("far")["pending"].as_u64().unwrap();
    assert!(pending >= 38, "{pending}");
    stage.faulty.heal();
    stage.is_whole();
    stage.nothing_is_charged();
}

#[test]
fn two_stores_go_on_while_a_third_is_away() {
    let other = S3Server::start();
    other.make_bucket("other");
    // The third bucket is on the same server as the first, and not behind the proxy.
    let stage = Stage::with(|world, _| {
        format!("{}[backends.other]\n{}", disk(world, "near"), bucket("other", &other.endpoint()))
    });
    stage.write(2..40);
    stage.faulty.rule(Rule::new(Fault::CutRequest));
    stage.push();
    for store in ["near", "other"] {
        until("the others", || stage.store(store)["pending"] == 0);
        assert_eq!(stage.store(store)["completed"], stage.store("near")["completed"]);
    }
    assert!(stage.store("far")["pending"].as_u64().unwrap() >= 38);
    assert!(stage.faulty.count(Fault::CutRequest) > 0);
    assert_ne!(stage.status(), "completed");
    stage.stops("far");
    stage.faulty.heal();
    stage.is_whole();
    stage.nothing_is_charged();
}

#[test]
fn the_proxy_in_front_of_a_store_changes_nothing_by_itself() {
    let stage = Stage::with_disk();
    stage.write(2..10);
    stage.push();
    stage.is_whole();
    let faulty: &Faulty = &stage.faulty;
    assert!(faulty.injected().is_empty() && faulty.asked("PUT", "/blobs/") >= 8);
}
