//! Bad input: each mistake by itself gets the documented exit code, a message that says what to do, and changes nothing.

use std::fs;

use n2s_tests::{Ended, World, files};
use serde_json::Value;

const STRANGER: &str = "0190f5fe-7c00-7a00-8000-000000000000";

/// Two stores, one version with the label `monday`, and what there was before the mistake.
struct Refused {
    world: World,
    before: (Value, Vec<std::path::PathBuf>),
}

impl Refused {
    fn new() -> Self {
        let world = World::two_stores();
        world.write("src/a", "alpha");
        world.write("src/b", "beta".repeat(1_000));
        world.push(&["--snapshot", "monday"]).code(0);
        let before = state(&world);
        Self { world, before }
    }

    /// Makes the mistake, and asserts how it ended and that nothing came of it.
    #[track_caller]
    fn n2s(&self, args: &str, code: i32, says: &[&str]) {
        let args: Vec<&str> = args.split(' ').collect();
        self.ended(self.world.n2s(&args), code, says);
    }

    #[track_caller]
    fn pull(&self, args: &str, code: i32, says: &[&str]) {
        self.n2s(&format!("pull --target out {args}"), code, says);
        assert!(!self.world.path("out").exists(), "bad input made a target");
    }

    #[track_caller]
    fn push(&self, args: &str, code: i32, says: &[&str]) {
        self.n2s(&format!("push --project p --dataset d {args}"), code, says);
    }

    #[track_caller]
    fn ended(&self, ended: Ended, code: i32, says: &[&str]) {
        ended.code(code).says(says);
        assert_eq!(state(&self.world), self.before, "bad input changed something");
        self.world.settled();
    }
}

/// Every committed version, and every object of the stores.
fn state(world: &World) -> (Value, Vec<std::path::PathBuf>) {
    let stores = ["one", "two"].map(|store| files(&world.path(store))).concat();
    (world.json(&["status"])["datasets"].clone(), stores)
}

#[test]
fn an_unknown_project_is_named_with_those_there_are() {
    let r = Refused::new();
    r.pull("--project q --dataset d", 3, &["no project 'q'", "there are: p"]);
    for command in ["files --dataset d", "search x", "changesets", "failed", "retry"] {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        r.n2s(format!("{verb} --project q {rest}").trim_end(), 3, &["no project 'q'", "there are: p"]);
    }
}

#[test]
fn an_unknown_dataset_is_named_with_those_there_are() {
    let r = Refused::new();
    r.pull("--project p --dataset e", 3, &["no dataset 'e'", "there are: d"]);
    for command in ["files", "changesets", "failed", "retry", "search x"] {
        r.n2s(&format!("{command} --project p --dataset e"), 3, &["no dataset 'e'", "there are: d"]);
    }
}

#[test]
fn an_unknown_version_is_named_with_those_there_are() {
    Refused::new().pull("--project p --dataset d --version 9", 3, &["no version '9'", "there are: 1"]);
}

#[test]
fn an_unknown_snapshot_is_named_with_those_there_are() {
    Refused::new().pull("--project p --dataset d --snapshot x", 3, &["no snapshot 'x'", "monday"]);
}

#[test]
fn a_glob_that_matches_nothing_says_where_to_look() {
    Refused::new().pull("--project p --dataset d nothing-like-it", 3, &["no path", "n2s files"]);
}

#[test]
fn an_unknown_backend_is_named_with_those_there_are() {
    let r = Refused::new();
    let says = ["no backend 'three'", "one, two"];
    r.pull("--project p --dataset d --from three", 3, &says);
    r.push("--backend three src", 3, &says);
    r.n2s("push --project new --dataset d --backend three src", 3, &says);
    for command in
        ["backends pause", "backends resume", "backends sync", "failed --backend", "retry --backend"]
    {
        r.n2s(&format!("{command} three"), 3, &says);
    }
}

#[test]
fn an_unknown_changeset_says_how_to_list_them() {
    let r = Refused::new();
    for command in ["status", "failed --changeset", "retry --changeset"] {
        r.n2s(&format!("{command} {STRANGER}"), 3, &[STRANGER, "n2s changesets"]);
    }
    r.n2s("status nonsense", 2, &["'nonsense'", "CHANGESET"]);
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let r = Refused::new();
    r.push("absent", 2, &["the source absent is not there"]);
    r.push("--root src src/a src/absent", 2, &["the source src/absent is not there"]);
    r.push("--root src --files-from absent", 2, &["--files-from absent", "No such file"]);
}

