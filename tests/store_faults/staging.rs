//! A staging bucket that misbehaves: the store at the end has no part in it, and gets what was sealed.

use n2s_servers::s3::S3Server;
use n2s_servers::s3_faulty::{Fault, Faulty, Rule};
use n2s_tests::{Member, World, assert_same, until};

use crate::stage::{bucket, disk, shows_no_secret};

struct Waiting {
    world: World,
    _server: S3Server,
    faulty: Faulty,
}

fn waiting() -> Waiting {
    let (world, server) = (World::at_home(), S3Server::start());
    let faulty = Faulty::before(&server.endpoint());
    server.make_bucket("waiting");
    let staging = bucket("waiting", &faulty.endpoint());
    let near = disk(&world, "near");
    world.write("home/config.toml", format!("[staging]\n{staging}{near}"));
    for n in 0..30 {
        world.write(&format!("src/{n}"), format!("content {n} ").repeat(20 + n));
    }
    Waiting { world, _server: server, faulty }
}

/// Each staged object is spoiled so often at its reading, and the push gets through.
fn gets_through(fault: Fault, each: u64) {
    let stage = waiting();
    let world = &stage.world;
    stage.faulty.rule(Rule::new(fault).method("GET").path("/staging/").each(each));
    let mut up = Member::start("up", world.command(&["up"]), &world.path("up.log"));
    up.said("API on ");
    world.push(&["--no-wait"]).code(0);
    until("completion", || world.json(&["changesets"])["changesets"][0]["status"] == "completed");
    assert!(stage.faulty.count(fault) > 0);
    assert_eq!(world.json(&["failed"])["failed"], serde_json::json!([]));
    let charged = "SELECT count(*) FROM blob_backends WHERE retry_count > 0 OR status <> 'completed'";
    assert_eq!(world.rows(charged)[0][0], 0);
    until("an empty staging area", || world.json(&["status"])["staging"]["blobs"] == 0);
    world.settled();
    world.n2s(&["validate", "--project", "p", "--dataset", "d"]).code(0);
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    shows_no_secret(world);
}

#[test]
fn staged_bytes_that_change_on_their_way_go_to_no_store() {
    gets_through(Fault::Corrupt, 3);
}

#[test]
fn staged_bytes_that_are_cut_short_go_to_no_store() {
    gets_through(Fault::Truncate, 3);
}

#[test]
fn a_staging_that_breaks_off_is_asked_again() {
    gets_through(Fault::CutAnswer, 6);
}

#[test]
fn a_staging_that_answers_503_costs_time_only() {
    gets_through(Fault::Answer(503, "SlowDown", None), 2);
}

#[test]
fn staging_that_takes_nothing_fails_the_push_and_the_next_goes_on() {
    let stage = waiting();
    let world = &stage.world;
    stage.faulty.rule(Rule::new(Fault::Answer(500, "InternalError", None)).method("PUT").path("/staging/"));
    world.push(&[]).code(1).says(&["staging"]);
    stage.faulty.heal();
    let again = world.push(&["--output", "json"]).code(0).json();
    assert_eq!(again["resumed"], true, "{again}");
    assert!(stage.faulty.count(Fault::Answer(500, "", None)) > 0);
    world.settled();
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}
