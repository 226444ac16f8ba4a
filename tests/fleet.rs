//! A fleet: roles as processes of their own on one PostgreSQL and one RabbitMQ, and what happens when one of them dies.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use n2s_servers::{Postgres, RabbitMq};
use n2s_tests::{Fleet, HeldStore, Member, World, assert_same, files, until};

const PUSH: [&str; 7] = ["push", "--project", "p", "--dataset", "d", "--no-wait", "src"];
const LIVE: &str = "SELECT count(*) FROM jobs";

/// Objects that go one by one to a slow-paced store, so that several workers share them.
const PACED: &str = "concurrency_min = 1\nconcurrency_max = 8\n";

fn many_files(world: &World, count: usize) {
    (0..count).for_each(|n| world.write(&format!("src/{}/{n}", n % 7), format!("content {n} ").repeat(400)));
}

/// A fleet whose roles share a disk.
fn fleet(world: World, broker: &RabbitMq, more: &str) -> Fleet {
    let settings = Fleet::shared_disk(&world, &format!("{PACED}{more}"));
    Fleet::new(world, Postgres::shared().database(), &broker.vhost().url, &settings)
}

/// Messages in the stores' queues, taken and not, as a broker of one fleet counts them.
fn messages(broker: &RabbitMq) -> u64 {
    let hosts: serde_json::Value = serde_json::from_str(&broker.http("GET", "/api/vhosts", "")).unwrap();
    let hosts = hosts.as_array().unwrap().iter().filter_map(|host| host["name"].as_str());
    let columns = ["name", "messages", "--no-table-headers"];
    let listed = hosts.map(|host| broker.ctl(&[&["list_queues", "-p", host], &columns[..]].concat()));
    let count = |line: &str| {
        let (name, messages) = line.split_once(char::is_whitespace)?;
        name.starts_with("n2s.work.").then(|| messages.trim().parse::<u64>().unwrap())
    };
    listed.map(|lines| lines.lines().filter_map(count).sum::<u64>()).sum()
}

/// Whether a dispatcher has all there is to have: sweeper, folder, and the one store.
fn in_office(dispatcher: &Member) -> bool {
    dispatcher.log().matches(": taken office=").count() == 3
}

/// One object on the store, so that it is a store from now on; nobody works afterwards.
fn initialise(fleet: &Fleet) {
    fleet.world.write("src/first", "first");
    fleet.world.n2s(&PUSH).code(0);
    let mut worker = fleet.start("worker-0", &["worker"], &[]).at_work("worker");
    until("the end of all jobs", || fleet.count(LIVE) == 0);
    assert!(worker.terminate().success(), "{}", worker.log());
}

fn comes_back(world: &World) {
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.settled_after_a_kill();
}

/// Which file each object is: another upload would make another.
fn inodes(world: &World) -> BTreeMap<PathBuf, (u64, i64)> {
    let inode = |path: PathBuf| {
        let found = path.metadata().unwrap();
        (path, (found.ino(), found.mtime_nsec()))
    };
    files(&world.path("store/blobs")).into_iter().map(inode).collect()
}