#[test]
fn a_push_without_a_source_names_the_argument() {
    Refused::new().push("--no-wait", 2, &["<PATH>"]);
}

#[test]
fn several_sources_without_a_root_name_the_flag() {
    let r = Refused::new();
    r.push("src/a src/b", 2, &["several PATHs need --root"]);
    r.push("--files-from -", 2, &["--files-from needs --root"]);
}

#[test]
fn a_source_outside_of_the_root_is_refused() {
    Refused::new().push("--root src one", 2, &["one does not lie below --root src"]);
}

#[test]
fn a_target_that_is_not_empty_is_left_alone_without_force() {
    let r = Refused::new();
    r.world.write("full/file", "mine");
    r.ended(r.world.pull("full", &[]), 2, &["full is not empty", "--force"]);
    assert_eq!(files(&r.world.path("full")), [r.world.path("full/file")]);
    r.world.pull("full", &["--force"]).code(0);
    assert_eq!(fs::read(r.world.path("full/file")).unwrap(), b"mine", "--force deletes nothing");
    assert_eq!(fs::read(r.world.path("full/a")).unwrap(), b"alpha");
}

#[test]
fn a_target_that_is_no_directory_is_left_alone() {
    let r = Refused::new();
    r.ended(r.world.pull("src/a", &["--force"]), 2, &["the target src/a", "no directory; choose one"]);
    assert_eq!(fs::read(r.world.path("src/a")).unwrap(), b"alpha");
}

#[test]
fn more_copies_than_stores_and_none_are_refused() {
    let r = Refused::new();
    r.push("--min-copies 3 src", 2, &["--min-copies 3", "2 stores", "add stores"]);
    r.push("--min-copies 0 src", 2, &["'0'", "--min-copies"]);
}

#[test]
fn a_wrong_key_in_the_configuration_is_named_with_the_right_one() {
    let world = World::at_home();
    let one = world.path("one");
    world.n2s(&["backends", "add", "one", "--path", one.to_str().unwrap()]).code(0);
    let config = world.path("home/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("path", "pth")).unwrap();
    for command in [&["config", "check"][..], &["push", "--project", "p", "--dataset", "d", "src"]] {
        world.n2s(command).code(2).says(&["config.toml", "pth", "did you mean", "path"]);
    }
    assert!(!world.path("home/catalog.db").exists());
}

#[test]
fn an_emptied_source_is_not_taken_for_a_deleted_archive() {
    let r = Refused::new();
    fs::remove_file(r.world.path("src/a")).unwrap();
    fs::remove_file(r.world.path("src/b")).unwrap();
    r.push("src", 2, &["--allow-mass-removal"]);
    r.world.pull("out", &[]).code(0);
    assert!(r.world.path("out/a").exists());
    r.world.push(&["--allow-mass-removal"]).code(0);
    r.world.pull("now", &[]).code(0);
    assert!(!r.world.path("now/a").exists());
}

#[test]
fn flags_that_do_not_exist_or_do_not_go_together_are_named() {
    let r = Refused::new();
    r.push("--nope src", 2, &["--nope", "--help"]);
    r.push("--meta x src", 2, &["--meta", "KEY=VALUE"]);
    r.push("--delta --files-from list src", 2, &["--delta", "--files-from"]);
    r.pull("--project p --dataset d --version 1 --snapshot monday", 2, &["--version", "--snapshot"]);
}

#[test]
fn a_name_that_cannot_be_used_says_the_rule() {
    let r = Refused::new();
    r.ended(r.world.n2s(&["push", "--project", "", "--dataset", "d", "src"]), 2, &["it is empty"]);
    r.n2s("backends add ../x --path x", 2, &["'../x'", "are allowed"]);
}

#[test]
fn a_glob_that_is_none_is_named() {
    Refused::new().pull("--project p --dataset d [", 2, &["the glob '['", "unclosed"]);
}

#[test]
fn another_set_of_stores_is_refused_with_the_command_that_changes_it() {
    Refused::new().push("--backend one src", 2, &["one, two", "n2s backends sync"]);
}

#[test]
fn a_second_store_of_one_name_is_refused() {
    Refused::new().n2s("backends add one --path x", 2, &["there is a backend 'one' already", "another name"]);
}

#[test]
fn reading_where_there_is_no_home_makes_none() {
    let world = World::at_home();
    let reading = [&["status"][..], &["pull", "--project", "p", "--dataset", "d", "--target", "out"]];
    for command in reading {
        world.n2s(command).code(2).says(&["no n2s home", "n2s push"]);
    }
    assert!(!world.path("home").exists() && !world.path("out").exists());
}
