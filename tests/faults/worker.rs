//! A worker that dies or stops with work in its hand: it costs a lease, nobody's retry, and is counted once.

use n2s_tests::{Ended, Member};
use rustix::process::Signal;

use crate::site::{LEASED, LIVE, Plan, Site, until};

/// Kills a worker at each of the points, one after the other, with a push for each.
fn killed_at(points: &[&str]) {
    let mut site = Site::new();
    let mut members = site.offices();
    let mut survivor: Option<Member> = None;
    for (n, point) in points.iter().enumerate() {
        // The survivor would leave nothing to the doomed one.
        if let Some(mut survivor) = survivor.take() {
            until("the end of all jobs", || site.fleet.count(LIVE) == 0);
            assert!(survivor.terminate().success(), "{}", survivor.log());
        }
        site.write(100);
        site.push();
        let mut doomed = site.worker_starting(&format!("doomed-{n}"), &[("N2S_FAILPOINT", point)]);
        doomed.wait();
        assert!(site.fired(point.split(':').next().unwrap()), "{point}");
        let lost = site.fleet.count(LEASED);
        let recorded = point.starts_with("catalog.");
        assert!(recorded || lost > 0, "it died at {point} with nothing in hand");
        survivor = Some(site.worker(&format!("survivor-{n}"), &[]));
        until("the lease", || recorded || site.fleet.count(LIVE) == 0);
    }
    assert!(site.swept("lost"), "no lease lapsed");
    members.extend(survivor);
    site.settled(members);
}

#[test]
fn killed_between_the_claim_and_the_ack() {
    killed_at(&["worker.leased:3", "worker.acked:3"]);
}

#[test]
fn killed_during_an_upload() {
    killed_at(&["worker.uploading:3", "local.written:3"]);
}

#[test]
fn killed_between_the_stores_answer_and_the_record() {
    killed_at(&["worker.answered:3", "worker.finishing:3", "catalog.finished:3"]);
}

/// Stopped with the store's answer in its hand for longer than its lease: another does the work, and what the first says when it goes on is
/// not counted a second time.
#[test]
fn stopped_past_its_lease() {
    // What it had prefetched is told of again.
    let mut site = Site::of(Plan { unclaimed_secs: Some(3), ..Plan::default() });
    let mut members = site.offices();
    site.write(100);
    site.push();
    let slow = site.worker_starting("worker-1", &[("N2S_FAILPOINT", "worker.answered:3:stop")]);
    until("the stop", || site.fired("worker.answered"));
    let held = site.fleet.count(LEASED);
    assert!(held > 0);
    let other = site.worker("worker-2", &[]);
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    assert!(!slow.log().contains("somebody else's"));
    slow.signal(Signal::CONT);
    until("its late outcomes", || slow.log().contains("by now the jobs are somebody else's"));
    members.extend([slow, other]);
    site.settled(members);
}

/// Stopped with a transaction open, which holds its rows until the server ends it after the length of a lease. That is longer than anybody waits
/// for a lock at once; whoever needs the rows waits again, and is refused nothing.
#[test]
fn stopped_in_the_middle_of_a_transaction() {
    let mut site = Site::new();
    let mut members = site.offices();
    site.write(1);
    site.push();
    // One job: its claim is committed, and its outcome is about to be.
    let settings = [("N2S_FAILPOINT", "catalog.committing:2:stop"), ("N2S_WORKER__LEASE_SECS", "30")];
    let stopped = site.worker_starting("worker-1", &settings);
    until("the stop", || site.fired("catalog.committing"));
    let sessions = |such: &str| {
        let of = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND";
        site.fleet.count(&format!("{of} {such}"))
    };
    assert_eq!(sessions("state = 'idle in transaction' AND usename LIKE 'worker_%'"), 1);
    // The same content in another dataset needs the same rows.
    let push = ["push", "--project", "p", "--dataset", "e", "--no-wait", "src"];
    let mut push = site.client(&site.api(), &push);
    let push = std::thread::spawn(move || Ended::from(push.output().unwrap()));
    until("somebody to wait", || sessions("wait_event_type = 'Lock'") > 0);
    push.join().unwrap().code(0);
    assert_eq!(sessions("state = 'idle in transaction' AND usename LIKE 'worker_%'"), 0);
    members.push(site.worker("worker-2", &[]));
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    stopped.signal(Signal::CONT);
    members.push(stopped);
    site.settled(members);
}
