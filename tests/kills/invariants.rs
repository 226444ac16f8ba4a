//! What must hold after a kill, and after the same command has run again.

use std::collections::BTreeSet;
use std::fs;

use n2s_tests::{Running, assert_same, files, until};

use crate::facts::Facts;
use crate::stage::{Stage, Wreck};

/// Every object that is recorded as being on a store is there, and its bytes are those its name or its row stands for.
pub fn completed_means_readable(stage: &Stage, facts: &Facts) {
    for (store, key, digest) in &facts.completed {
        let path = stage.place(store).join(key);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{store} lost {key}: {error}"));
        if let Some(digest) = digest {
            assert_eq!(n2s_envelope::sealed_hash(&bytes).to_hex(), *digest, "{key} on {store} is damaged");
        }
    }
}

/// A header on a store means that all of its version can be restored from there: every blob, and the body.
pub fn a_header_means_the_whole_version(stage: &Stage, facts: &Facts) {
    for store in ["local", "one", "two"] {
        let root = stage.place(store);
        let headers = files(&root.join("archives"));
        for header in headers.iter().filter(|path| path.ends_with("manifest-header.json")) {
            let archive = header.parent().unwrap();
            assert!(
                archive.join("manifest-body.json").exists(),
                "a header without its body: {}",
                header.display()
            );
            let archive = archive.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let found = facts.whole.contains(&(store.to_owned(), archive));
            assert!(found, "a header before its blobs: {}", header.display());
        }
    }
}

/// Nothing that was recorded as stored before the kill was given to its store again.
pub fn nothing_uploaded_twice(stage: &Stage, wreck: &Wreck) {
    let done: BTreeSet<_> =
        wreck.facts.completed.iter().map(|(store, key, _)| (store.clone(), key.clone())).collect();
    let again: Vec<_> = stage.puts_since(wreck).intersection(&done).cloned().collect();
    assert!(again.is_empty(), "uploaded again: {again:?}");
}

/// Every version that was committed at the kill is there, completed on every store; nothing is left to do.
pub fn nothing_lost(stage: &mut Stage, wreck: &Wreck) -> Facts {
    let now = stage.facts();
    completed_means_readable(stage, &now);
    for (version, id, _) in &wreck.facts.committed {
        let found = now.committed.iter().any(|(v, i, _)| (v, i) == (version, id));
        assert!(found, "version {version} is gone: {now:?}");
    }
    let unsettled: Vec<_> = now.committed.iter().filter(|(.., status)| status != "completed").collect();
    assert!(unsettled.is_empty(), "not completed: {unsettled:?}");
    assert_eq!((now.jobs, now.staged, now.failed), (0, 0, 0), "jobs, staged rows, failed placements");
    now
}

/// What is recorded for one store is recorded for the other.
pub fn both_stores_have_everything(stage: &mut Stage) {
    let facts = stage.facts();
    let on = |name: &str| -> BTreeSet<_> {
        facts.completed.iter().filter(|(store, ..)| store == name).map(|(_, key, _)| key.clone()).collect()
    };
    assert_eq!(on("one"), on("two"));
}

/// Each version comes back: version 1 is `v1` where there is one, every other is `src`.
pub fn versions_come_back(stage: &Stage, facts: &Facts) {
    let world = &stage.world;
    let first = world.path("v1");
    for (version, ..) in &facts.committed {
        let out = format!("pulled-{version}");
        world.pull(&out, &["--version", &version.to_string()]).code(0);
        let expected = if *version == 1 && first.exists() { first.clone() } else { world.path("src") };
        assert_same(&expected, &world.path(&out));
    }
}

/// Counters agree with a recount, and what the kill left in staging and among temporaries goes when its grace is over: a day
/// later by the clock of the process.
pub fn staging_empties(stage: &Stage) {
    let world = &stage.world;
    let mut places = vec![world.path("home/staging"), world.path("home/tmp")];
    places.extend(["local", "one", "two"].map(|store| stage.place(store).join("tmp")));
    let left = || places.iter().flat_map(|dir| files(dir)).next();
    if left().is_some() {
        let mut up = world.command(&["--quiet", "up"]);
        let _up = Running::spawn(up.env("N2S_CLOCK_OFFSET_SECS", "90000"));
        until("an empty staging", || left().is_none());
    }
    let rests = files(&world.path("home")).into_iter().find(|path| path.to_string_lossy().contains(".new"));
    assert_eq!(rests, None, "left under a temporary name");
    assert_eq!(world.json(&["audit"])["drifts"], serde_json::json!([]));
}