#[test]
fn a_worker_killed_in_the_middle_costs_time_and_nothing_recorded_is_sent_again() {
    let broker = RabbitMq::start();
    let fleet = fleet(World::armed(), &broker, "");
    let world = &fleet.world;
    let dispatcher = fleet.start("dispatcher", &["dispatcher"], &[]).at_work("dispatcher");
    // Dies when the store has answered for its fifth batch, and nobody has been told.
    let doomed = [("N2S_FAILPOINT", "worker.answered:5")];
    let mut doomed = fleet.start("worker-1", &["worker"], &doomed).at_work("worker");
    let others = ["worker-2", "worker-3"].map(|name| fleet.start(name, &["worker"], &[]).at_work("worker"));
    many_files(world, 600);
    world.n2s(&PUSH).code(0);
    let _ = doomed.wait();
    let lost = fleet.count("SELECT count(*) FROM jobs WHERE state = 2");
    assert!(lost > 0, "it died with nothing in hand");
    let recorded = "SELECT encode(sealed_hash, 'hex') FROM blob_backends JOIN blobs ON id = blob_id WHERE status = 'completed'";
    let recorded = fleet.ask(recorded);
    let before = inodes(world);
    until("the end of all jobs", || fleet.count(LIVE) == 0);
    let after = inodes(world);
    let mut compared = 0;
    for name in recorded.lines() {
        let path = world.path("store/blobs").join(&name[..2]).join(&name[2..]);
        // A file may have been completed between the two questions.
        if let Some(former) = before.get(&path) {
            assert_eq!(former, &after[&path], "{name} was uploaded twice");
            compared += 1;
        }
    }
    assert!(compared > 0, "nothing had been recorded when the worker died");
    let spent = "SELECT count(*) FROM blob_backends WHERE retry_count > 0 OR status <> 'completed'";
    assert_eq!(fleet.count(spent), 0);
    let swept = dispatcher.log();
    assert!(swept.lines().any(|line| line.contains("swept jobs") && !line.contains("lost=0")), "{swept}");
    drop(others);
    comes_back(world);
}

#[test]
fn a_dispatcher_killed_is_replaced_and_the_workers_keep_what_they_have() {
    let broker = RabbitMq::start();
    let fleet = fleet(World::new(), &broker, "[worker]\ngrace_secs = 1\n");
    let world = &fleet.world;
    let mut first = fleet.start("dispatcher-1", &["dispatcher"], &[]).at_work("dispatcher");
    until("the first dispatcher in office", || in_office(&first));
    let mut second = fleet.start("dispatcher-2", &["dispatcher"], &[]).at_work("dispatcher");
    initialise(&fleet);
    // Whatever a worker takes now, it has in hand until the store answers.
    let held = HeldStore::new(world, "store");
    let mut holder = fleet.start("worker-1", &["worker"], &[]).at_work("worker");
    // Fewer than a queue takes, so that all are dispatched and one more can be.
    many_files(world, 300);
    world.n2s(&PUSH).code(0);
    let in_hand =
        "SELECT coalesce(string_agg(id || ':' || epoch, ' ' ORDER BY id), '') FROM jobs WHERE state = 2";
    until("work in hand", || !fleet.ask(in_hand).is_empty());
    // A message that it did not live to send would be missed only when its job's deadline has passed.
    let sent = || {
        fleet.count("SELECT count(*) FROM jobs WHERE state = 0") == 0
            && fleet.count("SELECT count(*) FROM jobs WHERE state = 1") == messages(&broker)
    };
    until("every job's message in the queue", sent);
    let before = fleet.ask(in_hand);
    assert!(!second.log().contains("taken"), "two dispatchers at once: {}", second.log());
    first.kill();
    until("the second dispatcher in office", || in_office(&second));
    // It dispatches: what is pushed now gets into the queue, though nothing has left it.
    world.write("src/one more", "more");
    world.n2s(&PUSH).code(0);
    until("a dispatch", || fleet.count("SELECT count(*) FROM jobs WHERE state = 0") == 0);
    let after = fleet.ask(in_hand);
    assert!(before.split(' ').all(|job| after.contains(job)), "taken away: {before} | {after}");
    assert!(holder.terminate().success(), "{}", holder.log());
    held.release();
    let workers = ["worker-2", "worker-3"].map(|name| fleet.start(name, &["worker"], &[]).at_work("worker"));
    until("the end of all jobs", || fleet.count(LIVE) == 0);
    assert!(!second.log().contains("swept jobs"), "something lapsed: {}", second.log());
    assert!(second.terminate().success());
    drop(workers);
    comes_back(world);
}

