//! What is said while things run is what the rows say: counts, what is stuck, why, and since when.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use n2s_domain::Timestamp;
use n2s_tests::{HeldStore, World, assert_same, until};
use serde_json::{Value, json};

const PUSH: [&str; 6] = ["push", "--project", "p", "--dataset", "d", "src"];

/// Version 1 on two stores, and 25 new files.
fn pushed() -> World {
    let world = World::two_stores();
    (0..10).for_each(|n| world.write(&format!("src/{n}"), format!("content {n}")));
    world.push(&[]).code(0);
    (0..25).for_each(|n| world.write(&format!("src/new/{n}"), format!("new {n}")));
    world
}

/// Whether the counts of `backends`, `status` and the rows are one and the same; those of one moment, or of none.
fn counts(world: &World) -> Option<Value> {
    let told = |answer: &Value| {
        let row =
            |row: &Value| ["backend", "pending", "completed", "failed", "bytes"].map(|key| row[key].clone());
        json!(answer["backends"].as_array().unwrap().iter().map(row).collect::<Vec<_>>())
    };
    let before = told(&world.json(&["backends", "list"]));
    let rows = world.rows(
        "SELECT b.name, sum(s.status = 'pending'), sum(s.status = 'completed'), sum(s.status = 'failed'),
            sum(iif(s.status = 'completed', l.encrypted_size, 0))
         FROM blob_backends s JOIN backends b ON b.id = s.backend_id JOIN blobs l ON l.id = s.blob_id
         GROUP BY b.name ORDER BY b.name",
    );
    let after = told(&world.json(&["status"]));
    // What moved meanwhile was not of one moment.
    if before != after {
        return None;
    }
    assert_eq!(before, rows, "what is told is not what the rows say");
    Some(rows)
}

/// How many placements of a store are pending, as told and as the rows say, once nothing moves.
fn pending(world: &World, store: &str) -> Option<u64> {
    let counts = counts(world)?;
    counts.as_array().unwrap().iter().find(|row| row[0] == store)?[1].as_u64()
}

/// The newest changeset, and what it waits for on each store.
fn newest(world: &World) -> (Value, Value) {
    let record = world.json(&["changesets"])["changesets"][0].clone();
    let told = world.json(&["status", record["changeset"].as_str().unwrap()]);
    let waiting = |row: &Value| (row["backend"].as_str().unwrap().to_owned(), row["waiting"].clone());
    let waiting = told["stores"].as_array().unwrap().iter().map(waiting);
    (told.clone(), Value::Object(waiting.collect()))
}

fn backend(world: &World, name: &str) -> Value {
    let rows = world.json(&["backends", "list"]);
    rows["backends"].as_array().unwrap().iter().find(|row| row["backend"] == name).unwrap().clone()
}

/// A store hangs: neither reachable nor not, for as long as its timeout. Everything that is said meanwhile counts the same.
#[test]
fn progress_and_status_and_rows_agree_while_a_store_hangs() {
    let world = pushed();
    let store = HeldStore::new(&world, "two");
    let mut push = world.start_listening(&PUSH);
    let stands = || newest(&world).0["committed_at"].is_string() && pending(&world, "one") == Some(0);
    until("everything but the store that hangs", stands);
    // 25 files, the list and the map.
    assert_eq!(pending(&world, "two"), Some(27));
    let (changeset, waiting) = newest(&world);
    assert_eq!((&changeset["version"], &changeset["status"]), (&json!(2), &json!("pushing")));
    assert_eq!((&waiting, &changeset["completed_at"]), (&json!({ "one": 0, "two": 27 }), &Value::Null));
    let staged = world.rows("SELECT count(*), sum(encrypted_size) FROM blobs WHERE staging_id IS NOT NULL");
    let told = world.json(&["status"])["staging"].clone();
    assert_eq!(json!([[told["blobs"], told["bytes"]]]), staged);
    assert_eq!(told["blobs"], 27, "what a store still waits for was freed");
    // The push's own lines come to the same count.
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.starts_with("27 objects on their way to the stores"))
    {
        lines.push(push.line().unwrap_or_else(|| panic!("it ended after {lines:?}")));
        assert!(lines.len() < 10, "{lines:?}");
    }
    push.kill();
    store.release();
    world.push(&[]).code(0);
    assert_eq!((pending(&world, "one"), pending(&world, "two")), (Some(0), Some(0)));
    world.settled_after_a_kill();
}

