//! Damage is found, named and replaced, or lost until it is pushed again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use n2s_tests::archive::{
    FILES, backend, flip, found, number, object, pushed, replace, states, status, validate,
};
use n2s_tests::{World, assert_same, files};
use serde_json::Value;

/// Deleted, flipped, cut short and swapped, each with the file it belongs to.
fn damage(world: &World, store: &str) -> [PathBuf; 5] {
    let of = |n: usize| object(world, store, &format!("src/f{n}"));
    let [deleted, flipped, cut, a, b] = [of(0), of(1), of(2), of(3), of(4)];
    fs::remove_file(&deleted).unwrap();
    flip(&flipped);
    let whole = fs::read(&cut).unwrap();
    replace(&cut, &whole[..whole.len() / 2]);
    let (bytes_a, bytes_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    replace(&a, &bytes_b);
    replace(&b, &bytes_a);
    [deleted, flipped, cut, a, b]
}

#[test]
fn every_kind_of_damage_is_found_named_and_replaced() {
    let world = pushed();
    let before: Vec<_> = files(&world.path("one/blobs")).iter().map(|path| fs::read(path).unwrap()).collect();
    damage(&world, "one");
    let ended = validate(&world, &[]).code(4);
    let json = ended.json();
    let expected = ["f0", "f1", "f2", "f3", "f4"].map(|name| {
        let kind = if name == "f0" { "not-found" } else { "corrupt" };
        (name.to_owned(), kind.to_owned())
    });
    assert_eq!(found(&json), expected);
    for damage in json["damages"].as_array().unwrap() {
        assert_eq!((damage["backend"].as_str(), damage["state"].as_str()), (Some("one"), Some("replaced")));
        assert!(damage["object"].as_str().unwrap().starts_with("blobs/"), "{damage}");
    }
    assert_eq!(status(&world), "completed");
    let after: Vec<_> = files(&world.path("one/blobs")).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "the damaged objects are not as they were");
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.settled();
    fs::rename(world.path("two"), world.path("away")).unwrap();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn what_only_reading_can_tell_is_not_found_by_asking() {
    let world = pushed();
    let flipped = object(&world, "one", "src/f1");
    flip(&flipped);
    assert_eq!(number(&validate(&world, &["--level", "exists"]).code(0).json(), "damaged"), 0);
    fs::remove_file(object(&world, "one", "src/f2")).unwrap();
    let json = validate(&world, &["--level", "exists"]).code(4).json();
    assert_eq!(found(&json), [("f2".to_owned(), "not-found".to_owned())]);
    let json = validate(&world, &["--level", "content"]).code(4).json();
    assert_eq!(found(&json), [("f1".to_owned(), "corrupt".to_owned())]);
    world.settled();
}

#[test]
fn the_table_names_store_object_and_file() {
    let world = pushed();
    let deleted = object(&world, "one", "src/f7");
    fs::remove_file(&deleted).unwrap();
    let key = deleted.strip_prefix(world.path("one")).unwrap().to_str().unwrap().to_owned();
    let ended = world.n2s(&["validate", "--project", "p", "--dataset", "d"]).code(4);
    for word in ["one", "missing", &key, "p/d:f7", "replaced", "1 damaged"] {
        assert!(ended.out.contains(word), "'{word}' is missing in {ended:?}");
    }
    assert!(deleted.exists());
}

#[test]
fn what_is_damaged_everywhere_is_lost_until_it_is_pushed_again() {
    let world = pushed();
    for store in ["one", "two"] {
        flip(&object(&world, store, "src/f5"));
    }
    let json = validate(&world, &[]).code(4).json();
    assert_eq!(states(&json), ["lost", "lost"], "{json}");
    assert_eq!(status(&world), "failed");
    let ended = world.n2s(&["repair"]).code(4);
    assert!(ended.out.contains("p/d:f5") && ended.out.contains("push the same files again"), "{ended:?}");
    world.pull("lost", &[]).code(4);
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.n2s(&["repair"]).code(0);
    let all = world.json(&["changesets"]);
    assert!(all["changesets"].as_array().unwrap().iter().all(|row| row["status"] == "completed"), "{all}");
    world.settled();
}

#[test]
fn an_archive_that_lost_every_blob_is_whole_after_a_push() {
    let world = pushed();
    for store in ["one", "two"] {
        for path in files(&world.path(store).join("blobs")) {
            flip(&path);
        }
    }
    let json = validate(&world, &["--level", "content"]).code(4).json();
    assert_eq!(number(&json, "damaged"), 2 * (FILES as u64 + 2), "{json}");
    assert!(states(&json).iter().all(|state| *state == "lost"), "{json}");
    // The lists of the manifest are blobs that no file can be read for.
    let lists =
        json["damages"].as_array().unwrap().iter().filter(|damage| damage["needed_by"][0]["path"].is_null());
    assert_eq!(lists.count(), 4);
    world.write("src/new", "one more");
    world.push(&[]).code(0);
    let json = validate(&world, &["--level", "content"]).code(0).json();
    assert_eq!(number(&json, "damaged"), 0);
    world.pull("out", &["--from", "two"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.settled();
}

#[test]
fn a_copy_that_cannot_be_replaced_yet_leaves_the_version_degraded() {
    let world = World::new();
    for name in ["one", "two"] {
        world.n2s(&["backends", "add", name, "--path", name]).code(0);
    }
    world.write("src/f5", "five");
    world.push(&["--min-copies", "1"]).code(0);
    let (one, two) = (object(&world, "one", "src/f5"), object(&world, "two", "src/f5"));
    let whole = fs::read(&two).unwrap();
    flip(&one);
    flip(&two);
    // Nobody knows of the other damage before the repair meets it.
    let json = validate(&world, &["--backend", "one"]).code(4).json();
    assert_eq!(states(&json), ["failed"], "{json}");
    assert_eq!(status(&world), "degraded");
    assert_eq!(number(&backend(&world, "one"), "damaged"), 1);
    world.n2s(&["repair"]).code(1);
    replace(&two, &whole);
    world.n2s(&["repair"]).code(0);
    assert_eq!(status(&world), "completed");
    assert_eq!(fs::read(one).unwrap(), whole);
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.settled();
}

#[test]
fn manifests_keys_and_the_marker_are_replaced_like_blobs() {
    let world = pushed();
    let archives = files(&world.path("one/archives"));
    let of = |name: &str| archives.iter().find(|path| path.ends_with(name)).unwrap();
    let (header, body) = (of("manifest-header.json"), of("manifest-body.json"));
    let (key, marker) = (world.path("one/keys/1"), world.path("one/n2s.json"));
    let all = [header, body, &key, &marker].map(|path| (path.clone(), fs::read(path).unwrap()));
    let intact = |json: &Value| {
        assert!(states(json).iter().all(|state| *state == "replaced"), "{json}");
        for (path, bytes) in &all {
            assert!(&fs::read(path).unwrap() == bytes, "{} is not as it was", path.display());
        }
        assert_eq!(number(&validate(&world, &["--level", "content"]).code(0).json(), "damaged"), 0);
        assert_eq!(status(&world), "completed");
    };
    flip(header);
    replace(&marker, b"{\"format\":1,\"vau");
    let json = validate(&world, &[]).code(4).json();
    assert_eq!(found(&json).len(), 2, "{json}");
    assert!(json["damages"][0]["object"] == "n2s.json" && json["damages"][1]["what"] == "manifest", "{json}");
    intact(&json);
    fs::remove_file(body).unwrap();
    fs::remove_file(&key).unwrap();
    intact(&validate(&world, &["--level", "exists"]).code(4).json());
    flip(&key);
    intact(&validate(&world, &[]).code(4).json());
    world.settled();
}