#[test]
fn a_worker_asked_to_end_gives_back_what_it_cannot_finish() {
    let broker = RabbitMq::start();
    let fleet = fleet(World::new(), &broker, "[worker]\ngrace_secs = 1\n");
    let world = &fleet.world;
    let dispatcher = fleet.start("dispatcher", &["dispatcher"], &[]).at_work("dispatcher");
    initialise(&fleet);
    let held = HeldStore::new(world, "store");
    let mut worker = fleet.start("worker-1", &["worker"], &[]).at_work("worker");
    many_files(world, 600);
    world.n2s(&PUSH).code(0);
    let leased = "SELECT count(*) FROM jobs WHERE state = 2";
    until("work in hand", || fleet.count(leased) > 0);
    let ended = worker.terminate();
    assert!(ended.success(), "{ended:?} {}", worker.log());
    assert!(worker.log().contains("stopped"), "{}", worker.log());
    let spent = "SELECT count(*) FROM jobs WHERE state = 2 OR retry_count > 0 OR lost_count > 0";
    assert_eq!(fleet.count(spent), 0, "{}", dispatcher.log());
    assert!(fleet.count(LIVE) > 0);
    held.release();
    let other = fleet.start("worker-2", &["worker"], &[]).at_work("worker");
    until("the end of all jobs", || fleet.count(LIVE) == 0);
    drop((other, dispatcher));
    comes_back(world);
}

#[test]
fn readiness_tells_the_truth() {
    let (mut broker, database) = (RabbitMq::start(), Postgres::start());
    let world = World::new();
    let vhost = broker.vhost();
    let settings = Fleet::shared_disk(&world, PACED);
    let fleet = Fleet::new(world, database.database(), &vhost.url, &settings);
    let wait_for = |what: &str, members: &mut [Member], ready: bool| {
        until(what, || members.iter_mut().all(|member| member.is_ready() == ready));
    };
    // Nobody is there: they wait, and live.
    broker.kill();
    database.kill();
    let roles = [("dispatcher", "dispatcher"), ("worker", "worker")];
    let systemd = UnixDatagram::bind(fleet.world.path("notify")).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let notify = fleet.world.path("notify").display().to_string();
    let mut members = roles.map(|(name, role)| fleet.start(name, &[role], &[("NOTIFY_SOCKET", &notify)]));
    until("the catalog to be missed", || {
        members.iter_mut().all(|member| member.health("/readyz").1.to_string().contains("open the catalog"))
    });
    assert_eq!(members[1].health("/readyz").0, 503);
    assert_eq!(members[1].health("/healthz").0, 200);
    database.restart();
    until("the broker to be missed", || {
        members.iter_mut().all(|member| member.health("/readyz").1.to_string().contains("connecting failed"))
    });
    assert!(asked_by_script(&mut members[1]).contains("connecting failed"));
    assert!(systemd.recv(&mut [0; 100]).is_err(), "systemd was told before anybody could work");
    broker.start_empty();
    broker.recreate(&vhost);
    wait_for("readiness", &mut members, true);
    assert_eq!(asked_by_script(&mut members[1]), "");
    let mut told = [0; 7];
    until("systemd to be told", || systemd.recv(&mut told).is_ok());
    assert_eq!(&told, b"READY=1");
    // Each goes away once, under load of nothing, and comes back.
    broker.kill();
    wait_for("the broker to be missed", &mut members, false);
    broker.start_empty();
    broker.recreate(&vhost);
    wait_for("readiness again", &mut members, true);
    database.kill();
    wait_for("the catalog to be missed", &mut members, false);
    database.restart();
    wait_for("readiness once more", &mut members, true);
    fleet.world.write("src/a", "a");
    fleet.world.n2s(&PUSH).code(0);
    until("the end of all jobs", || fleet.count(LIVE) == 0);
    for member in &mut members {
        assert!(member.terminate().success(), "{}", member.log());
    }
}

/// What the script of the container's health check says: nothing when the member is ready.
fn asked_by_script(member: &mut Member) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/ready");
    let address = member.said("health on http://");
    let port = address.strip_suffix("/readyz").unwrap().rsplit(':').next().unwrap();
    let asked = Command::new(script).arg(port).output().unwrap();
    let said = String::from_utf8(asked.stdout).unwrap();
    assert_eq!(asked.status.success(), said.is_empty(), "{said}");
    said
}
