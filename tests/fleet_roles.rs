//! What each role of a fleet is allowed to lack, and where there are no roles.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_servers::{Postgres, RabbitMq};
use n2s_tests::{Fleet, World, assert_same, files, until};

const LIVE: &str = "SELECT count(*) FROM jobs";

fn some_files(world: &World) {
    (0..60).for_each(|n| world.write(&format!("src/{}/{n}", n % 7), format!("content {n} ").repeat(400)));
}

/// Staging and a store in buckets, and a store in a directory.
fn buckets(world: &World, server: &S3Server) -> String {
    for bucket in ["staging", "far"] {
        server.make_bucket(bucket);
    }
    std::fs::create_dir(world.path("near")).unwrap();
    let bucket = |name: &str| {
        format!(
            "kind = \"s3\"\nbucket = \"{name}\"\nendpoint = \"{}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
             secret_access_key = \"{SECRET_ACCESS_KEY}\"\n",
            server.endpoint()
        )
    };
    format!(
        "[staging]\n{}[backends.far]\n{}[backends.near]\nkind = \"local\"\npath = \"{}\"\n",
        bucket("staging"),
        bucket("far"),
        world.path("near").display()
    )
}

#[test]
fn a_fleet_with_an_intake_and_a_worker_for_each_store() {
    let (broker, server, world) = (RabbitMq::start(), S3Server::start(), World::new());
    let settings = buckets(&world, &server);
    let fleet = Fleet::new(world, Postgres::shared().database(), &broker.vhost().url, &settings);
    let world = &fleet.world;
    // They come first, with the restricted login, and wait for somebody who may write down what there is.
    let login = fleet.restricted();
    let mut workers = ["far", "near"].map(|store| {
        let variables = [("N2S_DATABASE__URL", login.as_str()), ("N2S_LOG", "info")];
        fleet.start(&format!("worker-{store}"), &["worker", "--backend", store], &variables)
    });
    for worker in &mut workers {
        until("a worker that waits", || {
            worker.health("/readyz").1.to_string().contains("does not know its staging yet")
        });
    }
    let (intake, url, token) = fleet.intake();
    let [mut far, mut near] = workers.map(|worker| worker.at_work("worker"));
    assert!(!world.path("worker-far").exists(), "a worker made itself a home");
    some_files(world);
    std::fs::create_dir(world.path("client")).unwrap();
    std::fs::copy(world.path("home/vault"), world.path("client/vault")).unwrap();
    let client = |args: &[&str]| -> n2s_tests::Ended {
        let mut command = world.command(args);
        command.env("N2S_HOME", world.path("client")).env("N2S_SERVER", &url).env("N2S_TOKEN", &token);
        command.output().unwrap().into()
    };
    client(&["push", "--project", "p", "--dataset", "d", "src"]).code(0);
    client(&["pull", "--project", "p", "--dataset", "d", "--target", "out", "--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    let on = |log: &str, store: &str| log.contains(&format!("consuming backend.name={store}"));
    assert!(on(&far.log(), "far") && !on(&far.log(), "near"), "{}", far.log());
    assert!(on(&near.log(), "near") && !on(&near.log(), "far"), "{}", near.log());
    // Damage is found by a validator without keys, and replaced by the workers.
    let objects = files(&server.object("far", "blobs"));
    let whole = std::fs::read(&objects[0]).unwrap();
    std::fs::write(&objects[0], &whole[1..]).unwrap();
    let eager = [("N2S_VALIDATOR__EVERY_HOURS", "0")];
    let mut validator = fleet.start("validator", &["validator"], &eager).at_work("validator");
    until("the repair", || std::fs::read(&objects[0]).is_ok_and(|bytes| bytes == whole));
    until("the end of all jobs", || fleet.count(LIVE) == 0);
    for member in [&mut validator, &mut far, &mut near] {
        assert!(member.terminate().success(), "{}", member.log());
        assert!(!member.log().contains(SECRET_ACCESS_KEY));
    }
    drop(intake);
    world.settled_after_a_kill();
}

#[test]
fn a_push_where_no_role_runs_does_everything_itself() {
    let (broker, world) = (RabbitMq::start(), World::new());
    let settings = Fleet::shared_disk(&world, "");
    let fleet = Fleet::new(world, Postgres::shared().database(), &broker.vhost().url, &settings);
    let world = &fleet.world;
    some_files(world);
    let said = world.push(&[]).code(0);
    assert!(said.out.contains("completed on every store"), "{said:?}");
    assert!(!said.err.contains("WARN") && !said.err.contains("ERROR"), "{said:?}");
    // Everything in one process does not mind another of its kind.
    let up = ["up-1", "up-2"].map(|name| {
        let mut command = world.command(&["up"]);
        command.env("N2S_LOG", "info");
        n2s_tests::Member::start(name, command, &world.path(&format!("{name}.log")))
    });
    for (n, mut member) in up.into_iter().enumerate() {
        member.said("API on ");
        world.write("src/new", format!("new {n}"));
        world.n2s(&["push", "--project", "p", "--dataset", "d", "--no-wait", "src"]).code(0);
        until("the end of all jobs", || fleet.count(LIVE) == 0);
        assert!(member.terminate().success(), "{}", member.log());
    }
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.settled_after_a_kill();
}

#[test]
fn roles_of_their_own_are_refused_where_catalog_or_queue_are_not_shared() {
    let world = World::at_home();
    let serve = |role: &str, config: &str| {
        world.write("home/config.toml", config);
        world.n2s(&["serve", role])
    };
    let (database, queue) = ("[database]\nurl = \"postgres://u@h/d\"\n", "[queue]\nurl = \"amqp://u:p@h\"\n");
    for role in ["dispatcher", "worker"] {
        let needs = |config: &str, words: &[&str]| serve(role, config).code(2).says(words);
        needs("", &[role, "[database] url", "[queue] url", "n2s up"]);
        assert!(!needs(database, &["[queue] url"]).err.contains("[database]"));
        assert!(!needs(queue, &["[database] url"]).err.contains("[queue]"));
        needs(&format!("{database}{queue}"), &["names no store", "[backends.NAME]"]);
    }
    let store = format!("{database}{queue}[backends.disk]\nkind = \"local\"\npath = \"/x\"\n");
    world.write("home/config.toml", &store);
    world.n2s(&["serve", "worker", "--backend", "dusk"]).code(3).says(&["backend 'dusk'", "there are: disk"]);
    world.n2s(&["serve", "worker", "--health", "nowhere"]).code(2).says(&["--health"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    world.n2s(&["serve", "worker", "--health", &taken]).code(1).says(&[&taken, "[health] listen"]);
    serve("validator", &format!("{store}[validator]\nbytes_per_second = 0\n")).code(2).says(&["set a rate"]);
    serve("worker", &format!("{store}[health]\nlisten = \"here\"\n")).code(2).says(&["health.listen"]);
    world.write("home/config.toml", "");
    world
        .n2s(&["serve", "validator", "--health", "127.0.0.1:0"])
        .code(2)
        .says(&["--health", "[database] url"]);
    assert!(!world.path("home/vault").exists() && !world.path("home/catalog.db").exists());
}

#[test]
fn the_settings_that_deploy_gives_a_fleet_are_right() {
    let world = World::at_home();
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
    let secrets = world.path("deploy");
    std::fs::create_dir(&secrets).unwrap();
    // The secrets as the script makes them, and made once.
    std::fs::copy(format!("{deploy}/secrets.sh"), secrets.join("secrets.sh")).unwrap();
    let make = || {
        let made = Command::new(secrets.join("secrets.sh")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        std::fs::read_to_string(secrets.join(".env")).unwrap()
    };
    let made = make();
    assert_eq!((make(), mode(&secrets.join(".env"))), (made.clone(), 0o600));
    let secret =
        |line: &str| line.split_once('=').map(|(name, value)| (format!("${{{name}}}"), value.to_owned()));
    let secrets: Vec<_> = made.lines().filter_map(secret).collect();
    // The variables of every role, as the page says them.
    let page = std::fs::read_to_string(format!("{deploy}/compose.yaml")).unwrap();
    let mut command = world.command(&["config", "check"]);
    let mut set = 0;
    for line in
        page.lines().map(str::trim).filter(|line| line.starts_with("N2S_") && !line.contains("N2S_CONFIG"))
    {
        let (name, value) = line.split_once(": ").unwrap();
        let value = value.replace(":?run deploy/secrets.sh", "");
        let value = secrets.iter().fold(value, |value, (name, secret)| value.replace(name, secret));
        assert!(!value.contains('$'), "{line} needs what secrets.sh does not make");
        command.env(name, value.trim_matches('"'));
        set += 1;
    }
    assert!(set >= 8, "{set} variables");
    command.env("N2S_CONFIG", format!("{deploy}/compose/n2s.toml"));
    n2s_tests::Ended::from(command.output().unwrap()).code(0);
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}
