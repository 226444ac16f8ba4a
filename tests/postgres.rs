//! The command with its catalog on a server: alone, with other homes beside it, and when the server dies.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use n2s_servers::Postgres;
use n2s_tests::{World, assert_same, files, until};

fn many_files(world: &World) {
    (0..600).for_each(|n| world.write(&format!("src/{}/{n}", n % 7), format!("content {n} ").repeat(400)));
}

/// A home of that name: catalog on the server, staging and store of the world.
fn home(world: &World, name: &str, url: &str) {
    for dir in ["staged", "store"] {
        std::fs::create_dir_all(world.path(dir)).unwrap();
    }
    let path = |name| world.path(name).display().to_string();
    let config = format!(
        "[database]\nurl = \"{url}\"\n[staging]\npath = \"{}\"\n[backends.disk]\nkind = \"local\"\npath = \"{}\"\n",
        path("staged"),
        path("store"),
    );
    world.write(&format!("{name}/config.toml"), config);
}

/// A world with one migrated home.
fn migrated(server: &Postgres) -> (World, String) {
    let (world, url) = (World::new(), server.database());
    home(&world, "home", &url);
    world.n2s(&["migrate"]).code(0);
    (world, url)
}

/// A second home with the same vault.
fn second(world: &World, url: &str) -> String {
    home(world, "other", url);
    std::fs::copy(world.path("home/vault"), world.path("other/vault")).unwrap();
    world.path("other").display().to_string()
}

fn assert_pulled(world: &World) {
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.settled_after_a_kill();
}

#[test]
fn every_command_works_on_a_server() {
    let server = Postgres::shared();
    let (world, url) = (World::new(), server.database());
    world.write("home/config.toml", format!("[database]\nurl = \"{url}\"\n"));
    many_files(&world);
    world.push(&[]).code(1).says(&["schema is version 0", "n2s migrate"]);
    let migrated = world.n2s(&["migrate"]).code(0).out;
    assert!(migrated.starts_with("the catalog is migrated from schema 0 to "), "{migrated}");
    assert_eq!(world.n2s(&["migrate"]).code(0).out.trim(), "the catalog is at this version's schema");
    let first = world.push(&["--snapshot", "one", "--output", "json"]).code(0).json();
    assert_eq!((&first["version"], &first["status"]), (&1.into(), &"completed".into()));
    world.write("src/0/0", "changed");
    assert_eq!(world.push(&["--output", "json"]).code(0).json()["version"], 2);
    let dataset = ["--project", "p", "--dataset", "d"];
    let listed = world.n2s(&[&["files", "--stores"], &dataset[..]].concat()).code(0);
    assert_eq!(listed.out.lines().filter(|line| line.contains("local")).count(), 600);
    assert!(world.n2s(&["search", "6/111"]).code(0).out.contains("6/111"));
    assert_eq!(world.json(&["changesets"])["changesets"].as_array().map(Vec::len), Some(2));
    assert_eq!(world.json(&["failed"])["failed"], serde_json::json!([]));
    assert_eq!(world.json(&["status"])["backends"][0]["pending"], 0);
    world.pull("old", &["--snapshot", "one"]).code(0);
    assert!(std::fs::read_to_string(world.path("old/0/0")).unwrap().starts_with("content 0 "));
    assert_pulled(&world);
    assert!(!Path::new(&world.path("home/catalog.db")).exists(), "the home has a catalog of its own, too");
}

#[test]
fn a_killed_push_is_resumed() {
    let (world, _) = migrated(Postgres::shared());
    many_files(&world);
    let push = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("an upload", || !files(&world.path("store/blobs")).is_empty());
    push.kill();
    assert_eq!(world.push(&["--output", "json"]).code(0).json()["version"], 1);
    assert_pulled(&world);
}

#[test]
fn one_home_works_for_all_and_another_takes_over() {
    let (world, url) = migrated(Postgres::shared());
    world.write("src/first", "1");
    world.push(&[]).code(0);
    many_files(&world);
    let other = second(&world, &url);
    let engine = world.start(&["up"]);
    let push = world.start(&["--home", &other, "push", "--project", "p", "--dataset", "d", "src"]);
    until("an upload", || files(&world.path("store/blobs")).len() > 10);
    engine.kill();
    push.wait().code(0);
    assert_pulled(&world);
}

#[test]
fn a_home_without_the_vault_or_the_staging_of_the_others_is_refused() {
    let (world, url) = migrated(Postgres::shared());
    world.write("src/first", "1");
    world.push(&[]).code(0);
    let other = second(&world, &url);
    let status = || world.n2s(&["--home", &other, "status"]);
    std::fs::remove_file(world.path("other/vault")).unwrap();
    world
        .n2s(&["--home", &other, "push", "--project", "p", "--dataset", "e", "src"])
        .code(2)
        .says(&["vault", "copy"]);
    assert!(!world.path("other/vault").exists(), "a second vault was made");
    std::fs::copy(world.path("home/vault"), world.path("other/vault")).unwrap();
    status().code(0);
    let config = std::fs::read_to_string(world.path("other/config.toml")).unwrap();
    world.write("elsewhere/here", "");
    world.write("other/config.toml", config.replace("/staged", "/elsewhere"));
    status().code(2).says(&["elsewhere", "not the staging of this catalog"]);
}

#[test]
fn a_server_that_dies_costs_time() {
    let server = Postgres::start();
    let (world, _) = migrated(&server);
    many_files(&world);
    let push = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("an upload", || !files(&world.path("store/blobs")).is_empty());
    server.kill();
    server.restart();
    // It may have been between two calls.
    drop(push.wait());
    world.push(&[]).code(0);
    assert_pulled(&world);
}

#[test]
fn what_keeps_a_server_away_is_said_without_the_password() {
    let world = World::new();
    let push = |url: &str| {
        let mut command = world.command(&["push", "--project", "p", "--dataset", "d", "src"]);
        n2s_tests::Ended::from(command.env("N2S_DATABASE__URL", url).output().unwrap())
    };
    let nobody = push("postgres://me:hunter2@127.0.0.1:1/x").code(1).says(&["the catalog's server is away"]);
    let wrong = push("mysql://me:hunter2@127.0.0.1/x").code(2).says(&["N2S_DATABASE__URL", "postgres://"]);
    for ended in [nobody, wrong] {
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
    }
}