/// A store is away: why, and since when, is told by everything that is asked, until it is back.
#[test]
fn why_a_store_is_stuck_and_since_when_is_told_until_it_is_back() {
    let world = pushed();
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    let _engine = world.start(&["up"]);
    let stuck = world.push(&["--output", "json"]).code(1).json();
    until("the pause", || backend(&world, "two")["state"] == "paused");
    let row = backend(&world, "two");
    let (path, since) = (world.path("two").display().to_string(), row["since"].as_str().unwrap().to_owned());
    for word in [&path[..], "is not there", &format!("since {since}")] {
        assert!(row["reason"].as_str().unwrap().contains(word), "'{word}' is missing in {row}");
        for command in [&["backends", "list"][..], &["status"]] {
            let text = world.n2s(command).code(0).out;
            assert!(text.contains(word), "'{word}' is missing in {text}");
        }
    }
    let at = world.rows("SELECT coalesce(paused_at, open_since) FROM backends WHERE name = 'two'");
    assert_eq!(Timestamp::from_micros(at[0][0].as_i64().unwrap()).to_string(), since);
    let told = stuck["stuck"].as_str().unwrap();
    for word in ["two (27 objects waiting): ", &path, "catches up"] {
        assert!(told.contains(word), "'{word}' is missing in {told}");
    }
    assert_eq!((pending(&world, "one"), pending(&world, "two")), (Some(0), Some(27)));
    assert_eq!(newest(&world).1, json!({ "one": 0, "two": 27 }));
    let healthy = backend(&world, "one");
    assert_eq!(
        (&healthy["state"], &healthy["reason"], &healthy["since"]),
        (&json!("active"), &json!(""), &Value::Null)
    );
    fs::rename(world.path("elsewhere"), world.path("two")).unwrap();
    until("the store catching up", || newest(&world).0["status"] == "completed");
    assert_eq!(pending(&world, "two"), Some(0));
    until("the store counting as well again", || backend(&world, "two")["state"] == "active");
    let row = backend(&world, "two");
    assert_eq!((&row["reason"], &row["since"]), (&json!(""), &Value::Null));
    world.pull("out", &["--from", "two"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

/// What each worker may have under way at a store, why, and since when; who paused a store.
#[test]
fn what_a_worker_allows_a_store_and_who_paused_one_is_told() {
    let world = pushed();
    let _engine = world.start(&["up"]);
    let workers = || backend(&world, "two")["workers"].as_array().unwrap().clone();
    until("the worker being seen", || workers().len() == 1);
    let worker = workers().remove(0);
    for key in ["worker", "since", "why", "decided_at", "reported_at"] {
        assert!(worker[key].as_str().is_some_and(|text| !text.is_empty()), "{key} is missing in {worker}");
    }
    assert_eq!((&worker["draining_since"], &worker["in_flight"]), (&Value::Null, &json!(0)));
    assert!(worker["concurrency"].as_u64().unwrap() >= 256);
    assert_eq!(backend(&world, "two")["concurrency"], worker["concurrency"]);
    let text = world.n2s(&["backends", "list"]).code(0).out;
    for word in [worker["worker"].as_str().unwrap(), worker["why"].as_str().unwrap(), "under way"] {
        assert!(text.contains(word), "'{word}' is missing in {text}");
    }
    world.n2s(&["backends", "pause", "two", "--reason", "moving house"]).code(0);
    let row = backend(&world, "two");
    assert_eq!(row["paused_by"], "operator", "{row}");
    assert!(row["reason"].as_str().unwrap().contains("by an operator: moving house (since "), "{row}");
}
