//! What is proven, in which order, at which pace; and that an outage is not damage.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use n2s_tests::archive::{FILES, backend, flip, found, number, object, pushed, states, status, validate};
use n2s_tests::{Running, files, until};

#[test]
fn an_intact_archive_is_proven_at_every_level() {
    let world = pushed();
    for level in ["exists", "sealed", "content"] {
        let json = validate(&world, &["--level", level]).code(0).json();
        // On each store: the files, a list and a map, the manifest; n2s.json and keys/1.
        assert_eq!(number(&json, "checked"), 2 * (FILES as u64 + 2 + 1 + 2), "{json}");
        assert_eq!(number(&json, "damaged") + number(&json, "unchecked"), 0, "{json}");
    }
    world.settled();
}

#[test]
fn a_store_that_is_not_mounted_has_no_damage() {
    let world = pushed();
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    for mounted in [false, true] {
        if mounted {
            // A mount point without its disk.
            fs::create_dir(world.path("two")).unwrap();
        }
        let ended = validate(&world, &[]).code(1).says(&["two", "mount"]);
        assert_eq!(number(&ended.json(), "damaged"), 0);
        assert_eq!(number(&backend(&world, "two"), "damaged"), 0);
        assert_eq!(number(&backend(&world, "two"), "pending"), 0);
    }
    fs::remove_dir_all(world.path("two")).unwrap();
    fs::rename(world.path("elsewhere"), world.path("two")).unwrap();
    let json = validate(&world, &[]).code(0).json();
    assert_eq!(number(&json, "checked"), 2 * (FILES as u64 + 5));
    world.settled();
}

#[test]
fn a_paused_store_is_left_alone() {
    let world = pushed();
    fs::remove_file(object(&world, "two", "src/f1")).unwrap();
    world.n2s(&["backends", "pause", "two", "--reason", "moving house"]).code(0);
    let ended = validate(&world, &["--backend", "two"]).code(1).says(&["two", "moving house"]);
    assert_eq!(number(&ended.json(), "checked"), 0);
    world.n2s(&["backends", "resume", "two"]).code(0);
    validate(&world, &[]).code(4);
}

#[test]
fn what_a_pull_could_not_read_is_proven_first_and_replaced() {
    let world = pushed();
    let flipped = object(&world, "one", "src/f9");
    flip(&flipped);
    world.pull("out", &["--from", "one"]).code(0).says(&["a damaged or missing copy on one"]);
    assert!(backend(&world, "one")["proven_since"].is_null());
    // One copy of each store.
    let json = validate(&world, &["--sample-rate", "1000"]).code(4).json();
    assert_eq!(found(&json), [("f9".to_owned(), "corrupt".to_owned())]);
    assert_eq!(states(&json), ["replaced"]);
    world.settled();
}

#[test]
fn a_repair_waits_for_a_source_that_is_not_mounted() {
    let world = pushed();
    fs::remove_file(object(&world, "one", "src/f9")).unwrap();
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    fs::create_dir(world.path("two")).unwrap();
    let json = validate(&world, &["--backend", "one"]).code(4).json();
    assert_eq!(states(&json), ["waiting"], "{json}");
    fs::remove_dir(world.path("two")).unwrap();
    fs::rename(world.path("elsewhere"), world.path("two")).unwrap();
    world.n2s(&["repair"]).code(0);
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.settled();
}

#[test]
fn one_in_n_proves_everything_in_n_runs() {
    const N: u64 = 4;
    let world = pushed();
    let copies = FILES as u64 + 3;
    let mut began = String::new();
    for round in 1..=N {
        let json = validate(&world, &["--sample-rate", "4"]).code(0).json();
        assert_eq!(number(&json, "checked"), 2 * (copies.div_ceil(N) + 2), "{json}");
        for store in ["one", "two"] {
            let row = backend(&world, store);
            if round == 1 && store == "one" {
                row["last_validation"]["started_at"].as_str().unwrap().clone_into(&mut began);
            }
            let all = row["proven_since"].as_str().unwrap() >= began.as_str();
            assert_eq!(all, round == N, "after {round} runs: {row}");
        }
    }
}

#[test]
fn a_killed_run_is_gone_on_with_and_kept_its_budget() {
    let world = pushed();
    let slow = ["--backend", "one", "--limit-bytes-per-second", "400"];
    let start = Instant::now();
    let child = world.start(&[&["validate", "--project", "p", "--dataset", "d"], &slow[..]].concat());
    // Two of the proofs are those of the key and the marker, which count for no copy.
    until("half of it", || backend(&world, "one")["last_validation"]["checked"].as_u64() >= Some(8));
    child.kill();
    let elapsed = start.elapsed();
    let run = backend(&world, "one")["last_validation"].clone();
    let largest = files(&world.path("one/blobs")).iter().map(|path| fs::metadata(path).unwrap().len()).max();
    // What is read is paid for beforehand, by whole seconds' portions or one object.
    let allowed = 400 * (elapsed.as_secs() + 1) + largest.unwrap().max(400);
    assert!(number(&run, "bytes") <= allowed, "{run} is more than {allowed} bytes in {elapsed:?}");
    // Half of the copies are the other half.
    validate(&world, &["--backend", "one", "--sample-rate", "2"]).code(0);
    let row = backend(&world, "one");
    assert!(row["proven_since"].as_str() >= run["started_at"].as_str(), "{run}, {row}");
}

#[test]
fn the_engine_proves_everything_by_itself() {
    let world = pushed();
    let config = world.path("home/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n[validator]\nevery_hours = 0\n").unwrap();
    let [flipped, deleted] = ["src/f1", "src/f2"].map(|name| object(&world, "two", name));
    let whole = fs::read(&flipped).unwrap();
    flip(&flipped);
    fs::remove_file(&deleted).unwrap();
    let up = world.start(&["up"]);
    until("the repair", || deleted.exists() && fs::read(&flipped).is_ok_and(|bytes| bytes == whole));
    until("the end of it", || number(&backend(&world, "two"), "damaged") == 0);
    // A second validator waits for the first, and one that is asked to end ends well.
    let mut second =
        Running::spawn(world.command(&["serve", "validator"]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    // A fleet says it in other words, and after others.
    while !second.line().unwrap().starts_with("validat") {}
    second.terminate().code(0);
    up.terminate().code(0);
    assert_eq!(status(&world), "completed");
    world.settled();
}

#[test]
fn unknown_things_and_bad_flags_are_refused() {
    let world = pushed();
    let run = |args: &[&str]| world.n2s(&[&["validate"], args].concat());
    run(&["--project", "q", "--dataset", "d"]).code(3).says(&["there are: p"]);
    run(&["--project", "p", "--dataset", "e"]).code(3).says(&["there are: d"]);
    run(&["--project", "p", "--dataset", "d", "--backend", "three"]).code(3).says(&["one, two"]);
    run(&["--project", "p", "--dataset", "d", "--sample-rate", "0"]).code(2);
    run(&["--project", "p", "--dataset", "d", "--level", "deep"])
        .code(2)
        .says(&["exists, sealed or content"]);
}
