//! A database that goes away, ends connections, has none to give, or is slow.

use std::time::Duration;

use n2s_domain::{Entropy as _, SeededEntropy};
use n2s_servers::{Postgres, Proxy};
use n2s_tests::{Ended, Member};

use crate::site::{LIVE, Plan, Site, UNHURRIED, go_on, port, until};

/// A client that pushes through an intake, with a dispatcher and two workers at it.
fn busy(plan: Plan) -> (Site, Vec<Member>, std::thread::JoinHandle<Ended>) {
    let mut site = Site::of(plan);
    let mut members = site.offices();
    members.extend(["worker-1", "worker-2"].map(|name| site.worker(name, &[])));
    site.write(400);
    let push = site.pushing(&site.api());
    (site, members, push)
}

#[test]
fn restarted() {
    let (mut site, members, push) = busy(Plan { own_database: true, ..Plan::default() });
    let done = "SELECT count(*) FROM blob_backends WHERE status = 'completed'";
    for round in 1..=3 {
        until("progress", || site.fleet.count(done) > 20 * round || push.is_finished());
        site.database.own().kill();
        site.database.own().restart();
    }
    push.join().unwrap().code(0);
    assert!(members.iter().all(|member| member.log().contains("WARN")), "somebody noticed nothing");
    site.settled(members);
}

/// Seeded: which of the connections ends is drawn the same each time, though what it does at that moment is not.
#[test]
fn connections_ended_at_random() {
    let (site, members, push) = busy(Plan::default());
    let random = SeededEntropy::new(7);
    let mut ended = 0;
    while ended < 25 {
        let drawn = random.next_u64() % 1_000;
        ended += site.fleet.count(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid \
             OFFSET {drawn} % (SELECT greatest(count(*) - 1, 1) FROM pg_stat_activity WHERE datname = current_database()) LIMIT 1) one"
        ));
    }
    push.join().unwrap().code(0);
    assert!(site.logged(&["WARN", "terminating connection"]), "nobody noticed");
    site.settled(members);
}

/// The workers' login may have two connections, and each worker wants ten.
#[test]
fn out_of_connections() {
    let mut site = Site::new();
    let mut members = site.offices();
    let login =
        site.worker_url.split(&[':', '/'][..]).find(|part| part.starts_with("worker_")).unwrap().to_owned();
    let limit = |connections: i32| {
        Postgres::psql(
            &site.database.get().url(),
            &format!("ALTER ROLE {login} CONNECTION LIMIT {connections}"),
        )
    };
    let workers = ["worker-1", "worker-2"].map(|name| site.worker(name, &[]));
    limit(1);
    site.fleet.ask(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{login}'"
    ));
    site.write(200);
    site.push();
    let refused = format!("too many connections for role \"{login}\"");
    let log = || String::from_utf8_lossy(&site.database.get().log()).into_owned();
    until("a refusal", || log().contains(&refused));
    limit(-1);
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    members.extend(workers);
    site.settled(members);
}

/// Each process has one connection, which waits for a table that somebody holds: whoever else asks meanwhile finds none left.
#[test]
fn out_of_pooled_connections() {
    let mut site = Site::new();
    let one = [("N2S_DATABASE__POOL_SIZE", "1")];
    let mut members = vec![site.dispatcher("dispatcher", &one), site.intake(&one)];
    site.write(200);
    site.push();
    site.until_queued();
    let workers = ["worker-1", "worker-2"].map(|name| site.worker(name, &[one[0], UNHURRIED]));
    site.halt(&workers);
    let url = site.admin_url();
    let holder = std::thread::spawn(move || {
        Postgres::try_psql(&url, "BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1000)")
    });
    // Granted as soon as those who are stopped have ended what they are in.
    let wants =
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'jobs'::regclass";
    until("the table to be wanted", || site.fleet.count(wants) == 1);
    go_on(&workers);
    let told = |member: &Member| member.log().contains("pool timed out while waiting for an open connection");
    until("a call that found no connection", || told(&members[0]) && workers.iter().any(told));
    let ended = site.fleet.count(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND query LIKE '%pg_sleep(1000)' AND pid <> pg_backend_pid()",
    );
    assert_eq!(ended, 1, "nobody held the table any more");
    holder.join().unwrap().unwrap_err();
    members.extend(workers);
    site.settled(members);
}

/// 20 ms each way, for everybody.
#[test]
fn slow() {
    let mut site = Site::new();
    let (proxy, member) = Proxy::before(&site.member_url);
    let worker = site.worker_url.replacen(&port(&site.worker_url), &proxy.port().to_string(), 1);
    let dispatcher = site.dispatcher("dispatcher", &[("N2S_DATABASE__URL", &member)]);
    let worker = site.worker("worker", &[("N2S_DATABASE__URL", &worker)]);
    let intake = site.intake(&[("N2S_DATABASE__URL", &member)]);
    let unslowed = proxy.bytes();
    proxy.delay(Duration::from_millis(20));
    site.write(200);
    site.push();
    let pushed = proxy.bytes();
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    assert!(unslowed < pushed && pushed < proxy.bytes(), "somebody did not use the slow link");
    site.settled(vec![dispatcher, intake, worker]);
}
